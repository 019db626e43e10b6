"""Configurations and small doubles for the tests of the daemon."""

from collections.abc import Callable

from isthmus.ike.core.effects import Effect, InstallSa
from isthmus.ike.core.events import Event
from isthmus.ike.core.records import Happening
from isthmus.ike.core.views import TunnelView
from isthmus.policy.authentication import AuthKind, LocalAuth, RemoteAuth
from isthmus.policy.connection import (
    ChildPolicy,
    Configuration,
    Connection,
    Interface,
    Lifetimes,
    Mode,
    Route,
)
from isthmus.values.address import Endpoint
from isthmus.values.proposal import Proposal, Suite, parse_proposal
from isthmus.values.registry.ikev2 import Encr, SecurityProtocol
from isthmus.values.secret import Secret
from isthmus.values.selector import TrafficSelector
from isthmus.values.spi import Spi
from isthmus.values.time import Instant

PHASE1 = parse_proposal("aes256gcm16-prfsha384-x25519", SecurityProtocol.IKE)
ESP = parse_proposal("aes256gcm16", SecurityProtocol.ESP)


def network(text: str, protocol: int = 0, port: int | None = None) -> TrafficSelector:
    """A selector; with a port, of that port alone."""
    if port is None:
        return TrafficSelector.of_network(text, protocol)
    return TrafficSelector.of_network(text, protocol, port, port)


def rule(
    name: str,
    local: str | TrafficSelector,
    remote: str | TrafficSelector,
    proposals: tuple[Proposal, ...] = (ESP,),
) -> ChildPolicy:
    """A rule of one selector on each side."""
    ends = [network(end) if isinstance(end, str) else end for end in (local, remote)]
    return ChildPolicy(name, (ends[0],), (ends[1],), proposals)


def by_psk(name: str) -> tuple[LocalAuth, RemoteAuth]:
    """One pre-shared key for both sides."""
    return LocalAuth(AuthKind.PSK, name), RemoteAuth(AuthKind.PSK, name)


def tunnel(name: str, *rules: ChildPolicy, peer: str | None = "192.0.2.2") -> Connection:
    """A policy-based tunnel."""
    return Connection(name, peer, None, None, (PHASE1,), rules, *by_psk(f"{name}.psk"))


def routed(name: str, *routes: str | Route, peer: str | None = "192.0.2.2") -> Connection:
    """A route-based tunnel."""
    rules = (rule("any", "0.0.0.0/0", "0.0.0.0/0"),)
    made = tuple(Route(r) if isinstance(r, str) else r for r in routes)
    inside = Interface(name, ("169.254.10.1/30",), made)
    return Connection(
        name,
        peer,
        None,
        None,
        (PHASE1,),
        rules,
        *by_psk(f"{name}.psk"),
        Mode.ROUTE,
        interface=inside,
    )


OFFICE = tunnel("office", rule("net", "10.1.0.0/24", "10.2.0.0/24"))
CONFIGURATION = Configuration((OFFICE,))


def install(spi: int, inbound: bool, rule: str = "net", standby: bool = False) -> InstallSa:
    """One direction of a Child SA of the tunnel `office`."""
    return InstallSa(
        tunnel="office",
        rule=rule,
        inbound=inbound,
        spi=Spi(spi),
        suite=Suite(Encr.AES_GCM_16, 256),
        encryption_key=Secret(bytes(range(36))),
        integrity_key=Secret(b""),
        local=Endpoint("192.0.2.1", 500),
        remote=Endpoint("192.0.2.2", 500),
        encap=False,
        local_selectors=(network("10.1.0.0/24"),),
        remote_selectors=(network("10.2.0.0/24"),),
        lifetimes=Lifetimes(3600, 270),
        replay_window=1024,
        df="copy",
        standby=standby,
    )


class ScriptedEngine:
    """Answers each event as the test says, and remembers what it was told."""

    def __init__(self, answer: Callable[[Event], tuple[Effect, ...]] = lambda event: ()) -> None:
        self.answer = answer
        self.events: list[Event] = []
        self.deadline: Instant | None = None
        self.seen: tuple[TunnelView, ...] = ()

    def handle(self, event: Event, now: Instant) -> tuple[Effect, ...]:
        self.events.append(event)
        return self.answer(event)

    def views(self, now: Instant, tunnel: str | None = None) -> tuple[TunnelView, ...]:
        return tuple(view for view in self.seen if tunnel in (None, view.name))

    def census(self) -> dict[str, int]:
        return {"ike_sas": 0}


class Records(list[Happening]):
    """What was recorded, with a short view."""

    def names(self) -> list[str]:
        """The event ids."""
        return [happening.event for happening in self]
