"""`[[bypass]]` and `[[discard]]`: their place among the rules, and their routing rules."""

from isthmus.backends.wishes import MAIN_TABLE, RuleWish
from isthmus.daemon.network_plan import GUARD_PRIORITY, KEEP_PRIORITY, plan
from isthmus.daemon.rules import RuleBook
from isthmus.policy.connection import Configuration, PlainRule, Processing
from isthmus.values.selector import TrafficSelector

from .samples import network, routed, rule, tunnel

ANY = TrafficSelector.everything(4)
LAN = rule("lan", "10.1.0.0/16", "10.2.0.0/16")
HOST = rule("host", "10.1.0.0/16", "10.2.0.5/32")


def plain(
    processing: Processing, remote: str | TrafficSelector, local: TrafficSelector = ANY
) -> PlainRule:
    """The first of its kind in a file."""
    far = network(remote) if isinstance(remote, str) else remote
    return PlainRule(f"{processing.value}#1", processing, (local,), (far,))


SSH = plain(Processing.BYPASS, network("10.2.7.0/24", 6, 22))
SMTP = plain(Processing.DISCARD, network("0.0.0.0/0", 6, 25))


def rules_at(configuration: Configuration, priority: int) -> list[RuleWish]:
    """Routing rules of one priority."""
    return [r for r in plan(configuration).wish.rules if r.priority == priority]


def test_they_stand_among_the_rules_by_what_they_take() -> None:
    book = RuleBook(Configuration((tunnel("a", LAN, HOST),), plain=(SMTP, SSH)))
    assert [(p.name, p.action) for p in book.policies()] == [
        ("a/host", "protect"),
        ("bypass#1", "bypass"),
        ("a/lan", "protect"),
        ("discard#1", "discard"),
    ]
    assert len({p.id for p in book.policies()}) == 4
    assert all(p.interface == book.interfaces["isthmus0"] for p in book.policies())
    assert not book.arm("", "bypass#1", "drop")


def test_without_policy_mode_the_plane_hears_nothing_of_them() -> None:
    book = RuleBook(Configuration((routed("b", "10.9.0.0/16"),), plain=(SMTP, SSH)))
    assert [p.name for p in book.policies()] == ["b/(no source)", "b/any"]


def test_a_bypass_opens_the_guard_of_a_wider_rule_for_its_own_traffic_alone() -> None:
    configuration = Configuration((tunnel("a", LAN),), plain=(SSH,))
    near, far = "10.1.0.0/16", "10.2.7.0/24"
    clear = [r for r in rules_at(configuration, KEEP_PRIORITY) if r.protocol]
    assert clear == [
        RuleWish(
            priority=KEEP_PRIORITY,
            version=4,
            table=MAIN_TABLE,
            source=near,
            destination=far,
            protocol=6,
            destination_ports=(22, 22),
        ),
        RuleWish(
            priority=KEEP_PRIORITY,
            version=4,
            table=MAIN_TABLE,
            source=far,
            destination=near,
            protocol=6,
            source_ports=(22, 22),
        ),
    ]


def test_a_bypass_opens_nothing_of_a_narrower_rule() -> None:
    wide = plain(Processing.BYPASS, "10.2.0.0/16")
    narrow = Configuration((tunnel("a", HOST),), plain=(wide,))
    none = Configuration((tunnel("a", HOST),))
    assert plan(narrow) == plan(none)


def test_what_is_discarded_and_never_comes_to_the_plane_is_dropped_both_ways() -> None:
    made = rules_at(Configuration((tunnel("a", HOST),), plain=(SMTP,)), GUARD_PRIORITY)
    assert [r for r in made if r.protocol] == [
        RuleWish(
            priority=GUARD_PRIORITY,
            version=4,
            action="blackhole",
            protocol=6,
            destination_ports=(25, 25),
        ),
        RuleWish(
            priority=GUARD_PRIORITY,
            version=4,
            action="blackhole",
            protocol=6,
            source_ports=(25, 25),
        ),
    ]


def test_ports_that_the_kernel_cannot_name_are_left_out_of_routing_rules() -> None:
    high = TrafficSelector.of_network("10.9.0.0/16", 6, 1024, 65535)
    last = TrafficSelector.of_network("10.9.0.0/16", 6, 65535, 65535)
    ports = [
        {r.destination_ports for r in rules_at(configuration, GUARD_PRIORITY) if r.protocol}
        for far in (high, last)
        for configuration in [Configuration(plain=(plain(Processing.DISCARD, far),))]
    ]
    assert ports == [{None, (1024, 65534)}, set()]
