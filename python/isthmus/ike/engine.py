"""The IKE protocol without sockets, clock, threads or entropy of its own.

`handle` takes one event and the time and returns what the host must do. The same events, times
and seed always give the same effects.
"""

from collections import OrderedDict
from typing import assert_never

from isthmus.credentials.store import kept
from isthmus.crypto.entropy import Entropy
from isthmus.ike.core import standing
from isthmus.ike.core.admission import Admission, ReplyBudget
from isthmus.ike.core.agenda import Agenda, Owner, TimerKind
from isthmus.ike.core.child import ChildSa, ChildState
from isthmus.ike.core.commands import Configure, Distrust, Initiate, Rekey, Shutdown, Terminate
from isthmus.ike.core.context import Context, Credentials
from isthmus.ike.core.digest import digest
from isthmus.ike.core.dropped import Dropped, tell_dropped
from isthmus.ike.core.effects import Effect, RemoveSa, SendDatagram
from isthmus.ike.core.events import (
    CommandIssued,
    ComputeFinished,
    DatagramReceived,
    DeadlineReached,
    Event,
    FirstPacket,
    InstallFailed,
    LifetimeReached,
    OrphanFound,
    PacketWanted,
    PeerMoved,
    RuleIdle,
)
from isthmus.ike.core.sa import IkeSa
from isthmus.ike.core.views import TunnelView
from isthmus.ike.dialects import Dialects
from isthmus.ike.lifecycle import reconfigure, report
from isthmus.ike.lifecycle.tunnels import Tunnels
from isthmus.ike.v1.door import Door
from isthmus.ike.v1.sa import SaV1
from isthmus.ike.v2 import cookies, dialect, look
from isthmus.ike.v2.exchanges import ike_sa_init
from isthmus.ike.v2.sa import SaV2
from isthmus.policy.connection import Configuration, Connection
from isthmus.policy.select import PeerIndex
from isthmus.values.address import Endpoint
from isthmus.values.errors import Malformed, UnsupportedCritical
from isthmus.values.registry.ikev2 import ExchangeType, HeaderFlag, NotifyType
from isthmus.values.spi import FIRST_SPI, IKE_SPI_SIZE, NO_IKE_SPI, IkeSpi, Spi, spi_text
from isthmus.values.time import Instant
from isthmus.wire.header import Header
from isthmus.wire.v2.message import Payload, decode_message, encode_message
from isthmus.wire.v2.nonce import Nonce
from isthmus.wire.v2.notify import Notify
from isthmus.wire.v2.rules import check

GOODBYE_S = 60.0
"""How long the answer to a Delete of an IKE SA is kept for the request's repeats."""
GOODBYES_MAX = 1024
MAJOR_VERSION = 2


class IkeEngine:
    """Every IKE SA of one host. Single-threaded; the host calls it from one place."""

    def __init__(self, entropy: Entropy, credentials: Credentials) -> None:
        self._dialect = Dialects()
        self._tunnels = Tunnels(self._dialect)
        self._agenda = Agenda()
        self._admission = Admission(entropy)
        self._sas: dict[IkeSpi, IkeSa] = {}
        self._children: dict[Spi, tuple[IkeSa, ChildSa]] = {}
        self._by_peer_spi: dict[Spi, tuple[IkeSa, ChildSa]] = {}
        self._first_requests: dict[bytes, SaV2] = {}
        """Responder SAs by the hash of the message that began them, to know its repeats."""
        self._half_open: dict[IkeSpi, Endpoint] = {}
        """Sources of responder SAs that are not authenticated, as admission counts them."""
        self._goodbyes: OrderedDict[bytes, tuple[Instant, tuple[bytes, ...]]] = OrderedDict()
        """Answers to Deletes of IKE SAs that are forgotten, by hash of the request."""
        self._budget = ReplyBudget()
        self._peers = PeerIndex()
        self._peers_v1 = PeerIndex()
        self._door_v1 = Door(self._admission, self._budget)
        self._stopping_ticket: int | None = None
        self._ctx = Context(
            now=Instant(0.0),
            entropy=entropy,
            agenda=self._agenda,
            credentials=credentials,
            lifecycle=self._tunnels,
            registry=self,
        )

    # --- the door --------------------------------------------------------------------------

    def handle(self, event: Event, now: Instant) -> tuple[Effect, ...]:
        """Take one event; return what the host must do, in this order."""
        ctx = self._ctx
        ctx.now = now
        ctx.effects.clear()  # left over only if the last event ended in an exception
        match event:
            case DatagramReceived():
                self._datagram(ctx, event)
            case DeadlineReached():
                pass
            case CommandIssued():
                self._command(ctx, event)
            case PacketWanted():
                self._tunnels.packet_wanted(ctx, event)
            case RuleIdle():
                self._tunnels.rule_idle(ctx, event)
            case ComputeFinished():
                self._computed(ctx, event)
            case LifetimeReached():
                self._lifetime(ctx, event)
            case PeerMoved():
                self._moved(ctx, event)
            case FirstPacket():
                self._first_packet(ctx, event)
            case InstallFailed():
                self._install_failed(ctx, event)
            case OrphanFound():
                self._tunnels.orphan_found(ctx, event)
            case _:
                assert_never(event)
        self._run_due(ctx)
        while ctx.to_resume:
            self._dialect.resume(ctx, ctx.to_resume.pop(0))
        self._maybe_stopped(ctx)
        effects = tuple(ctx.effects)
        ctx.effects.clear()
        return effects

    @property
    def deadline(self) -> Instant | None:
        """When to call `handle(DeadlineReached(), now)` next, if ever."""
        return self._agenda.deadline

    def views(self, now: Instant, tunnel: str | None = None) -> tuple[TunnelView, ...]:
        """Every tunnel as users see it, or the one of this name if there is one."""
        every = self._tunnels.runs
        runs = every.values() if tunnel is None else [every[tunnel]] if tunnel in every else []
        sas = self._tunnels.sas
        return tuple(
            report.tunnel_view(r, sas.of(r.connection.name), self._agenda, now) for r in runs
        )

    def census(self) -> dict[str, int]:
        """How many of everything live: for metrics, and for tests that look for leaks."""
        now = self._ctx.now
        attempts = [sa for sa in self._sas.values() if sa.established_at is None]
        return {
            "ike_sas": len(self._sas),
            "child_sas": len(self._children),
            "half_open": self._admission.total,
            "embryos": self._door_v1.embryos(now),
            "first_requests": len(self._half_open),
            "waiting_computes": len(self._ctx.waiting),
            "fragment_octets": self._ctx.fragments_held,
            "timer_owners": len(self._agenda.owners()),
            "dead_timers": sum(not self._lives(owner) for owner in self._agenda.owners()),
            "oldest_attempt_s": int(max((now - sa.created_at for sa in attempts), default=0.0)),
            "oldest_half_open_s": int(
                max((now - sa.created_at for sa in attempts if not sa.initiator), default=0.0)
            ),
        }

    def _lives(self, owner: Owner) -> bool:
        """Is there still something that this owner of timers names?"""
        match owner:
            case ("sa", bytes() as spi):
                return IkeSpi(spi) in self._sas
            case ("child", int() as spi):
                return Spi(spi) in self._children
            case ("tunnel", str() as name):
                return name in self._tunnels.runs
            case _:
                return False

    # --- registry (what exchanges may ask) -------------------------------------------------

    def add(self, sa: IkeSa) -> None:
        """Make an IKE SA findable by its own SPI."""
        self._sas[sa.own_spi] = sa
        self._tunnels.sas.add(sa)
        if not sa.initiator and sa.established_at is None:
            if isinstance(sa, SaV2):
                self._first_requests[sa.first_hash] = sa
            self._half_open[sa.own_spi] = sa.remote
            self._admission.opened(sa.remote)

    def remove(self, sa: IkeSa) -> None:
        """Forget an IKE SA and its timers."""
        if self._sas.pop(sa.own_spi, None) is None:
            return
        self._agenda.forget(sa.owner)
        if self._first_requests.get(sa.first_hash) is sa:
            del self._first_requests[sa.first_hash]
        self._no_longer_half_open(sa)
        self._tunnels.sa_removed(self._ctx, sa)

    def assign(self, sa: IkeSa, connection: Connection) -> None:
        """The peer turned out to be the other end of this tunnel."""
        if sa.connection is not connection:
            self._tunnels.sas.discard(sa)
            sa.connection = connection
            self._tunnels.sas.add(sa)

    def path_is_shared(self, sa: IkeSa) -> bool:
        """Another IKE SA of ours behind a NAT uses the same endpoints."""
        path = (sa.local, sa.remote)
        return any(
            other is not sa and other.nat.local and (other.local, other.remote) == path
            for other in self._sas.values()
        )

    def fresh_ike_spi(self) -> bytes:
        """Eight random octets that no IKE SA of ours uses."""
        while True:
            octets = self._ctx.entropy.octets(IKE_SPI_SIZE)
            if octets != NO_IKE_SPI and IkeSpi(octets) not in self._sas:
                return octets

    def fresh_spi(self) -> Spi:
        """A random ESP SPI that no inbound SA of ours uses."""
        while True:
            spi = Spi(int.from_bytes(self._ctx.entropy.octets(4), "big"))
            if spi >= FIRST_SPI and spi not in self._children:
                return spi

    def peer_spi_is_taken(self, spi: Spi) -> bool:
        """An outbound SA with this SPI, whichever peer chose it, is in the plane."""
        found = self._by_peer_spi.get(spi)
        return found is not None and found[1].state is not ChildState.GONE

    def child_added(self, sa: IkeSa, child: ChildSa) -> None:
        """Make a Child SA findable by its two SPIs."""
        self._children[child.spi_in] = (sa, child)
        self._by_peer_spi[child.spi_out] = (sa, child)

    def child_removed(self, child: ChildSa) -> None:
        """Forget a Child SA's two SPIs; the outbound one may be another's by now."""
        self._children.pop(child.spi_in, None)
        found = self._by_peer_spi.get(child.spi_out)
        if found is not None and found[1] is child:
            del self._by_peer_spi[child.spi_out]

    def _no_longer_half_open(self, sa: IkeSa) -> None:
        source = self._half_open.pop(sa.own_spi, None)
        if source is not None:
            self._admission.closed(source)

    # --- datagrams -------------------------------------------------------------------------

    def _datagram(self, ctx: Context, event: DatagramReceived) -> None:
        try:
            self._sort(ctx, event)
        except Dropped as dropped:
            tell_dropped(ctx, event.remote, dropped)

    def _sort(self, ctx: Context, event: DatagramReceived) -> None:
        try:
            header = Header.decode(event.octets)
        except Malformed as malformed:
            raise Dropped("malformed_header") from malformed
        major = header.version >> 4
        if not major:
            raise Dropped("malformed_header")
        if major == 1:
            self._of_version_1(ctx, header, event)
            return
        if major != MAJOR_VERSION:
            self._refuse_version(ctx, header, event)
            return
        if header.exchange == ExchangeType.IKE_SA_INIT and not header.is_response:
            self._first_request(ctx, header, event)
            return
        own = header.spi_r if header.from_initiator else header.spi_i
        sa = self._sas.get(IkeSpi(own))
        if not isinstance(sa, SaV2):
            self._unknown_sa(ctx, header, event)
            return
        before = sa.established_at
        dialect.receive(ctx, sa, header, event.octets, event.local, event.remote)
        if before is None and sa.established_at is not None:
            self._no_longer_half_open(sa)
        if sa.own_spi not in self._sas and not header.is_response:
            reply = sa.window.last_reply
            self._remember_goodbye(ctx, event, reply.datagrams if reply is not None else ())

    def _of_version_1(self, ctx: Context, header: Header, event: DatagramReceived) -> None:
        """IKEv1 is heard only where a tunnel speaks it."""
        if not self._peers_v1.has_any:
            raise Dropped("ikev1_is_off")
        self._door_v1.receive(
            ctx,
            header,
            event,
            self._sa_v1,
            lambda: self._peers_v1.fitting(event.local, event.remote),
            lambda connection, why, code: self._tunnels.refused_peer(
                ctx, connection, event.remote, why, code
            ),
            stopping=self._tunnels.stopping,
        )
        for spi in (IkeSpi(header.spi_i), IkeSpi(header.spi_r)):
            sa = self._sas.get(spi)
            if sa is not None and sa.established_at is not None:
                self._no_longer_half_open(sa)

    def _sa_v1(self, spi: IkeSpi) -> SaV1 | None:
        sa = self._sas.get(spi)
        return sa if isinstance(sa, SaV1) else None

    def _remember_goodbye(
        self, ctx: Context, event: DatagramReceived, reply: tuple[bytes, ...]
    ) -> None:
        """The peer repeats its Delete if our answer is lost; the SA that answered is gone."""
        until = ctx.later(GOODBYE_S)
        self._goodbyes[digest(event.octets, event.remote)] = (until, reply)
        while len(self._goodbyes) > GOODBYES_MAX or self._oldest_goodbye() < ctx.now:
            self._goodbyes.popitem(last=False)

    def _oldest_goodbye(self) -> Instant:
        return next(iter(self._goodbyes.values()))[0]

    def _first_request(self, ctx: Context, header: Header, event: DatagramReceived) -> None:
        if header.spi_i == NO_IKE_SPI or header.spi_r != NO_IKE_SPI or header.message_id != 0:
            raise Dropped("malformed_first_message")
        if not header.from_initiator:
            raise Dropped("malformed_first_message")
        if self._tunnels.stopping:
            raise Dropped("stopping")
        known = self._first_requests.get(digest(event.octets, event.remote))
        if known is not None:
            if known.is_making and known.window.last_reply is not None:
                for octets in known.window.last_reply.datagrams:
                    ctx.emit(SendDatagram(event.local, event.remote, octets))
            raise Dropped("repeat")
        self._ask_cookie(ctx, header, event)
        try:
            payloads = decode_message(event.octets).payloads
            check(header.exchange, False, payloads)
            nonce = look.must(payloads, Nonce)
        except UnsupportedCritical as unsupported:
            reply = Notify(
                kind=NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD,
                data=bytes((unsupported.payload_type,)),
            )
            self._unprotected(ctx, header, event, (reply,))
            raise Dropped("unsupported_critical") from unsupported
        except Malformed as malformed:
            raise Dropped("malformed") from malformed
        if self._admission.is_full(event.remote):
            raise Dropped("half_open_limit")
        if self._admission.wants_cookie(event.remote, ctx.now):
            given = look.notified(payloads, NotifyType.COOKIE)
            if given is None or not self._admission.holds(
                given.data, event.remote, header.spi_i, nonce.data, ctx.now
            ):
                cookie = self._admission.cookie(event.remote, header.spi_i, nonce.data, ctx.now)
                reply = Notify(kind=NotifyType.COOKIE, data=cookie)
                self._unprotected(ctx, header, event, (reply,))
                raise Dropped("cookie_asked")
        candidates = self._peers.fitting(event.local, event.remote)
        try:
            verdict = ike_sa_init.refusal(ctx, candidates, payloads)
        except Malformed as malformed:
            raise Dropped("malformed") from malformed
        match verdict:
            case (Notify() as notify, why, code):
                self._refuse_first(ctx, header, event, notify, why, code, candidates)
            case (connection, chosen):
                ike_sa_init.answer(
                    ctx,
                    header,
                    payloads,
                    event.octets,
                    event.local,
                    event.remote,
                    candidates,
                    connection,
                    chosen,
                )

    def _ask_cookie(self, ctx: Context, header: Header, event: DatagramReceived) -> None:
        """Under a flood, what brings no cookie is asked for one before it is read. Raises Dropped
        when it was."""
        nonce = cookies.nonce_without_cookie(event.octets)
        if nonce is None or not self._admission.wants_cookie(event.remote, ctx.now):
            return
        if self._admission.is_full(event.remote):
            raise Dropped("half_open_limit")
        cookie = self._admission.cookie(event.remote, header.spi_i, nonce, ctx.now)
        octets = cookies.question(header.spi_i, cookie)
        if len(octets) <= len(event.octets):
            ctx.emit(SendDatagram(event.local, event.remote, octets))
        raise Dropped("cookie_asked")

    def _refuse_first(
        self,
        ctx: Context,
        header: Header,
        event: DatagramReceived,
        notify: Notify,
        why: str,
        code: str,
        candidates: tuple[Connection, ...],
    ) -> None:
        self._unprotected(ctx, header, event, (notify,))
        if notify.kind == NotifyType.INVALID_KE_PAYLOAD:
            raise Dropped("other_group_asked")
        if candidates:
            self._tunnels.refused_peer(ctx, candidates[0], event.remote, why, code)
            return
        raise Dropped("no_tunnel_for_peer")

    def _unknown_sa(self, ctx: Context, header: Header, event: DatagramReceived) -> None:
        """RFC 7296 §2.21.4: a hint for a peer whose SA we have lost; never for responses."""
        goodbye = self._goodbyes.get(digest(event.octets, event.remote))
        if goodbye is not None and goodbye[0] >= ctx.now and goodbye[1]:
            for octets in goodbye[1]:
                ctx.emit(SendDatagram(event.local, event.remote, octets))
            raise Dropped("repeat")
        if not header.is_response and header.exchange in (
            ExchangeType.IKE_AUTH,
            ExchangeType.CREATE_CHILD_SA,
            ExchangeType.INFORMATIONAL,
        ):
            reply = Notify(kind=NotifyType.INVALID_IKE_SPI)
            self._unprotected(ctx, header, event, (reply,), keep_spis=True)
        raise Dropped("unknown_ike_spi")

    def _refuse_version(self, ctx: Context, header: Header, event: DatagramReceived) -> None:
        """RFC 7296 §2.5: say which version we speak."""
        if not header.is_response:
            reply = Notify(kind=NotifyType.INVALID_MAJOR_VERSION)
            self._unprotected(ctx, header, event, (reply,), keep_spis=True)
        raise Dropped("major_version")

    def _unprotected(
        self,
        ctx: Context,
        header: Header,
        event: DatagramReceived,
        payloads: tuple[Payload, ...],
        *,
        keep_spis: bool = False,
    ) -> None:
        """Answer a stranger: few octets, never more than came in, and never many a second."""
        asked_cookie = any(isinstance(p, Notify) and p.kind == NotifyType.COOKIE for p in payloads)
        # Cookies cost little and are what keeps the door open under flood: not limited.
        if not asked_cookie and not self._budget.allows(event.remote, ctx.now):
            raise Dropped("reply_limit")
        flags = HeaderFlag.RESPONSE
        if not header.from_initiator:
            flags |= HeaderFlag.INITIATOR
        reply = Header(
            spi_i=header.spi_i,
            spi_r=header.spi_r if keep_spis else NO_IKE_SPI,
            next_payload=0,
            exchange=header.exchange,
            flags=flags,
            message_id=header.message_id,
        )
        octets = encode_message(reply, payloads)
        if len(octets) <= len(event.octets):
            ctx.emit(SendDatagram(event.local, event.remote, octets))

    # --- everything else -------------------------------------------------------------------

    def _computed(self, ctx: Context, event: ComputeFinished) -> None:
        then = ctx.waiting.pop(event.ticket, None)
        if then is not None:
            sa, continuation = then
            continuation(event)
            self._dialect.resume(ctx, sa)
            if sa.established_at is not None:
                self._no_longer_half_open(sa)  # A worker may have judged the peer's proof.

    def _run_due(self, ctx: Context) -> None:
        for _ in range(10_000):
            due = self._agenda.due(ctx.now)
            if due is None:
                return
            self._timer(ctx, due.owner, due.kind)

    def _timer(self, ctx: Context, whose: tuple[str, bytes | str | int], kind: TimerKind) -> None:
        match whose:
            case ("sa", bytes() as spi):
                sa = self._sas.get(IkeSpi(spi))
                if sa is not None:
                    self._dialect.timer(ctx, sa, kind)
            case ("child", int() as number):
                found = self._children.get(Spi(number))
                if found is None:
                    return
                sa, child = found
                if kind is TimerKind.LINGER:
                    ctx.emit(RemoveSa(child.spi_in, inbound=True))
                    self.child_removed(child)
                else:
                    self._dialect.child_timer(ctx, sa, child, kind)
            case ("tunnel", str() as name):
                run = self._tunnels.runs.get(name)
                if run is not None:
                    self._tunnels.timer(ctx, run, kind)
            case _:
                raise AssertionError(f"a timer of nobody: {whose}")

    def _lifetime(self, ctx: Context, event: LifetimeReached) -> None:
        found = self._by_plane_spi(event.spi, event.inbound)
        if found is None:
            return
        sa, child = found
        ctx.record(
            "phase2.lifetime",
            f"SPI {spi_text(event.spi)} reached its {'hard' if event.hard else 'soft'} limit "
            f"in {event.unit}",
            connection=sa.connection,
            rule=child.rule.name,
        )
        if child.state is ChildState.INSTALLED:
            self._dialect.rekey_child(ctx, sa, child)
        elif event.hard and child.is_usable:
            self._dialect.delete_child(ctx, sa, child)

    def _moved(self, ctx: Context, event: PeerMoved) -> None:
        found = self._children.get(event.spi)
        if found is None or found[1].state is ChildState.GONE:
            return
        sa = found[0]
        if sa.follows_peer and event.endpoint != sa.remote:
            standing.follow(ctx, sa, sa.local, event.endpoint)

    def _first_packet(self, ctx: Context, event: FirstPacket) -> None:
        found = self._children.get(event.spi)
        if found is not None:
            self._dialect.used(ctx, found[0], found[1])

    def _install_failed(self, ctx: Context, event: InstallFailed) -> None:
        found = self._by_plane_spi(event.spi, event.inbound)
        if found is not None and found[1].is_usable:
            self._tunnels.planes_lost(ctx, found[0], found[1], event.reason)

    def _by_plane_spi(self, spi: Spi, inbound: bool) -> tuple[IkeSa, ChildSa] | None:
        if inbound:
            return self._children.get(spi)
        return self._by_peer_spi.get(spi)

    def _command(self, ctx: Context, event: CommandIssued) -> None:
        ticket = event.ticket
        match event.command:
            case Configure(configuration, credentials):
                self._configure(ctx, configuration, credentials or ctx.credentials)
                ctx.record("command.done", "configuration applied", ticket=ticket)
            case Distrust():
                self._distrust(ctx, event.command)
            case Shutdown():
                self._stopping_ticket = ticket
                self._tunnels.stopping = True
                for sa in self._tunnels.sas:
                    if sa.is_authenticated:
                        self._dialect.delete(ctx, sa, "the daemon stops")
                    else:
                        self._dialect.forget(ctx, sa)
            case Initiate(tunnel, rule) | Terminate(tunnel, rule) | Rekey(tunnel, rule):
                run = self._tunnels.runs.get(tunnel)
                if run is None or (rule is not None and rule not in run.rules):
                    what = f"{tunnel}/{rule}" if rule is not None else tunnel
                    ctx.record(
                        "command.failed",
                        f"there is no tunnel or rule {what}",
                        tunnel=tunnel,
                        code="E105",
                        ticket=ticket,
                    )
                    return
                ctx.record("command.accepted", tunnel=tunnel, rule=rule or "", ticket=ticket)
                match event.command:
                    case Initiate():
                        self._tunnels.initiate(ctx, run, rule, ticket)
                    case Terminate(hold=hold):
                        self._tunnels.terminate(ctx, run, rule, hold, ticket)
                    case Rekey(phase=phase):
                        self._rekey(ctx, tunnel, rule, phase, ticket)
            case _:
                assert_never(event.command)

    def _configure(
        self, ctx: Context, configuration: Configuration, credentials: Credentials
    ) -> None:
        names = {name for c in configuration.connections for name in c.secret_names}
        changed = {n for n in names if kept(credentials, n) != kept(ctx.credentials, n)}
        ctx.configuration = configuration
        ctx.credentials = credentials
        reconfigure.configure(self._tunnels, self._dialect, ctx, configuration, changed)
        # The very values that the tunnels run under: SAs of before a restart are told from those
        # of after it by them.
        connections = self._tunnels.connections()
        self._peers = PeerIndex(c for c in connections if c.speaks_v2)
        self._peers_v1 = PeerIndex(c for c in connections if c.speaks_v1)

    def _distrust(self, ctx: Context, asked: Distrust) -> None:
        """F-19: what was proved by certificates that are no longer believed does not stand on."""
        for sa in self._tunnels.sas.of(asked.tunnel):
            path = sa.peer_proof.path if sa.peer_proof is not None else None
            if path is None or path.certificates != asked.certificates or not sa.is_authenticated:
                continue
            ctx.record(
                "peer.distrusted",
                asked.reason,
                connection=sa.connection,
                code=asked.code,
                facts=(("spi_i", sa.spi_i.hex()), ("remote", str(sa.remote))),
            )
            self._dialect.delete(ctx, sa, asked.reason)

    def _rekey(self, ctx: Context, tunnel: str, rule: str | None, phase: int, ticket: int) -> None:
        run = self._tunnels.runs[tunnel]
        sa = self._tunnels.open_sa(run)
        begun = False
        if phase == 1 and sa is not None:
            self._dialect.replace_ike(ctx, sa)
            begun = True
        elif phase == 2:
            for each in run.rules.values():
                child = each.child
                home = self._tunnels.sa_of(run, child) if child is not None else None
                if child is not None and home is not None and rule in (None, each.policy.name):
                    self._dialect.rekey_child(ctx, home, child)
                    begun = True
        if begun:
            ctx.record("command.done", "the renewal has begun", tunnel=tunnel, ticket=ticket)
        else:
            ctx.record(
                "command.failed",
                f"phase {phase} of {tunnel} is not up: nothing to renew",
                tunnel=tunnel,
                code="E127",
                ticket=ticket,
            )

    def _maybe_stopped(self, ctx: Context) -> None:
        if self._stopping_ticket is not None and not self._sas:
            ctx.record("daemon.quiet", "every SA is deleted", ticket=self._stopping_ticket)
            self._stopping_ticket = None
