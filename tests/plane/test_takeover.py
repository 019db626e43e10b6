"""A plane takes over from one that was killed: same keys, no number twice (F-17, R-11)."""

import contextlib
import sys
from collections.abc import Iterator

import pytest
from tests.plane.client import Message, Refused
from tests.plane.support import Pair, Site, eventually, mirrored, outbound_sa, policy

from isthmus.daemon.tallies import Tallies

pytestmark = pytest.mark.root

OUT, IN = 0x2000, 0x3000

# Keeps the ESP in UDP that is sent from here; says the sequence numbers of each SPI, and sends all
# again when told to.
RECORD = """
import select, socket, sys
sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
sniffer.bind(("wire", 0))
print("ready", flush=True)
seen = []
while True:
    readable, _, _ = select.select([sniffer, sys.stdin], [], [])
    if sniffer in readable:
        packet, where = sniffer.recvfrom(65535)
        outgoing = where[1:3] == (0x0800, socket.PACKET_OUTGOING)
        if outgoing and packet[9] == 17 and len(packet) > 40:
            seen.append(packet[28:])
        continue
    word = sys.stdin.readline().strip()
    if word == "numbers":
        print(*(int.from_bytes(payload[:8], "big") for payload in seen), flush=True)
    elif word == "again":
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        count = len(seen)
        for payload in seen[:count]:
            sender.sendto(payload, (sys.argv[1], 4500))
        print(count, flush=True)
    else:
        break
"""


class Recorder:
    """A recorder in a site."""

    def __init__(self, site: Site, target: str) -> None:
        self._process = site.popen(sys.executable, "-c", RECORD, target, stdin=-1)
        assert self._answer() == "ready"

    def ask(self, word: str) -> str:
        """Its answer."""
        assert self._process.stdin is not None
        print(word, file=self._process.stdin, flush=True)
        return self._answer()

    def numbers(self) -> list[int]:
        """SPI and sequence number of each packet, as one number."""
        return [int(word) for word in self.ask("numbers").split()]

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return str(self._process.stdout.readline()).strip()


@contextlib.contextmanager
def recording(site: Site, target: str) -> Iterator[Recorder]:
    recorder = Recorder(site, target)
    try:
        yield recorder
    finally:
        recorder.close()


def sas(pair: Pair) -> list[tuple[Site, Message]]:
    """Inbound ones first."""
    sent = outbound_sa(pair.left, pair.right, OUT) | {"count_as": 71}
    received = outbound_sa(pair.right, pair.left, IN) | {"count_as": 74}
    return [
        (pair.right, mirrored(sent) | {"count_as": 72}),
        (pair.left, mirrored(received) | {"count_as": 73}),
        (pair.left, sent),
        (pair.right, received),
    ]


def kill(pair: Pair, site: Site) -> None:
    """SIGKILL, then another plane with the same configuration and no SA yet."""
    site.plane.kill()
    site.plane.wait(10.0)
    site.client.close()
    site.start_plane()
    pair_of = {id(a): b for a, b in pair.sites}
    ports = [{"address": "0.0.0.0", "port": p, "nat_t": p == 4500} for p in (500, 4500)]
    site.client.ask("listen", ports=ports, mark=0x1234)
    site.attach()
    site.client.ask("set_policies", policies=[policy(site, pair_of[id(site)])])


def resume(pair: Pair, site: Site) -> None:
    for at, sa in sas(pair):
        if at is site:
            at.client.ask("install_sa", sa=sa | {"resume": True})


@pytest.fixture
def remembering(pair: Pair) -> Iterator[Pair]:
    """Two planes whose counts outlive them, with a tunnel."""
    kept = [Tallies(), Tallies()]
    copies = [tallies.copy() for tallies in kept]
    for (site, _), copy in zip(pair.sites, copies, strict=True):
        site.stop_plane()
        site.tallies = copy.fileno()
        site.start_plane()
    pair.listen()
    for site, _ in pair.sites:
        site.attach()
    pair.policies()
    for site, sa in sas(pair):
        site.client.ask("install_sa", sa=sa)
    yield pair
    for each in (*copies, *kept):
        each.close()


def test_a_sender_that_was_killed_uses_no_number_twice(remembering: Pair) -> None:
    pair = remembering
    with recording(pair.left, pair.right.outer_v4) as recorder:
        for _ in range(3):
            assert pair.left.ping(pair.right.inner_v4, count=10)
            before = len(recorder.numbers())
            kill(pair, pair.left)
            resume(pair, pair.left)
        assert pair.left.ping(pair.right.inner_v4, count=10)
        numbers = recorder.numbers()
    assert len(numbers) >= before + 10 >= 40
    assert len(set(numbers)) == len(numbers), "a number twice under one key"
    assert numbers == sorted(numbers)


def test_a_receiver_that_was_killed_takes_nothing_twice(remembering: Pair) -> None:
    pair = remembering
    with recording(pair.left, pair.right.outer_v4) as recorder:
        assert pair.left.ping(pair.right.inner_v4, count=10)
        kill(pair, pair.right)
        resume(pair, pair.right)
        count = int(recorder.ask("again"))
        assert count >= 10

        def refused() -> int:
            counters = pair.right.client.counters()
            return counters["drop_replay_duplicate"] + counters["drop_replay_stale"]

        eventually("all of them come", lambda: refused() >= count)
        assert (refused(), pair.right.client.counters()["esp_received"]) == (count, 0)
        assert pair.left.ping(pair.right.inner_v4, count=10)


def test_counts_of_octets_and_packets_go_on(remembering: Pair) -> None:
    pair = remembering
    assert pair.left.ping(pair.right.inner_v4, count=10)
    stable = ("spi", "sequence", "packets", "octets")

    def counted() -> list[tuple[int, ...]]:
        return sorted(tuple(sa[k] for k in stable) for sa in pair.left.client.query("sas"))

    before = counted()
    kill(pair, pair.left)
    resume(pair, pair.left)
    assert [a >= b for a, b in zip(counted(), before, strict=True)] == [True, True]
    assert all(packets >= 10 for _, _, packets, _ in counted())


def test_what_nobody_counted_is_not_resumed(remembering: Pair) -> None:
    pair = remembering
    sa = outbound_sa(pair.left, pair.right, 0x4000, count_as=99, resume=True)
    with pytest.raises(Refused, match="counted is not known"):
        pair.left.client.ask("install_sa", sa=sa)
    # One that stands cannot be resumed beside itself, and one that ended in order is forgotten.
    with pytest.raises(Refused):
        resume(pair, pair.left)
    assert pair.left.stop_plane() == 0
    pair.left.start_plane()
    with pytest.raises(Refused, match="counted is not known"):
        resume(pair, pair.left)
