"""Rules and interfaces have numbers in the plane, and an order."""

from dataclasses import replace

from isthmus.backends.specs import InterfaceState, PolicyState, SelectorsSpec
from isthmus.daemon.rules import RuleBook, RuleName
from isthmus.policy.connection import Configuration

from .samples import CONFIGURATION, OFFICE, network, routed, rule, tunnel

WIDE = rule("wide", "10.0.0.0/8", "172.16.0.0/12")
NARROW = rule("narrow", "10.1.0.0/24", "172.16.5.0/24")
WEB = rule("web", "10.1.0.0/24", network("172.16.5.0/24", 6, 443))


def present(number: int, name: str) -> PolicyState:
    """A policy that the plane has already."""
    none = SelectorsSpec((), ())
    return PolicyState(number, name, 1, "protect", 0, 0, 0, none, ())


def test_names_become_numbers_and_back() -> None:
    book = RuleBook(CONFIGURATION)
    number = book.number("office", "net")
    assert number is not None
    assert book.name(number) == RuleName("office", "net")
    assert book.number("office", "other") is None
    assert book.name(number + 1) is None


def test_the_most_specific_rule_stands_first() -> None:
    book = RuleBook(Configuration((tunnel("office", WIDE, NARROW, WEB),)))
    assert [p.name for p in book.policies()] == ["office/web", "office/narrow", "office/wide"]


def test_rules_of_one_width_stay_in_file_order() -> None:
    rules = [rule(name, "10.1.0.0/24", f"10.{n}.0.0/24") for n, name in enumerate("zyx", 2)]
    book = RuleBook(Configuration((tunnel("office", *rules),)))
    assert [p.name for p in book.policies()] == ["office/z", "office/y", "office/x"]


def test_numbers_that_the_plane_knows_are_kept() -> None:
    """Its SAs refer to them, and they outlive an IKE process."""
    configuration = Configuration((tunnel("office", WIDE, NARROW),))
    known = (present(1, "office/narrow"), present(2, "gone/rule"))
    interfaces = (InterfaceState(4, "isthmus0", 1400, 1400, "none", 0, 0),)
    book = RuleBook(configuration, known, interfaces)
    assert book.number("office", "narrow") == 1
    assert book.number("office", "wide") == 3
    assert {p.interface for p in book.policies()} == {4}


def test_each_routed_tunnel_has_its_interface() -> None:
    book = RuleBook(Configuration((routed("a"), routed("b"))))
    assert len(set(book.interfaces.values())) == 2
    assert {p.interface for p in book.policies()} == set(book.interfaces.values())


def test_arming_changes_one_policy_and_says_whether_it_did() -> None:
    book = RuleBook(Configuration((tunnel("office", WIDE, NARROW),)))
    assert book.arm("office", "wide", "drop")
    assert not book.arm("office", "wide", "drop")
    assert not book.arm("office", "unknown", "drop")
    assert {p.name: p.on_no_sa for p in book.policies()} == {
        "office/wide": "drop",
        "office/narrow": "hold",
    }
    assert [p.name for p in book.policies()] == ["office/narrow", "office/wide"]


def test_one_host_in_a_wide_rule_does_not_put_it_first() -> None:
    wide = replace(WIDE, remote=(*WIDE.remote, network("192.0.2.9/32")))
    book = RuleBook(Configuration((tunnel("office", wide, NARROW),)))
    assert [p.name for p in book.policies()] == ["office/narrow", "office/wide"]


def test_the_kernels_own_noise_on_a_tunnels_interface_brings_nothing_up() -> None:
    book = RuleBook(Configuration((OFFICE, routed("branch", "10.20.0.0/16"))))
    silencer, *others = book.policies()
    assert (silencer.name, silencer.action) == ("branch/(no source)", "discard")
    assert [r.start for r in silencer.selectors.local] == ["0.0.0.0", "::"]
    found = book.interface("branch")
    assert found is not None and (found.name, found.number) == ("branch", silencer.interface)
    assert {spec.action for spec in others} == {"protect"}
    assert len({spec.id for spec in book.policies()}) == 3
    assert book.name(silencer.id) is None
