"""A masquerading router in front of a site's gateway, which can forget its mappings.

    host-a ── gw-a ── nat-a ── internet ── ...

The router takes over the site's outer address; the gateway has a private one behind it.
"""

from dataclasses import dataclass
from typing import Final

from isthmus.lab.namespaces import World
from isthmus.lab.topology import MTU, Site

_PREFIX: Final = 24
_NETWORKS: Final = {"a": "192.168.11", "b": "192.168.12"}
_SYSCTLS: Final = (
    "net.ipv4.ip_forward=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
)


@dataclass(slots=True)
class NatBox:
    """The router of one site. IPv4 only: IPv6 needs none."""

    world: World
    site: Site
    forwards: bool = False
    """UDP 500 and 4500 from outside reach the gateway, as a port forwarding does."""

    @property
    def namespace(self) -> str:
        """Name of the router's namespace."""
        return f"nat-{self.site.letter}"

    @property
    def gateway_address(self) -> str:
        """The gateway's own, private address."""
        return f"{_NETWORKS[self.site.letter]}.2"

    def interpose(self) -> None:
        """Put the router between gateway and internet. `topology.build` has made both."""
        site, gateway = self.site, self.site.gateway
        router = f"{_NETWORKS[site.letter]}.1"
        self.world.run(None, ["ip", "netns", "add", self.namespace])
        self.world.run(self.namespace, ["sysctl", "-q", "-w", *_SYSCTLS])
        links = (
            f"link set wan netns {self.namespace}\n"
            f"link add wan mtu {MTU} type veth peer name lan netns {self.namespace} mtu {MTU}\n"
            f"address add {self.gateway_address}/{_PREFIX} dev wan\n"
            f"link set wan up\nroute add default via {router}\n"
        )
        prefix = site.outside4.prefixlen
        router_links = (
            f"link set lo up\naddress add {site.outer4}/{prefix} dev wan\nlink set wan up\n"
            f"address add {router}/{_PREFIX} dev lan\nlink set lan up\n"
            f"route add default via {site.outside4[254]}\n"
        )
        for namespace, batch in ((gateway, links), (self.namespace, router_links)):
            self.world.run(None, ["ip", "-netns", namespace, "-batch", "-"], input_text=batch)

    def masquerade(self, ports: range | None = None) -> None:
        """Load the rules: outgoing UDP gets the router's address and, if given, one of these
        ports. Mappings that stand already stay until `forget`."""
        to = f" to :{ports[0]}-{ports[-1]}" if ports else ""
        forward = (
            f'iifname "wan" udp dport {{ 500, 4500 }} dnat to {self.gateway_address}'
            if self.forwards
            else ""
        )
        self.world.run(
            self.namespace,
            ["nft", "-f", "-"],
            input_text=f"""
table ip masquerading
delete table ip masquerading
table ip masquerading {{
  chain out {{
    type nat hook postrouting priority srcnat
    oifname "wan" meta l4proto udp masquerade{to}
    oifname "wan" masquerade
  }}
  chain in {{
    type nat hook prerouting priority dstnat
    {forward}
  }}
}}
""",
        )

    def impatient(self, seconds: int) -> None:
        """Have a mapping forgotten after so much silence."""
        names = ("nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream")
        settings = [f"net.netfilter.{name}={seconds}" for name in names]
        self.world.run(self.namespace, ["sysctl", "-q", "-w", *settings])

    def forget(self) -> None:
        """Forget every mapping, as a router does that restarts or runs out of room."""
        self.world.run(self.namespace, ["conntrack", "-F"])
