"""`ike = 1` and `ike = "auto"`: what IKEv1 can say, and how lists become pairs."""

from pathlib import Path

import pytest

from isthmus.config.suites import SUITES
from isthmus.policy.connection import Connection, IkeVersion
from isthmus.values.proposal import AEAD_ENCR
from isthmus.values.registry.ikev2 import Integ, KeMethod, TransformType
from isthmus.values.selector import selectors_text

from .samples import RULE, TUNNEL, loaded, only_error

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
