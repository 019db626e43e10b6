"""Addresses that Mode Config hands out, and rules that hold one alone."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from isthmus.policy.assigned import as_local, as_remote, free_address
from isthmus.policy.connection import AccessRole, ChildPolicy, ModeConfig
from isthmus.values.selector import TrafficSelector, selectors_text


def pool(*networks: str) -> ModeConfig:
    return ModeConfig(AccessRole.SERVER, pool=networks)


def address(text: str) -> IPv4Address:
    return IPv4Address(text)


def drained(terms: ModeConfig) -> list[str]:
    """Every address of a pool that clients get."""
    taken: set[IPv4Address] = set()
    while (given := free_address(terms, taken)) is not None:
        assert given not in taken
        taken.add(given)
        assert len(taken) <= 256
    return [str(each) for each in sorted(taken)]


@pytest.mark.parametrize(
    ("networks", "hosts"),
    [
        (("10.9.0.0/30",), ["10.9.0.1", "10.9.0.2"]),
        (("10.9.0.0/31",), ["10.9.0.0", "10.9.0.1"]),
        (("10.9.0.7/32",), ["10.9.0.7"]),
        (("10.9.0.0/30", "10.9.1.1/32"), ["10.9.0.1", "10.9.0.2", "10.9.1.1"]),
    ],
)
def test_each_host_of_a_pool_is_given_once(networks: tuple[str, ...], hosts: list[str]) -> None:
    assert drained(pool(*networks)) == hosts


def test_a_pool_of_a_byte_has_254_hosts() -> None:
    hosts = drained(pool("10.9.0.0/24"))
    assert hosts == [str(host) for host in IPv4Network("10.9.0.0/24").hosts()]


def test_a_client_that_asks_for_a_free_host_gets_it() -> None:
    terms = pool("10.9.0.0/29", "10.9.1.1/32")
    first, taken = address("10.9.0.1"), {address("10.9.0.5")}
    assert free_address(terms, taken, address("10.9.0.6")) == address("10.9.0.6")
    assert free_address(terms, taken, address("10.9.1.1")) == address("10.9.1.1")
    for other in ("10.9.0.5", "10.9.0.0", "10.9.0.7", "192.0.2.1"):
        assert free_address(terms, taken, address(other)) == first


def test_a_rule_holds_the_assigned_address_alone() -> None:
    here = (TrafficSelector.of_network("10.1.0.0/16", 6, 443, 443),)
    there = (TrafficSelector.of_network("10.9.0.0/24", 6),)
    rule = ChildPolicy("net", here, there, ())
    served = as_remote(rule, address("10.9.0.5"))
    assert served is not None and served.local == here and served.name == "net"
    assert selectors_text(served.remote) == "10.9.0.5/32[tcp]"
    dialled = as_local(rule, address("10.1.2.3"))
    assert dialled is not None and dialled.remote == there
    assert selectors_text(dialled.local) == "10.1.2.3/32[tcp/443]"
    assert as_remote(rule, address("10.8.0.5")) is None
    assert as_local(rule, address("10.2.0.1")) is None
