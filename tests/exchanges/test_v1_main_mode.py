"""Main Mode and Quick Mode between two engines."""

from isthmus.ike.core.commands import Initiate
from isthmus.values.secret import Secret

from .pair import Keys
from .v1 import PFS_V1, two_sites


def test_main_mode_and_quick_mode() -> None:
    pair = two_sites()
    pair.left.command(Initiate("site-b"))
    pair.settle()
    for each in (pair.left, pair.right):
        for h in each.happenings[-12:]:
            print(each.name, h.event, h.message)
    pair.advance(1.0)
    for each in (pair.left, pair.right):
        for h in each.happenings[-3:]:
            print(each.name, h.event, h.message)
    assert pair.left.view().state == pair.right.view().state == "up"
    pair.agree()


def test_with_pfs() -> None:
    pair = two_sites(PFS_V1)
    pair.left.command(Initiate("site-b"))
    pair.settle().advance(1.0)
    assert pair.left.view().state == pair.right.view().state == "up"
    pair.agree()


def test_another_secret() -> None:
    pair = two_sites(right_keys=Keys(Secret(b"something else altogether, as long")))
    pair.left.command(Initiate("site-b"))
    pair.settle().advance(100.0)
    assert pair.left.view().state != "up"
    for each in (pair.left, pair.right):
        for h in each.happenings:
            print(each.name, h.event, h.message)
    assert {h.code for h in pair.left.events("phase1.failed")} == {"E102"}
    assert "E120" in {h.code for h in pair.right.events("phase1.failed")}
