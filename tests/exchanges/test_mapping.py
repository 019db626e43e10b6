"""Two sites with the same network: what is negotiated are the networks as each sees the other's."""

from dataclasses import replace
from ipaddress import ip_network

from isthmus.policy.connection import ChildPolicy
from isthmus.policy.mapping import NetworkMap
from isthmus.values.selector import selectors_text

from .pair import LEFT, RIGHT, Pair, connection, rule

OWN = "10.0.0.0/24"
LEFT_SEEN, RIGHT_SEEN = "172.16.5.0/24", "172.16.6.0/24"


def mapped(seen: str, remote: str) -> ChildPolicy:
    """The rule of one side."""
    maps = (NetworkMap(ip_network(OWN), ip_network(seen)),)
    return replace(rule(local=OWN, remote=remote), map_local=maps)


def test_selectors_on_the_wire_are_the_mapped_ones_in_both_roles() -> None:
    pair = Pair(
        connection("site-b", RIGHT, (mapped(LEFT_SEEN, RIGHT_SEEN),)),
        connection("site-a", LEFT, (mapped(RIGHT_SEEN, LEFT_SEEN),)),
    )
    pair.establish()
    pair.rekey(pair.right)
    pair.settle()
    pair.agree()
    for side, local, remote in (
        (pair.left, LEFT_SEEN, RIGHT_SEEN),
        (pair.right, RIGHT_SEEN, LEFT_SEEN),
    ):
        for sa in side.sas.values():
            assert selectors_text(sa.local_selectors) == local
            assert selectors_text(sa.remote_selectors) == remote
        (seen,) = side.view().rules
        assert selectors_text(seen.local) == OWN
        assert [str(m) for m in seen.map_local] == [f"{OWN} as {local}"]
        assert side.events("phase2.narrowed") == []


def test_a_peer_that_asks_for_the_real_network_is_refused() -> None:
    pair = Pair(
        connection("site-b", RIGHT, (mapped(LEFT_SEEN, RIGHT_SEEN),)),
        connection("site-a", LEFT, (rule(local=RIGHT_SEEN, remote=OWN),)),
    )
    pair.packet(pair.right)
    pair.settle()
    assert pair.right.view().rules[0].failure is not None
    assert pair.left.children() == set()
