"""ESP that comes before its SA: kept for announced SPIs within bounds, opened in order."""

import pytest
from tests.plane.client import Message, Refused
from tests.plane.support import Pair, eventually, mirrored, outbound_sa
from tests.plane.test_hold import RECEIVE, prepare, send

pytestmark = pytest.mark.root

SPI = 0x3001

FLOOD = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
first, count, pause_s = int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
for n in range(first, first + count):
    s.sendto(n.to_bytes(4, "big"), (sys.argv[1], 7777))
    time.sleep(pause_s)
"""


def early_pair(pair: Pair, *, announce: bool = True) -> Message:
    """The left side has its outbound SA, the right side was at most told its SPI."""
    prepare(pair)
    sa = outbound_sa(pair.left, pair.right, SPI)
    if announce:
        pair.right.client.ask("expect_sa", spi=SPI)
    pair.left.client.ask("install_sa", sa=sa)
    return mirrored(sa)


def wait_count(pair: Pair, name: str, least: int) -> int:
    """The right side's counter once it is that high."""

    def high() -> int:
        count = pair.right.client.counters()[name]
        return count if count >= least else 0

    return eventually(f"{name} is {least}", high)


def test_early_packets_arrive_first_and_in_order_once_the_sa_stands(pair: Pair) -> None:
    inbound = early_pair(pair)
    receiver = pair.right.popen("python3", "-c", RECEIVE, pair.right.inner_v4)
    assert receiver.stdout is not None and receiver.stdout.readline() == "bound\n"
    send(pair.left, pair.right, 0, 40)
    wait_count(pair, "early_kept", 40)
    # Sending goes on while the SA is installed.
    flood = pair.left.popen("python3", "-c", FLOOD, pair.right.inner_v4, "40", "3000", "0.0002")
    pair.right.client.ask("install_sa", sa=inbound)
    flood.wait(timeout=30)
    output, _ = receiver.communicate(timeout=20)
    numbers = [int(line) for line in output.split()]
    assert numbers[:40] == list(range(40))
    assert numbers == sorted(set(numbers)) and numbers[-1] == 3039
    counters = pair.right.client.counters()
    assert counters["early_replayed"] == counters["early_kept"] >= 40
    assert counters["drop_no_sa_inbound"] == 0
    assert not [n for n in pair.right.client.drain_notices() if n["type"] == "unknown_spi"]


def test_not_one_packet_is_lost_around_the_installation(pair: Pair) -> None:
    inbound = early_pair(pair)
    receiver = pair.right.popen("python3", "-c", RECEIVE, pair.right.inner_v4)
    assert receiver.stdout is not None and receiver.stdout.readline() == "bound\n"
    flood = pair.left.popen("python3", "-c", FLOOD, pair.right.inner_v4, "0", "500", "0.001")
    wait_count(pair, "early_kept", 10)
    pair.right.client.ask("install_sa", sa=inbound)
    flood.wait(timeout=30)
    output, _ = receiver.communicate(timeout=20)
    assert [int(line) for line in output.split()] == list(range(500))


def test_without_an_announcement_nothing_is_kept(pair: Pair) -> None:
    inbound = early_pair(pair, announce=False)
    pair.right.client.ask("expect_sa", spi=SPI + 1)
    send(pair.left, pair.right, 0, 5)
    wait_count(pair, "drop_no_sa_inbound", 5)
    assert pair.right.client.wait_notice("unknown_spi")["spi"] == SPI
    pair.right.client.ask("install_sa", sa=inbound)
    counters = pair.right.client.counters()
    assert counters["early_kept"] == counters["early_replayed"] == 0


def test_packets_are_bounded_and_dropped_when_old(pair: Pair) -> None:
    early_pair(pair)
    send(pair.left, pair.right, 0, 100)
    dropped = wait_count(pair, "drop_early_overflow", 36)
    assert pair.right.client.counters()["early_kept"] == 64
    assert wait_count(pair, "drop_early_expired", 64) == 64
    assert dropped >= 36


@pytest.mark.parametrize("how", ["remove_sa", "flush"])
def test_an_announcement_is_taken_back(pair: Pair, how: str) -> None:
    inbound = early_pair(pair)
    send(pair.left, pair.right, 0, 5)
    kept = wait_count(pair, "early_kept", 5)
    if how == "remove_sa":
        pair.right.client.ask("remove_sa", direction="in", spi=SPI)
        with pytest.raises(Refused, match="no SA"):
            pair.right.client.ask("remove_sa", direction="in", spi=SPI)
    else:
        pair.right.client.ask("flush")
    assert pair.right.client.counters()["drop_early_expired"] == kept
    pair.right.client.ask("install_sa", sa=inbound)
    assert pair.right.client.counters()["early_replayed"] == 0


def test_impossible_announcements_are_refused(pair: Pair) -> None:
    ask = pair.right.client.ask
    inbound = early_pair(pair, announce=False)
    ask("install_sa", sa=inbound)
    with pytest.raises(Refused, match="installed already"):
        ask("expect_sa", spi=SPI)
    with pytest.raises(Refused, match="reserved"):
        ask("expect_sa", spi=255)
    for number in range(4096):
        ask("expect_sa", spi=0x10000 + number)
    with pytest.raises(Refused, match="4096"):
        ask("expect_sa", spi=0x20000)
    ask("expect_sa", spi=0x10000)
