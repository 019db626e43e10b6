"""The hand of a peer of IKEv1 that has the keys and is hostile: seals anything, under any HASH.

IKEv1 has two walls where IKEv2 has one. Who lacks the keys can still have octets decrypted into
nonsense, which is read before its HASH is looked at; who has them gets behind the HASH too.
"""

from collections.abc import Iterator

from isthmus.ike.engine import IkeEngine
from isthmus.ike.v1 import authoctets, methods, signing
from isthmus.ike.v1.keys import phase2_iv
from isthmus.ike.v1.sa import SaV1
from isthmus.values.registry.ikev1 import PayloadType
from isthmus.values.registry.ikev2 import Prf
from isthmus.values.spi import IkeSpi
from isthmus.wire.header import Header

from .hand import Opened
from .mutation import GENERIC, GENERIC_SIZE

HASH = int(PayloadType.HASH)
ID = int(PayloadType.ID)


class HandV1:
    """Both directions of a phase 1, with its keys."""

    def __init__(self, sa: SaV1) -> None:
        assert sa.suite is not None and sa.suite.prf is not None, "an offer was taken"
        assert sa.keys is not None and sa.protector is not None, "there are keys"
        self._sa, self._keys, self._protector = sa, sa.keys, sa.protector
        self._prf: Prf = sa.suite.prf
        self.block = sa.protector.block_size

    def first_iv(self, message_id: int) -> bytes:
        """Of the first message under an ID; under phase 1's own, of the message that is due."""
        if message_id == 0:
            return self._sa.phase1.iv
        return phase2_iv(self._prf, self._sa.last_block or self._sa.phase1.iv, message_id)

    def due_iv(self, message_id: int) -> bytes:
        """Of the message that the owner of the SA expects next."""
        known = self._sa.exchanges.get(message_id)
        return self.first_iv(message_id) if known is None else known.iv

    def open(self, octets: bytes, iv: bytes) -> Opened:
        """Of a sound message; the padding is cut off."""
        first = Header.decode(octets).next_payload
        plain, _ = self._protector.open(octets, iv)
        found = list(_payloads(Opened(first, plain)))
        _, at, body = found[-1]
        return Opened(first, plain[: at + len(body)])

    def seal(self, header: Header, inside: Opened, iv: bytes) -> bytes:
        """A message that decrypts to this, whatever it is."""
        return self._protector.seal(header, inside.first, inside.chain, iv)[0]

    # --- HASH payloads ---------------------------------------------------------------------

    def hashed(
        self,
        header: Header,
        first: int,
        rest: bytes,
        of_quick: int = 0,
        nonces: tuple[bytes, bytes] | None = None,
    ) -> Opened:
        """The chain with a HASH in front that is right: of an Informational, of a Transaction, or
        of the message `of_quick` of a Quick Mode with these nonces, the initiator's first."""
        key, number = self._keys.skeyid_a, header.message_id
        if of_quick <= 1 or nonces is None:
            octets = authoctets.quick_hash_1(self._prf, key, number, rest)
        elif of_quick == 2:
            octets = authoctets.quick_hash_2(self._prf, key, number, nonces[0], rest)
        else:
            octets = authoctets.quick_hash_3(self._prf, key, number, *nonces)
        return Opened(HASH, GENERIC.pack(first, 0, GENERIC_SIZE + len(octets)) + octets + rest)

    def proved(self, chain: Opened, *, initiator: bool) -> Opened:
        """A chain of Main Mode's last messages with the HASH that its first ID payload wants, if
        phase 1 is proved by one, and if such payloads can be found in it."""
        shown = self._sa.proving
        if shown is None or methods.signs(shown.method, initiator=initiator):
            return chain
        found = list(_payloads(chain))
        identity = next((body for kind, _, body in found if kind == ID), None)
        if identity is None:
            return chain
        make = authoctets.hash_i if initiator else authoctets.hash_r
        octets = make(
            signing.hash_prf(shown.method, self._prf),
            self._keys.skeyid,
            shown.public_i,
            shown.public_r,
            self._sa.spi_i,
            self._sa.spi_r,
            shown.sa_body,
            identity,
        )
        whole = chain.chain
        for kind, at, body in found:
            if kind == HASH and len(body) == len(octets):
                whole = whole[:at] + octets + whole[at + len(octets) :]
        return Opened(chain.first, whole)


def _payloads(chain: Opened) -> Iterator[tuple[int, int, bytes]]:
    """Type, offset of the body, and body of each payload, as far as lengths make sense."""
    kind, at = chain.first, 0
    while kind and at + GENERIC_SIZE <= len(chain.chain):
        following, _, length = GENERIC.unpack_from(chain.chain, at)
        if length < GENERIC_SIZE or at + length > len(chain.chain):
            return
        yield kind, at + GENERIC_SIZE, chain.chain[at + GENERIC_SIZE : at + length]
        kind, at = following, at + length


def receiver_sa(engine: IkeEngine, octets: bytes) -> SaV1 | None:
    """The phase 1 of this engine that a datagram is for."""
    header = Header.decode(octets)
    for octets_of_cookie in (header.spi_i, header.spi_r):
        sa = engine._sas.get(IkeSpi(octets_of_cookie))
        if isinstance(sa, SaV1):
            return sa
    return None
