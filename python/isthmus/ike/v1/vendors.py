"""Vendor IDs: what two ends of IKEv1 tell each other that they can do (RFC 2408 §3.16)."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from isthmus.policy.connection import Connection, Nat
from isthmus.wire.v1 import VendorId

_NAME_SIZE = 16
"""Octets of an ID that is the MD5 of a name; what some peers write behind it are flags."""


def _named(name: bytes) -> bytes:
    """Most IDs are the MD5 of a name, which is no secret."""
    return hashlib.md5(name, usedforsecurity=False).digest()


class NatTraversal(Enum):
    """How NAT traversal is spoken, the best first: the RFC and what drafts had before it."""

    RFC_3947 = _named(b"RFC 3947")
    DRAFT_03 = _named(b"draft-ietf-ipsec-nat-t-ike-03")
    DRAFT_02_NEWLINE = _named(b"draft-ietf-ipsec-nat-t-ike-02\n")
    """Its newline was written down in some early program, and copied since."""
    DRAFT_02 = _named(b"draft-ietf-ipsec-nat-t-ike-02")

    @property
    def is_draft(self) -> bool:
        """Payloads and modes have the private numbers of the drafts."""
        return self is not NatTraversal.RFC_3947


DPD = bytes.fromhex("afcad71368a1f1c96b8696fc77570100")
"""RFC 3706 §5.1."""
XAUTH = bytes.fromhex("09002689dfd6b712")
"""draft-beaulieu-ike-xauth-02 §5."""
FRAGMENTATION = _named(b"FRAGMENTATION")
FRAGMENTATION_FLAGS = bytes.fromhex("80000000")
"""Behind the name: pieces are taken in Main Mode as well."""
UNITY = bytes.fromhex("12f5f28c457168a9702d9fe274cc0100")


@dataclass(frozen=True, slots=True)
class PeerCan:
    """What the peer's vendor IDs say."""

    nat_traversal: NatTraversal | None = None
    dpd: bool = False
    xauth: bool = False
    fragments: bool = False
    unity: bool = False


SAID_NOTHING = PeerCan()


def heard(payloads: Iterable[object], known: PeerCan = SAID_NOTHING) -> PeerCan:
    """Read a message's vendor IDs; `known` is what earlier messages said."""
    told = {p.data for p in payloads if isinstance(p, VendorId)}
    ways = tuple(way for way in NatTraversal if way.value in told)
    return PeerCan(
        ways[0] if ways else known.nat_traversal,
        known.dpd or DPD in told,
        known.xauth or XAUTH in told,
        known.fragments or any(data[:_NAME_SIZE] == FRAGMENTATION for data in told),
        known.unity or UNITY in told,
    )


def offered(connection: Connection) -> tuple[VendorId, ...]:
    """What an initiator says in its first message."""
    ways = () if connection.nat is Nat.OFF else tuple(way.value for way in NatTraversal)
    return tuple(VendorId(data) for data in (*_always(connection), *ways))


def answered(connection: Connection, peer: PeerCan) -> tuple[VendorId, ...]:
    """What a responder says: no more than the peer said, so that the answer is not longer."""
    said = _always(connection)
    echoed = [
        data
        for data, told in (
            (DPD, peer.dpd),
            (XAUTH, peer.xauth),
            (UNITY, peer.unity),
            (FRAGMENTATION + FRAGMENTATION_FLAGS, peer.fragments),
        )
        if told and data in said
    ]
    if peer.nat_traversal is not None and connection.nat is not Nat.OFF:
        echoed.append(peer.nat_traversal.value)
    return tuple(VendorId(data) for data in echoed)


def _always(connection: Connection) -> tuple[bytes, ...]:
    said = [DPD]
    terms = connection.v1
    if terms.xauth is not None or terms.hybrid:
        said.append(XAUTH)
    if terms.mode_config is not None:
        said.append(UNITY)
    if connection.fragmentation.enabled:
        said.append(FRAGMENTATION + FRAGMENTATION_FLAGS)
    return tuple(said)
