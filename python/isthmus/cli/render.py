"""Every screen of the command line (PRODUCT-GUIDE d.1), as lines and as JSON.

Nothing else in `cli` decides how something looks. The state words are those of the replies: fixed
vocabulary, never translated here. No reply holds a secret, so no screen can show one.
"""

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from isthmus.cli.errors import CliError
from isthmus.cli.text import Cell, Paint, amount, count, duration, safe, table
from isthmus.management import api

ROLES = {
    "up": "good",
    "rekeying": "good",
    "armed": "dim",
    "idle": "dim",
    "off": "dim",
    "down": "dim",
    "negotiating": "busy",
    "failed": "bad",
}
"""The colour of each state word."""

DAY_S = 86_400

_DULL = ("exchange", "payloads", "message_id", "direction", "tries", "spi_i", "spi_r")
"""Facts that a human has in the message already, or seldom wants; `--json` has them."""

_EVENT_KEYS = ("v", "ts", "event", "tunnel", "rule", "message", "code", "ticket", "fix")


def as_json(value: object) -> str:
    """One JSON document for `--json`."""
    return json.dumps(msgspec.to_builtins(value), ensure_ascii=False, indent=2)


def status_json(reply: api.StatusReply) -> str:
    """The document of `isthmus status --json` (docs/commands.md)."""
    document = {"schema": api.SCHEMA, "tunnels": reply.tunnels, "plane": reply.plane}
    return as_json({**document, "groups": reply.groups})


def reply_json(reply: api.Reply) -> str:
    """A reply as a document, without what belongs to the connection only."""
    built = msgspec.to_builtins(reply)
    return as_json(
        {
            "schema": api.SCHEMA,
            **{k: v for k, v in built.items() if k not in ("id", "schema", "type")},
        }
    )


def error_lines(error: CliError, colour: bool = False) -> list[str]:
    """What, why, do this."""
    paint = Paint(colour)
    what = f"{error.what} ({error.code})" if error.code else error.what
    lines = [f"{paint('bad', 'error:')} {safe(what)}"]
    if error.why:
        lines.append(f"why:   {safe(error.why)}")
    if error.fix:
        lines.append(f"do:    {safe(error.fix)}")
    return lines


def error_json(error: CliError) -> str:
    """The same for programs."""
    return json.dumps(
        {
            "schema": api.SCHEMA,
            "error": {
                "what": error.what,
                "why": error.why,
                "fix": error.fix,
                "code": error.code,
                "exit": int(error.exit),
            },
        },
        ensure_ascii=False,
    )


def status_lines(
    tunnels: Sequence[api.TunnelStatus],
    paint: Paint,
    groups: Sequence[api.GroupStatus] = (),
    now_s: float | None = None,
) -> list[str]:
    """The status table: one line a tunnel, its last failure under it, a line for each group, a sum
    at the end. `now_s` is the time of day that past moments are told by, in seconds since 1970."""
    if not tunnels:
        return ["No tunnels are configured."]
    header = ("TUNNEL", "PEER", "PHASE 1", "PHASE 2", "IN", "OUT", "SINCE", "")
    rows = [_status_row(tunnel) for tunnel in tunnels]
    lines = table(header, rows, paint)
    shown = [lines[0]]
    for tunnel, line in zip(tunnels, lines[1:], strict=True):
        shown.append(line)
        shown += [f"   {said}" for said in _failure_lines(tunnel, paint)]
    at_s = time.time() if now_s is None else now_s
    shown += [_group_line(group, paint, at_s) for group in groups]
    shown.append(summary(tunnels))
    return shown


def _group_line(group: api.GroupStatus, paint: Paint, now_s: float) -> str:
    """`aws-prod (pair): 1 of 2 up, redundancy lost since 09:41 (aws-1)`"""
    what = "pair" if len(group.tunnels) == 2 else "group"
    said = f"{len(group.up)} of {len(group.tunnels)} up"
    role = "good"
    if group.since_s is not None:
        # A moment of another day needs its date.
        form = "%H:%M" if group.since_s < DAY_S / 2 else "%Y-%m-%d %H:%M"
        since = time.strftime(form, time.localtime(now_s - group.since_s))
        down = ", ".join(safe(name) for name in group.tunnels if name not in group.up)
        lost = "redundancy lost" if group.up else "down"
        said += f", {lost} since {since} ({down})"
        role = "busy" if group.up else "bad"
    return f"{safe(group.name)} ({what}): {paint(role, said)}, prefer {group.prefer}"


def summary(tunnels: Sequence[api.TunnelStatus]) -> str:
    """`4 tunnels: 3 healthy, 1 failing.`"""
    words = Counter(_health(tunnel) for tunnel in tunnels)
    order = ("healthy", "failing", "negotiating", "down")
    parts = [f"{words[word]} {word}" for word in order if words[word]]
    return f"{count(len(tunnels), 'tunnel')}: {', '.join(parts)}."


def _health(tunnel: api.TunnelStatus) -> str:
    if tunnel.healthy:
        return "healthy"
    states = {tunnel.phase1.state, *(rule.state for rule in tunnel.rules)}
    if "failed" in states:
        return "failing"
    return "negotiating" if "negotiating" in states else "down"


def _status_row(tunnel: api.TunnelStatus) -> list[Cell | str]:
    phase1 = tunnel.phase1
    text = phase1.state
    if phase1.state == "failed":
        text = f"FAILED {tunnel.failure.code}" if tunnel.failure else "FAILED"
    elif phase1.age_s is not None:
        text += f" {duration(phase1.age_s)}"
    children = [child for rule in tunnel.rules for child in rule.children]
    carried = [
        amount(sum(child.octets_in for child in children)),
        amount(sum(child.octets_out for child in children)),
    ]
    return [
        safe(tunnel.name),
        safe(tunnel.peer),
        Cell(text, ROLES.get(phase1.state, "")),
        _phase2_cell(tunnel.rules),
        *(carried if children else ("-", "-")),
        duration(phase1.since_s),
        _remarks(tunnel),
    ]


def _phase2_cell(rules: Sequence[api.RuleStatus]) -> Cell:
    """`1/3 up`, or the one state that all rules share when none is up."""
    states = Counter(rule.state for rule in rules)
    up = states["up"] + states["rekeying"]
    text = f"{up}/{len(rules)}"
    if up:
        text += " up"
    elif len(states) == 1:
        text += f" {next(iter(states))}"
    role = "bad" if states["failed"] else "busy" if states["negotiating"] else ""
    return Cell(text, role or ("good" if up else "dim"))


def _remarks(tunnel: api.TunnelStatus) -> Cell:
    """What the columns do not say: other states, held down, weak algorithms (in red)."""
    states = Counter(rule.state for rule in tunnel.rules)
    up = states.pop("up", 0) + states.pop("rekeying", 0)
    said = [f"{number} {state}" for state, number in states.items() if up or len(states) > 1]
    if tunnel.version != "IKEv2":
        said.append(tunnel.version)
    if tunnel.held_down:
        said.append("held down")
    if tunnel.weak:
        said.append(f"WEAK: {', '.join(tunnel.weak)}")
    ending = min((one.days_left for one in tunnel.certificates), default=WARNED_DAYS + 1)
    if ending < 0:
        said.append("a certificate EXPIRED")
    elif ending <= WARNED_DAYS:
        said.append(f"a certificate ends in {count(ending, 'day')}")
    return Cell(", ".join(said), "bad" if tunnel.weak or ending < 0 else "")


def _is_weak(suite: str, weak: Sequence[str]) -> bool:
    """A suite in use is red for as long as one of its algorithms is what the daemon calls weak."""
    return not set(weak).isdisjoint(suite.split("-"))


def _failure_lines(tunnel: api.TunnelStatus, paint: Paint) -> list[str]:
    """The cause and the remedy of what fails now."""
    found: list[tuple[str, api.FailureState]] = []
    if tunnel.failure is not None:
        # Somebody who did not authenticate makes no tunnel unhealthy, but is worth a line.
        ours = tunnel.phase1.state == "failed" or not tunnel.healthy
        found.append(("" if ours else "an attempt of the peer failed: ", tunnel.failure))
    for rule in tunnel.rules:
        if rule.failure is not None and rule.state == "failed" and rule.failure != tunnel.failure:
            found.append((f"{rule.name}: ", rule.failure))
    lines: list[str] = []
    for who, failure in found:
        again = (
            "" if failure.retry_in_s is None else f", next try in {duration(failure.retry_in_s)}"
        )
        when = f"{duration(failure.ago_s)} ago{again}"
        lines.append(f"└ {paint('bad', failure.code)} {safe(who + failure.reason)} ({when})")
        if failure.fix:
            lines.append(f"  do: {safe(failure.fix)}")
    return lines


def tunnel_lines(tunnel: api.TunnelStatus, paint: Paint) -> list[str]:
    """`isthmus status NAME`: phase 1, then every rule, then the SPIs."""
    phase1 = tunnel.phase1
    head = (
        f"{paint('strong', safe(tunnel.name))}   {safe(tunnel.peer)}   "
        f"{tunnel.version}, {tunnel.mode}-based"
    )
    state = paint(ROLES.get(phase1.state, "dim"), phase1.state.upper())
    head += f", start {tunnel.start}   phase 1 {state}"
    if phase1.age_s is None:
        head += f" since {duration(phase1.since_s)}"
    lines = [head]
    if phase1.age_s is not None:
        who = "we initiated" if phase1.initiated else "the peer initiated"
        lines[0] += f" since {duration(phase1.age_s)} ({who})"
        lines.append(
            f"          rekey in {duration(phase1.rekey_in_s or 0)}, NAT {phase1.nat}, "
            f"peer heard {duration(phase1.heard_s or 0)} ago"
        )
        suite = phase1.suite or ""
        shown = paint("bad", suite) if _is_weak(suite, tunnel.weak) else suite
        lines.append(f"          {shown}   {phase1.local} ⇄ {phase1.remote}")
        lines.append(f"          {safe(phase1.local_id or '')} ⇄ {safe(phase1.remote_id or '')}")
        if phase1.peer_vendor:
            lines.append(f"          peer says it is {safe(phase1.peer_vendor)}")
        if phase1.user:
            lines.append(f"          logged in as {safe(phase1.user)}")
        if phase1.assigned is not None:
            lines.append(f"          {_assigned(phase1.assigned)}")
    lines += [f"          {_certificate(one, paint)}" for one in tunnel.certificates]
    if tunnel.held_down:
        lines.append("          held down: it waits for `isthmus up`, in spite of traffic")
    if tunnel.weak:
        lines.append(f"          {paint('bad', 'WEAK: ' + ', '.join(tunnel.weak))}")
    lines += [f"   {said}" for said in _failure_lines(tunnel, paint)]
    lines.append("")
    header = ("RULE", "STATE", "SELECTORS", "CIPHER", "PKTS in/out", "LAST", "NEXT")
    lines += table(header, [_rule_row(rule, tunnel.weak) for rule in tunnel.rules], paint)
    for rule in tunnel.rules:
        lines += [_child_line(rule, child) for child in rule.children]
    return lines


def _assigned(given: api.AssignedStatus) -> str:
    """`our address 10.99.0.7 from the peer, DNS 10.1.0.53, domain hq.example, for 10.1.0.0/16`."""
    said = (
        f"our address {given.address} from the peer" if given.ours else f"peer has {given.address}"
    )
    for word, values in (("DNS", given.dns), ("domain", (given.domain,)), ("for", given.networks)):
        if any(values):
            said += f", {word} {' '.join(values)}"
    return safe(said)


_CERTIFICATES = {"own": "our certificate", "issuer": "our issuer", "anchor": "root", "peer": "peer"}
WARNED_DAYS = 30


def _certificate(one: api.CertificateStatus, paint: Paint) -> str:
    """Whose it is, and how long it is good for."""
    if one.days_left < 0:
        left = paint("bad", "EXPIRED")
    else:
        left = f"{count(one.days_left, 'day')} left"
        left = paint("busy", left) if one.days_left <= WARNED_DAYS else left
    return f"{_CERTIFICATES.get(one.role, one.role)} {safe(one.subject)}: {left}"


def _rule_row(rule: api.RuleStatus, weak: Sequence[str]) -> list[Cell | str]:
    current = rule.children[-1] if rule.children else None
    local = ", ".join(rule.selectors.local)
    if rule.map_local:
        local += f" ({', '.join(f'{own} as {seen}' for own, seen in rule.map_local.items())})"
    selectors = f"{local} ⇄ {', '.join(rule.selectors.remote)}"
    row: list[Cell | str] = [
        safe(rule.name),
        Cell(rule.state, ROLES.get(rule.state, "")),
        selectors,
    ]
    if current is None:
        since = duration(rule.since_s) if rule.state == "idle" else "-"
        return [*row, "-", "-", since, _waits_for(rule)]
    packets_in = sum(child.packets_in for child in rule.children)
    packets_out = sum(child.packets_out for child in rule.children)
    last = [s for c in rule.children for s in (c.last_in_s, c.last_out_s) if s is not None]
    suite = current.suite if not current.pfs or current.pfs == "none" else f"{current.suite} +PFS"
    return [
        *row,
        Cell(suite, "bad" if _is_weak(current.suite, weak) else ""),
        f"{packets_in}/{packets_out}",
        duration(min(last)) if last else "-",
        _comes_next(rule, current),
    ]


def _comes_next(rule: api.RuleStatus, current: api.ChildState) -> str:
    """What happens to a pair of SAs by the clock alone, the soonest first."""
    rekey = (current.rekey_in_s, f"rekey {duration(current.rekey_in_s)}")
    if rule.idle_in_s is None:
        return rekey[1]
    coming = sorted((rekey, (rule.idle_in_s, f"idle in {duration(rule.idle_in_s)}")))
    return ", ".join(text for _, text in coming)


def _waits_for(rule: api.RuleStatus) -> str:
    match rule.state:
        case "armed" | "idle":
            return "waits for traffic"
        case "failed" if rule.failure is not None and rule.failure.retry_in_s is not None:
            return f"next try in {duration(rule.failure.retry_in_s)}"
        case "off":
            return "waits for isthmus up"
        case _:
            return "-"


def _child_line(rule: api.RuleStatus, child: api.ChildState) -> str:
    line = f"SPI {safe(rule.name)} in {child.spi_in} out {child.spi_out}"
    if child.state != "installed":
        line += f" ({child.state})"
    drops = "  ".join(f"{reason} {number}" for reason, number in sorted(child.drops.items()))
    line += f"   {drops}" if drops else "   no drops"
    if child.encap:
        line += "   ESP in UDP"
    if rule.trigger:
        line += f"   brought up by {safe(rule.trigger)}"
    return line


def event_line(event: Mapping[str, api.Fact], paint: Paint, elapsed_s: float | None = None) -> str:
    """One event for a human: the time, what, where, and the facts behind it."""
    time = str(event.get("ts", ""))[11:23] if elapsed_s is None else f"+{elapsed_s:.3f}"
    name = str(event.get("event", ""))
    where = "/".join(safe(str(event[key])) for key in ("tunnel", "rule") if key in event)
    said = " ".join(str(event[key]) for key in ("code", "message") if key in event)
    role = "bad" if name.endswith((".failed", ".dead")) else "good" if name.endswith(".up") else ""
    parts = [paint("dim", time), paint(role, f"{name:<19}") if role else f"{name:<19}"]
    if elapsed_s is None and where:
        parts.append(where)
    if said:
        parts.append(safe(said))
    facts = " ".join(
        f"{key}={safe(str(value))}"
        for key, value in event.items()
        # What the sentence says already is not said again.
        if key not in (*_EVENT_KEYS, *_DULL) and not (isinstance(value, str) and value in said)
    )
    if facts:
        parts.append(paint("dim", facts))
    if event.get("fix"):
        parts.append(f"(do: {safe(str(event['fix']))})")
    return " ".join(parts).rstrip()


def sa_lines(reply: api.SaReply, paint: Paint) -> list[str]:
    """Raw tables of phase 1 and phase 2."""
    lines = ["PHASE 1 (IKE SAs)"]
    rows: list[list[Cell | str]] = [
        [
            safe(sa.tunnel),
            sa.spi_i,
            sa.spi_r,
            sa.local,
            sa.remote,
            sa.suite,
            "we" if sa.initiated else "peer",
            duration(sa.age_s),
            duration(sa.rekey_in_s),
        ]
        for sa in reply.phase1
    ]
    header = ("TUNNEL", "SPI i", "SPI r", "LOCAL", "REMOTE", "SUITE", "BY", "AGE", "REKEY")
    lines += table(header, rows, paint) if rows else ["none"]
    lines += ["", "PHASE 2 (Child SAs, one direction a line)"]
    rows = [
        [
            f"{safe(sa.tunnel)}/{safe(sa.rule)}",
            sa.direction,
            sa.spi,
            sa.local,
            sa.remote,
            "UDP" if sa.encap else "ESP",
            sa.suite or "-",
            str(sa.packets),
            amount(sa.octets),
            duration(sa.age_s),
            "-" if sa.idle_s is None else duration(sa.idle_s),
            " ".join(f"{reason}={number}" for reason, number in sorted(sa.drops.items())) or "-",
            "standby" if sa.standby else "",
        ]
        for sa in reply.sas
    ]
    titles = ("RULE", "DIR", "SPI", "LOCAL", "REMOTE", "VIA", "SUITE", "PACKETS", "OCTETS", "AGE")
    lines += table((*titles, "LAST", "DROPS", ""), rows, paint) if rows else ["none"]
    return lines


def policy_lines(reply: api.PolicyReply, paint: Paint) -> list[str]:
    """The SPD in order of match."""
    rows: list[list[Cell | str]] = [
        [
            str(policy.id),
            safe(policy.name),
            policy.action,
            f"{', '.join(policy.local)} ⇄ {', '.join(policy.remote)}",
            f"{policy.held_packets}" if policy.held_packets else "-",
            str(policy.matched_packets),
            " ".join(policy.outbound_spis) or "-",
        ]
        for policy in reply.policies
    ]
    header = ("ID", "RULE", "ACTION", "SELECTORS", "HELD", "MATCHED", "SPI OUT")
    return table(header, rows, paint) if rows else ["The data plane has no policies."]


def counter_lines(counters: Mapping[str, int]) -> list[str]:
    """Counters by name; those at nought are left out."""
    counted = {name: value for name, value in sorted(counters.items()) if value}
    width = max((len(name) for name in counted), default=0)
    lines = [f"{name:<{width}}  {value}" for name, value in counted.items()]
    return lines or ["Every counter is 0."]


def which_lines(reply: api.WhichReply, paint: Paint) -> list[str]:
    """The rule that takes a packet, and why the others do not."""
    if reply.verdict == "rule":
        state = f"   {paint(ROLES.get(reply.state, 'dim'), reply.state)}" if reply.state else ""
        lines = [f"{reply.packet}   takes {paint('strong', f'{reply.tunnel}/{reply.rule}')}{state}"]
        if reply.version.startswith("IKEv1"):
            lines[0] += f"   {reply.version}"
    elif reply.rule:
        lines = [f"{reply.packet}   takes {paint('strong', reply.rule)}"]
    else:
        lines = [f"{reply.packet}   takes no tunnel"]
    lines.append(f"  {reply.why}")
    for other in reply.others:
        name = f"{other.tunnel}/{other.rule}" if other.tunnel else other.rule
        lines.append(f"  not {name}: {other.why_not}")
    return lines


def finding_lines(findings: Sequence[tuple[str, str]], paint: Paint) -> list[str]:
    """Findings with their grade: bad, warn or note."""
    roles = {"bad": "bad", "warn": "busy", "note": "dim"}
    lines = [f"{paint(roles[grade], f'{grade:<5}')} {safe(text)}" for grade, text in findings]
    return lines or [f"{paint('good', 'ok   ')} nothing found"]


def print_lines(lines: Iterable[str]) -> None:
    """Write lines to standard output at once, so that they can be followed through a pipe."""
    print("\n".join(lines), flush=True)
