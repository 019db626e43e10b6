"""The first Child SA, which goes along with IKE_AUTH (RFC 7296 §1.2), both roles.

It is made once both proofs hold, by the answer to the very message that authenticates.
"""

from isthmus.ike.core.context import Context, Failed
from isthmus.ike.v2 import children, look
from isthmus.ike.v2.sa import SaV2
from isthmus.ike.v2.states import ChildOffer
from isthmus.ike.v2.transport import notify, send_reply
from isthmus.ike.v2.wishes import WantDeleteIke
from isthmus.values.address import Endpoint
from isthmus.values.errors import Malformed, NoAgreement
from isthmus.values.registry.ikev2 import NotifyType
from isthmus.wire.header import Header
from isthmus.wire.v2.message import Payload
from isthmus.wire.v2.security_association import SecurityAssociation


def first_child(ctx: Context, sa: SaV2) -> ChildOffer | None:
    """Initiator: the rule that is wanted, or the first one."""
    name = ctx.lifecycle.wanted_rule(sa)
    rule = sa.connection.rule(name) if name else None
    if rule is None:
        rule = sa.connection.rules[0] if sa.connection.rules else None
    if rule is None:
        return None
    ctx.record(
        "phase2.negotiating",
        f"phase 2 of rule {rule.name} starts",
        connection=sa.connection,
        rule=rule.name,
    )
    # The first Child SA's keys come from the IKE SA: no KE in its proposals (RFC 7296 §1.2).
    return children.make_offer(ctx, rule, "", pfs=False)


def read_child(
    ctx: Context, sa: SaV2, offer: ChildOffer | None, payloads: tuple[Payload, ...]
) -> None:
    """Initiator: what became of the Child SA that went with IKE_AUTH."""
    rule = sa.connection.rule(offer.rule) if offer is not None else None
    if offer is None or rule is None:
        return
    error = look.error(payloads)
    if look.first(payloads, SecurityAssociation) is None:
        failed = (
            children.failure_of(error, offer)
            if error is not None
            else Failed("E209", "the peer made no Child SA and did not say why")
        )
        ctx.lifecycle.phase2_failed(ctx, sa, rule.name, failed)
        return
    assert sa.authenticating is not None
    try:
        accepted = children.read_answer(offer, payloads, pfs=False)
        children.refuse_taken(ctx, accepted.spi_out)
    except (NoAgreement, Malformed) as refusal:
        code = refusal.code if isinstance(refusal, NoAgreement) else "E209"
        ctx.lifecycle.phase2_failed(ctx, sa, rule.name, Failed(code, str(refusal)))
        sa.wishes.append(WantDeleteIke("the peer's answer for phase 2 cannot be used"))
        return
    child = children.install(
        ctx,
        sa,
        rule,
        suite=accepted.suite,
        spi_in=offer.spi,
        spi_out=accepted.spi_out,
        local=accepted.local,
        remote=accepted.remote,
        nonce_i=sa.authenticating.nonce_i,
        nonce_r=sa.authenticating.nonce_r,
        shared=None,
        initiated=True,
        asked_at=sa.created_at,
    )
    sa.authenticating = None
    ctx.lifecycle.phase2_up(ctx, sa, child)


def answer_child(
    ctx: Context,
    sa: SaV2,
    header: Header,
    payloads: tuple[Payload, ...],
    reply: list[Payload],
    local: Endpoint,
    remote: Endpoint,
) -> None:
    """Responder: the Child SA that the peer asks for; `reply` holds what proves our identity."""
    assert sa.authenticating is not None
    shown, connection = sa.authenticating, sa.connection
    if look.first(payloads, SecurityAssociation) is None:
        send_reply(ctx, sa, header, tuple(reply), local, remote)
        return
    try:
        choice = children.decide(connection.rules, payloads, pfs=False)
        children.refuse_taken(ctx, choice.spi_out)
    except NoAgreement as refusal:
        reply.append(notify(refusal.notify or NotifyType.NO_PROPOSAL_CHOSEN))
        send_reply(ctx, sa, header, tuple(reply), local, remote)
        ctx.lifecycle.phase2_failed(ctx, sa, "", Failed(refusal.code, refusal.reason))
        return
    rule = choice.narrowed.rule
    if not ctx.lifecycle.admits(sa, rule.name):
        # Others refuse phase 1 altogether when they see TEMPORARY_FAILURE here.
        reply.append(notify(NotifyType.NO_ADDITIONAL_SAS))
        send_reply(ctx, sa, header, tuple(reply), local, remote)
        ctx.lifecycle.phase2_failed(ctx, sa, rule.name, children.held_down(rule))
        return
    children.note_choice(ctx, sa, choice)
    child = children.install_choice(
        ctx,
        sa,
        choice,
        nonce_i=shown.nonce_i,
        nonce_r=shown.nonce_r,
        shared=None,
        asked_at=sa.created_at,
    )
    sa.authenticating = None
    reply += children.answer_payloads(choice, child.spi_in)
    send_reply(ctx, sa, header, tuple(reply), local, remote)
    ctx.lifecycle.phase2_up(ctx, sa, child)
