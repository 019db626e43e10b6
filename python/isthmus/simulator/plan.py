"""What a world consists of, as frozen values: hosts, links, tunnels, flows, incidents."""

from dataclasses import dataclass, replace

from isthmus.ike.core.commands import Command
from isthmus.policy.connection import Configuration
from isthmus.simulator.link import Weather
from isthmus.simulator.nat import NatPlan
from isthmus.values.time import Seconds


@dataclass(frozen=True, slots=True)
class HostPlan:
    """A gateway: its address, what it is told to run, how slow its processor is."""

    name: str
    address: str
    configuration: Configuration
    nat: NatPlan | None = None
    job_max_s: Seconds = 0.005
    """A `Compute` takes up to this long."""


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """The road between two hosts until everything heals."""

    left: str
    right: str
    weather: Weather


@dataclass(frozen=True, slots=True)
class FlowPlan:
    """Packets of users from the network behind one host to the one behind another."""

    source_host: str
    target_host: str
    tunnel: str
    """As the source calls it."""
    rule: str
    source: str
    destination: str
    protocol: int
    port: int
    every_s: Seconds
    start_s: Seconds
    stop_s: Seconds
    pauses: tuple[tuple[Seconds, Seconds], ...] = ()
    """From when to when nobody sends."""

    def silent_until(self, elapsed_s: Seconds) -> Seconds | None:
        """The end of the pause that lasts, if one does."""
        # Sums of fractions are not exact: at its end a pause is over.
        return next((end for begin, end in self.pauses if begin <= elapsed_s < end - 1e-6), None)


@dataclass(frozen=True, slots=True)
class Cut:
    """Nothing passes from `source` to `target` for a while."""

    at_s: Seconds
    until_s: Seconds
    source: str
    target: str
    both: bool

    def __str__(self) -> str:
        arrow = "<->" if self.both else "->"
        return f"{self.at_s:.3f}..{self.until_s:.3f} cut {self.source} {arrow} {self.target}"


@dataclass(frozen=True, slots=True)
class NatForgets:
    """The box in front of a host loses its table."""

    at_s: Seconds
    host: str

    def __str__(self) -> str:
        return f"{self.at_s:.3f} the NAT of {self.host} forgets"


@dataclass(frozen=True, slots=True)
class Killed:
    """`kill -9` and a new start: of the IKE process, of the plane, or of both."""

    at_s: Seconds
    back_s: Seconds
    host: str
    ike: bool
    plane: bool

    def __str__(self) -> str:
        what = "box" if self.ike and self.plane else "ike" if self.ike else "plane"
        return f"{self.at_s:.3f}..{self.back_s:.3f} {what} of {self.host} is killed"


@dataclass(frozen=True, slots=True)
class Ordered:
    """A user types a command."""

    at_s: Seconds
    host: str
    command: Command

    def __str__(self) -> str:
        return f"{self.at_s:.3f} {self.host}: {describe(self.command)}"


Incident = Cut | NatForgets | Killed | Ordered


def describe(command: Command) -> str:
    """A command in one short line; a configuration is not spelled out."""
    name = type(command).__name__.lower()
    words = [
        f"{key}={value!r}"
        for key in ("tunnel", "rule", "phase", "hold")
        if (value := getattr(command, key, None)) is not None
    ]
    return " ".join((name, *words))


@dataclass(frozen=True, slots=True)
class Scenario:
    """One world before its first instant."""

    seed: int
    kind: str
    hosts: tuple[HostPlan, ...]
    links: tuple[LinkPlan, ...]
    mates: tuple[tuple[str, str, str, str], ...]
    """Tunnels: left host, its name for the tunnel, right host, its name for it."""
    flows: tuple[FlowPlan, ...]
    incidents: tuple[Incident, ...]
    heal_s: Seconds
    """From here on nothing goes wrong any more."""
    end_s: Seconds
    lossless: bool = False
    """No user's packet may be lost."""

    def keep(self, numbers: frozenset[int]) -> "Scenario":
        """The same world with only these incidents."""
        kept = tuple(i for n, i in enumerate(self.incidents) if n in numbers)
        return replace(self, incidents=kept)
