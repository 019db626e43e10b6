"""Seal and open IKEv1's messages: CBC over the payloads (RFC 2408 §3.1, RFC 2409 appendix B).

There is no integrity check value around the cipher: what comes out of `open` is not to be believed
before the HASH payload in it was found right.
"""

from dataclasses import replace

from isthmus.crypto.suite import chained_cipher
from isthmus.ike.v1.keys import Phase1Keys
from isthmus.values.errors import IntegrityFailed
from isthmus.values.proposal import Suite
from isthmus.values.registry.ikev1 import Flag
from isthmus.wire.header import HEADER_SIZE, Header


class Protector:
    """The cipher of one phase 1, for both directions. It remembers nothing.

    The caller keeps the IV of each exchange, and goes on to the next one only after the message's
    HASH was right: else one forged datagram would break the chain for good.
    """

    __slots__ = ("_cipher",)

    def __init__(self, suite: Suite, keys: Phase1Keys) -> None:
        """Raises LocalFault for a suite whose cipher is none of CBC."""
        self._cipher = chained_cipher(suite.encr, keys.cipher_key)

    @property
    def block_size(self) -> int:
        """Octets of a block, and of an IV."""
        return self._cipher.block_size

    def seal(self, header: Header, first: int, plain: bytes, iv: bytes) -> tuple[bytes, bytes]:
        """The datagram that carries the chain `plain`, and the IV of the exchange's next message.

        `first` is the type of the chain's first payload. The encryption flag is set here, and the
        padding is zeros up to a whole block (RFC 2409 appendix B).
        """
        padded = plain + bytes(-len(plain) % self.block_size)
        body = self._cipher.encrypt(iv, padded)
        length = HEADER_SIZE + len(body)
        head = replace(header, flags=header.flags | Flag.ENCRYPTION).with_payload(first, length)
        return head.encode(length) + body, body[-self.block_size :]

    def open(self, octets: bytes, iv: bytes) -> tuple[bytes, bytes]:
        """The chain inside a datagram, padding included, and the IV that is next if it was right.

        Raises IntegrityFailed for a body that is not one block or more, and whole ones.
        """
        body = octets[HEADER_SIZE:]
        if not body or len(body) % self.block_size:
            raise IntegrityFailed(f"{len(body)} encrypted octets are not whole blocks")
        return self._cipher.decrypt(iv, body), body[-self.block_size :]
