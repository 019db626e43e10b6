"""What a Child SA is, and the moves that its life allows (RFC 7296 §1.3, §2.8)."""

from dataclasses import dataclass
from enum import Enum

from isthmus.policy.connection import ChildPolicy
from isthmus.values.proposal import Suite
from isthmus.values.selector import Selectors, selectors_text
from isthmus.values.spi import Spi, spi_text
from isthmus.values.time import Instant, Seconds


class ChildState(Enum):
    """States of an installed pair; what is not agreed yet is no Child SA."""

    INSTALLED = "installed"
    REKEYING = "rekeying"
    REPLACED = "replaced"
    DELETING = "deleting"
    GONE = "gone"


CHILD_MOVES: dict[ChildState, dict[ChildState, str]] = {
    ChildState.INSTALLED: {
        ChildState.REKEYING: "we rekey",
        ChildState.REPLACED: "the peer rekeyed",
        ChildState.DELETING: "a command, or the hard limit",
        ChildState.GONE: "the peer deleted it, or the IKE SA died",
    },
    ChildState.REKEYING: {
        ChildState.REPLACED: "the new SA is in place",
        ChildState.INSTALLED: "refused, later again",
        ChildState.DELETING: "a command, or the hard limit",
        ChildState.GONE: "the peer deleted it, or the IKE SA died",
    },
    ChildState.REPLACED: {
        ChildState.INSTALLED: "the peer has lost what replaced it",
        ChildState.DELETING: "we made the successor, so we delete",
        ChildState.GONE: "the peer deleted, or the wait is over",
    },
    ChildState.DELETING: {
        ChildState.GONE: "answered, or given up",
    },
    ChildState.GONE: {},
}
"""Legal moves and why each happens. Any other is a bug and raises."""


@dataclass(slots=True, eq=False)
class ChildSa:
    """A pair of ESP SAs that belong together."""

    rule: ChildPolicy
    spi_in: Spi
    spi_out: Spi
    suite: Suite
    local: Selectors
    remote: Selectors
    encap: bool
    initiated: bool
    """We sent the request that made it."""
    asked_at: Instant
    """When the request that made it was prepared or received."""
    created_at: Instant
    rekey_at: Instant
    expires_at: Instant
    lifetime_max_s: Seconds | None = None
    octets_max: int | None = None
    """What the peer has said that it lives by, which a new configuration does not lengthen; None:
    nothing (IKEv1 alone speaks of lifetimes)."""
    pfs: str = ""
    """The key exchange that made its keys, empty when they came from the IKE SA's alone."""
    lowest_nonce: bytes = b""
    """The lower nonce of the exchange that made it, where CREATE_CHILD_SA did."""
    standby: bool = False
    """Outbound waits until the peer is seen to use the pair (we answered a rekey)."""
    unconfirmed: bool = False
    """We answered the peer's request to renew, which made it, and nothing shows yet that the answer
    has come: that exchange is not over for the peer."""
    heir_lost: bool = False
    """The peer has lost the pair that was to replace this one, which is replaced all the same for
    the peer: the next is asked for from scratch (RFC 7296 §2.25)."""
    state: ChildState = ChildState.INSTALLED
    outbound_gone: bool = False
    """Nothing leaves by it any more, while its deletion is under way."""
    predecessor: "ChildSa | None" = None
    rekeyed_by_peer: "PeerRekey | None" = None
    """A crossing rekey of the peer while ours is on its way (RFC 7296 §2.8.1)."""

    def move(self, to: ChildState) -> None:
        """Change state along the table."""
        if to not in CHILD_MOVES[self.state]:
            raise AssertionError(f"a Child SA may not go from {self.state} to {to}")
        self.state = to

    @property
    def owner(self) -> tuple[str, int]:
        """The name that its timers stand under."""
        return ("child", self.spi_in)

    def __str__(self) -> str:
        return (
            f"{selectors_text(self.local)} to {selectors_text(self.remote)}, {self.suite}, "
            f"SPI in {spi_text(self.spi_in)} out {spi_text(self.spi_out)}"
        )

    @property
    def is_usable(self) -> bool:
        """It carries traffic and nothing stands in its place yet."""
        return self.state in (ChildState.INSTALLED, ChildState.REKEYING)


@dataclass(slots=True, eq=False)
class PeerRekey:
    """What the peer's half of a simultaneous rekey made."""

    successor: ChildSa
    lowest_nonce: bytes
    announced: bool = False
    """The lifecycle was told that the successor stands in the old one's place."""
