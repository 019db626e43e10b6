"""Two engines face to face, without hosts: datagrams in lists, a clock in a variable."""

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address

from isthmus.credentials.store import NOTHING_KNOWN, Own, Trust
from isthmus.credentials.xauth import Login
from isthmus.crypto import agreement
from isthmus.crypto.entropy import SeededEntropy
from isthmus.ike.auth import judging
from isthmus.ike.core.commands import Command, Configure, Initiate, Rekey, Terminate
from isthmus.ike.core.effects import (
    Agree,
    ArmPolicy,
    AssignAddress,
    CheckLogin,
    Compute,
    Effect,
    ExpectSa,
    InstallSa,
    JudgePeer,
    Keepalive,
    MakeKey,
    MakeKeyAndAgree,
    Record,
    RemoveSa,
    Resolve,
    SendDatagram,
    SetCarrier,
    Sign,
    UpdateSa,
)
from isthmus.ike.core.events import (
    CommandIssued,
    ComputeFinished,
    DatagramReceived,
    DeadlineReached,
    Event,
    PacketSummary,
    PacketWanted,
)
from isthmus.ike.core.records import Happening
from isthmus.ike.core.views import TunnelView
from isthmus.ike.engine import IkeEngine
from isthmus.policy.authentication import AuthKind, LocalAuth, RemoteAuth
from isthmus.policy.connection import ChildPolicy, Configuration, Connection
from isthmus.values.identity import Identity
from isthmus.values.proposal import parse_proposal
from isthmus.values.registry.ikev2 import SecurityProtocol
from isthmus.values.secret import Secret
from isthmus.values.selector import TrafficSelector
from isthmus.values.spi import Spi
from isthmus.values.time import Instant
from isthmus.x509.revocation import Statuses

DATE = 1_800_000_000
"""Unix seconds: when certificates are judged, in January 2027."""
LEFT, RIGHT = "192.0.2.1", "198.51.100.1"
PSK = Secret(b"a pre-shared key for tests, 32+ octets")
PHASE1 = ("aes256gcm16-prfsha384-x25519",)
PHASE2 = ("aes256gcm16-x25519",)


@dataclass
class Keys:
    """Credentials that hold one key for everybody, and certificates by name."""

    secret: Secret | None = field(default_factory=lambda: PSK)
    owns: dict[str, Own] = field(default_factory=dict)
    trusts: dict[str, Trust] = field(default_factory=dict)
    logins: dict[str, Login] = field(default_factory=dict)
    statuses: Statuses = NOTHING_KNOWN

    def psk(self, name: str) -> Secret | None:
        """The key, whatever the name."""
        return self.secret

    def own(self, name: str) -> Own | None:
        """Our certificate or key of that name."""
        return self.owns.get(name)

    def trust(self, name: str) -> Trust | None:
        """The anchors or keys of that name."""
        return self.trusts.get(name)

    def login(self, name: str) -> Login | None:
        """The password or the users of that name."""
        return self.logins.get(name)


def rule(
    name: str = "lan",
    local: str = "10.1.0.0/24",
    remote: str = "10.2.0.0/24",
    proposals: tuple[str, ...] = PHASE2,
    **more: object,
) -> ChildPolicy:
    """A rule between two networks."""
    return ChildPolicy(
        name=name,
        local=(TrafficSelector.of_network(local),),
        remote=(TrafficSelector.of_network(remote),),
        proposals=tuple(parse_proposal(p, SecurityProtocol.ESP) for p in proposals),
        **more,  # type: ignore[arg-type]
    )


def connection(
    name: str,
    peer: str | None,
    rules: tuple[ChildPolicy, ...],
    proposals: tuple[str, ...] = PHASE1,
    local_id: str | None = None,
    remote_id: str | None = None,
    local_auth: LocalAuth | None = None,
    remote_auth: RemoteAuth | None = None,
    **more: object,
) -> Connection:
    """A tunnel to a peer."""
    return Connection(
        name=name,
        peer=peer,
        local_id=Identity.parse(local_id) if local_id else None,
        remote_id=Identity.parse(remote_id) if remote_id else None,
        phase1_proposals=tuple(parse_proposal(p, SecurityProtocol.IKE) for p in proposals),
        rules=rules,
        local_auth=local_auth or LocalAuth(AuthKind.PSK, name),
        remote_auth=remote_auth or RemoteAuth(AuthKind.PSK, name),
        **more,  # type: ignore[arg-type]
    )


@dataclass
class Side:
    """One engine and the host that it believes to have."""

    name: str
    address: str
    engine: IkeEngine
    clock: Callable[[], float]
    out: list[SendDatagram] = field(default_factory=list)
    happenings: list[Happening] = field(default_factory=list)
    sas: dict[tuple[Spi, bool], InstallSa] = field(default_factory=dict)
    standby: dict[Spi, bool] = field(default_factory=dict)
    policies: dict[tuple[str, str], str] = field(default_factory=dict)
    keepalives: list[Keepalive] = field(default_factory=list)
    carriers: dict[str, bool] = field(default_factory=dict)
    addresses: dict[str, IPv4Address] = field(default_factory=dict)
    """Those that peers lend us, by tunnel."""
    held_computes: list[Compute] | None = None
    """Set to a list to keep jobs waiting."""
    tickets: int = 0
    effects: list[Effect] = field(default_factory=list)

    def feed(self, event: Event) -> None:
        """Give the engine an event and carry out what it says."""
        self.perform(self.engine.handle(event, Instant(self.clock())))

    def perform(self, effects: tuple[Effect, ...]) -> None:
        """Be the host."""
        self.effects.extend(effects)
        for effect in effects:
            match effect:
                case SendDatagram():
                    self.out.append(effect)
                case Record(happening):
                    self.happenings.append(happening)
                case InstallSa():
                    key = (effect.spi, effect.inbound)
                    assert key not in self.sas, "no SPI lives twice in one direction"
                    self.sas[key] = effect
                    if not effect.inbound:
                        self.standby[effect.spi] = effect.standby
                case UpdateSa(spi=spi, inbound=False, standby=bool() as standby):
                    self.standby[spi] = standby
                case UpdateSa() | ExpectSa():
                    pass
                case RemoveSa(spi, inbound):
                    assert self.sas.pop((spi, inbound), None) is not None, "it was installed"
                case ArmPolicy(tunnel, name, how):
                    self.policies[(tunnel, name)] = how
                case SetCarrier(tunnel, up):
                    self.carriers[tunnel] = up
                case AssignAddress(tunnel, address, up):
                    if up:
                        self.addresses[tunnel] = address
                    else:
                        assert self.addresses.pop(tunnel) == address, "it was given"
                case Keepalive():
                    self.keepalives.append(effect)
                case Compute():
                    if self.held_computes is not None:
                        self.held_computes.append(effect)
                    else:
                        self.compute(effect)

    def compute(self, job: Compute) -> None:
        """Do slow work at once."""
        match job.job:
            case Resolve(peer, local):
                done = ComputeFinished(
                    job.ticket, ((local or self.address).encode(), peer.encode())
                )
            case MakeKey(method):
                done = ComputeFinished(job.ticket, agreement.generate(method, self.entropy))
            case Agree(method, private, peer_value):
                try:
                    done = ComputeFinished(
                        job.ticket, (agreement.agree(method, private, peer_value),)
                    )
                except agreement.BadPublicValue as bad:
                    done = ComputeFinished(job.ticket, None, str(bad))
            case MakeKeyAndAgree(method, peer_value):
                try:
                    private, public = agreement.generate(method, self.entropy)
                    shared = agreement.agree(method, private, peer_value)
                    done = ComputeFinished(job.ticket, (public, shared))
                except agreement.BadPublicValue as bad:
                    done = ComputeFinished(job.ticket, None, str(bad))
            case Sign() | JudgePeer() | CheckLogin():
                done = judging.answer(job.ticket, job.job, DATE)
        self.feed(done)

    @property
    def entropy(self) -> SeededEntropy:
        """What key pairs are drawn from."""
        return self._entropy

    _entropy: SeededEntropy = field(default_factory=lambda: SeededEntropy(99))

    def command(self, command: Command) -> int:
        """A wish of the user; returns its ticket."""
        self.tickets += 1
        self.feed(CommandIssued(command, self.tickets))
        return self.tickets

    def view(self, name: str | None = None) -> TunnelView:
        """What status shows of a tunnel."""
        views = self.engine.views(Instant(self.clock()))
        return next(v for v in views if name is None or v.name == name)

    def events(self, event: str) -> list[Happening]:
        """Happenings of one kind so far."""
        return [h for h in self.happenings if h.event == event]

    def children(self) -> set[tuple[Spi, Spi]]:
        """Pairs (inbound, outbound) of SPIs that status shows."""
        return {
            (c.spi_in, c.spi_out)
            for v in self.engine.views(Instant(self.clock()))
            for r in v.rules
            for c in r.children
        }


class Pair:
    """Left and right, and the wire between them."""

    def __init__(
        self,
        left: Connection | None = None,
        right: Connection | None = None,
        left_keys: Keys | None = None,
        right_keys: Keys | None = None,
        seed: int = 7,
    ) -> None:
        self.now = 1000.0
        self.left = Side(
            "left", LEFT, IkeEngine(SeededEntropy(seed), left_keys or Keys()), lambda: self.now
        )
        self.right = Side(
            "right",
            RIGHT,
            IkeEngine(SeededEntropy(seed + 1), right_keys or Keys()),
            lambda: self.now,
        )
        self.left._entropy = SeededEntropy(seed + 2)
        self.right._entropy = SeededEntropy(seed + 3)
        self.wire: list[SendDatagram] = []
        """Everything that was delivered, in order."""
        left = left or connection("site-b", RIGHT, (rule(),))
        right = right or connection(
            "site-a", LEFT, (rule(local="10.2.0.0/24", remote="10.1.0.0/24"),)
        )
        self.left.command(Configure(Configuration((left,))))
        self.right.command(Configure(Configuration((right,))))

    def other(self, side: Side) -> Side:
        """The one across the wire."""
        return self.right if side is self.left else self.left

    def deliver(self, side: Side, datagram: SendDatagram) -> None:
        """Give a datagram that `side` sent to the other one."""
        self.wire.append(datagram)
        source = datagram.local
        if ip_address(source.address).is_unspecified:
            source = type(source)(side.address, source.port)
        self.other(side).feed(DatagramReceived(datagram.remote, source, datagram.octets))

    def step(self) -> bool:
        """Deliver the oldest datagram of either side; False when none is on its way."""
        for side in (self.left, self.right):
            if side.out:
                self.deliver(side, side.out.pop(0))
                return True
        return False

    def settle(self, steps_max: int = 200) -> "Pair":
        """Deliver until nothing is on its way."""
        for _ in range(steps_max):
            if not self.step():
                return self
        raise AssertionError("the two sides never stop talking")

    def lose(self) -> int:
        """Everything on its way is lost; returns how many datagrams that was."""
        lost = len(self.left.out) + len(self.right.out)
        self.left.out.clear()
        self.right.out.clear()
        return lost

    def advance(self, seconds: float, *, deliver: bool = True) -> "Pair":
        """Let time pass, firing timers on the way."""
        until = self.now + seconds
        for _ in range(100_000):
            deadlines = [
                (side.engine.deadline, index, side)
                for index, side in enumerate((self.left, self.right))
                if side.engine.deadline is not None
            ]
            due = min(deadlines, default=None)
            if due is None or due[0] > until:
                break
            self.now = max(self.now, float(due[0]))
            due[2].feed(DeadlineReached())
            if deliver:
                self.settle()
        self.now = until
        return self

    def establish(self) -> "Pair":
        """Bring the tunnel up from the left."""
        self.left.command(Initiate(self.left.view().name))
        self.settle()
        assert self.left.view().state == "up", self.left.happenings[-3:]
        assert self.right.view().state == "up"
        return self

    def packet(self, side: Side, rule_name: str = "lan") -> None:
        """Interesting traffic at one side."""
        packet = PacketSummary("10.1.0.10", "10.2.0.10", 1)
        side.feed(PacketWanted(side.view().name, rule_name, packet, 1))

    def rekey(self, side: Side, phase: int = 2) -> None:
        """`isthmus rekey` at one side."""
        side.command(Rekey(side.view().name, None, phase))

    def down(self, side: Side) -> None:
        """`isthmus down` at one side."""
        side.command(Terminate(side.view().name))

    def agree(self) -> None:
        """Both planes hold the same SAs crosswise, with the same keys."""
        for one, two in ((self.left, self.right), (self.right, self.left)):
            for (spi, inbound), sa in one.sas.items():
                if inbound:
                    continue
                mate = two.sas.get((spi, True))
                assert mate is not None, f"{one.name} sends on an SPI that {two.name} has not"
                assert mate.encryption_key == sa.encryption_key
                assert mate.integrity_key == sa.integrity_key
                assert mate.suite == sa.suite
