"""`one_pair = true`: a rule of several networks becomes one phase 2 for each pair of them.

Some peers take a single network on each side of a Child SA (they answer SINGLE_PAIR_REQUIRED or
TS_UNACCEPTABLE, RFC 7296 §2.9), though their rule lists several. IKEv1 can say no more than one
(RFC 2407 §4.6.2).
"""

from dataclasses import replace

from isthmus.config.errors import Report
from isthmus.config.syntax import Position
from isthmus.policy.connection import ChildPolicy

PAIRS_MAX = 256
"""Phase 2 tunnels that one rule may become."""
PAIR_MARK = "#"
"""Between a rule's name and the number of its pair; no written name holds it."""


def written_name(rule: str) -> str:
    """The name in the file of a rule that may be one of several pairs."""
    return rule.partition(PAIR_MARK)[0]


def one_for_each_pair(
    rule: ChildPolicy, at: Position, title: str, report: Report
) -> tuple[ChildPolicy, ...]:
    """Rules `net#1`, `net#2`... of one pair each; the rule itself when it has one pair only."""
    pairs = [
        (local, remote)
        for local in rule.local
        for remote in rule.remote
        if local.version == remote.version
    ]
    if len(pairs) > PAIRS_MAX:
        report.error(
            at,
            f"{title}: rule {rule.name} makes {len(pairs)} pairs of networks",
            "each is a phase 2 of its own, with one_pair = true or where IKEv1 may be spoken, at"
            f" most {PAIRS_MAX} for a rule",
            "use wider networks, or split it into several rules",
        )
        return (rule,)
    if len(pairs) == 1:
        return (replace(rule, local=(pairs[0][0],), remote=(pairs[0][1],)),)
    return tuple(
        replace(rule, name=f"{rule.name}{PAIR_MARK}{number}", local=(local,), remote=(remote,))
        for number, (local, remote) in enumerate(pairs, start=1)
    )
