"""Transaction exchanges (draft-ietf-ipsec-isakmp-mode-cfg-05 §3): XAUTH, then Mode Config.

server (of users, of addresses)             client
  HDR*, HASH, ATTR(REQUEST name, password) -->
                                          <--  HDR*, HASH, ATTR(REPLY name, password)
  HDR*, HASH, ATTR(SET status)             -->
                                          <--  HDR*, HASH, ATTR(ACK)
                                          <--  HDR*, HASH, ATTR(REQUEST address)
  HDR*, HASH, ATTR(REPLY address)          -->

or, where the server pushes, SET and ACK in place of the last two. Each pair is an exchange of its
own. Which end of phase 1 has the users or the addresses is a matter of configuration. Phase 1
stands only when all of it is done: no Quick Mode is heard before.
"""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.context import Context, Fact, Failed
from isthmus.ike.core.digest import digest
from isthmus.ike.core.dropped import Dropped
from isthmus.ike.core.effects import AssignAddress, CheckLogin
from isthmus.ike.core.events import ComputeFinished
from isthmus.ike.core.payloads import must
from isthmus.ike.core.states import Established
from isthmus.ike.v1 import access, closing, methods, mode_config, phase1, transport, xauth
from isthmus.ike.v1.keys import phase2_iv
from isthmus.ike.v1.sa import Exchange, SaV1
from isthmus.ike.v1.states import AwaitLogin
from isthmus.policy.assigned import Assigned, as_local, free_address
from isthmus.policy.connection import AccessRole, ModeConfig
from isthmus.values.address import Endpoint
from isthmus.values.errors import Malformed, NoAgreement, ProtocolError
from isthmus.values.registry.ikev1 import ConfigType, ExchangeType, NotifyType, ProtocolId
from isthmus.wire.header import Header
from isthmus.wire.v1 import Attributes, Chain, Delete
from isthmus.wire.v1.rules import check

LOGIN_S = 60.0
"""How long all of it may take: somebody may have to type a password."""


def finish(ctx: Context, sa: SaV1, *, peer_is_new: bool) -> None:
    """Both proofs of phase 1 hold: it stands, once what is configured behind them is done."""
    assert sa.proving is not None
    sa.peer_is_new = peer_is_new
    terms, method = sa.connection.v1.xauth, sa.proving.method
    who = sa.initiator if terms is None or terms.role is AccessRole.CLIENT else not sa.initiator
    if methods.has_login(method) is not (terms is not None) or (
        terms is not None and not methods.logs_in(method, initiator=who)
    ):
        # What was agreed on before the identity was known may be another tunnel's method.
        why = f"phase 1 was made {'with' if methods.has_login(method) else 'without'} a log-in"
        _fail(ctx, sa, Failed("E171", f"{why}, and this tunnel is configured otherwise"))
        return
    sa.state = AwaitLogin()
    sa.access.login_due = terms is not None
    ctx.agenda.arm(sa.owner, TimerKind.HALF_OPEN, ctx.later(LOGIN_S))
    if terms is not None and terms.role is AccessRole.SERVER:
        _ask(ctx, sa, xauth.question(_identifier(ctx)))
    elif terms is None:
        _go_on(ctx, sa)


# --- messages -------------------------------------------------------------------------------


def received(
    ctx: Context, sa: SaV1, header: Header, octets: bytes, local: Endpoint, remote: Endpoint
) -> None:
    """A message of a Transaction. Raises Dropped for what changes nothing."""
    known = sa.exchanges.get(header.message_id)
    heard = digest(octets, remote)
    if known is not None and known.heard == heard:
        transport.emit(ctx, sa, known.reply)
        raise Dropped("repeat")
    if not isinstance(sa.state, AwaitLogin | Established):
        raise Dropped("not_asked")
    if known is None:
        transport.must_be_new(sa, header.message_id)
    iv = known.iv if known is not None else _first_iv(sa, header.message_id)
    chain, next_iv = transport.open_sealed(sa, header, octets, iv)
    try:
        check(header.exchange, "transaction", chain.payloads)
    except Malformed as malformed:
        raise Dropped("unreadable") from malformed
    transport.verify(sa, chain, transport.hash_over(header.message_id))
    payload = must(chain.payloads, Attributes)
    transport.heard(ctx, sa, local, remote)
    if known is not None:
        _answer_received(ctx, sa, known, payload, header, chain, len(octets))
        return
    _check_begun(sa, payload)
    exchange = transport.begin(ctx, sa, ExchangeType.TRANSACTION, header.message_id)
    transport.note_used(ctx, sa, header.message_id)
    exchange.iv, exchange.heard = next_iv, heard
    transport.tell_received(ctx, sa, header, chain, len(octets), is_response=False)
    _begun_by_peer(ctx, sa, exchange, payload)


def _answer_received(
    ctx: Context,
    sa: SaV1,
    exchange: Exchange,
    payload: Attributes,
    header: Header,
    chain: Chain,
    octets: int,
) -> None:
    """What the peer says to what we have asked or told."""
    ours = sa.access.waiting.pop(exchange.message_id, None)
    if ours is None:
        raise Dropped("not_asked")
    transport.tell_received(ctx, sa, header, chain, octets, is_response=True)
    transport.end(ctx, sa, exchange)
    try:
        match (ours.kind, xauth.is_xauth(ours)):
            case (ConfigType.REQUEST, True):
                _check_login(ctx, sa, xauth.read_answer(payload))
            case (ConfigType.SET, True):
                _verdict_heard(ctx, sa)
            case (ConfigType.REQUEST, False):
                _take(ctx, sa, mode_config.read_reply(payload))
            case _:
                _stand(ctx, sa)
    except ProtocolError as wrong:
        if sa.access.login_due and _is_server(sa):
            _refuse_login(ctx, sa, Failed(wrong.code, wrong.reason, wrong.hint))
        else:
            _fail(ctx, sa, Failed(wrong.code, wrong.reason, wrong.hint))


def _check_begun(sa: SaV1, payload: Attributes) -> None:
    """May the peer begin such an exchange now? Raises Dropped."""
    waits = isinstance(sa.state, AwaitLogin)
    if xauth.is_xauth(payload):
        client = not _is_server(sa) and sa.connection.v1.xauth is not None
        allowed = waits and client and sa.access.login_due
    elif payload.kind == ConfigType.SET:
        allowed = access.client_terms(sa) is not None
    else:
        allowed = payload.kind == ConfigType.REQUEST
    if not allowed:
        raise Dropped("not_asked")
    if waits and sa.access.login_due and not xauth.is_xauth(payload):
        raise Dropped("not_authenticated_yet")


def _begun_by_peer(ctx: Context, sa: SaV1, exchange: Exchange, payload: Attributes) -> None:
    try:
        match (payload.kind, xauth.is_xauth(payload)):
            case (ConfigType.REQUEST, True):
                _answer_question(ctx, sa, exchange, payload)
            case (_, True):
                _verdict_received(ctx, sa, exchange, payload)
            case (ConfigType.REQUEST, False):
                _give(ctx, sa, exchange, payload)
            case _:
                _told(ctx, sa, exchange, payload)
    except ProtocolError as wrong:
        if isinstance(sa.state, AwaitLogin):
            _fail(ctx, sa, Failed(wrong.code, wrong.reason, wrong.hint))


def unanswered(ctx: Context, sa: SaV1, exchange: Exchange) -> None:
    """The last repeat of what we have asked or told is over."""
    if sa.access.waiting.pop(exchange.message_id, None) is None:
        return
    transport.end(ctx, sa, exchange)
    if sa.access.refused is not None:
        _verdict_heard(ctx, sa)
    else:
        too_late(ctx, sa)


def too_late(ctx: Context, sa: SaV1) -> None:
    """What is due behind phase 1 has not been done in time."""
    if isinstance(sa.state, AwaitLogin):
        _fail(ctx, sa, _overdue(sa))


def closed_by_peer(ctx: Context, sa: SaV1) -> None:
    """The peer ends phase 1 before that."""
    failed = _overdue(sa)
    if sa.access.refused is None:
        failed = replace(failed, reason=f"{failed.reason}: it has closed phase 1")
    closing.give_up(ctx, sa, failed)


def _overdue(sa: SaV1) -> Failed:
    """What is missing, in the words of a failure."""
    if sa.access.refused is not None:
        return sa.access.refused
    if sa.access.login_due:
        what = "does not log in" if _is_server(sa) else "asks for no log-in, or does not judge it"
        return Failed("E171", f"the peer {what}", lasting=False)
    if access.client_terms(sa) is not None:
        return Failed("E172", "the peer gives us no address", lasting=False)
    return Failed("E173", "the peer asks for no address, or takes none", lasting=False)


def _ask(ctx: Context, sa: SaV1, payload: Attributes) -> None:
    """Begin an exchange of ours."""
    exchange = transport.begin(ctx, sa, ExchangeType.TRANSACTION)
    sa.access.waiting[exchange.message_id] = payload
    hashing = transport.hash_over(exchange.message_id)
    transport.send_hashed(ctx, sa, exchange, (payload,), hashing, repeat=True)


def _reply(ctx: Context, sa: SaV1, exchange: Exchange, payload: Attributes) -> None:
    """Answer what the peer has begun; the answer is kept for repeats of the question."""
    hashing = transport.hash_over(exchange.message_id)
    transport.send_hashed(ctx, sa, exchange, (payload,), hashing, repeat=False)


def _first_iv(sa: SaV1, message_id: int) -> bytes:
    return phase2_iv(phase1.prf_of(sa), sa.last_block, message_id)


def _identifier(ctx: Context) -> int:
    return int.from_bytes(ctx.entropy.octets(2), "big")


# --- XAUTH, server --------------------------------------------------------------------------


def _is_server(sa: SaV1) -> bool:
    terms = sa.connection.v1.xauth
    return terms is not None and terms.role is AccessRole.SERVER


def _check_login(ctx: Context, sa: SaV1, claim: xauth.Claim) -> None:
    """Is it the user's password? The answer takes a while, on purpose."""
    terms = sa.connection.v1.xauth
    assert terms is not None
    login = ctx.credentials.login(terms.name)
    if login is None or login.users is None:
        failed = Failed("E171", "no users are loaded that could log in")
        _refuse_login(ctx, sa, failed)
        return
    sa.access.checking = True

    def checked(done: ComputeFinished) -> None:
        if not (isinstance(sa.state, AwaitLogin) and sa.access.checking):
            return
        sa.access.checking = False
        if done.result is not None:
            sa.user = claim.user
            ctx.record(
                "xauth.admitted",
                f"{claim.user} has logged in from {sa.remote}",
                connection=sa.connection,
                facts=(("user", claim.user), ("remote", str(sa.remote))),
            )
            _ask(ctx, sa, xauth.verdict(_identifier(ctx), admitted=True))
        else:
            _refuse_login(ctx, sa, Failed(done.code or "E139", done.failure))

    ctx.compute(CheckLogin(login.users, claim.user, claim.password), checked, sa, sheddable=True)


def _refuse_login(ctx: Context, sa: SaV1, failed: Failed) -> None:
    """Say so, and end it once that is heard."""
    sa.access.refused = failed
    _ask(ctx, sa, xauth.verdict(_identifier(ctx), admitted=False))


def _verdict_heard(ctx: Context, sa: SaV1) -> None:
    """The client knows how we found its answer."""
    if sa.access.refused is not None:
        _fail(ctx, sa, sa.access.refused)
    elif sa.user:
        sa.access.login_due = False
        _go_on(ctx, sa)


# --- XAUTH, client --------------------------------------------------------------------------


def _answer_question(ctx: Context, sa: SaV1, exchange: Exchange, payload: Attributes) -> None:
    """Our name and password, each once: who asks again does not accept them."""
    terms = sa.connection.v1.xauth
    assert terms is not None
    login = ctx.credentials.login(terms.name)
    try:
        asked = xauth.read_question(payload)
    except ProtocolError as wrong:
        _decline(ctx, sa, exchange, payload, Failed(wrong.code, wrong.reason, wrong.hint))
        return
    words = (("name", asked.name), ("password", asked.password))
    wanted = {word for word, is_asked in words if is_asked}
    what, said = " and ".join(sorted(wanted)), f": {asked.message}" if asked.message else ""
    if login is None or login.password is None:
        failed = Failed("E171", f"the peer asks for our {what}, and no password is loaded")
        _decline(ctx, sa, exchange, payload, failed)
        return
    if wanted <= sa.access.answered:
        failed = Failed("E170", f"the peer asks for our {what} again{said}")
        _decline(ctx, sa, exchange, payload, failed)
        return
    sa.access.answered |= wanted
    ctx.record("xauth.asked", f"the peer asks for our {what}{said}", connection=sa.connection)
    _reply(ctx, sa, exchange, xauth.answer(payload, terms.user, login.password))


def _decline(
    ctx: Context, sa: SaV1, exchange: Exchange, question: Attributes, failed: Failed
) -> None:
    """Say that we cannot log in; the peer then says that we are not let in."""
    sa.access.refused = sa.access.refused or failed
    _reply(ctx, sa, exchange, xauth.refusal(question))


def _verdict_received(ctx: Context, sa: SaV1, exchange: Exchange, payload: Attributes) -> None:
    """How the server found our answer."""
    verdict = xauth.read_verdict(payload)
    _reply(ctx, sa, exchange, xauth.confirmation(payload))
    if sa.access.refused is not None:
        _fail(ctx, sa, sa.access.refused)
        return
    if verdict.admitted:
        sa.access.login_due = False
        _go_on(ctx, sa)
        return
    terms = sa.connection.v1.xauth
    assert terms is not None
    said = f": {verdict.message}" if verdict.message else ""
    _fail(ctx, sa, Failed("E170", f"the peer does not let {terms.user} log in{said}"))


# --- Mode Config ----------------------------------------------------------------------------


def _go_on(ctx: Context, sa: SaV1) -> None:
    """Whoever has to log in has done so: an address is next, if one is due."""
    asks, gives = access.client_terms(sa), access.server_terms(sa)
    if asks is not None:
        _ask(ctx, sa, mode_config.request(_identifier(ctx), _wanted(ctx, sa, asks)))
    elif gives is None:
        _stand(ctx, sa)
    elif _of_earlier(ctx, sa) is not None:
        # A renewed phase 1 of the same client: it may or may not ask again.
        _lend(ctx, sa, gives, None)
        _stand(ctx, sa)
    elif gives.push:
        lent = _lend(ctx, sa, gives, None)
        if lent is None:
            _fail(ctx, sa, _nothing_left(sa))
            return
        _ask(ctx, sa, mode_config.unasked(_identifier(ctx), gives, lent.address))


def _wanted(ctx: Context, sa: SaV1, terms: ModeConfig) -> IPv4Address | None:
    """The address that we have now, in a renewal; else the configured one."""
    earlier = _of_earlier(ctx, sa)
    if earlier is not None:
        return earlier.address
    return None if terms.address is None else IPv4Address(terms.address)


def _of_earlier(ctx: Context, sa: SaV1) -> Assigned | None:
    """What another phase 1 with the same peer has."""
    found = (s.assigned for s in ctx.lifecycle.siblings(sa) if s.is_same_peer(sa))
    return next((given for given in found if given is not None), None)


def _stand(ctx: Context, sa: SaV1) -> None:
    """Nothing is due any more."""
    _ask_no_more(ctx, sa)
    phase1.stand(ctx, sa)


def _ask_no_more(ctx: Context, sa: SaV1) -> None:
    """What we have asked has become known in another way."""
    for message_id in sa.access.waiting:
        exchange = sa.exchanges.get(message_id)
        if exchange is not None:
            transport.end(ctx, sa, exchange)
    sa.access.waiting.clear()


def _fail(ctx: Context, sa: SaV1, failed: Failed) -> None:
    """Phase 1 will not stand; the peer is told that it is over."""
    if sa.access.login_due and _is_server(sa):
        closing.refuse(ctx, sa, NotifyType.AUTHENTICATION_FAILED, failed)
        return
    delete = Delete(ProtocolId.ISAKMP, (bytes(sa.spi_i + sa.spi_r),))
    transport.send_once(ctx, sa, (delete,))
    closing.give_up(ctx, sa, failed)


# --- Mode Config, client --------------------------------------------------------------------


def _told(ctx: Context, sa: SaV1, exchange: Exchange, payload: Attributes) -> None:
    """A server gives us an address unasked, or the one that we have once more."""
    given = mode_config.read_unasked(payload)
    if isinstance(sa.state, AwaitLogin):
        _reply(ctx, sa, exchange, mode_config.confirmation(payload))
        _take(ctx, sa, given)
    elif sa.assigned is not None and sa.assigned.address == given.address:
        sa.assigned = given
        _reply(ctx, sa, exchange, mode_config.confirmation(payload))
    else:
        # Pairs that stand carry the address that they were made for.
        raise Dropped("not_asked")


def _take(ctx: Context, sa: SaV1, given: Assigned) -> None:
    """This is our address from now on, if any rule has a use for it."""
    tunnel = sa.connection
    if all(as_local(rule, given.address) is None for rule in tunnel.rules):
        raise NoAgreement(
            f"the peer gives us {given.address}, which is in no rule's local networks",
            notify=None,
            code="E172",
        )
    for other in ctx.lifecycle.siblings(sa):
        has = other.assigned
        if isinstance(other, SaV1) and has is not None and has.address != given.address:
            # Its pairs carry an address that is not ours any more.
            if sa.replaces is other:
                sa.replaces = None
            closing.delete(ctx, other, "the peer gives us another address")
    sa.assigned = given
    ctx.record(
        "mode_config.taken",
        f"the peer lends us {given.address}",
        connection=tunnel,
        facts=_facts(given),
    )
    ctx.emit(AssignAddress(tunnel.name, given.address, up=True))
    _stand(ctx, sa)


# --- Mode Config, server --------------------------------------------------------------------


def _give(ctx: Context, sa: SaV1, exchange: Exchange, payload: Attributes) -> None:
    """A client asks for an address."""
    terms = access.server_terms(sa)
    if terms is None:
        _reply(ctx, sa, exchange, mode_config.refusal(payload))
        return
    asked = mode_config.read_request(payload)
    lent = _lend(ctx, sa, terms, asked.address)
    if lent is None:
        _reply(ctx, sa, exchange, mode_config.refusal(payload))
        _fail(ctx, sa, _nothing_left(sa))
        return
    answer = mode_config.reply(payload, terms, lent.address, netmask=asked.netmask)
    _reply(ctx, sa, exchange, answer)
    if isinstance(sa.state, AwaitLogin):
        _stand(ctx, sa)


def _lend(ctx: Context, sa: SaV1, terms: ModeConfig, asked: IPv4Address | None) -> Assigned | None:
    """The client's address: the one that it has already, or one that nobody has."""
    if sa.assigned is not None:
        return sa.assigned
    taken = {
        other.assigned.address
        for other in ctx.lifecycle.siblings(sa)
        if other.assigned is not None and not other.is_same_peer(sa)
    }
    earlier = _of_earlier(ctx, sa)
    address = free_address(terms, taken, asked if earlier is None else earlier.address)
    if address is None:
        return None
    sa.assigned = Assigned(
        address,
        tuple(IPv4Address(text) for text in terms.dns),
        terms.domain,
        tuple(IPv4Network(text) for text in terms.networks),
    )
    ctx.record(
        "mode_config.given",
        f"{sa.user or sa.remote_id} at {sa.remote} has {address} from now on",
        connection=sa.connection,
        facts=_facts(sa.assigned),
    )
    return sa.assigned


def _nothing_left(sa: SaV1) -> Failed:
    return Failed("E173", f"no address is left for {sa.user or sa.remote_id} at {sa.remote}")


def _facts(given: Assigned) -> tuple[Fact, ...]:
    return (
        ("address", str(given.address)),
        ("dns", ", ".join(map(str, given.dns))),
        ("domain", given.domain),
        ("networks", ", ".join(map(str, given.networks))),
    )
