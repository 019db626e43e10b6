"""Packets that want an SA that is not there: held within bounds, released in order, aged."""

import time

import pytest
from tests.plane.client import Refused
from tests.plane.support import Pair, Site, eventually, mirrored, outbound_sa

pytestmark = pytest.mark.root

PORT = 7777

SEND = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
first, count = int(sys.argv[2]), int(sys.argv[3])
for n in range(first, first + count):
    s.sendto(n.to_bytes(4, "big"), (sys.argv[1], 7777))
"""
RECEIVE = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
s.bind((sys.argv[1], 7777))
print("bound", flush=True)
s.settimeout(20)
try:
    while True:
        print(int.from_bytes(s.recv(64), "big"), flush=True)
        s.settimeout(2)
except TimeoutError:
    pass
"""


def prepare(pair: Pair, **policy: object) -> None:
    """Everything but SAs."""
    pair.listen()
    for site, _ in pair.sites:
        site.attach()
    pair.policies(**policy)


def send(site: Site, peer: Site, first: int, count: int) -> None:
    site.sh("python3", "-c", SEND, peer.inner_v4, str(first), str(count))


def test_held_packets_arrive_in_order_and_before_newer_ones(pair: Pair) -> None:
    prepare(pair, hold_packets_max=64, hold_octets_max=1 << 20)
    receiver = pair.right.popen("python3", "-c", RECEIVE, pair.right.inner_v4)
    assert receiver.stdout is not None and receiver.stdout.readline() == "bound\n"
    send(pair.left, pair.right, 0, 40)
    wanted = pair.left.client.wait_notice("packet_wanted", where=lambda n: n["protocol"] == 17)
    assert (wanted["policy"], wanted["destination"]) == (1, pair.right.inner_v4)
    assert (wanted["source"], wanted["destination_port"]) == (pair.left.inner_v4, PORT)
    # Sending goes on while the SAs are installed.
    flood = pair.left.popen("python3", "-c", SEND, pair.right.inner_v4, "40", "3000")
    pair.tunnel()
    flood.wait(timeout=20)
    output, _ = receiver.communicate(timeout=20)
    numbers = [int(line) for line in output.split()]
    assert numbers[:40] == list(range(40))
    assert numbers == sorted(numbers) and len(numbers) > 40
    counters = pair.left.client.counters()
    assert counters["held_released"] == counters["held"] > 40 - 1
    assert pair.left.client.query("policies")[0]["held_packets"] == 0


def test_one_notice_a_second_asks_for_an_sa(pair: Pair) -> None:
    prepare(pair)
    pair.left.client.drain_notices()
    begun = time.monotonic()
    for first in range(0, 50, 10):
        send(pair.left, pair.right, first, 10)
    notices = pair.left.client.drain_notices()
    seconds = time.monotonic() - begun
    assert len([n for n in notices if n["type"] == "packet_wanted"]) <= seconds + 1


def test_the_bounds_of_the_queue_hold_and_each_overflow_is_counted(pair: Pair) -> None:
    prepare(pair, hold_packets_max=10)
    before = pair.left.client.counters()
    send(pair.left, pair.right, 0, 30)

    def counted() -> tuple[int, int]:
        after = pair.left.client.counters()
        held, overflow = (after[n] - before[n] for n in ("held", "drop_hold_overflow"))
        return held, overflow

    eventually("all are counted", lambda: sum(counted()) >= 30)
    assert counted()[0] <= 10
    assert pair.left.client.query("policies")[0]["held_packets"] == 10


def test_old_packets_expire_by_themselves(pair: Pair) -> None:
    prepare(pair, hold_age_ms=300)
    send(pair.left, pair.right, 0, 5)

    def expired() -> bool:
        counters = pair.left.client.counters()
        return counters["drop_hold_expired"] == counters["held"] >= 5

    eventually("all have expired", expired)
    assert pair.left.client.query("policies")[0]["held_packets"] == 0


@pytest.mark.parametrize(("on_no_sa", "held"), [("drop", False), ("hold_quiet", True)])
def test_quiet_policies_ask_for_nothing(pair: Pair, on_no_sa: str, held: bool) -> None:
    prepare(pair, on_no_sa=on_no_sa)
    send(pair.left, pair.right, 0, 5)
    counted, other = ("held", "drop_no_sa_outbound")[:: 1 if held else -1]
    eventually("all are counted", lambda: pair.left.client.counters()[counted] >= 5)
    notices = pair.left.client.drain_notices()
    assert not [n for n in notices if n["type"] == "packet_wanted"]
    assert pair.left.client.counters()[other] < 5


def test_held_packets_survive_new_policies_and_go_with_their_own(pair: Pair) -> None:
    prepare(pair)
    send(pair.left, pair.right, 0, 5)
    held = held_packets(pair, 5)
    pair.policies()
    assert pair.left.client.query("policies")[0]["held_packets"] == held
    pair.left.client.ask("set_policies", policies=[])
    assert pair.left.client.counters()["drop_hold_flushed"] == held


@pytest.mark.parametrize("how", ["arm_policy", "set_policies"])
def test_packets_that_wait_quietly_ask_as_soon_as_they_may(pair: Pair, how: str) -> None:
    prepare(pair, on_no_sa="hold_quiet")
    send(pair.left, pair.right, 0, 5)
    held = held_packets(pair, 5)
    for on_no_sa in ("drop", "hold_quiet"):
        pair.left.client.ask("arm_policy", policy=1, on_no_sa=on_no_sa)
    assert not pair.left.client.drain_notices()
    if how == "arm_policy":
        pair.left.client.ask("arm_policy", policy=1, on_no_sa="hold")
    else:
        pair.policies(on_no_sa="hold")
    assert pair.left.client.wait_notice("packet_wanted", timeout_s=2.0)["held"] == held
    assert pair.left.client.counters()["drop_no_sa_outbound"] == 0
    with pytest.raises(Refused, match="no policy"):
        pair.left.client.ask("arm_policy", policy=2, on_no_sa="hold")


def held_packets(pair: Pair, least: int) -> int:
    """How many packets the left side holds, once there are so many."""

    def held() -> int:
        return int(pair.left.client.query("policies")[0]["held_packets"])

    eventually(f"{least} packets are held", lambda: held() >= least)
    return held()


def test_a_rule_armed_to_drop_holds_no_more(pair: Pair) -> None:
    prepare(pair)
    pair.left.client.ask("arm_policy", policy=1, on_no_sa="drop")
    send(pair.left, pair.right, 0, 5)
    eventually("all are dropped", lambda: pair.left.client.counters()["drop_no_sa_outbound"] >= 5)
    assert pair.left.client.query("policies")[0]["held_packets"] == 0


def test_a_new_client_hears_again_what_is_wanted(pair: Pair) -> None:
    prepare(pair)
    send(pair.left, pair.right, 0, 5)
    pair.left.client.wait_notice("packet_wanted")
    pair.left.client.drain_notices()
    pair.left.client.close()
    pair.left.client = pair.left.connect()
    wanted = pair.left.client.wait_notice("packet_wanted", timeout_s=2.0)
    assert wanted["policy"] == 1


def test_no_packet_leaves_in_clear_while_it_waits(pair: Pair) -> None:
    prepare(pair)
    capture = pair.right.popen(
        "tcpdump", "-i", "wire", "-n", "-U", "--immediate-mode", "net", "10.77.0.0/16"
    )
    assert capture.stdout is not None
    while "listening on" not in capture.stdout.readline():
        assert capture.poll() is None, "tcpdump ended"
    send(pair.left, pair.right, 0, 20)
    pair.tunnel()
    assert pair.left.ping(pair.right.inner_v4)
    capture.terminate()
    output, _ = capture.communicate(timeout=10)
    assert "0 packets captured" in output


def test_a_standby_sa_sends_only_when_there_is_no_other(pair: Pair) -> None:
    prepare(pair)
    for spi, standby in ((0x2001, True), (0x2002, False), (0x2003, True)):
        sa = outbound_sa(pair.left, pair.right, spi, standby=standby)
        pair.right.client.ask("install_sa", sa=mirrored(sa))
        pair.left.client.ask("install_sa", sa=sa)

    def used() -> list[int]:
        before = {s["spi"]: s["packets"] for s in pair.right.client.query("sas")}
        send(pair.left, pair.right, 0, 3)

        def busy() -> list[int]:
            after = {s["spi"]: s["packets"] for s in pair.right.client.query("sas")}
            return [spi for spi in sorted(after) if after[spi] - before[spi] >= 3]

        return eventually("three packets have come by one SA", busy)

    assert used() == [0x2002]
    pair.left.client.ask("update_sa", direction="out", spi=0x2003, standby=False)
    assert used() == [0x2003]
    pair.left.client.ask("remove_sa", direction="out", spi=0x2003)
    pair.left.client.ask("remove_sa", direction="out", spi=0x2002)
    assert used() == [0x2001]
