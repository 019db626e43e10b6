"""Addresses that peers lend us come onto the interfaces of their tunnels."""

import asyncio
from ipaddress import IPv4Address

from isthmus.backends.wishes import MAIN_TABLE, TABLE, RouteWish
from isthmus.daemon.assigned import Assigned, with_addresses
from isthmus.daemon.network_plan import POLICY_INTERFACE, plan
from isthmus.policy.connection import Configuration, Group, Prefer, Route

from .samples import routed, rule, tunnel

FIRST, SECOND = IPv4Address("10.99.0.7"), IPv4Address("10.98.0.3")
HEAD = tunnel("head", rule("office", "10.99.0.0/24", "10.1.0.0/16"))
WIDE = tunnel(
    "wide", rule("all", "0.0.0.0/0", "10.2.0.0/16"), rule("six", "fd01::/64", "fd02::/64")
)
PLAIN = tunnel("plain", rule("net", "0.0.0.0/0", "10.3.0.0/16"))
LINE = routed("line", "10.4.0.0/16", "fd04::/64")


def followed(configuration: Configuration, **addresses: IPv4Address) -> dict[str, RouteWish]:
    """The routes over interfaces, by destination; what else is wished does not change."""
    before = plan(configuration).wish
    after = with_addresses(before, configuration, addresses)
    assert (after.rules, after.stays_closed) == (before.rules, before.stays_closed)
    assert len(after.routes) == len(before.routes)
    assert [r for r in after.routes if not r.interface] == [
        r for r in before.routes if not r.interface
    ]
    return {route.destination: route for route in after.routes if route.interface}


def test_nothing_changes_for_whom_nobody_lends_an_address() -> None:
    configuration = Configuration((HEAD, LINE))
    wish = plan(configuration).wish
    assert with_addresses(wish, configuration, {}) is wish
    assert with_addresses(wish, configuration, {"a tunnel that is gone": FIRST}) is wish


def test_in_policy_mode_it_stands_on_the_one_device_and_its_rules_alone_prefer_it() -> None:
    configuration = Configuration((HEAD, WIDE, PLAIN))
    wish = with_addresses(plan(configuration).wish, configuration, {"head": FIRST, "wide": SECOND})
    (device,) = wish.interfaces
    assert (device.name, device.addresses) == (POLICY_INTERFACE, (f"{FIRST}/32", f"{SECOND}/32"))
    routes = followed(configuration, head=FIRST, wide=SECOND)
    assert routes["10.1.0.0/16"].source_within == (f"{FIRST}/32",)
    assert routes["10.2.0.0/16"].source_within == (f"{SECOND}/32",)
    assert routes["10.3.0.0/16"].source_within == ("0.0.0.0/0",)
    assert routes["fd02::/64"].source_within == ("fd01::/64",)
    assert {route.table for route in routes.values()} == {TABLE}


def test_a_rule_that_does_not_hold_the_address_has_no_use_for_it() -> None:
    routes = followed(Configuration((HEAD,)), head=SECOND)
    assert routes["10.1.0.0/16"].source_within == ("10.99.0.0/24",)


def test_in_route_mode_it_stands_on_the_tunnels_own_device() -> None:
    configuration = Configuration((HEAD, LINE))
    wish = with_addresses(plan(configuration).wish, configuration, {"line": FIRST})
    by_name = {one.name: one.addresses for one in wish.interfaces}
    assert by_name == {POLICY_INTERFACE: (), "line": ("169.254.10.1/30", f"{FIRST}/32")}
    routes = followed(configuration, line=FIRST)
    assert routes["10.4.0.0/16"] == RouteWish(
        "10.4.0.0/16", MAIN_TABLE, 100, "line", (f"{FIRST}/32",)
    )
    assert routes["fd04::/64"].source_within == ()


def test_a_route_that_several_tunnels_share_prefers_no_ones_address() -> None:
    lines = (routed("line"), routed("other"))
    group = Group("both", ("line", "other"), Prefer.ECMP, (Route("10.4.0.0/16"),))
    shared = followed(Configuration(lines, groups=(group,)), line=FIRST)["10.4.0.0/16"]
    assert (shared.others, shared.source_within) == (("other",), ())


def test_a_tunnel_has_one_address_and_only_changes_are_told() -> None:
    async def run() -> None:
        assigned = Assigned()
        told: list[bool] = []
        for address, up in (
            (FIRST, True),
            (FIRST, True),
            (SECOND, True),
            (FIRST, False),
            (SECOND, False),
            (SECOND, False),
        ):
            assigned.changed.clear()
            assigned.wish("head", address, up)
            told.append(assigned.changed.is_set())
            if told == [True, False, True, False]:
                assert assigned.addresses == {"head": SECOND}
        assert told == [True, False, True, False, True, False]
        assert assigned.addresses == {}

    asyncio.run(run())
