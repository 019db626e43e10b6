"""Many tunnels between two Isthmus gateways, told apart by a number: what they are called, where
they lead to, and the same terms at both ends."""

from dataclasses import replace

from isthmus.lab.daemon import Rule, Tunnel
from isthmus.lab.topology import Site

from .support import SITE_A, SITE_B

PSK = "many-tunnels-pre-shared-key-0123456789abcdef"


def name(number: int) -> str:
    """A tunnel's name, the same at both ends."""
    return f"t{number:03d}"


def target(number: int) -> str:
    """The address of the far host that a tunnel leads to."""
    return str(SITE_B.inside4[10 + number])


def target_lines(action: str, count: int) -> str:
    """Lines of `ip -batch` that give (`add`) the far host these addresses, or take them (`del`):
    all but the first, which is its own."""
    return "".join(f"address {action} {target(n)}/24 dev eth0\n" for n in range(1, count))


def tunnel(site: Site, number: int, there: str = "") -> Tunnel:
    """One end of a tunnel between the sites' own addresses; `there` is where it leads to, if not to
    its address of the far host."""
    far = SITE_B if site is SITE_A else SITE_A
    ends = (SITE_A.network(4),), (there or f"{target(number)}/32",)
    local, remote = ends if site is SITE_A else reversed(ends)
    return Tunnel(
        name=name(number),
        peer=far.outer4,
        psk=PSK,
        local_id=f"fqdn:{name(number)}.{site.letter}.example",
        remote_id=f"fqdn:{name(number)}.{far.letter}.example",
        rules=(Rule("lan", local, remote, ("aes256gcm16-x25519",)),),
        proposals=("aes256gcm16-prfsha384-x25519",),
    )


def with_other_suite(terms: Tunnel) -> Tunnel:
    """The same tunnel with another phase 2 proposal."""
    rules = tuple(replace(rule, proposals=("aes128gcm16-x25519",)) for rule in terms.rules)
    return replace(terms, rules=rules)
