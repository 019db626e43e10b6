"""What every data plane can do. The conformance tests hold each one to it.

A command is on its way, in order, when the call returns; the awaitable tells how it ended. So a
caller who installs an SA and then sends a datagram need not wait in between. A question (`sas`,
`policies`, `interfaces`, `counters`, `resolve_local`) is asked when it is awaited.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from isthmus.backends.frames import Notice
from isthmus.backends.specs import (
    Direction,
    EndpointSpec,
    InterfaceState,
    LimitsSpec,
    OnNoSa,
    PolicySpec,
    PolicyState,
    PortSpec,
    SaSpec,
    SaState,
)
from isthmus.values.errors import LocalFault

NoticeHandler = Callable[[Notice], None]


class PlaneRefused(LocalFault):
    """The plane understood a command and did not carry it out; the text says why."""


class PlaneLost(LocalFault):
    """There is no plane to talk to, or it went away before it answered."""


class DataPlane(Protocol):
    """SPD, SAD, interfaces and ports. Every awaitable raises PlaneRefused or PlaneLost."""

    def listen(self, ports: Sequence[PortSpec], mark: int) -> Awaitable[None]:
        """Open these ports and close all others; `mark` is set on everything that is sent."""

    def attach_interface(
        self, interface: int, name: str, mtu: int, bypass_mark: int
    ) -> Awaitable[None]:
        """Handle the packets of a TUN device. `bypass_mark` 0: what matches no policy is
        dropped."""

    def detach_interface(self, interface: int) -> Awaitable[None]:
        """Let go of a TUN device."""

    def set_carrier(self, interface: int, up: bool) -> Awaitable[None]:
        """Give a TUN device carrier, or take it; it has carrier when it is attached."""

    def set_policies(self, policies: Sequence[PolicySpec]) -> Awaitable[None]:
        """Replace the SPD, whatever its size, as one change. Policies that stay keep their held
        packets; one that begins to say "hold" while it has some asks for an SA at once."""

    def arm_policy(self, policy: int, on_no_sa: OnNoSa) -> Awaitable[None]:
        """Change how one policy treats packets without an SA, as `set_policies` would."""

    def install_sa(self, sa: SaSpec) -> Awaitable[None]:
        """Install one direction of a Child SA; refused when the SPI is taken, or when it is to be
        resumed and nobody knows how far it has counted."""

    def expect_sa(self, spi: int) -> Awaitable[None]:
        """Keep ESP for an inbound SPI, bounded, until its SA is installed or removed, or time
        ends it. Refused when the SA is there, or too many are expected."""

    def update_sa(
        self,
        direction: Direction,
        spi: int,
        *,
        standby: bool | None = None,
        local: EndpointSpec | None = None,
        remote: EndpointSpec | None = None,
        encap: bool | None = None,
        limits: LimitsSpec | None = None,
        policy: int | None = None,
    ) -> Awaitable[None]:
        """Change an SA; refused when it is unknown. Peers choose outbound SPIs, so two policies
        may have the same: then `policy` must say which is meant."""

    def remove_sa(
        self, direction: Direction, spi: int, policy: int | None = None
    ) -> Awaitable[None]:
        """Forget an SA and wipe its key; refused when it is unknown. `policy` as above."""

    def flush(self) -> Awaitable[None]:
        """Forget all SAs and held packets; policies stay."""

    def sas(self) -> Awaitable[tuple[SaState, ...]]:
        """The SAD."""

    def policies(self) -> Awaitable[tuple[PolicyState, ...]]:
        """The SPD in order of match."""

    def interfaces(self) -> Awaitable[tuple[InterfaceState, ...]]:
        """The attached interfaces."""

    def counters(self) -> Awaitable[Mapping[str, int]]:
        """Every counter by name."""

    def resolve_local(self, remote: str) -> Awaitable[str | None]:
        """The source address that the kernel would use towards `remote`; None: no route."""

    def keepalive(
        self, local: EndpointSpec, remote: EndpointSpec, every_ms: int
    ) -> Awaitable[None]:
        """NAT keepalives from now on, or none when `every_ms` is 0."""

    def cork(self) -> None:
        """What is asked until `uncork` may wait until then, and is done in its order: a plane in
        another process wakes up once for all of it. It does not nest."""

    def uncork(self) -> None:
        """Let go what was kept by `cork`, if anything was."""

    def send_datagram(self, local: EndpointSpec, remote: EndpointSpec, octets: bytes) -> None:
        """Send an IKE datagram. What cannot be sent is lost, as on any network."""
