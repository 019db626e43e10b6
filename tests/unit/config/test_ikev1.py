"""`ike = 1` and `ike = "auto"`: what IKEv1 can say, and how lists become pairs."""

from contextlib import suppress
from itertools import product
from pathlib import Path

import pytest

from exchanges import pki
from isthmus.config.errors import Report
from isthmus.config.ikev1 import check_proposals
from isthmus.config.network_fields import PlacedProposal
from isthmus.config.suites import SUITES
from isthmus.config.syntax import Position
from isthmus.ike.v1.offers import expressible_phase1, expressible_phase2, phase2_payload
from isthmus.policy.connection import PHASE2_LIFETIMES, Connection, IkeVersion
from isthmus.values.errors import NoAgreement
from isthmus.values.proposal import AEAD_ENCR, Proposal, keywords, parse_proposal
from isthmus.values.registry.ikev1 import EncapsulationMode
from isthmus.values.registry.ikev2 import Integ, KeMethod, SecurityProtocol, TransformType
from isthmus.values.selector import selectors_text
from isthmus.values.spi import Spi

from .samples import RULE, TUNNEL, errors, loaded, only_error

V1 = TUNNEL + "ike = 1\n"
AUTO = TUNNEL + 'ike = "auto"\n'
WITH_LISTS = RULE.replace('["10.1.0.0/24"]', '["10.1.0.0/24", "10.5.0.0/24"]')


def connection(directory: Path, text: str) -> Connection:
    (found,) = loaded(directory, text).configuration.connections
    return found


@pytest.mark.parametrize(
    ("text", "version", "speaks", "initiates_v1"),
    [
        (TUNNEL, IkeVersion.V2, (False, True), False),
        (TUNNEL + "ike = 2\n", IkeVersion.V2, (False, True), False),
        (V1, IkeVersion.V1, (True, False), True),
        (TUNNEL + 'ike = "1"\n', IkeVersion.V1, (True, False), True),
        (AUTO, IkeVersion.AUTO, (True, True), False),
    ],
)
def test_the_version_says_what_is_spoken(
    tmp_path: Path, text: str, version: IkeVersion, speaks: tuple[bool, bool], initiates_v1: bool
) -> None:
    found = connection(tmp_path, text)
    assert found.ike is version
    assert (found.speaks_v1, found.speaks_v2) == speaks
    assert found.initiates_v1 is initiates_v1


@pytest.mark.parametrize("suite", SUITES)
def test_every_suite_has_a_form_that_ikev1_can_say(tmp_path: Path, suite: str) -> None:
    found = connection(tmp_path, V1 + f'suite = "{suite}"\nallow_weak = true\n' + RULE)
    for proposal in found.phase1_proposals:
        assert not AEAD_ENCR.intersection(t.number for t in proposal.of_kind(TransformType.ENCR))
        hashes = [Integ(t.number).name for t in proposal.of_kind(TransformType.INTEG)]
        prfs = len(proposal.of_kind(TransformType.PRF))
        assert prfs == len(hashes) > 0
    for proposal in (*found.phase1_proposals, *found.rules[0].proposals):
        groups = {t.number for t in proposal.of_kind(TransformType.KE)}
        assert groups and KeMethod.CURVE25519 not in groups


@pytest.mark.parametrize("suite", SUITES)
def test_auto_puts_what_ikev2_likes_first(tmp_path: Path, suite: str) -> None:
    head = f'suite = "{suite}"\nallow_weak = true\n' + RULE
    both, v2, v1 = (connection(tmp_path, base + head) for base in (AUTO, TUNNEL, V1))
    texts = [str(p) for p in both.phase1_proposals]
    assert texts[: len(v2.phase1_proposals)] == [str(p) for p in v2.phase1_proposals]
    assert {str(p) for p in v1.phase1_proposals} <= set(texts)
    assert len(set(texts)) == len(texts)
    assert [p.number for p in both.phase1_proposals] == list(range(1, len(texts) + 1))


@pytest.mark.parametrize(
    ("proposal", "why"),
    [
        ("aes256gcm16-prfsha384-ecp256", "no cipher that brings its own integrity (aes256gcm16)"),
        ("aes256-sha256-prfsha384-ecp256", "one hash is integrity and PRF (sha256, prfsha384"),
        ("aes256-sha256-x25519", "no number for the group x25519"),
        ("aes256-sha256-ecp256-x25519", "no number for the group x25519"),
        ("aes256-aesxcbc-modp2048", "one hash is integrity and PRF (aesxcbc, prfaesxcbc"),
        ("aes256ctr-sha256-modp2048", "no number for aes256ctr"),
    ],
)
def test_what_phase_1_cannot_say_is_refused(tmp_path: Path, proposal: str, why: str) -> None:
    error = only_error(tmp_path, V1 + f'phase1.proposals = "{proposal}"\n')
    assert error.message == "[tunnel.office.phase1] has a proposal that IKEv1 cannot say"
    assert why in error.why
    fix = error.hint.split('"')[1]
    assert connection(tmp_path, V1 + f'phase1.proposals = "{fix}"\n')


@pytest.mark.parametrize(
    ("proposal", "why"),
    [
        ("chacha20poly1305-ecp256", "chacha20poly1305"),
        ("aes256-aescmac-ecp256", "aescmac"),
        ("aes256gcm16-x25519", "x25519"),
        ("aes256gcm16-ecp256-esn", "esn"),
    ],
)
def test_what_phase_2_cannot_say_is_refused(tmp_path: Path, proposal: str, why: str) -> None:
    error = only_error(tmp_path, V1 + RULE + f'proposals = "{proposal}"\n')
    assert error.message == "[tunnel.office.rule.net] has a proposal that IKEv1 cannot say"
    assert why in error.why


@pytest.mark.parametrize(
    "listed",
    [
        '"aes256gcm16-prfsha384-ecp256"',
        '"aes256-sha256-x25519"',
        '"aes256-sha256-prfsha384-ecp256"',
    ],
)
def test_auto_wants_one_proposal_that_ikev1_can_say(tmp_path: Path, listed: str) -> None:
    error = only_error(tmp_path, AUTO + f"phase1.proposals = [{listed}]\n")
    assert error.message == "[tunnel.office.phase1] has no proposal that IKEv1 can say"
    text = AUTO + f'phase1.proposals = [{listed}, "aes256-sha256-x25519-ecp256"]\n'
    assert len(connection(tmp_path, text).phase1_proposals) == 2


EXPRESSIBLE = {
    SecurityProtocol.IKE: expressible_phase1,
    SecurityProtocol.ESP: expressible_phase2,
}
PARTS = ("aes256", "3des", "aes256ctr", "chacha20poly1305", "aes256gcm16", "aes128ccm8")
HASHES = ("sha256", "md5", "sha384-sha1", "aesxcbc", "aescmac", "sha256-aesxcbc")
GROUPS = ("ecp256", "x25519", "modp2048-x25519", "modp1024")
PHASE1 = [
    f"{cipher}-{middle}-{group}"
    for cipher, middle, group in product(
        PARTS,
        (*HASHES, "prfsha256", "sha256-prfsha384", "sha256-sha1-prfsha1", "sha256-prfaescmac"),
        GROUPS,
    )
]
PHASE2 = [
    "-".join(part for part in parts if part)
    for parts in product(PARTS, (*HASHES, ""), ("", *GROUPS), ("", "esn", "noesn"))
]


def parsed(texts: list[str], protocol: SecurityProtocol) -> dict[str, Proposal]:
    """Those of the texts that are proposals at all."""
    found = {}
    for text in texts:
        with suppress(ValueError):
            found[text] = parse_proposal(text, protocol)
    return found


def can_be_offered(proposal: Proposal) -> bool:
    """The engine makes an offer of it."""
    if proposal.protocol is SecurityProtocol.IKE:
        return bool(expressible_phase1((proposal,)))
    groups = {KeMethod(t.number) for t in proposal.of_kind(TransformType.KE)} or {KeMethod.NONE}
    for group in groups:
        with suppress(NoAgreement):
            phase2_payload(
                (proposal,), Spi(4096), EncapsulationMode.TUNNEL, PHASE2_LIFETIMES, group
            )
            return True
    return False


@pytest.mark.parametrize(
    ("texts", "protocol"),
    [(PHASE1, SecurityProtocol.IKE), (PHASE2, SecurityProtocol.ESP)],
    ids=["phase 1", "phase 2"],
)
def test_the_engine_offers_what_is_taken_and_nothing_that_is_refused(
    texts: list[str], protocol: SecurityProtocol
) -> None:
    proposals = parsed(texts, protocol)
    assert len(proposals) > 80
    outcomes = set()
    for proposal in proposals.values():
        placed = (PlacedProposal(proposal, (), Position("", 1, 1)),)
        refused = {}
        for ike in (IkeVersion.V1, IkeVersion.AUTO):
            report = Report()
            check_proposals(placed, protocol, ike, "", report)
            refused[ike] = bool(report.errors)
        assert refused[IkeVersion.AUTO] is not can_be_offered(proposal), str(proposal)
        assert refused[IkeVersion.V1] or not refused[IkeVersion.AUTO], str(proposal)
        outcomes.add((refused[IkeVersion.V1], refused[IkeVersion.AUTO]))
    assert outcomes == {(False, False), (True, False), (True, True)}


def test_each_cipher_and_group_alone_is_taken_if_the_engine_offers_it() -> None:
    for word in sorted(keywords()):
        for text, protocol in (
            (f"{word}-sha256-modp2048", SecurityProtocol.ESP),
            (f"{word}-modp2048", SecurityProtocol.ESP),
            (f"aes128-sha256-{word}", SecurityProtocol.ESP),
            (f"{word}-sha256-modp2048", SecurityProtocol.IKE),
            (f"aes128-sha256-{word}", SecurityProtocol.IKE),
        ):
            for proposal in parsed([text], protocol).values():
                report = Report()
                placed = (PlacedProposal(proposal, (), Position("", 1, 1)),)
                check_proposals(placed, protocol, IkeVersion.V1, "", report)
                if not report.errors:
                    assert can_be_offered(proposal), text
                    said = EXPRESSIBLE[protocol]((proposal,))
                    assert {t for p in said for t in p.transforms} == set(proposal.transforms)


@pytest.mark.parametrize(
    ("ike", "kind", "keys", "what"),
    [
        ("1", "p256", "", ""),
        ("1", "p521", "", ""),
        ("1", "rsa2048", "xauth", ""),
        ("1", "p256", "xauth", "XAUTH stands behind RSA alone"),
        ("1", "ed25519", "", "which IKEv1 has no method for"),
        ('"auto"', "p256", "", ""),
        ('"auto"', "p521", "", ""),
        ('"auto"', "ed25519", "", "which IKEv1 has no method for"),
    ],
)
def test_a_key_that_ikev1_has_no_method_for_is_refused(
    tmp_path: Path, ike: str, kind: str, keys: str, what: str
) -> None:
    root = pki.issue("Root")
    node = pki.issue("gw", root, pki.private(kind), names=("fqdn:gw.example.net",))
    for name, octets in (("root.pem", root.pem), ("gw.pem", node.pem), ("gw.key", node.key_pem)):
        (tmp_path / name).write_bytes(octets)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "password").write_text("a password")
    (tmp_path / "password").chmod(0o600)
    text = f"""\
[tunnel.office]
peer = "203.0.113.10"
auth = "cert"
cert = "gw.pem"
key = {{ file = "gw.key" }}
ca = "root.pem"
ike = {ike}
"""
    if keys:
        text += 'xauth = { user = "branch7", password.file = "password" }\n'
    if not what:
        assert connection(tmp_path, text).speaks_v1
        return
    assert [what in error.message for error in errors(tmp_path, text)] == [True]
    assert loaded(tmp_path, text.split("ike =")[0])


@pytest.mark.parametrize("base", [V1, AUTO], ids=["1", "auto"])
def test_lists_of_networks_become_pairs(tmp_path: Path, base: str) -> None:
    rules = connection(tmp_path, base + WITH_LISTS).rules
    assert [(r.name, selectors_text(r.local), selectors_text(r.remote)) for r in rules] == [
        ("net#1", "10.1.0.0/24", "10.2.0.0/24"),
        ("net#2", "10.5.0.0/24", "10.2.0.0/24"),
    ]
    assert len(connection(tmp_path, TUNNEL + WITH_LISTS).rules) == 1


def test_each_port_is_a_pair_of_its_own(tmp_path: Path) -> None:
    text = V1 + RULE + 'protocol = "tcp"\nremote_ports = [80, 443]\n'
    assert [selectors_text(r.remote) for r in connection(tmp_path, text).rules] == [
        "10.2.0.0/24[tcp/80]",
        "10.2.0.0/24[tcp/443]",
    ]


@pytest.mark.parametrize("base", [V1, AUTO], ids=["1", "auto"])
@pytest.mark.parametrize("ports", ['"8000-8080"', "0"])
def test_a_range_of_ports_is_refused(tmp_path: Path, base: str, ports: str) -> None:
    error = only_error(tmp_path, base + RULE + f'protocol = "tcp"\nremote_ports = {ports}\n')
    assert "a range that IKEv1 cannot say" in error.message


@pytest.mark.parametrize("base", [V1, AUTO], ids=["1", "auto"])
@pytest.mark.parametrize("word", ["one_pair = false\n", ""])
def test_several_networks_in_one_phase_2_are_refused(tmp_path: Path, base: str, word: str) -> None:
    text = base + ('mode = "route"\n' if not word else "") + WITH_LISTS + word
    error = only_error(tmp_path, text)
    assert error.message.endswith("rule net has one phase 2 for several networks")


@pytest.mark.parametrize("base", [V1, AUTO], ids=["1", "auto"])
@pytest.mark.parametrize(
    ("keys", "everything"),
    [
        ("", "0.0.0.0/0"),
        ('inside = "169.254.10.1/30"\nroutes = ["10.20.0.0/16"]\n', "0.0.0.0/0"),
        ('inside = "fd00::1/126"\nroutes = ["2001:db8::/32"]\n', "::/0"),
    ],
)
def test_a_route_based_tunnel_has_one_family(
    tmp_path: Path, base: str, keys: str, everything: str
) -> None:
    (rule,) = connection(tmp_path, base + keys).rules
    assert selectors_text(rule.local) == selectors_text(rule.remote) == everything


def test_a_route_based_tunnel_of_both_families_is_refused(tmp_path: Path) -> None:
    error = only_error(tmp_path, V1 + 'routes = ["10.20.0.0/16", "2001:db8::/32"]\n')
    assert error.message.endswith("has inside addresses and routes of both IPv4 and IPv6")
