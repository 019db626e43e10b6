"""Two sites, two gateways and an internet between them, as network namespaces.

    host-a ── gw-a ── internet ── gw-b ── host-b

Addresses are those of PRODUCT-GUIDE b.2. Building takes a dozen short commands,
so a lab stands in well under a second.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from pathlib import Path
from typing import Final

from isthmus.lab.namespaces import World

INTERNET: Final = "internet"
MTU: Final = 1500


@dataclass(frozen=True, slots=True)
class Site:
    """One side: a network with one host, behind one gateway."""

    letter: str
    inside4: IPv4Network
    inside6: IPv6Network
    outside4: IPv4Network
    outside6: IPv6Network

    @property
    def host(self) -> str:
        """Name of the host's namespace."""
        return f"host-{self.letter}"

    @property
    def gateway(self) -> str:
        """Name of the gateway's namespace, and its identity (fqdn)."""
        return f"gw-{self.letter}"

    @property
    def host4(self) -> str:
        """The host's IPv4 address."""
        return str(self.inside4[10])

    @property
    def host6(self) -> str:
        """The host's IPv6 address."""
        return str(self.inside6[0x10])

    @property
    def gateway_inside4(self) -> str:
        """The gateway's IPv4 address on the site's network."""
        return str(self.inside4[1])

    @property
    def gateway_inside6(self) -> str:
        """The gateway's IPv6 address on the site's network."""
        return str(self.inside6[1])

    @property
    def outer4(self) -> str:
        """The gateway's IPv4 address on the internet."""
        return str(self.outside4[1])

    @property
    def outer6(self) -> str:
        """The gateway's IPv6 address on the internet."""
        return str(self.outside6[1])

    def host_address(self, family: int) -> str:
        """The host's address in family 4 or 6."""
        return self.host4 if family == 4 else self.host6

    def network(self, family: int) -> str:
        """The site's network in family 4 or 6, as text."""
        return str(self.inside4 if family == 4 else self.inside6)

    def outer(self, family: int) -> str:
        """The gateway's outer address in family 4 or 6."""
        return self.outer4 if family == 4 else self.outer6


SITE_A: Final = Site(
    "a",
    IPv4Network("10.1.0.0/24"),
    IPv6Network("fd00:1::/64"),
    IPv4Network("192.0.2.0/24"),
    IPv6Network("2001:db8:1::/64"),
)
SITE_B: Final = Site(
    "b",
    IPv4Network("10.2.0.0/24"),
    IPv6Network("fd00:2::/64"),
    IPv4Network("198.51.100.0/24"),
    IPv6Network("2001:db8:2::/64"),
)
SITES: Final = (SITE_A, SITE_B)
INSIDE: Final = tuple(network for site in SITES for network in (site.inside4, site.inside6))
"""The networks whose addresses nobody on the internet may ever read."""
HOSTS: Final = (SITE_A.host, SITE_A.gateway, INTERNET, SITE_B.gateway, SITE_B.host)

# Links with two ends have no duplicate addresses to look for, and looking takes a second.
_SYSCTLS: Final = ("net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.default.dad_transmits=0")
# A gateway forwards. Redirects and reverse-path checks would only blur what a lab shows.
_ROUTER_SYSCTLS: Final = (
    "net.ipv4.ip_forward=1",
    "net.ipv6.conf.all.forwarding=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.conf.all.send_redirects=0",
    "net.ipv4.conf.default.send_redirects=0",
)


def internet_interface(site: Site) -> str:
    """The internet router's interface towards this site."""
    return f"to-{site.letter}"


@contextmanager
def two_sites(directory: Path) -> Iterator[World]:
    """A new world with all of this in it, until the context or this process ends."""
    world = World.create(directory, attached=True)
    try:
        build(world)
        yield world
    finally:
        world.close()


def build(world: World) -> None:
    """Make the five namespaces, their links, addresses and routes."""
    world.run(
        None, ["ip", "-batch", "-"], input_text="".join(f"netns add {name}\n" for name in HOSTS)
    )
    routers = (SITE_A.gateway, INTERNET, SITE_B.gateway)
    for name in HOSTS:
        settings = _SYSCTLS + (_ROUTER_SYSCTLS if name in routers else ())
        world.run(name, ["sysctl", "-q", "-w", *settings])
    world.run(None, ["ip", "-batch", "-"], input_text=_links())
    for namespace, batch in _addresses().items():
        world.run(None, ["ip", "-netns", namespace, "-batch", "-"], input_text=batch)


def route_in_clear(world: World) -> None:
    """Join the two sites through the internet with no VPN at all (a bench's baseline)."""
    batch = "".join(
        f"route add {network} via {address}\n"
        for site in SITES
        for network, address in (
            (site.inside4, site.outer4),
            (site.inside6, site.outer6),
        )
    )
    world.run(None, ["ip", "-netns", INTERNET, "-batch", "-"], input_text=batch)


def _links() -> str:
    lines: list[str] = []
    for site in SITES:
        lines.append(
            f"link add eth0 netns {site.host} mtu {MTU} type veth "
            f"peer name lan netns {site.gateway} mtu {MTU}"
        )
        lines.append(
            f"link add wan netns {site.gateway} mtu {MTU} type veth "
            f"peer name {internet_interface(site)} netns {INTERNET} mtu {MTU}"
        )
    return "\n".join(lines) + "\n"


def _interface(address: str, network: IPv4Network | IPv6Network) -> str:
    kind = IPv4Interface if isinstance(network, IPv4Network) else IPv6Interface
    return str(kind((address, network.prefixlen)))


def _addresses() -> dict[str, str]:
    """One `ip -batch` text for each namespace."""
    batches: dict[str, list[str]] = {name: ["link set lo up"] for name in HOSTS}
    for site in SITES:
        router4, router6 = str(site.outside4[254]), str(site.outside6[0xFE])
        port = internet_interface(site)
        batches[site.host] += [
            f"address add {_interface(site.host4, site.inside4)} dev eth0",
            f"address add {_interface(site.host6, site.inside6)} dev eth0",
            "link set eth0 up",
            f"route add default via {site.gateway_inside4}",
            f"route add ::/0 via {site.gateway_inside6}",
        ]
        batches[site.gateway] += [
            f"address add {_interface(site.gateway_inside4, site.inside4)} dev lan",
            f"address add {_interface(site.gateway_inside6, site.inside6)} dev lan",
            f"address add {_interface(site.outer4, site.outside4)} dev wan",
            f"address add {_interface(site.outer6, site.outside6)} dev wan",
            "link set lan up",
            "link set wan up",
            f"route add default via {router4}",
            f"route add ::/0 via {router6}",
        ]
        batches[INTERNET] += [
            f"address add {_interface(router4, site.outside4)} dev {port}",
            f"address add {_interface(router6, site.outside6)} dev {port}",
            f"link set {port} up",
        ]
    return {name: "\n".join(lines) + "\n" for name, lines in batches.items()}
