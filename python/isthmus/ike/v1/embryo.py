"""What a responder remembers of a first message of Main Mode: little, and for a short while."""

from dataclasses import dataclass

from isthmus.ike.v1.offers import OfferedPhase1
from isthmus.ike.v1.vendors import PeerCan
from isthmus.policy.connection import Connection
from isthmus.values.address import Endpoint
from isthmus.values.proposal import Suite
from isthmus.values.spi import IkeSpi
from isthmus.values.time import Instant


@dataclass(frozen=True, slots=True)
class Embryo:
    """A phase 1 of which only offer and answer are known."""

    cookie_i: IkeSpi
    cookie_r: IkeSpi
    remote: Endpoint
    made_at: Instant
    key: bytes
    """Digest of the first message, to know its repeats by."""
    reply: bytes
    sa_body: bytes
    """The offer as it stood on the wire: the proofs cover it."""
    connection: Connection
    offered: OfferedPhase1
    """What was taken of the offer."""
    suite: Suite
    peer_can: PeerCan
    candidates: tuple[Connection, ...] = ()
    """Tunnels that take the offer too: looked up when the peer has shown that it hears us, for
    there may be thousands."""
