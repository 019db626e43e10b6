"""SECURITY.md names tests that exist; and those of its claims that have no test elsewhere."""

import re

import pytest

from exchanges.pair import LEFT, RIGHT, Pair
from isthmus.ike.core.events import DatagramReceived
from isthmus.values.address import Endpoint
from isthmus.wire.header import Header

from .pages import ROOT, names, read, rows, section

PAGE = read("SECURITY.md")
CLASSES = rows(section(PAGE, "## How VPNs were broken, and our answer"))
SK = 46
HEADER_AND_IV = 32


def claims() -> list[str]:
    return [name for row in CLASSES for name in names(row[3]) if "/" in name]


def has(claim: str) -> bool:
    """A test by its file and name exists."""
    path, _, name = claim.partition("::")
    file = ROOT / path
    word = "fn" if path.endswith(".rs") else "def"
    return file.exists() and bool(re.search(rf"\b{word} {name}\(", file.read_text()))


def test_every_class_has_its_row() -> None:
    assert [row[0] for row in CLASSES] == [f"S-{number:02}" for number in range(1, 43)]


def test_every_named_test_exists() -> None:
    assert [claim for claim in claims() if not has(claim)] == []


def test_what_is_done_has_a_test() -> None:
    assert [row[0] for row in CLASSES if row[2].startswith("done") and not row[3]] == []


def test_a_test_that_does_not_exist_is_seen() -> None:
    assert len(claims()) > 40
    assert not has("tests/exchanges/test_faults.py::test_that_never_was")
    assert not has("tests/exchanges/test_that_never_was.py::test_x")


@pytest.mark.parametrize("version", [0x10, 0x11])
def test_ikev1_gets_no_reply(version: int) -> None:
    """S-41: IKEv1 is off; a main mode message of a stranger or a peer is not answered."""
    pair = Pair()
    header = Header(bytes(range(8)), bytes(8), 1, version, exchange=2)
    octets = header.encode(60) + bytes(32)
    for port in (500, 4500):
        pair.right.feed(DatagramReceived(Endpoint(RIGHT, port), Endpoint(LEFT, port), octets))
    assert pair.right.out == []
    assert {h.event for h in pair.right.happenings[-2:]} == {"datagram.dropped"}


def test_no_iv_repeats_under_one_key_of_ike() -> None:
    """S-25: a day of renewals and probes; the same IV only for the same octets (a repeat)."""
    pair = Pair().establish()
    pair.advance(86_400)
    seen: dict[tuple[bytes, str, bytes], bytes] = {}
    for datagram in pair.wire:
        octets = datagram.octets
        if octets[16] != SK:
            continue
        sender = pair.left.address if datagram.remote.address == RIGHT else pair.right.address
        key = (octets[:16], sender, octets[HEADER_AND_IV : HEADER_AND_IV + 8])
        assert seen.setdefault(key, octets) == octets
    assert len({spis for spis, _, _ in seen}) > 2
    assert len(seen) > 1000
