"""One daemon with 1, 100, 1,000 and 10,000 pairs of SAs: what each tunnel carries.

So many tunnels between two gateways, told apart by their identities, each with a network of its own
behind gw-a. TCP goes through the last of them; packets of 64 octets go through all in turn.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from bench import packets
from bench.figures import Figure, Trial
from bench.generator import Aim
from bench.handshakes import CharonGateway, Gateway, IsthmusGateway, networks
from bench.throughput import iperf
from bench.ways import ISTHMUS, STRONGSWAN, Road, Way
from isthmus.lab import gateways, topology
from isthmus.lab.namespaces import World
from isthmus.lab.topology import SITE_A, SITE_B

BENCH = "many"
COUNTS = (1, 100, 1_000, 10_000)
_COUNTS_OF_CHARON = (1, 100, 1_000)
_AT_ONCE = 4
_BEHIND_A = "10.128.0.0/9"
"""All networks that `networks` tells of gw-a lie in it."""


def trials(ways: Sequence[Way], seconds: float, most: int) -> list[Trial]:
    """Isthmus, and strongSwan up to 1,000, with every count up to `most`."""

    def trial(way: Way, count: int) -> Trial:
        def run(directory: Path) -> Iterator[Figure]:
            yield from measure(way.name, count, directory, seconds)

        return Trial(way.name, run)

    counts = {ISTHMUS: COUNTS, STRONGSWAN: _COUNTS_OF_CHARON}
    return [
        trial(way, count) for way in ways for count in counts.get(way.name, ()) if count <= most
    ]


def measure(subject: str, count: int, directory: Path, seconds: float) -> Iterator[Figure]:
    """So many tunnels up, then what they carry. Raises LabError when one does not come up."""
    kind = IsthmusGateway if subject == ISTHMUS else CharonGateway
    psks = [gateways.fresh_psk() for _ in range(count)]
    with ExitStack() as stack:
        world = stack.enter_context(topology.two_sites(directory))
        _prepare(world)
        ends: list[Gateway] = []
        for site in (SITE_B, SITE_A):
            end = kind(world, site, directory / site.gateway, psks)
            stack.callback(end.stop)
            ends.append(end)
        _bring_up(ends[1], count)
        yield from _carried(world, ends, count, seconds)


def _prepare(world: World) -> None:
    """Host-a has every address of the networks behind gw-a."""
    behind = f"route add local {_BEHIND_A} dev lo\n"
    world.run(None, ["ip", "-netns", SITE_A.host, "-batch", "-"], input_text=behind)
    way = f"route add {_BEHIND_A} via {SITE_A.host4}\n"
    world.run(None, ["ip", "-netns", SITE_A.gateway, "-batch", "-"], input_text=way)


def _bring_up(initiator: Gateway, count: int) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        shares = [range(start, count, _AT_ONCE) for start in range(min(_AT_ONCE, count))]
        for done in [pool.submit(initiator.up, share) for share in shares]:
            done.result()


def _carried(world: World, ends: Sequence[Gateway], count: int, seconds: float) -> Iterator[Figure]:
    setup = f"{count} tunnel{'s' * (count > 1)}"
    first, last = _host(0), _host(count - 1)
    found = iperf(world, str(last), 1, seconds, source=SITE_B.host, target=SITE_A.host)
    rate = float(found["end"]["sum_received"]["bits_per_second"]) / 1e6
    yield Figure(BENCH, setup, "TCP through the last of so many tunnels", rate, "Mbit/s")
    pids = tuple(pid for end in ends for pid in end.processes().values())
    aim = Aim(SITE_B.host, SITE_A.host, str(first), str(last) if count > 1 else "", 256)
    what = "through so many tunnels in turn, "
    for figure in packets.measure(
        Road(world, pids), setup, min(seconds, 1.0), within=1.08, what=what, aim=aim
    ):
        yield Figure(BENCH, setup, figure.variant, figure.value, figure.unit)


def _host(number: int) -> IPv4Address:
    """The address of host-a in the network of this tunnel."""
    return IPv4Network(networks(SITE_A, number)[0])[10]
