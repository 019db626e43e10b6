"""Seal and open whole messages: the SK payload (RFC 7296 §3.14, RFC 5282)."""

from isthmus.crypto.entropy import Entropy
from isthmus.crypto.suite import MessageCipher, message_cipher
from isthmus.ike.v2.keys import IkeKeys
from isthmus.values.errors import IntegrityFailed, LocalFault, Malformed
from isthmus.values.proposal import Suite
from isthmus.wire.header import Header
from isthmus.wire.v2 import encrypted
from isthmus.wire.v2.message import Message, Payload, decode_chain, encode_chain

_IV_COUNTER_MAX = (1 << 64) - 1
SK_HEADER_END = 32
"""28 octets of IKE header and 4 of the SK payload's own: the additional authenticated data."""


class Protector:
    """The two directions of one IKE SA.

    Counter IVs are never reused: one counter for each sealing key, refused at its end.
    """

    __slots__ = ("_counter", "_entropy", "_opener", "_sealer")

    def __init__(self, suite: Suite, keys: IkeKeys, *, initiator: bool, entropy: Entropy) -> None:
        toward_r = message_cipher(suite, keys.sk_ei, keys.sk_ai)
        toward_i = message_cipher(suite, keys.sk_er, keys.sk_ar)
        self._sealer: MessageCipher = toward_r if initiator else toward_i
        self._opener: MessageCipher = toward_i if initiator else toward_r
        self._counter = 0
        self._entropy = entropy

    def seal(self, header: Header, payloads: tuple[Payload, ...]) -> bytes:
        """The datagram that carries `payloads` under SK."""
        cipher = self._sealer
        first, plain = encode_chain(payloads)
        pad_length = -(len(plain) + 1) % cipher.block_size
        padded = plain + bytes(pad_length) + bytes((pad_length,))
        iv = self._next_iv(cipher)
        body_length = len(iv) + len(padded) + cipher.icv_size
        prefix = encrypted.prefix(header, first, body_length)
        return prefix + iv + cipher.seal(iv, prefix, padded)

    def open(self, octets: bytes, message: Message) -> tuple[Payload, ...]:
        """The payloads inside. `message` is the decoded outer form of `octets`.

        Raises IntegrityFailed when the octets must not be believed, Malformed when an
        authenticated peer wrote nonsense.
        """
        cipher = self._opener
        if not message.payloads or not isinstance(message.payloads[-1], encrypted.Encrypted):
            raise IntegrityFailed("no SK payload")
        sealed = message.payloads[-1]
        body = sealed.body
        if len(body) < cipher.iv_size + cipher.block_size + cipher.icv_size:
            raise IntegrityFailed("SK payload too short")
        if len(message.payloads) != 1:
            raise IntegrityFailed("payloads outside SK")
        aad = octets[: len(octets) - len(body)]
        iv, rest = body[: cipher.iv_size], body[cipher.iv_size :]
        padded = cipher.open(iv, aad, rest)
        pad_length = padded[-1]
        if pad_length + 1 > len(padded):
            raise Malformed("pad length beyond the SK payload")
        return decode_chain(sealed.first, padded[: len(padded) - pad_length - 1])

    def _next_iv(self, cipher: MessageCipher) -> bytes:
        if not cipher.counter_iv:
            return self._entropy.octets(cipher.iv_size)
        if self._counter >= _IV_COUNTER_MAX:
            raise LocalFault("IKE SA has used every initialization vector of its key")
        self._counter += 1
        return self._counter.to_bytes(cipher.iv_size, "big")
