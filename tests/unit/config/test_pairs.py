"""`one_pair = true`: one phase 2 for each pair of networks."""

from pathlib import Path

import pytest

from isthmus.config.explain import explain_text
from isthmus.config.pairs import PAIRS_MAX
from isthmus.values.selector import selectors_text

from .samples import RULE, TUNNEL, loaded, only_error

SEVERAL = RULE.replace('["10.1.0.0/24"]', '["10.1.0.0/24", "fd01::/64"]').replace(
    '["10.2.0.0/24"]', '["10.2.0.0/24", "10.3.0.0/24", "fd02::/64"]'
)
PAIRED = [
    ("net#1", "10.1.0.0/24", "10.2.0.0/24"),
    ("net#2", "10.1.0.0/24", "10.3.0.0/24"),
    ("net#3", "fd01::/64", "fd02::/64"),
]


def rules(directory: Path, text: str) -> list[tuple[str, str, str]]:
    """Name and selectors of each rule."""
    (connection,) = loaded(directory, text).configuration.connections
    return [(r.name, selectors_text(r.local), selectors_text(r.remote)) for r in connection.rules]


@pytest.mark.parametrize(
    "text",
    [TUNNEL + SEVERAL + "one_pair = true\n", TUNNEL + "one_pair = true\n" + SEVERAL],
    ids=["rule", "tunnel"],
)
def test_each_pair_of_one_family_is_a_rule_of_its_own(tmp_path: Path, text: str) -> None:
    assert rules(tmp_path, text) == PAIRED


def test_a_rule_may_say_otherwise(tmp_path: Path) -> None:
    text = TUNNEL + "one_pair = true\n" + SEVERAL + "one_pair = false\n"
    assert [name for name, *_ in rules(tmp_path, text)] == ["net"]


def test_one_pair_keeps_its_name(tmp_path: Path) -> None:
    text = TUNNEL + RULE + "one_pair = true\n"
    assert rules(tmp_path, text) == [("net", "10.1.0.0/24", "10.2.0.0/24")]


def test_pairs_keep_ports_and_everything_else(tmp_path: Path) -> None:
    text = TUNNEL + SEVERAL + 'one_pair = true\nprotocol = "tcp"\nremote_ports = 443\n'
    (connection,) = loaded(tmp_path, text + 'lifetime = "20m"\n').configuration.connections
    assert {r.lifetimes.lifetime_s for r in connection.rules} == {1200}
    assert selectors_text(connection.rules[0].remote) == "10.2.0.0/24[tcp/443]"


def test_too_many_pairs_are_refused(tmp_path: Path) -> None:
    networks = ", ".join(f'"10.{n}.0.0/24"' for n in range(2, 20))
    near = ", ".join(f'"172.16.{n}.0/24"' for n in range(20))
    text = TUNNEL + RULE.replace('"10.2.0.0/24"', networks).replace('"10.1.0.0/24"', near)
    error = only_error(tmp_path, text + "one_pair = true\n")
    assert error.message.endswith("rule net makes 360 pairs of networks")
    assert str(PAIRS_MAX) in error.why


def test_route_mode_has_no_pairs(tmp_path: Path) -> None:
    error = only_error(tmp_path, TUNNEL + "one_pair = true\n")
    assert error.message == "one_pair in [tunnel.office] belongs to policy mode"


def test_every_pair_is_explained(tmp_path: Path) -> None:
    text = explain_text(loaded(tmp_path, TUNNEL + SEVERAL + "one_pair = true\n"))
    for name, local, remote in PAIRED:
        section = text[text.index(f"[tunnel.office.rule.{name}]\n") :]
        assert section.splitlines()[1].startswith(f'local = ["{local}"]  # set at ')
        assert section.splitlines()[2].startswith(f'remote = ["{remote}"]  # set at ')
