"""What a responder remembers of a first message of Main Mode: little, and for a short while."""

from dataclasses import dataclass

from isthmus.ike.v1.vendors import PeerCan
from isthmus.policy.connection import Connection
from isthmus.values.address import Endpoint
from isthmus.values.proposal import Suite
from isthmus.values.spi import IkeSpi
from isthmus.values.time import Instant, Seconds


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
    candidates: tuple[Connection, ...]
    """Tunnels that the peer may turn out to be the other end of."""
    method: int
    suite: Suite
    lifetime_s: Seconds | None
    peer_can: PeerCan
