"""R-15: every order of the messages of two gateways that renew, close and open things at once. Each
ends with one IKE SA and one pair a rule within 60 s, nothing left over and no packet lost.

`make sim-campaign` asks for all of it: each of four orders of nonces, packets late, repeats at any
time, each message lost, slow computations, renewals of both phases on both sides."""

from collections.abc import Callable, Iterable

import pytest

from isthmus.ike.core.child import ChildSa, PeerRekey
from isthmus.ike.core.context import Context
from isthmus.ike.v2.exchanges import create_child_sa, crossing, rekey_ike
from isthmus.ike.v2.sa import SaV2
from isthmus.simulator import campaign
from isthmus.simulator.explore import Case, Play
from isthmus.simulator.interleavings import (
    Figures,
    explore,
    one_loss_each,
    pairs_of_acts,
    replay,
)

PROCESSES = 2
EXCHANGES_MAX = 2 + 1 + 3
"""A renewal's two, one for the other rule, and three more where two renewals cross (F-09)."""


def explored(*cases: Case) -> Figures:
    figures = Figures()
    for case in cases:
        figures.add(explore(case))
    assert not figures.violations, "\n".join(figures.violations[:3])
    return figures


def all_hold(name: str, cases: Iterable[Case]) -> None:
    verdict = campaign.explored(name, cases, PROCESSES)
    print(verdict.seen)
    assert verdict.holds, verdict.seen


def test_every_order_of_two_things_at_once() -> None:
    """F-09, F-10, F-12: renewals of either phase, closing, silence, a new rule, on either side."""
    all_hold("in all orders", [Case((a,), (b,)) for a, b in pairs_of_acts(with_tunnel=False)])


def test_every_order_with_one_loss() -> None:
    cases = [c for acts in pairs_of_acts(with_tunnel=False) for c in one_loss_each(*acts, 2, 0)]
    all_hold("with one loss each", cases)


@pytest.mark.parametrize("act", ["rekey-child", "create"])
def test_every_order_while_the_other_side_closes_the_tunnel(act: str) -> None:
    """Users' packets bring it up again at once, from both sides."""
    explored(Case(("delete-ike",), (act,)))


@pytest.mark.parametrize("nonces", range(4))
def test_crossing_renewals_cost_three_exchanges_more_at_most(nonces: int) -> None:
    """F-09: a renewal is a CREATE_CHILD_SA and a Delete."""
    found = explored(Case(("rekey-child",), ("rekey-child",), nonces=nonces, late_packets=True))
    assert found.schedules > 30
    assert found.requests <= EXCHANGES_MAX


def broken_phase_2(patch: pytest.MonkeyPatch) -> None:
    """The peer's nonces are never the lower ones: each side deletes the other's pair."""
    patch.setattr(create_child_sa, "PeerRekey", lambda child, lowest: PeerRekey(child, b""))


def broken_new_pair(patch: pytest.MonkeyPatch) -> None:
    """Neither of two new pairs is surplus."""

    def nothing(ctx: Context, sa: SaV2, child: ChildSa) -> None:
        """Withdraw none."""

    patch.setattr(crossing, "is_surplus", lambda sa, child: False)
    patch.setattr(crossing, "withdraw_crossed", nothing)


def broken_phase_1(patch: pytest.MonkeyPatch) -> None:
    """Each side keeps the successor that it made itself."""
    decide = rekey_ike._decide

    def own(ctx: Context, sa: SaV2, new: SaV2, lowest: bytes) -> None:
        decide(ctx, sa, new, b"\xff" * 32)

    patch.setattr(rekey_ike, "_decide", own)


@pytest.mark.parametrize(
    ("breaks", "act"),
    [
        (broken_phase_2, "rekey-child"),
        (broken_new_pair, "create"),
        (broken_phase_1, "rekey-ike"),
    ],
)
def test_a_broken_rule_is_found(
    breaks: Callable[[pytest.MonkeyPatch], None], act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search is worth nothing if it does not find this. Traffic heals two pairs that both sides
    gave up, without a packet lost, but not within the exchanges that a crossing may cost."""
    breaks(monkeypatch)
    found = explore(Case((act,), (act,)))
    assert found.violations or found.requests > EXCHANGES_MAX


def test_a_violation_is_seen_again_by_its_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    broken_new_pair(monkeypatch)
    case = Case(("create",), ("create",))
    play, schedule = Play(case), []
    while choices := play.choices():
        # Both ask before either hears of the other.
        choice = next((c for c in choices if c[1] == "act"), choices[0])
        schedule.append(choice)
        play.do(choice)
    lines: list[str] = []
    with pytest.raises(Exception, match="never_quiet"):
        replay(case, tuple(schedule), lines.append)
    assert any("--- act" in line for line in lines)


def test_orders_in_which_each_side_lives_the_same_are_tried_once() -> None:
    """Two that have nothing to tell each other: there is one order, not two."""
    assert explored(Case((), ("create",))).schedules == 1
    together = explored(Case(("create",), ("create",))).schedules
    assert 4 <= together <= 20
