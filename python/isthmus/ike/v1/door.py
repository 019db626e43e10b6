"""Datagrams of IKEv1: which phase 1 they belong to, and what a stranger's first message gets.

A host whose tunnels all speak IKEv2 does not open this door: no IKEv1 datagram is answered.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from isthmus.ike.core.admission import Admission, ReplyBudget
from isthmus.ike.core.context import Context
from isthmus.ike.core.digest import digest
from isthmus.ike.core.dropped import Dropped
from isthmus.ike.core.effects import SendDatagram
from isthmus.ike.core.events import DatagramReceived
from isthmus.ike.core.payloads import must
from isthmus.ike.v1 import dialect, methods, phase1, transport, vendors
from isthmus.ike.v1.embryo import Embryo
from isthmus.ike.v1.exchanges import aggressive_mode, main_mode
from isthmus.ike.v1.offers import (
    OfferedPhase1,
    answer_phase1,
    choose_indexed,
    expressible_phase1,
    indexed,
    read_phase1,
)
from isthmus.ike.v1.sa import PHASE1_ID, SaV1
from isthmus.policy.authentication import AuthKind
from isthmus.policy.connection import Connection
from isthmus.policy.negotiate import difference
from isthmus.policy.select import by_identity
from isthmus.values.errors import Malformed, NotAuthenticated
from isthmus.values.proposal import Proposal, Suite
from isthmus.values.registry.ikev1 import (
    AuthenticationMethod,
    ExchangeType,
    Flag,
    NotifyType,
    PayloadType,
    ProtocolId,
)
from isthmus.values.registry.ikev2 import label
from isthmus.values.spi import NO_IKE_SPI, IkeSpi
from isthmus.values.time import Instant, Seconds
from isthmus.wire.header import Header
from isthmus.wire.v1 import (
    VERSION_1,
    Notify,
    SecurityAssociation,
    decode_message,
    encode_message,
)
from isthmus.wire.v1.rules import check

EMBRYOS_MAX = 4096
"""First messages that are remembered; beyond that the oldest makes way."""
EMBRYO_S: Seconds = 30.0
TOLD_MAX = 8
"""Proposals of a refused offer that the sentence about it looks at."""
Find = Callable[[IkeSpi], SaV1 | None]
Fitting = Callable[[], tuple[Connection, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """What tunnels that an offer is held against alike have in common."""

    ours: tuple[Proposal, ...]
    """What IKEv1 can say of their proposals."""


class Kinds:
    """Tells alike tunnels apart from others once, not at each stranger's message."""

    def __init__(self) -> None:
        self._configuration: object = None
        self._of: dict[int, tuple[Connection, Kind]] = {}
        """By the tunnel's object, which is held so that no other one takes its number."""
        self._alike: dict[object, Kind] = {}

    def of(self, ctx: Context, connection: Connection) -> Kind:
        """The one value for all tunnels that authenticate alike and have the same proposals."""
        if self._configuration is not ctx.configuration:
            self._configuration = ctx.configuration
            self._of.clear()
            self._alike.clear()
        known = self._of.get(id(connection))
        if known is not None:
            return known[1]
        own, proposals = connection.local_auth, connection.phase1_proposals
        way = own.kind if own.kind is AuthKind.PSK else own
        login = connection.v1.xauth
        role = None if login is None else login.role
        key = (connection.v1.hybrid, role, way, proposals)
        kind = self._alike.setdefault(key, Kind(expressible_phase1(proposals)))
        self._of[id(connection)] = connection, kind
        return kind


class Door:
    """Embryos, and the way of a datagram to its phase 1."""

    def __init__(self, admission: Admission, budget: ReplyBudget) -> None:
        self._admission = admission
        self._budget = budget
        self._kinds = Kinds()
        self._embryos: OrderedDict[IkeSpi, Embryo] = OrderedDict()
        """By our cookie, the oldest first."""
        self._repeats: dict[bytes, IkeSpi] = {}
        """Our cookies by the digest of the first message."""
        self._aggressives: OrderedDict[bytes, IkeSpi] = OrderedDict()
        """Cookies of phase 1 in Aggressive Mode by the digest of its first message."""

    def embryos(self, now: Instant) -> int:
        """First messages that are remembered."""
        self._age(now)
        return len(self._embryos)

    def receive(
        self,
        ctx: Context,
        header: Header,
        event: DatagramReceived,
        find: Find,
        fitting: Fitting,
        refused: Callable[[Connection, str, str], None],
        *,
        stopping: bool,
    ) -> None:
        """Sort a datagram. `find` gives the phase 1 of a cookie of ours, `fitting` the tunnels that
        the addresses fit, and `refused` is told of a peer whose offer is not taken. Raises Dropped.
        """
        sa = _of(header, find)
        if sa is not None:
            dialect.receive(ctx, sa, header, event.octets, event.local, event.remote)
            return
        if header.spi_i == NO_IKE_SPI or header.message_id != PHASE1_ID:
            raise Dropped("unknown_ike_spi")
        if header.flags & Flag.ENCRYPTION:
            raise Dropped("unknown_ike_spi")
        if stopping:
            raise Dropped("stopping")
        self._age(ctx.now)
        if header.spi_r != NO_IKE_SPI:
            self._second(ctx, header, event, fitting())
        elif header.exchange == ExchangeType.MAIN_MODE:
            mains = tuple(c for c in fitting() if not c.v1.aggressive)
            self._first(ctx, header, event, mains, refused)
        elif header.exchange == ExchangeType.AGGRESSIVE_MODE:
            self._aggressive(ctx, header, event, find, fitting())
        else:
            raise Dropped("exchange_out_of_order")

    def _aggressive(
        self,
        ctx: Context,
        header: Header,
        event: DatagramReceived,
        find: Find,
        candidates: tuple[Connection, ...],
    ) -> None:
        """1 of Aggressive Mode. It costs a key exchange before its sender has shown anything, so
        crowds are not let in."""
        willing = tuple(c for c in candidates if c.v1.aggressive)
        if not willing:
            # Aggressive Mode that nobody has asked for is not even refused: an answer would tell a
            # scanner that there is something to guess at.
            raise Dropped("aggressive_is_off")
        key = digest(event.octets, event.remote)
        self._answer_again(ctx, event, key, find)
        if self._admission.is_crowded(event.remote):
            raise Dropped("half_open_limit")
        try:
            _, chain = decode_message(event.octets)
            check(header.exchange, "aggressive 1", chain.payloads)
            offer = must(chain.payloads, SecurityAssociation)
            claim = phase1.read_claim(chain, event.local, event.remote)
        except Malformed as malformed:
            raise Dropped("malformed") from malformed
        named = by_identity(willing, event.local, event.remote, claim.identity, None)
        found = _choose(ctx, self._kinds, named, read_phase1(offer))
        if found is None:
            raise Dropped("aggressive_does_not_fit")
        connection, chosen, suite = found
        others = tuple(c for c in _taking(ctx, self._kinds, named, chosen) if c is not connection)
        sa = aggressive_mode.take(
            ctx,
            header,
            chain,
            chosen,
            suite,
            (connection, *others),
            event.octets,
            event.local,
            event.remote,
        )
        self._aggressives[key] = sa.own_spi
        while len(self._aggressives) > EMBRYOS_MAX or not _is_half_open(
            find(next(iter(self._aggressives.values())))
        ):
            self._aggressives.popitem(last=False)

    def _answer_again(self, ctx: Context, event: DatagramReceived, key: bytes, find: Find) -> None:
        """Raises Dropped for a first message of Aggressive Mode that came before: our answer was
        lost, or is being made. Its address is not proved, so answers are few."""
        known = self._aggressives.get(key)
        if known is None:
            return
        sa = find(known)
        if sa is None:
            del self._aggressives[key]
            return
        if sa.phase1.heard == key and sa.phase1.reply:
            if not self._budget.allows(event.remote, ctx.now):
                raise Dropped("reply_limit")
            transport.emit(ctx, sa, sa.phase1.reply)
        raise Dropped("repeat")

    def _first(
        self,
        ctx: Context,
        header: Header,
        event: DatagramReceived,
        candidates: tuple[Connection, ...],
        refused: Callable[[Connection, str, str], None],
    ) -> None:
        """1 of Main Mode: answered from what is known, and hardly remembered."""
        key = digest(event.octets, event.remote)
        known = self._repeats.get(key)
        if known is not None:
            ctx.emit(SendDatagram(event.local, event.remote, self._embryos[known].reply))
            raise Dropped("repeat")
        if not candidates:
            raise Dropped("no_tunnel_for_peer")
        try:
            _, chain = decode_message(event.octets)
            check(header.exchange, "main 1", chain.payloads)
            offer = must(chain.payloads, SecurityAssociation)
        except Malformed as malformed:
            raise Dropped("malformed") from malformed
        offered = read_phase1(offer)
        found = _choose(ctx, self._kinds, candidates, offered)
        if found is None:
            self._refuse(ctx, header, event)
            refused(candidates[0], _why_not(ctx, candidates[0], offered), "E110")
            return
        connection, chosen, suite = found
        said = vendors.heard(chain.payloads)
        cookie = IkeSpi(ctx.registry.fresh_ike_spi())
        head = Header(
            spi_i=header.spi_i,
            spi_r=cookie,
            next_payload=0,
            version=VERSION_1,
            exchange=header.exchange,
        )
        taken = answer_phase1(offer, chosen)
        reply = encode_message(head, (taken, *vendors.answered(connection, said)))
        if len(reply) > len(event.octets):
            # Our word for pieces has flags behind it, which not every peer's has.
            said = replace(said, fragments=False)
            reply = encode_message(head, (taken, *vendors.answered(connection, said)))
        if len(reply) > len(event.octets):
            raise Dropped("too_short_to_answer")
        self._remember(
            ctx,
            Embryo(
                cookie_i=IkeSpi(header.spi_i),
                cookie_r=cookie,
                remote=event.remote,
                made_at=ctx.now,
                key=key,
                reply=reply,
                sa_body=chain.bodies[0],
                connection=connection,
                offered=chosen,
                suite=suite,
                peer_can=said,
            ),
        )
        ctx.emit(SendDatagram(event.local, event.remote, reply))

    def _second(
        self,
        ctx: Context,
        header: Header,
        event: DatagramReceived,
        candidates: tuple[Connection, ...],
    ) -> None:
        """3 of Main Mode: our cookie has come back from where we sent it."""
        embryo = self._embryos.get(IkeSpi(header.spi_r))
        if embryo is None or embryo.cookie_i != header.spi_i:
            raise Dropped("unknown_ike_spi")
        if header.exchange != ExchangeType.MAIN_MODE:
            raise Dropped("exchange_out_of_order")
        if embryo.remote.address != event.remote.address:
            raise Dropped("other_address")
        if self._admission.is_full(event.remote):
            raise Dropped("half_open_limit")
        fitting = _still_fitting(ctx, self._kinds, embryo, candidates)
        if fitting is None:
            self._forget(embryo)
            raise Dropped("tunnel_is_gone")
        embryo = fitting
        if header.next_payload != PayloadType.FRAGMENT:
            main_mode.take(ctx, embryo, header, event.octets, event.local, event.remote)
            self._forget(embryo)
            return
        if not embryo.connection.fragmentation.enabled:
            raise Dropped("fragments_not_agreed")
        # It counts as half-open from its first piece on, which bounds how much of others waits.
        sa = main_mode.admit(ctx, embryo, event.local, event.remote)
        self._forget(embryo)
        dialect.receive(ctx, sa, header, event.octets, event.local, event.remote)

    def _remember(self, ctx: Context, embryo: Embryo) -> None:
        self._embryos[embryo.cookie_r] = embryo
        self._repeats[embryo.key] = embryo.cookie_r
        while len(self._embryos) > EMBRYOS_MAX:
            self._forget(next(iter(self._embryos.values())))

    def _age(self, now: Instant) -> None:
        """Forget first messages that nothing has followed."""
        while self._embryos:
            oldest = next(iter(self._embryos.values()))
            if now - oldest.made_at < EMBRYO_S:
                return
            self._forget(oldest)

    def _forget(self, embryo: Embryo) -> None:
        self._embryos.pop(embryo.cookie_r, None)
        self._repeats.pop(embryo.key, None)

    def _refuse(self, ctx: Context, header: Header, event: DatagramReceived) -> None:
        """NO-PROPOSAL-CHOSEN in clear: a hint for the peer's user, few octets and never many."""
        if not self._budget.allows(event.remote, ctx.now):
            raise Dropped("reply_limit")
        head = Header(
            spi_i=header.spi_i,
            spi_r=NO_IKE_SPI,
            next_payload=0,
            version=VERSION_1,
            exchange=ExchangeType.INFORMATIONAL,
            message_id=int.from_bytes(ctx.entropy.octets(4), "big"),
        )
        notify = Notify(NotifyType.NO_PROPOSAL_CHOSEN, protocol=ProtocolId.ISAKMP)
        octets = encode_message(head, (notify,))
        if len(octets) <= len(event.octets):
            ctx.emit(SendDatagram(event.local, event.remote, octets))


def _still_fitting(
    ctx: Context, kinds: Kinds, embryo: Embryo, candidates: tuple[Connection, ...]
) -> Embryo | None:
    """The same with the tunnels of now that take the offer, whose very values SAs are told apart
    by; None if the one that took it is gone or says something else."""
    connection = next((c for c in candidates if c.name == embryo.connection.name), None)
    if connection is None or connection != embryo.connection:
        return None
    mains = tuple(c for c in candidates if not c.v1.aggressive)
    kept = tuple(_taking(ctx, kinds, mains, embryo.offered))
    return replace(embryo, connection=connection, candidates=kept)


def _is_half_open(sa: SaV1 | None) -> bool:
    return sa is not None and sa.established_at is None


def _of(header: Header, find: Find) -> SaV1 | None:
    """The phase 1 that both cookies name; the responder's is not known to it before its answer."""
    sa = find(IkeSpi(header.spi_r))
    if sa is not None and not sa.initiator:
        return sa if sa.spi_i == header.spi_i else None
    sa = find(IkeSpi(header.spi_i))
    if sa is not None and sa.initiator:
        return sa if sa.spi_r in (header.spi_r, NO_IKE_SPI) else None
    return None


def _choose(
    ctx: Context,
    kinds: Kinds,
    candidates: tuple[Connection, ...],
    offered: tuple[OfferedPhase1, ...],
) -> tuple[Connection, OfferedPhase1, Suite] | None:
    """The first tunnel that takes something of the offer, and what. What several tunnels accept
    alike is tried once: a stranger's message costs no more beside many tunnels."""
    by_method: dict[int, list[OfferedPhase1]] = {}
    for each in offered:
        by_method.setdefault(each.method, []).append(each)
    index = {method: indexed(them) for method, them in by_method.items()}
    tried: set[Kind] = set()
    for connection in candidates:
        kind = kinds.of(ctx, connection)
        if kind in tried:
            continue
        tried.add(kind)
        method = _method(ctx, connection)
        if method is not None and method in index:
            taken = choose_indexed(kind.ours, index[method])
            if taken is not None:
                return connection, taken[0], taken[1].suite
    return None


def _taking(
    ctx: Context, kinds: Kinds, candidates: tuple[Connection, ...], chosen: OfferedPhase1
) -> Iterator[Connection]:
    """The tunnels that could have taken it as well."""
    index = indexed((chosen,))
    known: dict[Kind, bool] = {}
    for connection in candidates:
        kind = kinds.of(ctx, connection)
        if kind not in known:
            same = _method(ctx, connection) == chosen.method
            known[kind] = same and choose_indexed(kind.ours, index) is not None
        if known[kind]:
            yield connection


def _method(ctx: Context, connection: Connection) -> int | None:
    """The way that the tunnel's peers authenticate; None where our own key is missing."""
    try:
        return methods.method_of(ctx, connection, initiator=False)
    except NotAuthenticated:
        return None


def _why_not(ctx: Context, connection: Connection, offered: tuple[OfferedPhase1, ...]) -> str:
    """One sentence: another way to authenticate, or nothing in common. It looks at one tunnel and
    a few of the transforms, since a stranger has it made."""
    wanted = _method(ctx, connection)
    fitting = [each for each in offered if each.method == wanted]
    if offered and not fitting:
        theirs = sorted({label(AuthenticationMethod, e.method) for e in offered[:TOLD_MAX]})
        ours = "nothing: our key is not loaded"
        if wanted is not None:
            ours = label(AuthenticationMethod, wanted)
        return f"the peer wants to authenticate by {', '.join(theirs)}, we by {ours}"
    listed = [_sayable(p) for p in connection.phase1_proposals if expressible_phase1((p,))]
    return difference(listed[:TOLD_MAX], [each.proposal for each in fitting[:TOLD_MAX]])


def _sayable(proposal: Proposal) -> Proposal:
    """What of a proposal IKEv1 can say, in one."""
    rows = zip(*(p.transforms for p in expressible_phase1((proposal,))), strict=True)
    return replace(proposal, transforms=tuple(dict.fromkeys(t for row in rows for t in row)))
