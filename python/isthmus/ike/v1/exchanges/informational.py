"""Informational (RFC 2409 §5.7, RFC 2408 §4.8, RFC 3706): deletes, notifies, liveness.

One message each way, protected by a HASH once there are keys, and never answered: who deletes does
not learn whether the other has heard. Liveness is asked and answered by two of them.
"""

from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.child import ChildState
from isthmus.ike.core.context import Context, Failed
from isthmus.ike.core.dropped import Dropped
from isthmus.ike.core.payloads import every
from isthmus.ike.core.states import Closed
from isthmus.ike.lifecycle import retime
from isthmus.ike.v1 import children, closing, methods, phase1, transport
from isthmus.ike.v1.exchanges import quick_mode, transaction
from isthmus.ike.v1.keys import phase2_iv
from isthmus.ike.v1.phase1 import prf_of
from isthmus.ike.v1.sa import SaV1
from isthmus.ike.v1.states import AwaitAnswer, AwaitChoice, AwaitKey, AwaitLogin, AwaitProof
from isthmus.values.address import Endpoint
from isthmus.values.errors import Malformed
from isthmus.values.proposal import proposals_text
from isthmus.values.registry.ikev1 import FIRST_STATUS_TYPE, Flag, NotifyType, ProtocolId
from isthmus.values.registry.ikev2 import label
from isthmus.values.spi import ESP_SPI_SIZE, spi_from
from isthmus.values.time import Seconds
from isthmus.wire.header import Header
from isthmus.wire.v1 import Delete, Notify, decode_message
from isthmus.wire.v1.rules import check

GRACE_S: Seconds = 1.0
"""How long a refusal that nobody vouches for waits for a better answer."""
SETTLED_S: Seconds = 5.0
"""A pair that stands so long is in place at both ends, unless one has lost it."""
_SEQUENCE_SIZE = 4
_ASKED = AwaitAnswer | AwaitChoice | AwaitKey | AwaitProof


# --- liveness -------------------------------------------------------------------------------


def probe(ctx: Context, sa: SaV1) -> None:
    """Ask whether the peer lives. Each repeat has a number of its own: some peers take the same
    message for a copy of what they have answered already."""
    if sa.probe_since is None:
        sa.probe_since = ctx.now
        sa.probe_next = sa.probe_next or int.from_bytes(ctx.entropy.octets(3), "big")
        sa.probe_from = sa.probe_next
    _say(ctx, sa, NotifyType.R_U_THERE, sa.probe_next)
    sa.probe_next += 1


def _say(ctx: Context, sa: SaV1, kind: NotifyType, number: int) -> None:
    data = number.to_bytes(_SEQUENCE_SIZE, "big")
    notify = Notify(kind, data, ProtocolId.ISAKMP, bytes(sa.spi_i + sa.spi_r))
    transport.send_once(ctx, sa, (notify,))


def _asked(ctx: Context, sa: SaV1, notify: Notify) -> None:
    """R-U-THERE. The number must not be below the last one: an old message proves nothing."""
    number = int.from_bytes(notify.data, "big")
    # The same one again asks for an answer that was lost.
    if len(notify.data) != _SEQUENCE_SIZE or number < (sa.probe_heard or 0):
        raise Dropped("probe_repeat")
    sa.probe_heard = number
    _say(ctx, sa, NotifyType.R_U_THERE_ACK, number)


def _answered(sa: SaV1, notify: Notify) -> None:
    number = int.from_bytes(notify.data, "big")
    if not sa.probe_from <= number < sa.probe_next:
        raise Dropped("probe_not_asked")


# --- what the peer says ---------------------------------------------------------------------


def received(
    ctx: Context, sa: SaV1, header: Header, octets: bytes, local: Endpoint, remote: Endpoint
) -> None:
    """Raises Dropped for what changes nothing."""
    if not header.flags & Flag.ENCRYPTION:
        _heard_in_clear(ctx, sa, octets)
        return
    if sa.keys is None:
        raise Dropped("no_keys_yet")
    if sa.established_at is None and not isinstance(sa.state, AwaitLogin):
        _heard_early(ctx, sa, header, octets)
        return
    transport.must_be_new(sa, header.message_id)
    iv = phase2_iv(prf_of(sa), sa.last_block, header.message_id)
    chain, _ = transport.open_sealed(sa, header, octets, iv)
    transport.verify(sa, chain, transport.hash_over(header.message_id))
    transport.note_used(ctx, sa, header.message_id)
    transport.heard(ctx, sa, local, remote)
    transport.tell_received(ctx, sa, header, chain, len(octets), is_response=False)
    try:
        check(header.exchange, "informational", chain.payloads)
    except Malformed as malformed:
        raise Dropped("malformed") from malformed
    for notify in every(chain.payloads, Notify):
        if not isinstance(sa.state, Closed):
            _notified(ctx, sa, notify)
    if sa.established_at is not None and sa.is_open:
        before = sa.lifetime_max_s
        phase1.note_lifetime(sa, chain)
        if sa.lifetime_max_s != before:
            retime.phase1(ctx, sa, sa.established_at)
    for delete in every(chain.payloads, Delete):
        if isinstance(sa.state, Closed) or not _deleted(ctx, sa, delete):
            return


def _notified(ctx: Context, sa: SaV1, notify: Notify) -> None:
    match notify.kind:
        case NotifyType.R_U_THERE:
            _asked(ctx, sa, notify)
        case NotifyType.R_U_THERE_ACK:
            _answered(sa, notify)
        case NotifyType.CONNECTED:
            children.connected(ctx, sa)
        case NotifyType.AUTHENTICATION_FAILED if isinstance(sa.state, AwaitLogin):
            transaction.closed_by_peer(ctx, sa)
        case NotifyType.AUTHENTICATION_FAILED if not sa.initiator and not sa.children:
            _proof_refused(ctx, sa)
        case NotifyType.INVALID_SPI:
            _unknown_to_peer(ctx, sa, notify)
        case kind if kind < FIRST_STATUS_TYPE:
            if not quick_mode.refused(ctx, sa, notify):
                ctx.record(
                    "peer.complains",
                    f"the peer says {label(NotifyType, kind)}",
                    connection=sa.connection,
                    facts=(("notify", label(NotifyType, kind)),),
                )
        case _:
            # Status of which nothing follows, or that belongs into other messages.
            return


def _proof_refused(ctx: Context, sa: SaV1) -> None:
    """A responder takes phase 1 for made when it has sent its proof, which the peer then judges."""
    reason = f"the peer refused our proof with AUTHENTICATION-FAILED (we are {sa.local_id})"
    fix = "look at the peer's log: it says what it misses in our certificate or identity"
    closing.lost(ctx, sa, reason, Failed("E129", reason, fix))


def _unknown_to_peer(ctx: Context, sa: SaV1, notify: Notify) -> None:
    """The peer has no SA for what we send: ours goes too, and traffic makes another. Not a young
    one, whose first packets may have come before the peer was ready."""
    for octets in (notify.spi, notify.data):
        child = sa.child_by_peer_spi(spi_from(octets)) if len(octets) == ESP_SPI_SIZE else None
        if child is None or child.state is not ChildState.INSTALLED:
            continue
        if ctx.now - child.created_at >= SETTLED_S:
            children.close(ctx, sa, child)
        return


def _deleted(ctx: Context, sa: SaV1, delete: Delete) -> bool:
    """False: phase 1 itself is gone, and nothing behind counts."""
    if delete.protocol == ProtocolId.ISAKMP:
        if bytes(sa.spi_i + sa.spi_r) not in delete.spis:
            return True
        if isinstance(sa.state, AwaitLogin):
            transaction.closed_by_peer(ctx, sa)
        else:
            closing.lost(ctx, sa, "closed by the peer")
        return False
    if delete.protocol == ProtocolId.ESP:
        for octets in delete.spis:
            child = sa.child_by_peer_spi(spi_from(octets))
            if child is not None:
                children.deleted_by_peer(ctx, sa, child)
    return True


# --- what nobody vouches for ----------------------------------------------------------------


def _heard_in_clear(ctx: Context, sa: SaV1, octets: bytes) -> None:
    """Anybody could have sent it. It changes nothing, but for an attempt of ours that is refused:
    then it is believed when nothing better has come for a moment."""
    if not sa.initiator or not isinstance(
        sa.state, AwaitAnswer | AwaitChoice | AwaitKey | AwaitProof
    ):
        raise Dropped("not_protected")
    try:
        header, chain = decode_message(octets)
        check(header.exchange, "informational clear", chain.payloads)
    except Malformed as malformed:
        raise Dropped("malformed") from malformed
    error = next((n for n in every(chain.payloads, Notify) if n.kind < FIRST_STATUS_TYPE), None)
    if error is None:
        raise Dropped("not_protected")
    _doubt(ctx, sa, _refusal(sa, error.kind))


def _heard_early(ctx: Context, sa: SaV1, header: Header, octets: bytes) -> None:
    """There are keys, and the peer has not proved itself: it may be refusing our proof. That it
    cannot be read is told as well: with another pre-shared key it has other keys."""
    if not sa.initiator or not isinstance(sa.state, AwaitProof):
        raise Dropped("not_authenticated")
    transport.must_be_new(sa, header.message_id)
    iv = phase2_iv(prf_of(sa), sa.phase1.iv, header.message_id)
    try:
        chain, _ = transport.open_sealed(sa, header, octets, iv)
        transport.verify(sa, chain, transport.hash_over(header.message_id))
    except Dropped:
        assert sa.proving is not None
        if methods.is_psk(sa.proving.method):
            _doubt(ctx, sa, _other_secret())
        raise
    transport.note_used(ctx, sa, header.message_id)
    transport.tell_received(ctx, sa, header, chain, len(octets), is_response=False)
    error = next((n for n in every(chain.payloads, Notify) if n.kind < FIRST_STATUS_TYPE), None)
    if error is not None:
        _doubt(ctx, sa, _refusal(sa, error.kind))


def _doubt(ctx: Context, sa: SaV1, failed: Failed) -> None:
    if sa.doubted is None:
        sa.doubted = failed
        ctx.agenda.arm(sa.owner, TimerKind.GRACE, ctx.later(GRACE_S))


def grace_over(ctx: Context, sa: SaV1) -> None:
    """No better answer came: the refusal stands."""
    if sa.doubted is not None and sa.is_making:
        closing.give_up(ctx, sa, sa.doubted)


def _refusal(sa: SaV1, kind: int) -> Failed:
    name = label(NotifyType, kind).replace("_", "-")
    if isinstance(sa.state, AwaitProof):
        assert sa.proving is not None
        if methods.is_psk(sa.proving.method):
            return Failed(
                "E120",
                f"the peer refused our proof with {name}: another pre-shared key, or an identity "
                f"that it does not expect (we are {sa.local_id})",
                "compare the pre-shared keys (isthmus psk check) and the identities of both sides",
            )
        return Failed(
            "E129",
            f"the peer refused our proof with {name}: a certificate that it does not trust, or an "
            f"identity that it does not expect (we are {sa.local_id})",
            "look at the peer's log: it says what it misses in our certificate or identity",
        )
    if kind in (NotifyType.NO_PROPOSAL_CHOSEN, NotifyType.ATTRIBUTES_NOT_SUPPORTED):
        offered = proposals_text(sa.connection.phase1_proposals)
        return Failed(
            "E110",
            f"the peer refused phase 1 with {name}; we offered {offered}",
            "make one phase 1 proposal the same on both sides",
        )
    return Failed("E114", f"the peer refused phase 1 with {name}")


def _other_secret() -> Failed:
    return Failed(
        "E120",
        "the peer cannot read what we encrypt, nor we what it answers: another pre-shared key",
        "compare the pre-shared keys of both sides (isthmus psk check)",
    )
