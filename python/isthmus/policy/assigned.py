"""Addresses that Mode Config hands out, and what a rule comes to once one is assigned. Pure."""

from collections.abc import Container
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network

from isthmus.policy.connection import ChildPolicy, ModeConfig
from isthmus.values.selector import Selectors, TrafficSelector


@dataclass(frozen=True, slots=True)
class Assigned:
    """What the server of Mode Config has given its client for one phase 1."""

    address: IPv4Address
    dns: tuple[IPv4Address, ...] = ()
    domain: str = ""
    """Printable, as a client reads it."""
    networks: tuple[IPv4Network, ...] = ()
    """What the client is told to reach through the tunnel."""


_ALL_HOSTS_PREFIX = 31
"""From this prefix length on each address of a network is a host's (RFC 3021)."""


def free_address(
    terms: ModeConfig, taken: Container[IPv4Address], asked: IPv4Address | None = None
) -> IPv4Address | None:
    """The address that a server gives a client: the one asked for, if it may have it, else the
    lowest that is free; None when the pool has no other."""
    pool = [IPv4Network(text) for text in terms.pool]
    if asked is not None and asked not in taken and any(_is_host(asked, each) for each in pool):
        return asked
    for network in pool:
        step = 0 if network.prefixlen >= _ALL_HOSTS_PREFIX else 1
        for place in range(step, network.num_addresses - step):
            if network[place] not in taken:
                return network[place]
    return None


def as_local(rule: ChildPolicy, address: IPv4Address) -> ChildPolicy | None:
    """A client's rule when `address` is all that it has; None when the rule does not hold it."""
    local = _alone(rule.local, address)
    return replace(rule, local=local) if local else None


def as_remote(rule: ChildPolicy, address: IPv4Address) -> ChildPolicy | None:
    """A server's rule towards the client that has `address`; None when it does not hold it."""
    remote = _alone(rule.remote, address)
    return replace(rule, remote=remote) if remote else None


def _alone(selectors: Selectors, address: IPv4Address) -> Selectors:
    host = TrafficSelector(address, address)
    return tuple(both for each in selectors if (both := each.intersect(host)) is not None)


def _is_host(address: IPv4Address, network: IPv4Network) -> bool:
    if address not in network:
        return False
    ends = (network.network_address, network.broadcast_address)
    return network.prefixlen >= _ALL_HOSTS_PREFIX or address not in ends
