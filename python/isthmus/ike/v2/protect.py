"""Seal and open messages: the SK and SKF payloads (RFC 7296 §3.14, RFC 5282, RFC 7383 §2.5)."""

from isthmus.crypto.entropy import Entropy
from isthmus.crypto.suite import MessageCipher, message_cipher
from isthmus.ike.v2.keys import IkeKeys
from isthmus.values.errors import IntegrityFailed, LocalFault, Malformed
from isthmus.values.proposal import Suite
from isthmus.wire.header import HEADER_SIZE, Header
from isthmus.wire.v2 import encrypted
from isthmus.wire.v2.encrypted import Encrypted, EncryptedFragment
from isthmus.wire.v2.message import Message, Payload, decode_chain, encode_chain

_IV_COUNTER_MAX = (1 << 64) - 1
SK_HEADER_END = HEADER_SIZE + 4
"""The IKE header and the SK payload's own: the additional authenticated data."""
SKF_HEADER_END = SK_HEADER_END + 4
"""Of a fragment its number and the number of all are authenticated as well."""


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
        first, plain = encode_chain(payloads)
        return self.seal_octets(header, first, plain)

    def seal_octets(
        self, header: Header, first: int, plain: bytes, fragment: tuple[int, int] | None = None
    ) -> bytes:
        """The datagram that carries the octets `plain`, a chain whose first payload is `first`.

        `fragment` is (number, total) of a piece under SKF; without it the chain is under SK.
        """
        cipher = self._sealer
        pad_length = -(len(plain) + 1) % cipher.block_size
        padded = plain + bytes(pad_length) + bytes((pad_length,))
        iv = self._next_iv(cipher)
        body_length = len(iv) + len(padded) + cipher.icv_size
        prefix = encrypted.prefix(header, first, body_length, fragment)
        return prefix + iv + cipher.seal(iv, prefix, padded)

    def whole_size(self, length: int) -> int:
        """Octets of the datagram that carries `length` octets under SK."""
        cipher = self._sealer
        padded = length + 1 + -(length + 1) % cipher.block_size
        return SK_HEADER_END + cipher.iv_size + padded + cipher.icv_size

    def fragment_room(self, size: int) -> int:
        """The most octets that a datagram of `size` octets can carry under SKF; less than 1 where
        it is too small to be one."""
        cipher = self._sealer
        room = size - SKF_HEADER_END - cipher.iv_size - cipher.icv_size
        return room // cipher.block_size * cipher.block_size - 1

    def open(self, octets: bytes, message: Message) -> tuple[Payload, ...]:
        """The payloads inside. `message` is the decoded outer form of `octets`.

        Raises IntegrityFailed when the octets must not be believed, Malformed when an
        authenticated peer wrote nonsense.
        """
        sealed = message.payloads[-1] if message.payloads else None
        if not isinstance(sealed, Encrypted):
            raise IntegrityFailed("no SK payload")
        return decode_chain(sealed.first, self._open(octets, message, sealed.body))

    def open_fragment(self, octets: bytes, message: Message) -> bytes:
        """What an SKF payload holds: a part of a chain. Raises as `open` does."""
        sealed = message.payloads[-1] if message.payloads else None
        if not isinstance(sealed, EncryptedFragment):
            raise IntegrityFailed("no SKF payload")
        return self._open(octets, message, sealed.body)

    def _open(self, octets: bytes, message: Message, body: bytes) -> bytes:
        cipher = self._opener
        if len(body) < cipher.iv_size + cipher.block_size + cipher.icv_size:
            raise IntegrityFailed("encrypted payload too short")
        if len(message.payloads) != 1:
            raise IntegrityFailed("payloads outside the encrypted one")
        aad = octets[: len(octets) - len(body)]
        iv, rest = body[: cipher.iv_size], body[cipher.iv_size :]
        padded = cipher.open(iv, aad, rest)
        pad_length = padded[-1]
        if pad_length + 1 > len(padded):
            raise Malformed("pad length beyond the encrypted payload")
        return padded[: len(padded) - pad_length - 1]

    def _next_iv(self, cipher: MessageCipher) -> bytes:
        if not cipher.counter_iv:
            return self._entropy.octets(cipher.iv_size)
        if self._counter >= _IV_COUNTER_MAX:
            raise LocalFault("IKE SA has used every initialization vector of its key")
        self._counter += 1
        return self._counter.to_bytes(cipher.iv_size, "big")
