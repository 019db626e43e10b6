"""A configuration becomes interfaces, routes and rules."""

from dataclasses import replace

import pytest

from isthmus.backends.wishes import MAIN_TABLE, TABLE, RouteWish, RuleWish, closed
from isthmus.daemon.network_plan import (
    FALLBACK_METRIC,
    GUARD_PRIORITY,
    KEEP_PRIORITY,
    LAND_PRIORITY,
    MAIN_FALLBACK_METRIC,
    MARK,
    MATCH_PRIORITY,
    ROUTE_METRIC,
    SKIP_PRIORITY,
    AttachedInterface,
    plan,
)
from isthmus.policy.connection import Configuration, Connection, Group, Interface, Prefer, Route
from isthmus.values.proposal import parse_proposal
from isthmus.values.registry.ikev2 import SecurityProtocol

from .samples import CONFIGURATION, OFFICE, network, routed, rule, tunnel


def rules_of(configuration: Configuration, priority: int) -> list[RuleWish]:
    """The rules of one priority."""
    return [r for r in plan(configuration).wish.rules if r.priority == priority]


def test_a_rule_leads_its_traffic_and_nothing_else_to_the_plane() -> None:
    made = plan(CONFIGURATION)
    assert made.interfaces == (AttachedInterface("isthmus0", 1438, MARK),)
    assert made.wish.routes == (
        RouteWish("10.2.0.0/24", TABLE, ROUTE_METRIC, "isthmus0", ("10.1.0.0/24",)),
        RouteWish("10.2.0.0/24", TABLE, FALLBACK_METRIC),
    )
    assert rules_of(CONFIGURATION, MATCH_PRIORITY) == [
        RuleWish(
            priority=MATCH_PRIORITY,
            version=4,
            table=TABLE,
            source="10.1.0.0/24",
            destination="10.2.0.0/24",
        ),
        RuleWish(
            priority=MATCH_PRIORITY,
            version=4,
            table=TABLE,
            destination="10.2.0.0/24",
            input_interface="lo",
            needs_address_within=("10.1.0.0/24",),
        ),
    ]


def test_what_the_plane_sends_jumps_over_our_rules() -> None:
    (skip,) = rules_of(CONFIGURATION, SKIP_PRIORITY)
    assert (skip.action, skip.mark, skip.target) == ("goto", MARK, LAND_PRIORITY)
    (land,) = rules_of(CONFIGURATION, LAND_PRIORITY)
    assert land.action == "nop"
    ours = [r.priority for r in plan(CONFIGURATION).wish.rules]
    assert min(ours) == SKIP_PRIORITY and max(ours) == LAND_PRIORITY


def test_clear_text_from_the_far_network_is_not_let_past_the_tunnel() -> None:
    """RFC 4301 §5.2: inbound clear text that a rule protects is discarded."""
    (guard,) = rules_of(CONFIGURATION, GUARD_PRIORITY)
    assert (guard.action, guard.source, guard.destination) == (
        "blackhole",
        "10.2.0.0/24",
        "10.1.0.0/24",
    )
    (keep,) = rules_of(CONFIGURATION, KEEP_PRIORITY)
    assert (keep.input_interface, keep.table) == ("isthmus0", MAIN_TABLE)


def test_a_rule_of_one_port_does_not_block_the_other_ports() -> None:
    some = rule("web", "10.1.0.0/24", network("10.2.0.0/24", 6, 443))
    configuration = Configuration((tunnel("office", some),))
    assert rules_of(configuration, GUARD_PRIORITY) == []
    assert len(rules_of(configuration, MATCH_PRIORITY)) == 2


def test_a_remote_of_everything_leaves_the_local_network_local() -> None:
    whole = rule("all", "10.1.0.0/24", "0.0.0.0/0")
    configuration = Configuration((tunnel("office", whole),))
    assert RuleWish(
        priority=KEEP_PRIORITY, version=4, table=MAIN_TABLE, destination="10.1.0.0/24"
    ) in rules_of(configuration, KEEP_PRIORITY)
    assert all(r.input_interface != "lo" for r in rules_of(configuration, MATCH_PRIORITY))


def branches(count: int, local: str = "10.1.0.0/24") -> list[Connection]:
    """Tunnels from one network to so many."""
    return [tunnel(f"b{n}", rule("lan", local, f"10.2.{n}.0/24")) for n in range(count)]


def test_the_rules_of_many_branches_of_one_network_become_one_of_each_kind() -> None:
    wish = Configuration(tuple(branches(50)))
    assert rules_of(wish, MATCH_PRIORITY) == [
        RuleWish(priority=MATCH_PRIORITY, version=4, table=TABLE, source="10.1.0.0/24"),
        RuleWish(
            priority=MATCH_PRIORITY,
            version=4,
            table=TABLE,
            input_interface="lo",
            needs_address_within=("10.1.0.0/24",),
        ),
    ]
    assert rules_of(wish, KEEP_PRIORITY) == [
        RuleWish(
            priority=KEEP_PRIORITY,
            version=4,
            table=MAIN_TABLE,
            destination="10.1.0.0/24",
            input_interface="isthmus0",
        )
    ]
    assert len(rules_of(wish, GUARD_PRIORITY)) == 50
    assert len([r for r in plan(wish).wish.routes if r.interface]) == 50


@pytest.mark.parametrize(
    "another",
    [tunnel("other", rule("lan", "10.9.0.0/24", "10.3.0.0/24")), routed("other", "0.0.0.0/0")],
)
def test_rules_stay_apart_where_our_table_reaches_more_than_they_do(another: Connection) -> None:
    """Else traffic of one local network would be led to what only another one may reach."""
    match = rules_of(Configuration((*branches(50), another)), MATCH_PRIORITY)
    assert {r.destination for r in match if r.source == "10.1.0.0/24"} == {
        f"10.2.{n}.0/24" for n in range(50)
    }


def test_a_few_rules_are_left_as_they_are_written() -> None:
    assert len(rules_of(Configuration(tuple(branches(7))), MATCH_PRIORITY)) == 14


def test_families_do_not_mix() -> None:
    both = replace(
        rule("net", "10.1.0.0/24", "10.2.0.0/24"),
        local=(network("10.1.0.0/24"), network("fd01::/64")),
        remote=(network("10.2.0.0/24"), network("fd02::/64")),
    )
    wish = plan(Configuration((tunnel("office", both),))).wish
    for found in wish.rules:
        texts = [t for t in (found.source, found.destination) if t is not None]
        assert all((":" in t) == (found.version == 6) for t in texts)
    assert {r.version for r in wish.rules if r.action == "goto"} == {4, 6}


def test_the_same_networks_twice_are_wished_once() -> None:
    twice = tunnel("office", *(rule(n, "10.1.0.0/24", "10.2.0.0/24") for n in ("a", "b")))
    assert plan(Configuration((twice,))).wish == plan(CONFIGURATION).wish


def test_a_routed_tunnel_has_a_device_of_its_own_and_routes_in_the_main_table() -> None:
    made = plan(Configuration((routed("branch", "10.20.0.0/16"),)))
    assert made.interfaces == (AttachedInterface("branch", 1438, 0),)
    assert made.wish.interfaces[0].addresses == ("169.254.10.1/30",)
    assert made.wish.routes == (
        RouteWish("10.20.0.0/16", MAIN_TABLE, ROUTE_METRIC, "branch"),
        RouteWish("10.20.0.0/16", MAIN_TABLE, MAIN_FALLBACK_METRIC),
    )
    assert made.wish.rules == ()


def pair(prefer: Prefer, **more: object) -> Configuration:
    """Two tunnels to one site."""
    group = Group("site", ("one", "two"), prefer, **more)  # type: ignore[arg-type]
    return Configuration((routed("one"), routed("two")), groups=(group,))


def test_tunnels_with_one_route_and_metric_share_it() -> None:
    both = (routed("one", "10.20.0.0/16"), routed("two", "10.20.0.0/16"))
    assert plan(Configuration(both)).wish.routes[0] == RouteWish(
        "10.20.0.0/16", MAIN_TABLE, ROUTE_METRIC, "one", others=("two",)
    )


def test_a_higher_metric_makes_a_backup() -> None:
    both = (routed("one", "10.20.0.0/16"), routed("two", Route("10.20.0.0/16", 200)))
    assert [(r.interface, r.metric) for r in plan(Configuration(both)).wish.routes] == [
        ("one", 100),
        ("two", 200),
        (None, MAIN_FALLBACK_METRIC),
    ]


@pytest.mark.parametrize(
    ("prefer", "routes"),
    [
        (Prefer.ORDER, [("one", (), 100), ("two", (), 110)]),
        (Prefer.ECMP, [("one", ("two",), 100)]),
    ],
)
def test_a_group_leads_its_routes_through_each_tunnel(
    prefer: Prefer, routes: list[tuple[str, tuple[str, ...], int]]
) -> None:
    wish = plan(pair(prefer, routes=(Route("10.20.0.0/16"),))).wish
    assert [(r.interface, r.others, r.metric) for r in wish.routes if r.interface] == routes
    assert wish.routes[-1] == RouteWish("10.20.0.0/16", MAIN_TABLE, MAIN_FALLBACK_METRIC)


def test_what_a_routing_daemon_learns_is_protected_if_it_is_named() -> None:
    wish = plan(pair(Prefer.BGP, protect=("10.20.0.0/16", "fd20::/48"))).wish
    assert wish.routes == (
        RouteWish("10.20.0.0/16", MAIN_TABLE, MAIN_FALLBACK_METRIC),
        RouteWish("fd20::/48", MAIN_TABLE, MAIN_FALLBACK_METRIC),
    )


@pytest.mark.parametrize("peer", ["192.0.2.2", None, "vpn.example.net"])
def test_a_route_that_holds_the_peer_does_not_catch_the_tunnels_own_packets(
    peer: str | None,
) -> None:
    wish = plan(Configuration((routed("branch", "0.0.0.0/0", peer=peer),))).wish
    assert [(r.table, r.destination, r.interface) for r in wish.routes] == [
        (TABLE, "0.0.0.0/0", "branch"),
        (TABLE, "0.0.0.0/0", None),
    ]
    assert [r.action for r in wish.rules] == ["goto", "nop", "lookup", "lookup"]
    # What the main table knows better than by the default route, the local networks, stays there.
    assert (wish.rules[2].table, wish.rules[2].longer_than) == (MAIN_TABLE, 0)


@pytest.mark.parametrize(
    ("peer", "proposal", "octets"),
    [
        ("192.0.2.2", "aes256gcm16", 1438),
        ("192.0.2.2", "chacha20poly1305", 1438),
        ("192.0.2.2", "aes256-sha256", 1422),
        ("192.0.2.2", "aes256-sha512", 1406),
        ("2001:db8::2", "aes256gcm16", 1418),
        (None, "aes256gcm16", 1418),
    ],
)
def test_the_mtu_fits_whatever_is_agreed_on(peer: str | None, proposal: str, octets: int) -> None:
    """Outer 1500 less IP, UDP and ESP headers, IV, padding to a block, trailer and ICV."""
    esp = parse_proposal(proposal, SecurityProtocol.ESP)
    net = rule("net", "10.1.0.0/24", "10.2.0.0/24", (esp,))
    made = plan(Configuration((tunnel("office", net, peer=peer),)))
    assert made.interfaces[0].mtu == octets


def test_an_mtu_that_the_user_gave_is_taken() -> None:
    given = replace(routed("branch"), interface=Interface("branch", mtu=1300))
    assert plan(Configuration((given,))).interfaces[0].mtu == 1300


def test_no_tunnels_no_wishes() -> None:
    made = plan(Configuration())
    assert made.interfaces == () and made.wish.rules == () and made.wish.interfaces == ()


def test_one_device_serves_all_policy_based_tunnels() -> None:
    other = tunnel("lab", rule("net", "10.1.0.0/24", "10.3.0.0/24"), peer="2001:db8::2")
    assert [i.name for i in plan(Configuration((OFFICE, other))).interfaces] == ["isthmus0"]
    assert plan(Configuration((OFFICE, other))).interfaces[0].mtu == 1418


def test_what_stays_closed_is_caught_as_before_and_leads_nowhere() -> None:
    both = Configuration((OFFICE, routed("branch", "10.20.0.0/16")), fail_closed=True)
    wish = plan(both).wish
    assert wish.stays_closed and not plan(CONFIGURATION).wish.stays_closed
    left = closed(wish)
    assert left.interfaces == () and left.stays_closed
    assert left.routes == (
        RouteWish("10.2.0.0/24", TABLE, FALLBACK_METRIC),
        RouteWish("10.20.0.0/16", MAIN_TABLE, MAIN_FALLBACK_METRIC),
    )
    caught = [r for r in left.rules if r.priority == MATCH_PRIORITY]
    assert caught == rules_of(both, MATCH_PRIORITY)
    assert [r.priority for r in wish.rules if r not in left.rules] == [KEEP_PRIORITY]
