"""A peer that agrees to a part of a rule only (RFC 7296 §2.9): what does not pass has a reason."""

from isthmus.ike.core.child import ChildSa
from isthmus.ike.core.context import Context
from isthmus.ike.core.sa import IkeSa
from isthmus.policy.connection import Mode
from isthmus.values.selector import covers, selectors_text


def tell_narrowed(ctx: Context, sa: IkeSa, child: ChildSa) -> None:
    """Say which part of a rule a new Child SA carries, when it is not all of it.

    In route mode nothing is said: the rule is for everything, and a peer of one address family
    agrees to that family.
    """
    rule = child.rule
    if sa.connection.mode is Mode.ROUTE:
        return
    if covers(child.local, rule.seen_local) and covers(child.remote, rule.remote):
        return
    ctx.record(
        "phase2.narrowed",
        f"the peer agreed to a part of rule {rule.name} only: {selectors_text(child.local)} to "
        f"{selectors_text(child.remote)}; other packets of the rule are dropped",
        connection=sa.connection,
        rule=rule.name,
        code="E204",
        facts=(("fix", "make the rule's networks equal on both sides, or set one_pair = true"),),
    )
