"""Silence of a rule is noticed once."""

from dataclasses import replace

import msgspec

from isthmus.backends.specs import EndpointSpec, SaState
from isthmus.daemon.idle import PERIOD_MAX_S, PERIOD_MIN_S, IdleWatch
from isthmus.ike.core.events import RuleIdle
from isthmus.policy.connection import Configuration

from .samples import rule, tunnel

HERE = EndpointSpec("192.0.2.1", 500)
SA = SaState(
    *("in", 300, 1, "office/net", 20, 256, 0, True, False, HERE, HERE, False, b""),
    *(5, 500, 5, 0, 0, 1024, {}),
)
IDLE = RuleIdle("office", "net")


def watch(idle_s: float | None = 10.0) -> IdleWatch:
    """Of one rule with an idle time and one without."""
    net = replace(rule("net", "10.1.0.0/24", "10.2.0.0/24"), idle_s=idle_s)
    other = rule("other", "10.1.0.0/24", "10.3.0.0/24")
    return IdleWatch(Configuration((tunnel("office", net, other),)))


def sa(age_s: float, idle_s: float | None, name: str = "office/net") -> SaState:
    """An SA of that age, last used so long ago."""
    idle_ms = None if idle_s is None else round(idle_s * 1000)
    return msgspec.structs.replace(SA, name=name, age_ms=round(age_s * 1000), idle_ms=idle_ms)


def test_silence_in_both_directions_is_told_once() -> None:
    eye = watch()
    assert eye.look((sa(50, 9.9), sa(50, 30)), 100.0) == ()
    assert eye.look((sa(51, 10.0), sa(51, 31)), 100.1) == (IDLE,)
    assert eye.look((sa(52, 11.0), sa(52, 32)), 101.1) == ()


def test_traffic_begins_the_count_anew() -> None:
    eye = watch()
    assert eye.look((sa(50, 10.0),), 100.0) == (IDLE,)
    assert eye.look((sa(53, 1.0),), 103.0) == ()
    assert eye.look((sa(62, 10.0),), 112.0) == (IDLE,)


def test_one_busy_direction_is_enough() -> None:
    assert watch().look((sa(50, 40), sa(50, 2)), 100.0) == ()


def test_an_sa_that_was_never_used_counts_from_its_birth() -> None:
    eye = watch()
    assert eye.look((sa(9, None),), 100.0) == ()
    assert eye.look((sa(10, None),), 101.0) == (IDLE,)


def test_a_renewal_is_no_traffic() -> None:
    eye = watch()
    assert eye.look((sa(50, 8.0),), 100.0) == ()
    assert eye.look((sa(1, None),), 101.0) == ()
    assert eye.look((sa(2, None),), 102.0) == (IDLE,)


def test_a_rule_that_comes_back_starts_anew() -> None:
    eye = watch()
    assert eye.look((sa(50, 10.0),), 100.0) == (IDLE,)
    assert eye.look((), 101.0) == ()
    assert eye.look((sa(0, None),), 200.0) == ()
    assert eye.look((sa(10, None),), 210.0) == (IDLE,)


def test_rules_without_an_idle_time_are_not_looked_at() -> None:
    assert watch().look((sa(5000, 4000, "office/other"), sa(1, 1)), 9000.0) == ()
    assert watch(None).period_s is None


def test_the_period_follows_the_shortest_limit_within_bounds() -> None:
    assert watch(20.0).period_s == 2.0
    assert watch(0.1).period_s == PERIOD_MIN_S
    assert watch(3600.0).period_s == PERIOD_MAX_S
