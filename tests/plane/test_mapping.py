"""Networks that the peer sees under other addresses: packets, held ones too; what is refused."""

from typing import Any

import pytest
from tests.plane.client import Refused, selectors, ts
from tests.plane.support import Pair, mirrored, outbound_sa, policy

pytestmark = pytest.mark.root

# Inside addresses of the left are 10.77.1.1 and fd77:0:0:1::1.
MAP = [
    {"real": "10.77.1.0", "mapped": "10.77.9.0", "prefix": 24},
    {"real": "fd77:0:0:1::", "mapped": "fd77:0:0:9::", "prefix": 64},
]
SEEN_V4, SEEN_V6 = "10.77.9.1", "fd77:0:0:9::1"
SEEN = [
    ts("10.77.9.0", "10.77.9.255"),
    ts("fd77:0:0:9::", "fd77:0:0:9:ffff:ffff:ffff:ffff"),
]
REAL = [ts("10.77.1.0", "10.77.1.255")]
ANY = [ts("0.0.0.0", "255.255.255.255"), ts("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")]


def mapped(pair: Pair) -> None:
    """The left has a mapping, the right knows of nothing."""
    pair.listen()
    for site, _ in pair.sites:
        site.attach()
    pair.policies()
    own: dict[str, Any] = policy(pair.left, pair.right, map=MAP)
    pair.left.client.ask("set_policies", policies=[own])


@pytest.mark.parametrize("encap", [True, False])
def test_pings_pass_both_ways_under_the_mapped_addresses(pair: Pair, encap: bool) -> None:
    mapped(pair)
    pair.tunnel(encap=encap)
    for target in (pair.right.inner_v4, pair.right.inner_v6):
        assert pair.left.ping(target, count=5)
        assert pair.left.ping(target, "-s", "3000", count=2), "fragments too"
    for target in (SEEN_V4, SEEN_V6):
        assert pair.right.ping(target, count=5)
    assert pair.left.client.counters()["drop_selector_outbound"] == 0


@pytest.mark.parametrize(("local", "passes"), [(SEEN, True), (REAL, False)])
def test_selectors_of_an_sa_are_those_of_the_peers_view(
    pair: Pair, local: list[dict[str, Any]], passes: bool
) -> None:
    """With the mapped networks packets pass; with the real ones none leaves."""
    mapped(pair)
    out = outbound_sa(pair.left, pair.right, 0x2001, selectors=selectors(local, ANY))
    back = outbound_sa(pair.right, pair.left, 0x2002)
    pair.right.client.ask("install_sa", sa=mirrored(out))
    pair.left.client.ask("install_sa", sa=out)
    pair.left.client.ask("install_sa", sa=mirrored(back))
    pair.right.client.ask("install_sa", sa=back)
    assert pair.left.ping(pair.right.inner_v4, "-W", "1") is passes
    assert (pair.left.client.counters()["drop_selector_outbound"] == 0) is passes


def test_a_held_packet_leaves_mapped(pair: Pair) -> None:
    mapped(pair)
    waiting = pair.left.popen("ping", "-c", "1", "-W", "5", pair.right.inner_v4)
    pair.left.client.wait_notice("packet_wanted")
    pair.tunnel()
    assert waiting.wait(timeout=10) == 0
    assert pair.left.client.counters()["held_released"] >= 1


BAD = [
    ([MAP[0], {"real": "10.77.2.0", "mapped": "10.77.9.128", "prefix": 25}], "overlap"),
    ([{"real": "10.77.1.1", "mapped": "10.77.9.0", "prefix": 24}], "behind its prefix"),
    ([{"real": "10.77.1.0", "mapped": "fd77::", "prefix": 24}], "another version"),
    ([{"real": "10.77.1.0", "mapped": "here", "prefix": 24}], "address"),
    ([MAP[0]] * 65, "at most 64"),
]


@pytest.mark.parametrize(("maps", "reason"), BAD)
def test_a_mapping_that_is_ambiguous_is_refused(
    pair: Pair, maps: list[dict[str, Any]], reason: str
) -> None:
    pair.policies()
    before = pair.left.client.query("policies")
    with pytest.raises(Refused, match=reason):
        pair.left.client.ask("set_policies", policies=[policy(pair.left, pair.right, map=maps)])
    assert pair.left.client.query("policies") == before
