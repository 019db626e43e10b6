"""Status tells which address goes with phase 1, and who has logged in."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from tests.unit.management.fakes import PARTNER, PHASE1

from isthmus.cli.render import tunnel_lines
from isthmus.cli.text import Paint
from isthmus.management.snapshot import tunnel_status
from isthmus.policy.assigned import Assigned

ADDRESS = IPv4Address("10.99.0.7")
WHOLE = Assigned(
    ADDRESS,
    (IPv4Address("10.1.0.53"), IPv4Address("10.1.0.54")),
    "hq.example\x1b[31m",
    (IPv4Network("10.1.0.0/16"), IPv4Network("10.4.0.0/16")),
)


def shown(given: Assigned | None, *, ours: bool, user: str = "") -> list[str]:
    """What status says of a tunnel beyond what it says without an address."""
    phase1 = replace(PHASE1, assigned=given, assigned_to_us=ours, user=user)
    status, plain = (
        tunnel_status(replace(PARTNER, phase1=one), {}, {}, lambda code: "")
        for one in (phase1, PHASE1)
    )
    lines, others = tunnel_lines(status, Paint(False)), tunnel_lines(plain, Paint(False))
    return [line.strip() for line in lines if line not in others]


def test_an_address_that_the_peer_lends_us_stands_with_what_it_told_us() -> None:
    assert shown(WHOLE, ours=True) == [
        "our address 10.99.0.7 from the peer, DNS 10.1.0.53 10.1.0.54, domain hq.example\\x1b[31m,"
        " for 10.1.0.0/16 10.4.0.0/16"
    ]


def test_a_server_sees_who_has_which_address() -> None:
    assert shown(Assigned(ADDRESS), ours=False, user="bob") == [
        "logged in as bob",
        "peer has 10.99.0.7",
    ]


def test_nothing_is_said_of_nothing() -> None:
    assert shown(None, ours=True) == []
