"""NAT detection (RFC 7296 §2.23)."""

import hashlib
from collections.abc import Iterable

from isthmus.crypto.entropy import Entropy
from isthmus.ike.core.sa import NatSeen
from isthmus.policy.connection import Nat
from isthmus.values.address import Endpoint
from isthmus.values.registry.ikev2 import NotifyType
from isthmus.wire.v2.message import Payload
from isthmus.wire.v2.notify import Notify
from isthmus.wire.v2.vendor_id import VendorId

HASH_SIZE = 20
PREFERS_UDP = VendorId(b"Isthmus prefers ESP in UDP")
"""Said by an end whose data plane is faster in UDP. RFC 7296 §2.23 allows UDP without any NAT, but
some peers take ESP only in the form that the NAT detection called for: hence only among those who
say this."""


def detection_hash(spi_i: bytes, spi_r: bytes, endpoint: Endpoint) -> bytes:
    """SHA-1 over SPIs, address and port, as the RFC fixes it: no security rests on it."""
    octets = spi_i + spi_r + endpoint.ip.packed + endpoint.port.to_bytes(2, "big")
    return hashlib.sha1(octets, usedforsecurity=False).digest()


def detection_notifies(
    spi_i: bytes, spi_r: bytes, local: Endpoint, remote: Endpoint, policy: Nat, entropy: Entropy
) -> tuple[Notify, ...]:
    """The two notifies of IKE_SA_INIT. `force` lies about our address: the peer sees a NAT."""
    if policy is Nat.OFF:
        return ()  # Otherwise the peer would see a NAT and encapsulate alone.
    if policy is Nat.FORCE:
        source = entropy.octets(HASH_SIZE)
    else:
        source = detection_hash(spi_i, spi_r, local)
    return (
        Notify(kind=NotifyType.NAT_DETECTION_SOURCE_IP, data=source),
        Notify(
            kind=NotifyType.NAT_DETECTION_DESTINATION_IP,
            data=detection_hash(spi_i, spi_r, remote),
        ),
    )


def preference(policy: Nat) -> tuple[VendorId, ...]:
    """What IKE_SA_INIT says of ESP in UDP beside the notifies."""
    return (PREFERS_UDP,) if policy is Nat.AUTO else ()


def seen(
    payloads: Iterable[Payload],
    spi_i: bytes,
    spi_r: bytes,
    local: Endpoint,
    remote: Endpoint,
    policy: Nat,
) -> NatSeen:
    """What the peer's notifies tell. Several source hashes may come; one that fits is enough."""
    if policy is Nat.OFF:
        return NatSeen()
    payloads = tuple(payloads)
    notifies = [p for p in payloads if isinstance(p, Notify)]
    sources = [n.data for n in notifies if n.kind == NotifyType.NAT_DETECTION_SOURCE_IP]
    targets = [n.data for n in notifies if n.kind == NotifyType.NAT_DETECTION_DESTINATION_IP]
    return NatSeen(
        local=bool(targets) and detection_hash(spi_i, spi_r, local) not in targets,
        peer=bool(sources) and detection_hash(spi_i, spi_r, remote) not in sources,
        forced=policy is Nat.FORCE and bool(sources),
        preferred=policy is Nat.AUTO and bool(sources) and PREFERS_UDP in payloads,
    )
