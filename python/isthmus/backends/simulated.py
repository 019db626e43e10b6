"""A data plane that is a dictionary and a list of packets, for tests.

It answers at once and keeps the rules that the real one keeps: SPIs are unique in a direction,
unknown SAs and policies are refused, packets of a policy without an outbound SA wait.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from isthmus.backends.frames import Notice, PacketWantedNotice
from isthmus.backends.interface import NoticeHandler, PlaneRefused
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

T = TypeVar("T")


@dataclass(slots=True)
class _Policy:
    spec: PolicySpec
    held: list[bytes] = field(default_factory=list)
    matched: int = 0
    wanted: PacketWantedNotice | None = None
    """For the packet that came last."""


class SimulatedPlane:
    """Every question is answered from memory; `sent`, `released` and `kept_alive` are for tests."""

    def __init__(self, on_notice: NoticeHandler) -> None:
        self._on_notice = on_notice
        self._sas: list[SaSpec] = []
        self._policies: dict[int, _Policy] = {}
        self._interfaces: dict[int, InterfaceState] = {}
        self._counters: Counter[str] = Counter()
        self.ports: tuple[PortSpec, ...] = ()
        self.sent: list[tuple[EndpointSpec, EndpointSpec, bytes]] = []
        self.released: list[bytes] = []
        self.expected: set[int] = set()
        self.resumable: set[int] = set()
        """Numbers of SAs whose counts an earlier plane left."""
        self.carriers: dict[int, bool] = {}
        self.kept_alive: dict[tuple[EndpointSpec, EndpointSpec], int] = {}
        self.routes: dict[str, str] = {}

    def listen(self, ports: Sequence[PortSpec], mark: int) -> Awaitable[None]:
        self.ports = tuple(ports)
        return _done(None)

    def attach_interface(
        self, interface: int, name: str, mtu: int, bypass_mark: int
    ) -> Awaitable[None]:
        self._interfaces[interface] = InterfaceState(interface, name, mtu, mtu, "none", 0, 0)
        self.carriers[interface] = True
        return _done(None)

    def detach_interface(self, interface: int) -> Awaitable[None]:
        if self._interfaces.pop(interface, None) is None:
            return _refused(f"interface {interface} is not attached")
        self.carriers.pop(interface, None)
        return _done(None)

    def set_carrier(self, interface: int, up: bool) -> Awaitable[None]:
        if interface not in self._interfaces:
            return _refused(f"interface {interface} is not attached")
        self.carriers[interface] = up
        return _done(None)

    def set_policies(self, policies: Sequence[PolicySpec]) -> Awaitable[None]:
        if len({p.id for p in policies}) != len(policies):
            return _refused("two policies have one id")
        old = self._policies
        self._policies = {}
        for spec in policies:
            kept = old.get(spec.id)
            if kept is None:
                self._policies[spec.id] = _Policy(spec)
            else:
                self._policies[spec.id] = kept
                self._change(kept, spec)
        return _done(None)

    def arm_policy(self, policy: int, on_no_sa: OnNoSa) -> Awaitable[None]:
        entry = self._policies.get(policy)
        if entry is None:
            return _refused(f"policy {policy} is unknown")
        self._change(entry, msgspec.structs.replace(entry.spec, on_no_sa=on_no_sa))
        return _done(None)

    def install_sa(self, sa: SaSpec) -> Awaitable[None]:
        if self._find(sa.direction, sa.spi, sa.policy if sa.direction == "out" else None):
            return _refused(f"SPI 0x{sa.spi:08x} is taken")
        if sa.resume and sa.count_as not in self.resumable:
            return _refused("how far it has counted is not known")
        self._sas.append(sa)
        if sa.direction == "in":
            self.expected.discard(sa.spi)
        policy = self._policies.get(sa.policy)
        if sa.direction == "out" and policy is not None:
            self.released += policy.held
            policy.held.clear()
        return _done(None)

    def expect_sa(self, spi: int) -> Awaitable[None]:
        if self._find("in", spi, None):
            return _refused(f"SPI 0x{spi:08x} is taken")
        self.expected.add(spi)
        return _done(None)

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
        found = self._find(direction, spi, policy)
        if len(found) != 1:
            return _refused(f"SPI 0x{spi:08x} is {'ambiguous' if found else 'unknown'}")
        old = self._sas[found[0]]
        self._sas[found[0]] = msgspec.structs.replace(
            old,
            standby=old.standby if standby is None else standby,
            local=local or old.local,
            remote=remote or old.remote,
            encap=old.encap if encap is None else encap,
            limits=limits or old.limits,
        )
        return _done(None)

    def remove_sa(
        self, direction: Direction, spi: int, policy: int | None = None
    ) -> Awaitable[None]:
        if direction == "in" and spi in self.expected:
            self.expected.remove(spi)
            return _done(None)
        found = self._find(direction, spi, policy)
        if len(found) != 1:
            return _refused(f"SPI 0x{spi:08x} is {'ambiguous' if found else 'unknown'}")
        del self._sas[found[0]]
        return _done(None)

    def flush(self) -> Awaitable[None]:
        self._sas.clear()
        self.expected.clear()
        for policy in self._policies.values():
            policy.held.clear()
        return _done(None)

    def sas(self) -> Awaitable[tuple[SaState, ...]]:
        return _done(tuple(map(_state, self._sas)))

    def policies(self) -> Awaitable[tuple[PolicyState, ...]]:
        return _done(tuple(self._policy_state(p) for p in self._policies.values()))

    def interfaces(self) -> Awaitable[tuple[InterfaceState, ...]]:
        return _done(tuple(self._interfaces.values()))

    def counters(self) -> Awaitable[Mapping[str, int]]:
        return _done(dict(self._counters))

    def resolve_local(self, remote: str) -> Awaitable[str | None]:
        return _done(self.routes.get(remote))

    def keepalive(
        self, local: EndpointSpec, remote: EndpointSpec, every_ms: int
    ) -> Awaitable[None]:
        if every_ms:
            self.kept_alive[local, remote] = every_ms
        else:
            self.kept_alive.pop((local, remote), None)
        return _done(None)

    def cork(self) -> None:
        """What is asked is done at once here."""

    def uncork(self) -> None:
        """There is nothing to let go."""

    def send_datagram(self, local: EndpointSpec, remote: EndpointSpec, octets: bytes) -> None:
        self.sent.append((local, remote, octets))

    def notify(self, notice: Notice) -> None:
        """Something happened to the plane: tell its user."""
        self._on_notice(notice)

    def packet(self, policy: int, wanted: PacketWantedNotice, octets: bytes) -> None:
        """A packet matched a policy: it leaves, waits with a notice, waits, or is dropped."""
        entry = self._policies[policy]
        entry.matched += 1
        entry.wanted = wanted
        if any(sa.direction == "out" and sa.policy == policy for sa in self._sas):
            self.released.append(octets)
        elif entry.spec.on_no_sa == "drop" or len(entry.held) >= entry.spec.hold_packets_max:
            self._counters["drop_no_sa_outbound"] += 1
        else:
            entry.held.append(octets)
            if entry.spec.on_no_sa == "hold":
                self._on_notice(wanted)

    def installed(self, direction: Direction, spi: int) -> SaSpec | None:
        """An SA as it was installed, keys and all."""
        return next((self._sas[at] for at in self._find(direction, spi, None)), None)

    def _find(self, direction: Direction, spi: int, policy: int | None) -> list[int]:
        """Where such SAs are; two peers may have chosen the same outbound SPI."""
        return [
            at
            for at, sa in enumerate(self._sas)
            if (sa.direction, sa.spi) == (direction, spi) and policy in (None, sa.policy)
        ]

    def _change(self, policy: _Policy, spec: PolicySpec) -> None:
        asks = spec.on_no_sa == "hold" != policy.spec.on_no_sa
        policy.spec = spec
        if asks and policy.held and policy.wanted is not None:
            self._on_notice(policy.wanted)

    def _policy_state(self, policy: _Policy) -> PolicyState:
        spec = policy.spec
        return PolicyState(
            id=spec.id,
            name=spec.name,
            interface=spec.interface,
            action=spec.action,
            held_packets=len(policy.held),
            held_octets=sum(map(len, policy.held)),
            matched_packets=policy.matched,
            selectors=spec.selectors,
            outbound_spis=tuple(
                sa.spi for sa in self._sas if sa.direction == "out" and sa.policy == spec.id
            ),
            # Nothing takes time here.
            idle_for_ms=0 if any(sa.policy == spec.id for sa in self._sas) else None,
        )


def _state(sa: SaSpec) -> SaState:
    return SaState(
        direction=sa.direction,
        spi=sa.spi,
        policy=sa.policy,
        name=sa.name,
        encr=sa.encr,
        key_bits=sa.key_bits,
        integ=sa.integ,
        esn=sa.esn,
        encap=sa.encap,
        local=sa.local,
        remote=sa.remote,
        standby=sa.standby,
        tag=sa.tag,
        packets=0,
        octets=0,
        sequence=0,
        age_ms=0,
        idle_ms=None,
        replay_window=sa.replay_window,
        drops={},
    )


def _done(value: T) -> Awaitable[T]:
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    future.set_result(value)
    return future


def _refused(reason: str) -> Awaitable[None]:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_exception(PlaneRefused(reason))
    return future
