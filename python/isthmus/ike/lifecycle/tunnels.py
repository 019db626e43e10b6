"""Decides what follows when SAs come, go or fail: interesting traffic, retries, adoption."""

from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.child import ChildSa, ChildState
from isthmus.ike.core.context import Context, Fact, Failed
from isthmus.ike.core.dialect import Dialect
from isthmus.ike.core.effects import ArmPolicy, RemoveSa
from isthmus.ike.core.events import OrphanFound, PacketWanted, RuleIdle
from isthmus.ike.core.sa import IkeSa
from isthmus.ike.lifecycle import carrier, superseding
from isthmus.ike.lifecycle.adoption import LOOK_AGAIN_S, Adoption
from isthmus.ike.lifecycle.index import SaIndex
from isthmus.ike.lifecycle.narrowing import tell_narrowed
from isthmus.ike.lifecycle.tunnel import Orphan, PastFailure, RuleRun, TunnelRun
from isthmus.policy.connection import Connection, Start
from isthmus.values.address import Endpoint
from isthmus.values.spi import spi_text
from isthmus.values.time import Instant, Seconds

RETRY_FIRST_S: Seconds = 2.0
RETRY_MAX_S: Seconds = 20.0
"""A road that is back is found within half a minute, and a peer that is away for a day is asked
a thousand times."""
CHILDLESS_S: Seconds = 5.0
"""An IKE SA whose only Child SA was refused is closed after this long."""
ADOPT_S: Seconds = 0.3
"""Pause before SAs found in the plane are replaced."""
ORPHAN_LINGER_S: Seconds = 10.0
STEADY_S: Seconds = 10.0
"""Phase 2 that stood so long was a success, whatever ended it."""
AGAIN_S: Seconds = 0.1
"""Pause before a rule that should always stand is begun again."""
UNANSWERED = "not answered"
"""Part of the reason why an IKE SA ended whose peer was found dead."""


def tunnel_owner(tunnel: TunnelRun) -> tuple[str, str]:
    """The name that a tunnel's timers stand under."""
    return ("tunnel", tunnel.connection.name)


class Tunnels:
    """All tunnels at run time; told by the dialect what happens to their SAs."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.runs: dict[str, TunnelRun] = {}
        self.sas = SaIndex()
        """Every IKE SA that is not closed; kept by the engine's registry."""
        self._adoption = Adoption()
        self.stopping = False
        """The daemon stops: nothing new begins."""

    # --- wishes ----------------------------------------------------------------------------

    def packet_wanted(self, ctx: Context, event: PacketWanted) -> None:
        """Interesting traffic: many packets, one negotiation."""
        run = self.runs.get(event.tunnel)
        rule = run.rules.get(event.rule) if run is not None else None
        if run is None or rule is None or run.held_down or rule.held_down or self.stopping:
            return
        if rule.wanted or rule.child is not None or rule.policy.start is Start.LISTEN:
            return
        if rule.closing:
            rule.wanted = True
            rule.trigger = f"packet {event.packet}"
            return
        if rule.waits(ctx.now):
            return
        ctx.record(
            "traffic.wanted",
            f"packet {event.packet} matches rule {rule.policy.name}: no phase 2, held",
            connection=run.connection,
            rule=rule.policy.name,
            facts=(("packet", str(event.packet)), ("held", event.held)),
        )
        self.want(ctx, run, rule, f"packet {event.packet}")

    def rule_idle(self, ctx: Context, event: RuleIdle) -> None:
        """Silence: phase 2 is closed by a proper delete, phase 1 stays."""
        run = self.runs.get(event.tunnel)
        rule = run.rules.get(event.rule) if run is not None else None
        if run is None or rule is None or rule.policy.idle_s is None:
            return
        if rule.policy.start is Start.ALWAYS:
            return
        child = rule.child
        sa = self.sa_of(run, child) if child is not None else None
        if child is None or sa is None or rule.closing:
            return
        ctx.record(
            "phase2.idle",
            f"no traffic of rule {rule.policy.name} for {rule.policy.idle_s:g} s: phase 2 closes",
            connection=run.connection,
            rule=rule.policy.name,
        )
        rule.idle = True
        self._dialect.delete_child(ctx, sa, child)

    def want(self, ctx: Context, run: TunnelRun, rule: RuleRun, trigger: str) -> None:
        """Phase 2 of this rule should stand: over a phase 1 that is there, or a new one."""
        if self.stopping:
            return
        if rule.wanted and rule.child is None and self.under_way(run):
            return
        rule.wanted = True
        rule.trigger = trigger
        rule.since = ctx.now
        run.held_down = False
        rule.held_down = False
        self.arm(ctx, run, rule)
        open_sa = self.open_sa(run)
        if open_sa is not None:
            self._dialect.create_child(ctx, open_sa, rule.policy.name, trigger)
            return
        if self.under_way(run):
            return
        self._initiate(ctx, run)

    def _initiate(self, ctx: Context, run: TunnelRun, remote: Endpoint | None = None) -> None:
        if remote is None and run.connection.remote_endpoint is None:
            failed = Failed("E106", "the peer's address is not known: it has to start")
            for rule in run.wanted_rules:
                self._rule_failed(ctx, run, rule, failed)
            return
        run.since = ctx.now
        self._dialect.initiate(ctx, run.connection, remote)

    def open_sa(self, run: TunnelRun) -> IkeSa | None:
        """The newest IKE SA that carries new exchanges; one of before a restart does not."""
        mine = [s for s in self.sas.of(run.connection.name) if s.is_open]
        mine = [s for s in mine if s.connection is run.connection]
        return next((s for s in reversed(mine) if not s.superseded), mine[-1] if mine else None)

    def under_way(self, run: TunnelRun) -> bool:
        """An attempt of ours to make phase 1 is on its way."""
        mine = self.sas.of(run.connection.name)
        return any(s.initiator and s.is_making and s.connection is run.connection for s in mine)

    # --- told by the dialect ---------------------------------------------------------------

    def phase1_up(self, ctx: Context, sa: IkeSa) -> None:
        """An IKE SA is authenticated."""
        run = self.runs.get(sa.connection.name)
        facts: tuple[Fact, ...] = (
            ("local", str(sa.local)),
            ("remote", str(sa.remote)),
            ("local_id", str(sa.local_id)),
            ("remote_id", str(sa.remote_id)),
            ("suite", str(sa.suite)),
            ("nat", str(sa.nat)),
            ("initiator", sa.initiator),
            ("took_ms", round((ctx.now - sa.created_at) * 1000, 1)),
        )
        ctx.record(
            "phase1.up",
            f"phase 1 is up with {sa.remote_id} at {sa.remote}, {sa.suite}",
            connection=sa.connection,
            facts=facts,
        )
        self._adopted(ctx, sa)
        if run is None:
            return
        run.failure = None
        run.rumour = None
        run.tries = 0
        run.since = ctx.now
        superseding.supersede(ctx, self.sas.of(sa.connection.name), sa)

    def phase1_ready(self, ctx: Context, sa: IkeSa) -> None:
        """The exchange that authenticated is done: the other rules that wait are asked for."""
        run = self.runs.get(sa.connection.name)
        if run is None or self.open_sa(run) is not sa:
            return
        for rule in run.wanted_rules:
            self._dialect.create_child(ctx, sa, rule.policy.name, rule.trigger)

    def admits(self, sa: IkeSa, rule: str) -> bool:
        """The user has not closed this rule on purpose."""
        run = self.runs.get(sa.connection.name)
        found = run.rules.get(rule) if run is not None else None
        return run is not None and found is not None and not (run.held_down or found.held_down)

    def phase1_failed(self, ctx: Context, sa: IkeSa, failed: Failed) -> None:
        """An attempt to make an IKE SA has ended without one."""
        ctx.record(
            "phase1.failed",
            failed.reason,
            connection=sa.connection,
            code=failed.code,
            facts=(("remote", str(sa.remote)), ("initiator", sa.initiator), ("fix", failed.fix)),
        )
        run = self.runs.get(sa.connection.name)
        if run is None:
            return
        if not sa.initiator:
            # Whoever it was did not authenticate: worth showing, and nothing more.
            run.rumour = PastFailure(failed, ctx.now, None)
            return
        run.tries += 1
        run.failure = PastFailure(failed, ctx.now, self._retry_at(ctx, run.tries))
        run.since = ctx.now
        for rule in run.wanted_rules:
            self._rule_failed(ctx, run, rule, failed, tries=run.tries)
        self._maybe_closed(ctx, run)

    def refused_peer(
        self, ctx: Context, connection: Connection, remote: Endpoint, why: str, code: str
    ) -> None:
        """We refused a peer's first message, which fits this tunnel by its address."""
        failed = Failed(code, why, "make one phase 1 proposal the same on both sides")
        ctx.record(
            "phase1.failed",
            why,
            connection=connection,
            code=code,
            facts=(("remote", str(remote)), ("initiator", False), ("fix", failed.fix)),
        )
        run = self.runs.get(connection.name)
        if run is not None:
            run.rumour = PastFailure(failed, ctx.now, None)

    def phase1_gone(self, ctx: Context, sa: IkeSa, reason: str, failed: Failed | None) -> None:
        """An established IKE SA is no more."""
        run = self.runs.get(sa.connection.name)
        if run is None:
            return
        run.since = ctx.now
        if failed is not None:
            run.failure = PastFailure(failed, ctx.now, None)
        for rule in run.wanted_rules:
            other = self.open_sa(run)
            if other is not None:
                # It may have been asked for over the one that is gone.
                self._dialect.create_child(ctx, other, rule.policy.name, rule.trigger)
            elif not self.under_way(run):
                rule.wanted = False
                again = failed or Failed("E126", f"phase 1 ended while phase 2 was made: {reason}")
                self._rule_failed(ctx, run, rule, again)
        self._maybe_closed(ctx, run)

    def phase1_replaced(self, ctx: Context, old: IkeSa, new: IkeSa) -> None:
        """A rekey put `new` in the place of `old`."""
        ctx.record(
            "phase1.rekeyed",
            f"phase 1 is renewed, {new.suite}",
            connection=new.connection,
            facts=(
                ("old_spi_i", old.spi_i.hex()),
                ("spi_i", new.spi_i.hex()),
                ("initiator", new.initiator),
            ),
        )
        self._dialect.resume(ctx, new)

    def phase2_up(self, ctx: Context, sa: IkeSa, child: ChildSa) -> None:
        """A Child SA is installed."""
        run = self.runs.get(sa.connection.name)
        rule = run.rules.get(child.rule.name) if run is not None else None
        renewed = child.predecessor is not None
        if renewed:
            trigger = "renewal"
        else:
            trigger = rule.trigger if rule is not None and child.initiated else "the peer"
        facts: tuple[Fact, ...] = (
            ("spi_in", spi_text(child.spi_in)),
            ("spi_out", spi_text(child.spi_out)),
            ("suite", str(child.suite)),
            ("pfs", child.pfs or "none"),
            ("encap", child.encap),
            ("initiator", child.initiated),
            ("cause", trigger),
            ("took_ms", round((ctx.now - child.asked_at) * 1000, 1)),
        )
        ctx.record(
            "phase2.rekeyed" if renewed else "phase2.up",
            f"phase 2 of rule {child.rule.name} is "
            + ("renewed: " if renewed else "up: ")
            + str(child),
            connection=sa.connection,
            rule=child.rule.name,
            facts=facts,
        )
        if not renewed:
            tell_narrowed(ctx, sa, child)
        if run is None or rule is None:
            return
        rule.children = [c for c in rule.children if c.state is not ChildState.GONE]
        if child not in rule.children:
            rule.children.append(child)
        rule.wanted = False
        rule.failure = None
        rule.again_at = None
        rule.idle = False
        rule.closing = False
        rule.insists = False
        if not renewed:
            rule.since = ctx.now
            rule.up_at = ctx.now
            rule.trigger = trigger
        self.arm(ctx, run, rule)
        ctx.agenda.disarm(sa.owner, TimerKind.CHILDLESS)
        if sa.superseded:
            superseding.stand_back(ctx, child)
        if run.held_down or rule.held_down:
            # It was on its way when the user closed the rule.
            self._dialect.delete_child(ctx, sa, child)
        for ticket in rule.tickets:
            ctx.record(
                "command.done",
                "phase 2 is up",
                connection=run.connection,
                rule=rule.policy.name,
                ticket=ticket,
            )
        rule.tickets.clear()
        if run.orphans:
            ctx.agenda.arm(tunnel_owner(run), TimerKind.ADOPT, ctx.later(ORPHAN_LINGER_S))

    def phase2_failed(self, ctx: Context, sa: IkeSa, rule: str, failed: Failed) -> None:
        """An attempt to make a Child SA was refused, by the peer or by us."""
        run = self.runs.get(sa.connection.name)
        found = run.rules.get(rule) if run is not None else None
        ctx.record(
            "phase2.rekey_failed" if found is not None and found.child else "phase2.failed",
            failed.reason,
            connection=sa.connection,
            rule=rule,
            code=failed.code,
            facts=(("fix", failed.fix),),
        )
        if run is None:
            return
        if found is not None and found.child is None:
            self._rule_failed(ctx, run, found, failed)
        elif not rule:
            # The peer asked for something that no rule of ours fits.
            for each in run.rules.values():
                if each.child is None:
                    each.failure = PastFailure(failed, ctx.now, None)
                    each.since = ctx.now
        # What the peer puts off is asked for again over this phase 1.
        if failed.lasting and not sa.children and sa.is_open:
            if sa.initiator and not run.wanted_rules:
                self._dialect.delete(ctx, sa, "phase 2 was refused")
            elif not sa.initiator:
                ctx.agenda.arm(sa.owner, TimerKind.CHILDLESS, ctx.later(CHILDLESS_S))

    def phase2_closing(self, ctx: Context, sa: IkeSa, child: ChildSa) -> None:
        """Our Delete goes out: packets wait until the peer has answered it."""
        run = self.runs.get(sa.connection.name)
        rule = run.rules.get(child.rule.name) if run is not None else None
        if run is not None and rule is not None and rule.child is child:
            rule.closing = True
            self.arm(ctx, run, rule)

    def phase2_gone(self, ctx: Context, sa: IkeSa, child: ChildSa, reason: str) -> None:
        """A Child SA that nothing replaced is no more."""
        run = self.runs.get(sa.connection.name)
        rule = run.rules.get(child.rule.name) if run is not None else None
        stands = rule is not None and rule.child is not None
        ctx.record(
            "phase2.surplus_closed" if stands else "phase2.down",
            f"{'a surplus pair' if stands else 'phase 2'} of rule {child.rule.name} is closed: "
            + reason,
            connection=sa.connection,
            rule=child.rule.name,
            facts=(("spi_in", spi_text(child.spi_in)), ("reason", reason)),
        )
        if run is None or rule is None:
            return
        rule.children = [c for c in rule.children if c.state is not ChildState.GONE]
        if stands:
            return
        rule.since = ctx.now
        rule.closing = False
        rule.idle = rule.idle or (sa.is_open and not rule.held_down)
        rule.insists = UNANSWERED in reason and carrier.insists_after_death(run, rule)
        self.arm(ctx, run, rule)
        self._maybe_closed(ctx, run)
        self._watch_phase1(ctx, run, sa)
        if run.held_down or rule.held_down:
            return
        if rule.wanted:
            rule.wanted = False
            self.want(ctx, run, rule, rule.trigger)
            return
        if rule.policy.start is Start.ALWAYS or rule.insists:
            rule.wanted = True
            # What ends as soon as it stands is not begun again without a pause.
            self._count_try(ctx, rule)
            at_once = ctx.later(AGAIN_S)
            rule.again_at = self._retry_at(ctx, rule.tries - 1) if rule.tries > 1 else at_once
            self._arm_retry(ctx, run)

    def initial_contact(self, ctx: Context, sa: IkeSa) -> None:
        """The peer knows of no other SA with us: drop what we still hold (RFC 7296 §2.4)."""
        for other in self.sas.of(sa.connection.name):
            if other is sa or other.established_at is None:
                continue
            if other.established_at > sa.created_at:
                # The peer began `sa` before it had this one, so it does not speak of it: the two
                # crossed, and the peer, which has it, would keep it for ever.
                continue
            if other.remote_id is not None and other.is_same_peer(sa):
                self._dialect.lost(ctx, other, "the peer started anew")

    def first_contact(self, sa: IkeSa) -> bool:
        """No other SA with this peer stands, and none of before a restart is being replaced."""
        run = self.runs.get(sa.connection.name)
        if run is None or run.orphans:
            return False
        return all(other is sa for other in self.sas.of(sa.connection.name))

    def siblings(self, sa: IkeSa) -> tuple[IkeSa, ...]:
        """The other IKE SAs of its tunnel that are not closed."""
        return tuple(s for s in self.sas.of(sa.connection.name) if s is not sa)

    def still_wanted(self, sa: IkeSa, rule: str) -> bool:
        """A Child SA for this rule is wanted and none has come meanwhile."""
        run = self.runs.get(sa.connection.name)
        found = run.rules.get(rule) if run is not None else None
        return found is not None and found.wanted and found.child is None

    def wanted_rule(self, sa: IkeSa) -> str | None:
        """The rule that the first Child SA is for."""
        run = self.runs.get(sa.connection.name)
        if run is None:
            return None
        wanted = run.wanted_rules
        return wanted[0].policy.name if wanted else None

    # --- commands --------------------------------------------------------------------------

    def initiate(self, ctx: Context, run: TunnelRun, rule_name: str | None, ticket: int) -> None:
        """`isthmus up`: now, whatever was held down or waits for its next try."""
        run.held_down = False
        for rule in run.rules.values():
            if rule_name is not None and rule.policy.name != rule_name:
                continue
            rule.held_down = False
            rule.failure = None
            if rule.child is not None:
                ctx.record(
                    "command.done",
                    "phase 2 is up already",
                    connection=run.connection,
                    rule=rule.policy.name,
                    ticket=ticket,
                )
                continue
            rule.tickets.append(ticket)
            self.want(ctx, run, rule, "command")

    def terminate(
        self, ctx: Context, run: TunnelRun, rule_name: str | None, hold: bool, ticket: int
    ) -> None:
        """`isthmus down`: phase 1 and 2, or phase 2 of one rule."""
        if rule_name is None:
            run.held_down = hold
            run.closing_tickets.append(ticket)
            self.close_all(ctx, run, "closed by command")
            self._maybe_closed(ctx, run)
            return
        rule = run.rules[rule_name]
        rule.held_down = hold
        rule.wanted = False
        rule.insists = False
        self._refuse_tickets(ctx, run, rule, Failed("E127", "closed by another command"))
        self.arm(ctx, run, rule)
        for child in tuple(rule.children):
            sa = self.sa_of(run, child)
            if sa is not None and (child.is_usable or superseding.lies_about(sa, child)):
                self._dialect.delete_child(ctx, sa, child)
        ctx.record("command.done", "", connection=run.connection, rule=rule_name, ticket=ticket)

    def sa_of(self, run: TunnelRun, child: ChildSa) -> IkeSa | None:
        """The IKE SA that a Child SA belongs to now."""
        mine = self.sas.of(run.connection.name)
        return next((s for s in mine if child.spi_in in s.children), None)

    # --- timers and restarts ---------------------------------------------------------------

    def timer(self, ctx: Context, run: TunnelRun, kind: TimerKind) -> None:
        """A timer of the tunnel fired."""
        if kind is TimerKind.RETRY:
            self._retry(ctx, run)
        elif kind is TimerKind.ADOPT:
            self._adopt(ctx, run)

    def _retry(self, ctx: Context, run: TunnelRun) -> None:
        for rule in run.rules.values():
            if rule.waits(ctx.now):
                continue
            rule.again_at = None
            if rule.failure is not None:
                rule.failure = PastFailure(rule.failure.failed, rule.failure.at, None)
            self.arm(ctx, run, rule)
            always = rule.policy.start is Start.ALWAYS and not rule.held_down
            if (always or rule.wanted or rule.insists) and not run.held_down and rule.child is None:
                rule.wanted = False
                self.want(ctx, run, rule, rule.trigger or "retry")
        self._arm_retry(ctx, run)

    def _arm_retry(self, ctx: Context, run: TunnelRun) -> None:
        """One timer stands for all rules of a tunnel: it fires for the one that is due first."""
        due = [at for rule in run.rules.values() if (at := rule.due_at) is not None]
        if due and not self.stopping:
            ctx.agenda.arm(tunnel_owner(run), TimerKind.RETRY, max(min(due), ctx.now))
        else:
            ctx.agenda.disarm(tunnel_owner(run), TimerKind.RETRY)

    def orphan_found(self, ctx: Context, event: OrphanFound) -> None:
        """An SA lives in the plane since before this process: it goes on, and is replaced soon."""
        run = self.runs.get(event.tunnel)
        if run is None:
            ctx.emit(RemoveSa(event.spi, event.inbound))
            return
        found = Orphan(event.rule, event.spi, event.inbound, event.remote, ctx.now)
        run.orphans.append(found)
        carrier.follow(ctx, run)
        if ctx.agenda.when(tunnel_owner(run), TimerKind.ADOPT) is None:
            pause = ADOPT_S * (1 + ctx.chance())
            ctx.agenda.arm(tunnel_owner(run), TimerKind.ADOPT, ctx.later(pause))

    def _adopt(self, ctx: Context, run: TunnelRun) -> None:
        """Replace orphans make-before-break; once a pair of ours stands they go."""
        if self.stopping:
            return
        replaced = {o.rule for o in run.orphans if self._orphan_is_done(ctx, run, o)}
        for orphan in run.orphans:
            if orphan.rule in replaced:
                ctx.emit(RemoveSa(orphan.spi, orphan.inbound))
        run.orphans = [o for o in run.orphans if o.rule not in replaced]
        if not run.orphans:
            return
        name = run.connection.name
        self._adoption.ask(name)
        self._adopt_in_turn(ctx)
        if self._adoption.waits(name):
            ctx.agenda.arm(tunnel_owner(run), TimerKind.ADOPT, ctx.later(LOOK_AGAIN_S))

    def _adopted(self, ctx: Context, sa: IkeSa) -> None:
        """An attempt has ended, well or badly: whose turn is it now?"""
        self._adoption.done(sa.connection.name)
        self._adopt_in_turn(ctx)

    def _adopt_in_turn(self, ctx: Context) -> None:
        while (tunnel := self._adoption.next(ctx.now)) is not None:
            run = self.runs.get(tunnel)
            if run is None or not run.orphans or self.stopping:
                self._adoption.done(tunnel)
                continue
            self._replace_orphans(ctx, run)
            ctx.agenda.arm(tunnel_owner(run), TimerKind.ADOPT, ctx.later(ORPHAN_LINGER_S))

    def _replace_orphans(self, ctx: Context, run: TunnelRun) -> None:
        remote = next((o.remote for o in run.orphans if not o.inbound), None)
        for orphan in run.orphans:
            rule = run.rules[orphan.rule]
            if not rule.wanted:
                rule.wanted = True
                rule.trigger = "replacing SAs of before a restart"
                rule.since = ctx.now
        open_sa = self.open_sa(run)
        if open_sa is not None:
            self._adoption.done(run.connection.name)
            for name in dict.fromkeys(o.rule for o in run.orphans):
                self._dialect.create_child(ctx, open_sa, name, run.rules[name].trigger)
        elif not self.under_way(run):
            self._initiate(ctx, run, remote)

    @staticmethod
    def _orphan_is_done(ctx: Context, run: TunnelRun, orphan: Orphan) -> bool:
        """Something stands in its place, nobody wants it, or its key has lived long enough."""
        rule = run.rules.get(orphan.rule)
        if rule is None or rule.child is not None or run.held_down or rule.held_down:
            return True
        return ctx.now - orphan.found_at > rule.policy.lifetimes.lifetime_s

    def _watch_phase1(self, ctx: Context, run: TunnelRun, sa: IkeSa) -> None:
        """A phase 1 without phase 2 may end after a while, if the configuration says so."""
        pause = run.connection.phase1_idle_s
        if pause is not None and sa.is_open and not sa.children:
            ctx.agenda.arm(sa.owner, TimerKind.PHASE1_IDLE, ctx.later(pause))

    def planes_lost(self, ctx: Context, sa: IkeSa, child: ChildSa, reason: str) -> None:
        """A data plane does not carry this pair (any more): close it towards the peer too."""
        ctx.record(
            "phase2.refused_by_plane",
            reason,
            connection=sa.connection,
            rule=child.rule.name,
            code="E308",
        )
        self._dialect.delete_child(ctx, sa, child)
        run = self.runs.get(sa.connection.name)
        rule = run.rules.get(child.rule.name) if run is not None else None
        if run is not None and rule is not None and rule.child is None:
            self._rule_failed(ctx, run, rule, Failed("E308", reason))

    # --- helpers ---------------------------------------------------------------------------

    def _rule_failed(
        self,
        ctx: Context,
        run: TunnelRun,
        rule: RuleRun,
        failed: Failed,
        tries: int | None = None,
    ) -> None:
        if tries is None:
            self._count_try(ctx, rule)
        else:
            rule.tries = tries
        retry_at = self._retry_at(ctx, rule.tries)
        rule.failure = PastFailure(failed, ctx.now, retry_at)
        rule.wanted = False
        rule.insists |= carrier.insists_after_failure(run, rule)
        rule.since = ctx.now
        self._refuse_tickets(ctx, run, rule, failed)
        self.arm(ctx, run, rule)
        self._arm_retry(ctx, run)

    @staticmethod
    def _refuse_tickets(ctx: Context, run: TunnelRun, rule: RuleRun, failed: Failed) -> None:
        for ticket in rule.tickets:
            ctx.record(
                "command.failed",
                failed.reason,
                connection=run.connection,
                rule=rule.policy.name,
                code=failed.code,
                ticket=ticket,
                facts=(("fix", failed.fix),),
            )
        rule.tickets.clear()

    @staticmethod
    def _count_try(ctx: Context, rule: RuleRun) -> None:
        """One more attempt in a row without success; what stood for a while was a success."""
        steady = rule.up_at is not None and ctx.now - rule.up_at >= STEADY_S
        rule.tries = 1 if steady else rule.tries + 1
        rule.up_at = None

    def _retry_at(self, ctx: Context, tries: int) -> Instant:
        pause = min(RETRY_FIRST_S * 2 ** min(tries - 1, 10), RETRY_MAX_S)
        return ctx.later(pause * (0.8 + 0.4 * ctx.chance()))

    def arm(self, ctx: Context, run: TunnelRun, rule: RuleRun) -> None:
        """Tell the plane what becomes of packets that find no SA."""
        busy = rule.closing or rule.wanted or rule.waits(ctx.now)
        if run.held_down or rule.held_down:
            how = "drop"
        elif busy or rule.policy.start is Start.LISTEN:
            how = "hold_quiet"
        else:
            how = "hold"
        ctx.emit(ArmPolicy(run.connection.name, rule.policy.name, how))
        carrier.follow(ctx, run)

    def close_all(self, ctx: Context, run: TunnelRun, reason: str) -> None:
        for rule in run.rules.values():
            rule.wanted = False
            rule.insists = False
            rule.again_at = None
            self._refuse_tickets(ctx, run, rule, Failed("E127", reason))
            self.arm(ctx, run, rule)
        for sa in self.sas.of(run.connection.name):
            if sa.is_authenticated:
                self._dialect.delete(ctx, sa, reason)
            else:
                self._dialect.forget(ctx, sa)
        for orphan in run.orphans:
            ctx.emit(RemoveSa(orphan.spi, orphan.inbound))
        run.orphans.clear()

    def sa_removed(self, ctx: Context, sa: IkeSa) -> None:
        """An IKE SA is closed and forgotten."""
        self.sas.discard(sa)
        self._adopted(ctx, sa)
        run = self.runs.get(sa.connection.name)
        if run is not None:
            self._maybe_closed(ctx, run)

    def _maybe_closed(self, ctx: Context, run: TunnelRun) -> None:
        if not run.closing_tickets:
            return
        if self.sas.of(run.connection.name):
            return
        for ticket in run.closing_tickets:
            ctx.record("command.done", "closed", connection=run.connection, ticket=ticket)
        run.closing_tickets.clear()

    def connections(self) -> tuple[Connection, ...]:
        """The configured tunnels."""
        return tuple(run.connection for run in self.runs.values())
