"""INFORMATIONAL (RFC 7296 §1.4, §2.4, §2.25): deletes, liveness, notifies; both roles."""

from isthmus.ike.core import ending, pairs
from isthmus.ike.core.child import ChildSa, ChildState
from isthmus.ike.core.context import Context, Failed
from isthmus.ike.core.states import Refused
from isthmus.ike.v2 import closing, look
from isthmus.ike.v2.exchanges import rekey_ike
from isthmus.ike.v2.exchanges.create_child_sa import children_max, is_asking
from isthmus.ike.v2.exchanges.crossing import yield_to_peer
from isthmus.ike.v2.purposes import ForDeleteChild, ForDeleteIke, ForProbe
from isthmus.ike.v2.sa import SaV2
from isthmus.ike.v2.states import Closing, Replaced
from isthmus.ike.v2.transport import notify, send_reply, send_request, settle
from isthmus.ike.v2.wishes import WantDeleteChild, WantDeleteIke
from isthmus.values.address import Endpoint
from isthmus.values.registry.ikev2 import ExchangeType, NotifyType, SecurityProtocol
from isthmus.values.spi import ESP_SPI_SIZE, spi_from, spi_octets, spi_text
from isthmus.values.time import Seconds
from isthmus.wire.header import Header
from isthmus.wire.v2.delete import Delete
from isthmus.wire.v2.message import Payload

SETTLED_S: Seconds = 5.0
"""A pair that stands so long is in place at both ends, unless one has lost it."""

# --- initiator ------------------------------------------------------------------------------


def delete_child(ctx: Context, sa: SaV2, wish: WantDeleteChild) -> bool:
    """Tell the peer that a Child SA ends. False: it is gone already."""
    child = sa.children.get(wish.spi_in)
    if child is None or child.state in (ChildState.DELETING, ChildState.GONE):
        return False
    if child.is_usable:
        # Packets that come from now on wait for a new pair instead of going to one that the peer
        # is about to forget.
        ctx.lifecycle.phase2_closing(ctx, sa, child)
        pairs.stop_sending(ctx, child)
    child.move(ChildState.DELETING)
    payload = Delete(SecurityProtocol.ESP, (spi_octets(child.spi_in),))
    send_request(ctx, sa, ExchangeType.INFORMATIONAL, (payload,), ForDeleteChild(child.spi_in))
    return True


def delete_ike(ctx: Context, sa: SaV2, wish: WantDeleteIke) -> bool:
    """Tell the peer that the IKE SA ends, and with it every Child SA."""
    payloads: list[Payload] = []
    if wish.notify is not None:
        payloads.append(notify(wish.notify))
    payloads.append(Delete(SecurityProtocol.IKE, ()))
    if not isinstance(sa.state, Refused | Replaced):
        sa.state = Closing(wish.reason)
        ending.arm_nothing(ctx, sa)
    send_request(ctx, sa, ExchangeType.INFORMATIONAL, tuple(payloads), ForDeleteIke())
    return True


def probe(ctx: Context, sa: SaV2) -> bool:
    """Ask whether the peer lives; any authentic answer will do."""
    send_request(ctx, sa, ExchangeType.INFORMATIONAL, (), ForProbe())
    return True


def reply_received(
    ctx: Context,
    sa: SaV2,
    purpose: ForDeleteChild | ForDeleteIke | ForProbe,
    payloads: tuple[Payload, ...],
) -> None:
    """The peer's answer."""
    settle(ctx, sa)
    match purpose:
        case ForDeleteChild(spi_in):
            child = sa.children.get(spi_in)
            if child is not None:
                _ended(ctx, sa, child, "closed by us")
        case ForDeleteIke():
            finish_delete(ctx, sa)
        case ForProbe():
            return


def finish_delete(ctx: Context, sa: SaV2) -> None:
    """Our Delete of the IKE SA is answered, or nobody is there to answer it."""
    match sa.state:
        case Closing(reason):
            closing.lost(ctx, sa, reason)
        case _:
            closing.forget(ctx, sa)


# --- responder ------------------------------------------------------------------------------


def request_received(
    ctx: Context,
    sa: SaV2,
    header: Header,
    payloads: tuple[Payload, ...],
    local: Endpoint,
    remote: Endpoint,
) -> None:
    """Deletes and notifies of the peer; an empty request asks for an empty answer."""
    deletes = [p for p in payloads if isinstance(p, Delete)]
    refused = look.notified(payloads, NotifyType.AUTHENTICATION_FAILED)
    if refused is not None or any(d.protocol == SecurityProtocol.IKE for d in deletes):
        send_reply(ctx, sa, header, (), local, remote)
        # Both sides renewed at once and our half came to nothing: the peer's successor inherits.
        # Or the peer deletes the successor that it made in vain, before we have decided.
        undecided = sa.undecided_for is not None
        if sa.is_replaced or undecided or rekey_ike.yield_to_peer(ctx, sa):
            closing.forget(ctx, sa)
            return
        if refused is not None:
            failed = Failed(
                "E120",
                "the peer did not accept our proof: another pre-shared key or identity there",
                "compare pre-shared keys and identities of both sides",
            )
            closing.lost(ctx, sa, "the peer refused our proof", failed)
        else:
            closing.lost(ctx, sa, "closed by the peer")
        return
    answer: list[bytes] = []
    ended: list[ChildSa] = []
    for delete in deletes:
        if delete.protocol != SecurityProtocol.ESP:
            continue
        for octets in delete.spis:
            if len(octets) != ESP_SPI_SIZE:
                continue
            spi = spi_from(octets)
            child = sa.child_by_peer_spi(spi)
            if child is None and is_asking(sa) and len(sa.deleted_unheard) < children_max(sa):
                sa.deleted_unheard.add(spi)
            if child is None or child in ended:
                continue
            ended.append(child)
            if child.state is not ChildState.DELETING:
                # Crossing deletes name nothing in the answer (RFC 7296 §1.4.1).
                answer.append(spi_octets(child.spi_in))
    reply: tuple[Payload, ...] = (Delete(SecurityProtocol.ESP, tuple(answer)),) if answer else ()
    send_reply(ctx, sa, header, reply, local, remote)
    for child in ended:
        _ended(ctx, sa, child, "closed by the peer")
    unknown = look.notified(payloads, NotifyType.INVALID_SPI)
    if unknown is not None:
        _unknown_to_peer(ctx, sa, unknown.data)


def _unknown_to_peer(ctx: Context, sa: SaV2, data: bytes) -> None:
    """The peer has no SA for what we send (RFC 7296 §1.5, §3.10.1): ours goes too, and traffic
    makes another. Not a young one, whose first packets may have come before the peer was ready."""
    child = sa.child_by_peer_spi(spi_from(data)) if len(data) == ESP_SPI_SIZE else None
    if child is None or child.state is not ChildState.INSTALLED:
        return
    if ctx.now - child.created_at < SETTLED_S:
        return
    ctx.record(
        "phase2.unknown_to_peer",
        f"the peer has lost phase 2 of rule {child.rule.name}: it is closed here too",
        connection=sa.connection,
        rule=child.rule.name,
        facts=(("spi_out", spi_text(child.spi_out)),),
    )
    sa.wishes.append(WantDeleteChild(child.spi_in))


def _ended(ctx: Context, sa: SaV2, child: ChildSa, reason: str) -> None:
    """A Child SA is deleted on both sides: lingering if something stands in its place."""
    usable = child.is_usable
    was_replaced = child.state is ChildState.REPLACED or any(
        c.predecessor is child and c.state is not ChildState.GONE for c in sa.children.values()
    )
    yield_to_peer(ctx, sa, child)
    for successor in sa.children.values():
        if successor.predecessor is child:
            pairs.promote(ctx, successor)
            successor.predecessor = None
    if was_replaced:
        pairs.retire_child(ctx, sa, child)
        return
    deleting = child.state is ChildState.DELETING
    # Packets of the peer may still be on the road.
    pairs.retire_child(ctx, sa, child)
    if usable or deleting:
        ctx.lifecycle.phase2_gone(ctx, sa, child, reason)
