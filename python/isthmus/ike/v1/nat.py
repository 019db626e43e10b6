"""NAT detection and what follows for phase 2 (RFC 3947 §3.2, §5.1)."""

from collections.abc import Iterable, Sequence

from isthmus.crypto.compare import same
from isthmus.crypto.entropy import Entropy
from isthmus.crypto.prf import digest
from isthmus.ike.core.payloads import every
from isthmus.ike.core.sa import NatSeen
from isthmus.ike.v1.vendors import NatTraversal
from isthmus.policy.connection import Nat
from isthmus.values.address import Endpoint
from isthmus.values.registry.ikev1 import EncapsulationMode
from isthmus.values.registry.ikev2 import Prf
from isthmus.values.spi import IkeSpi
from isthmus.wire.v1 import NatDetection


def detection_hash(algorithm: Prf, cookie_i: IkeSpi, cookie_r: IkeSpi, endpoint: Endpoint) -> bytes:
    """HASH = hash(CKY-I | CKY-R | IP | port), by the hash that phase 1 agreed on."""
    octets = cookie_i + cookie_r + endpoint.ip.packed + endpoint.port.to_bytes(2, "big")
    return digest(algorithm, octets)


def detection_payloads(
    algorithm: Prf,
    cookie_i: IkeSpi,
    cookie_r: IkeSpi,
    local: Endpoint,
    remote: Endpoint,
    policy: Nat,
    way: NatTraversal | None,
    entropy: Entropy,
) -> tuple[NatDetection, ...]:
    """Where the other end is, then where we are. `force` lies about ourselves: the peer sees a
    NAT. Nothing unless both ends speak of it."""
    if way is None or policy is Nat.OFF:
        return ()
    theirs = detection_hash(algorithm, cookie_i, cookie_r, remote)
    if policy is Nat.FORCE:
        ours = entropy.octets(len(theirs))
    else:
        ours = detection_hash(algorithm, cookie_i, cookie_r, local)
    return NatDetection(theirs, way.is_draft), NatDetection(ours, way.is_draft)


def seen(
    payloads: Iterable[object],
    algorithm: Prf,
    cookie_i: IkeSpi,
    cookie_r: IkeSpi,
    local: Endpoint,
    remote: Endpoint,
    policy: Nat,
    way: NatTraversal | None,
) -> NatSeen:
    """What the peer's payloads tell: the first is about us, the others about itself. One that fits
    is enough: a host of several addresses names them all."""
    told = [payload.data for payload in every(payloads, NatDetection)]
    if way is None or policy is Nat.OFF or len(told) < 2:
        return NatSeen()

    def hash_of(endpoint: Endpoint) -> bytes:
        return detection_hash(algorithm, cookie_i, cookie_r, endpoint)

    return NatSeen(
        local=not same(told[0], hash_of(local)),
        peer=not any(same(data, hash_of(remote)) for data in told[1:]),
        forced=policy is Nat.FORCE,
    )


def encapsulation(nat: NatSeen, way: NatTraversal | None) -> EncapsulationMode:
    """What Quick Mode asks for."""
    if not nat.encap:
        return EncapsulationMode.TUNNEL
    draft = way is not None and way.is_draft
    return EncapsulationMode.UDP_TUNNEL_DRAFT if draft else EncapsulationMode.UDP_TUNNEL


def takes(nat: NatSeen) -> Sequence[int]:
    """The modes that a responder takes: of both numbers, whichever the peer has learned."""
    if nat.encap:
        return (EncapsulationMode.UDP_TUNNEL, EncapsulationMode.UDP_TUNNEL_DRAFT)
    return (EncapsulationMode.TUNNEL,)
