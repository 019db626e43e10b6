"""The algebra of traffic selectors, against a plain model: the set of packets that match."""

import itertools
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.values.selector import (
    TrafficSelector,
    covers,
    intersect_all,
    selectors_text,
)

OPAQUE = (65535, 0)
BASE = int(IPv4Address("10.0.0.0"))

Packet = tuple[int, int, int | None]
"""Address offset, protocol and port; None for a port that cannot be seen."""


@st.composite
def small(draw: st.DrawFn) -> TrafficSelector:
    """A selector over few addresses, protocols and ports, so that two of them often meet."""
    low, high = sorted(draw(st.tuples(st.integers(0, 7), st.integers(0, 7))))
    ports = draw(
        st.sampled_from([(0, 65535), OPAQUE])
        | st.tuples(st.integers(0, 5), st.integers(0, 5)).map(lambda pair: tuple(sorted(pair)))
    )
    return TrafficSelector(
        IPv4Address(BASE + low), IPv4Address(BASE + high), draw(st.sampled_from([0, 6, 17])), *ports
    )


def matches(selector: TrafficSelector, packet: Packet) -> bool:
    """The model: RFC 4301 §4.4.1.1, where ANY includes OPAQUE."""
    address, protocol, port = packet
    if not int(selector.start) <= BASE + address <= int(selector.end):
        return False
    if selector.protocol not in (0, protocol):
        return False
    if port is None or selector.is_opaque:
        return selector.any_port or (selector.is_opaque and port is None)
    return selector.port_start <= port <= selector.port_end


packets = st.tuples(
    st.integers(0, 7), st.sampled_from([6, 17, 47]), st.none() | st.sampled_from([0, 3, 5, 9])
)
relaxed = settings(max_examples=300, deadline=None, derandomize=True)


@relaxed
@given(small(), small(), packets)
def test_the_intersection_matches_what_both_match(
    one: TrafficSelector, other: TrafficSelector, packet: Packet
) -> None:
    both = one.intersect(other)
    wanted = matches(one, packet) and matches(other, packet)
    assert (both is not None and matches(both, packet)) is wanted


@relaxed
@given(small(), small())
def test_intersecting_does_not_ask_who_comes_first(
    one: TrafficSelector, other: TrafficSelector
) -> None:
    assert one.intersect(other) == other.intersect(one)


@relaxed
@given(small(), small(), packets)
def test_what_is_contained_matches_no_more(
    wide: TrafficSelector, narrow: TrafficSelector, packet: Packet
) -> None:
    assert wide.contains(wide)
    if wide.contains(narrow) and matches(narrow, packet):
        assert matches(wide, packet)
    both = wide.intersect(narrow)
    if both is not None:
        assert wide.contains(both) and narrow.contains(both)


@relaxed
@given(st.lists(small(), max_size=4), st.lists(small(), max_size=4), packets)
def test_the_intersection_of_sets_matches_what_both_match(
    ours: list[TrafficSelector], theirs: list[TrafficSelector], packet: Packet
) -> None:
    both = intersect_all(ours, theirs)
    wanted = any(matches(o, packet) for o in ours) and any(matches(t, packet) for t in theirs)
    assert any(matches(b, packet) for b in both) is wanted
    assert covers(ours, both) and covers(theirs, both)
    for one in both:
        assert not any(one.contains(other) for other in both if other != one)
    assert len(set(both)) == len(both)


def test_covering_is_asked_of_single_selectors() -> None:
    wide = TrafficSelector.of_network("10.0.0.0/8")
    parts = tuple(TrafficSelector.of_network(n) for n in ("10.1.0.0/16", "10.2.0.0/16"))
    assert covers((wide,), parts) and not covers(parts, (wide,))
    assert covers((), ()) and not covers((), parts)


def test_families_do_not_meet() -> None:
    four, six = TrafficSelector.everything(4), TrafficSelector.everything(6)
    assert four.intersect(six) is None and not four.contains(six)
    assert intersect_all((four, six), (six, four)) == (six, four)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_the_networks_of_a_range_are_that_range(one: int, other: int) -> None:
    low, high = sorted((one, other))
    networks = TrafficSelector(IPv4Address(low), IPv4Address(high)).networks()
    assert int(networks[0][0]) == low and int(networks[-1][-1]) == high
    for before, behind in itertools.pairwise(networks):
        assert int(before[-1]) + 1 == int(behind[0])


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        (TrafficSelector.everything(4), "0.0.0.0/0"),
        (TrafficSelector.everything(6), "::/0"),
        (TrafficSelector.of_network("10.1.0.0/16"), "10.1.0.0/16"),
        (
            TrafficSelector(IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")),
            "10.0.0.1-10.0.0.2",
        ),
        (TrafficSelector.of_network("10.0.0.1/32", 6, 443, 443), "10.0.0.1/32[tcp/443]"),
        (TrafficSelector.of_network("fd00::/64", 17, 100, 200), "fd00::/64[udp/100-200]"),
        (TrafficSelector.of_network("fd00::/64", 58), "fd00::/64[icmpv6]"),
        (TrafficSelector.of_network("10.0.0.0/8", 99, *OPAQUE), "10.0.0.0/8[99/opaque]"),
        (TrafficSelector.of_network("10.0.0.0/8", 0, 53, 53), "10.0.0.0/8[any/53]"),
    ],
)
def test_a_selector_reads_as_users_write_it(selector: TrafficSelector, text: str) -> None:
    assert str(selector) == text
    assert selectors_text((selector, selector)) == f"{text}, {text}"


@pytest.mark.parametrize(
    "wrong",
    [
        (IPv4Address("10.0.0.2"), IPv4Address("10.0.0.1")),
        (IPv4Address("10.0.0.1"), IPv6Address("fd00::1")),
        (IPv4Address("10.0.0.1"), IPv4Address("10.0.0.1"), 256),
        (IPv4Address("10.0.0.1"), IPv4Address("10.0.0.1"), -1),
        (IPv4Address("10.0.0.1"), IPv4Address("10.0.0.1"), 6, 2, 1),
    ],
)
def test_a_range_that_runs_backwards_is_no_selector(wrong: tuple[object, ...]) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        TrafficSelector(*wrong)  # type: ignore[arg-type]


def test_a_network_can_be_given_as_text_or_value() -> None:
    net = ip_network("10.1.0.0/16")
    assert TrafficSelector.of_network(net) == TrafficSelector.of_network("10.1.0.0/16")
    with pytest.raises(ValueError, match="host bits"):
        TrafficSelector.of_network("10.1.0.1/16")
