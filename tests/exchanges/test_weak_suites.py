"""Old algorithms work where both sides name them, and the view says so as long as they are used."""

import pytest

from isthmus.ike.core.commands import Terminate
from isthmus.policy.connection import Connection

from .pair import RIGHT, Pair, connection, rule
from .scenes import far_side, phase1

STRONG = "aes256-sha256-prfsha256-ecp256"
CASES = [
    (
        "3des-md5-prfmd5-modp1024",
        "3des-md5",
        {"3des", "md5", "prfmd5", "modp1024"},
    ),
    (
        "3des-sha1-prfsha1-modp1536",
        "aes128-sha1",
        {"3des", "sha1", "prfsha1", "modp1536"},
    ),
    (STRONG, "3des-sha1", {"3des", "sha1"}),
    (STRONG, "aes256-sha256", set()),
]


def far(first: str, second: str) -> Connection:
    half = rule(local="10.2.0.0/24", remote="10.1.0.0/24", proposals=(second,))
    return far_side(rules=(half,), proposals=(first,))


@pytest.mark.parametrize(("first", "second", "weak"), CASES)
def test_what_both_name_is_used_and_told(first: str, second: str, weak: set[str]) -> None:
    near = connection("b", RIGHT, (rule(proposals=(second,)),), (first,))
    pair = Pair(near, far(first, second))
    pair.packet(pair.left)
    pair.settle()
    for side in (pair.left, pair.right):
        view = side.view()
        assert view.state == "up", view.failure
        assert set(view.weak) == weak
        assert len(side.sas) == 2
    pair.left.command(Terminate("b"))
    pair.settle()
    assert pair.left.view().weak == () and not pair.left.sas


def test_a_peer_that_offers_weak_ones_first_gets_none_that_we_have_not_named() -> None:
    old = "3des-md5-prfmd5-modp1024"
    pair = Pair(
        connection("b", RIGHT, (rule(proposals=("3des-md5", "aes256-sha256")),), (old, STRONG)),
        far(STRONG, "aes256-sha256"),
    )
    pair.packet(pair.left)
    pair.settle()
    for side in (pair.left, pair.right):
        assert phase1(side).suite == STRONG
        assert side.view().state == "up" and side.view().weak == ()
