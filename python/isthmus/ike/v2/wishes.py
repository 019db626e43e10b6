"""Requests that wait for their turn: the window lets one go at a time (RFC 7296 §2.3)."""

from dataclasses import dataclass

from isthmus.values.registry.ikev2 import NotifyType
from isthmus.values.spi import Spi


@dataclass(frozen=True, slots=True)
class WantChild:
    """Make a Child SA for a rule."""

    rule: str
    trigger: str


@dataclass(frozen=True, slots=True)
class WantRekeyChild:
    """Put a new Child SA in the place of this one."""

    spi_in: Spi


@dataclass(frozen=True, slots=True)
class WantRekeyIke:
    """Put a new IKE SA in the place of this one."""


@dataclass(frozen=True, slots=True)
class WantDeleteChild:
    """Tell the peer that a Child SA ends."""

    spi_in: Spi


@dataclass(frozen=True, slots=True)
class WantDeleteIke:
    """Tell the peer that the IKE SA ends; `notify` may say why."""

    reason: str
    notify: NotifyType | None = None
    outlived: bool = False
    """The SA has reached its lifetime: a successor does not inherit this wish."""


@dataclass(frozen=True, slots=True)
class WantProbe:
    """Ask whether the peer lives."""


Wish = WantChild | WantRekeyChild | WantRekeyIke | WantDeleteChild | WantDeleteIke | WantProbe
