"""Route mode: when a tunnel's interface has carrier, so that routes over it are used.

Routing daemons and the kernel's own routes look at the carrier; it is how a backup route takes
over. It follows phase 2 and liveness:

- phase 2 stands (or SAs of before a restart still carry): carrier;
- `start = "always"` and `start = "listen"`: only then, because until then a packet could not pass;
- `start = "traffic"`: also while phase 2 waits for traffic, is idle or is negotiated for the first
  packet, because without carrier that packet would never come. After a failure, or once the peer
  was found dead, there is none until phase 2 stands again; `RuleRun.insists` has it tried;
- held down by `isthmus down`: none.
"""

from isthmus.ike.core.context import Context
from isthmus.ike.core.effects import SetCarrier
from isthmus.ike.lifecycle.tunnel import RuleRun, TunnelRun
from isthmus.policy.connection import DpdAction, Mode, Start


def follow(ctx: Context, run: TunnelRun) -> None:
    """Give the interface carrier or take it, if that changes anything."""
    if run.connection.mode is not Mode.ROUTE:
        return
    up = any(_carries(run, rule) for rule in run.rules.values())
    if up == run.carrier:
        return
    was, run.carrier, run.carrier_since = run.carrier, up, ctx.now
    ctx.emit(SetCarrier(run.connection.name, up))
    if was is not None:
        ctx.record(
            "interface.carrier",
            "the interface has carrier again: routes over it are used"
            if up
            else "the interface lost its carrier: routes over it are not used",
            connection=run.connection,
            facts=(("carrier", up),),
        )


def _carries(run: TunnelRun, rule: RuleRun) -> bool:
    """Whether a packet that is routed into the tunnel may pass, now or as soon as it asks."""
    if run.held_down or rule.held_down:
        return False
    if (
        rule.child is not None
        or rule.is_bridged
        or any(o.rule == rule.policy.name for o in run.orphans)
    ):
        return True
    return rule.policy.start is Start.TRAFFIC and not rule.insists


def insists_after_failure(run: TunnelRun, rule: RuleRun) -> bool:
    """Whether phase 2 is tried again without traffic once an attempt has failed."""
    return run.connection.mode is Mode.ROUTE and rule.policy.start is Start.TRAFFIC


def insists_after_death(run: TunnelRun, rule: RuleRun) -> bool:
    """Whether a peer that was found dead is called again without traffic."""
    if run.held_down or rule.held_down or rule.policy.start is Start.LISTEN:
        return False
    action = run.connection.liveness.action
    routed = run.connection.mode is Mode.ROUTE and action is not DpdAction.NOTHING
    return routed or action is DpdAction.RECONNECT
