"""`[[bypass]]` and `[[discard]]` in a configuration file."""

from pathlib import Path

import pytest

from isthmus.config.explain import explain_text
from isthmus.config.load import load
from isthmus.management.which import Packet, which
from isthmus.policy.connection import Processing
from isthmus.values.selector import selectors_text

from .samples import RULE, TUNNEL, errors, loaded, only_error, write

BASE = TUNNEL + RULE


def test_both_kinds_are_read_and_numbered(tmp_path: Path) -> None:
    text = (
        BASE
        + """
[[bypass]]
remote = ["10.2.0.5/32"]
protocol = "tcp"
remote_ports = [22, "8000-8080"]

[[discard]]
local = ["10.1.0.0/24"]
remote = ["0.0.0.0/0", "::/0"]
protocol = "tcp"
remote_ports = [25]

[[bypass]]
local = ["10.1.0.0/24"]
"""
    )
    found = loaded(tmp_path, text).configuration.plain
    assert [(p.name, p.processing) for p in found] == [
        ("bypass#1", Processing.BYPASS),
        ("bypass#2", Processing.BYPASS),
        ("discard#1", Processing.DISCARD),
    ]
    assert [(selectors_text(p.local), selectors_text(p.remote)) for p in found] == [
        ("0.0.0.0/0[tcp]", "10.2.0.5/32[tcp/22], 10.2.0.5/32[tcp/8000-8080]"),
        ("10.1.0.0/24", "0.0.0.0/0"),
        ("10.1.0.0/24[tcp]", "0.0.0.0/0[tcp/25]"),
    ]
    assert found[0].origin.endswith("isthmus.toml:8")


def test_those_of_several_files_add_up(tmp_path: Path) -> None:
    path = write(tmp_path, BASE + '[[bypass]]\nremote = "10.2.0.5"\n')
    more = tmp_path / "conf.d"
    more.mkdir()
    (more / "more.toml").write_text('[[bypass]]\nremote = "10.2.0.6"\n')
    (more / "more.toml").chmod(0o600)
    plain = load(path, {}).configuration.plain
    assert [selectors_text(p.remote) for p in plain] == ["10.2.0.5/32", "10.2.0.6/32"]


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("[[bypass]]\n", "[[bypass]] is empty", 7),
        ('[bypass]\nremote = "10.2.0.5"\n', "bypass in the file is no list of tables", 7),
        ('[[discard]]\nlocl = "10.2.0.5"\nremote = "10.9.0.0/16"\n', "unknown key", 8),
        ('[[bypass]]\nlocal = "10.1.0.1"\nremote = "::1"\n', "different families", 7),
        ('[[bypass]]\nremote = "10.2.0.5"\nremote_ports = 22\n', "needs a protocol", 9),
        ('[[bypass]]\nremote = "10.2.0.300"\n', "which is no network", 8),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, text: str, message: str, line: int
) -> None:
    found = only_error(tmp_path, BASE + text)
    assert message in found.message
    assert found.line == line


def test_a_rule_within_a_bypass_within_a_rule_is_refused(tmp_path: Path) -> None:
    inner = RULE.replace("rule.net", "rule.inner").replace("10.2.0.0/24", "10.2.0.5/32")
    text = BASE + inner + '[[bypass]]\nremote = "10.2.0.0/28"\n'
    (found,) = errors(tmp_path, text)
    assert "bypass#1 lies within [tunnel.office.rule.net]" in found.message


@pytest.mark.parametrize(
    ("text", "other"),
    [
        (
            '[[discard]]\nlocal = "10.1.0.0/24"\nremote = "10.2.0.0/24"\n',
            "[tunnel.office.rule.net]",
        ),
        ('[[bypass]]\nremote = "10.9.0.1"\n[[discard]]\nremote = "10.9.0.1"\n', "bypass#1"),
    ],
)
def test_the_same_traffic_twice_is_refused(tmp_path: Path, text: str, other: str) -> None:
    found = only_error(tmp_path, BASE + text)
    assert found.message == f"discard#1 is for the same traffic as {other}"


def test_a_bypass_that_does_not_apply_is_warned_about(tmp_path: Path) -> None:
    text = BASE + '[[bypass]]\nprotocol = "tcp"\nremote_ports = 22\n'
    (warning,) = loaded(tmp_path, text).warnings
    assert "bypass#1 does not apply to what [tunnel.office.rule.net] takes" in warning


def test_which_names_them_in_the_same_order(tmp_path: Path) -> None:
    text = (
        BASE
        + """
[[bypass]]
remote = "10.2.0.5"
[[discard]]
remote = "10.0.0.0/8"
"""
    )
    configuration = loaded(tmp_path, text).configuration
    asked = {
        "10.2.0.5": ("bypass", "", "bypass#1"),
        "10.2.0.6": ("rule", "office", "net"),
        "10.3.0.1": ("discard", "", "discard#1"),
        "192.0.2.1": ("none", "", ""),
    }
    for destination, expected in asked.items():
        reply = which(configuration, Packet.parse("10.1.0.9", destination, 0, 0))
        assert (reply.verdict, reply.tunnel, reply.rule) == expected
    reply = which(configuration, Packet.parse("10.1.0.9", "10.2.0.5", 0, 0))
    assert reply.why.endswith("It leaves in clear.")
    assert [o.why_not for o in reply.others] == ["it matches, but bypass#1 is more specific"] * 2


def test_their_settings_are_explained_with_their_places(tmp_path: Path) -> None:
    text = explain_text(loaded(tmp_path, BASE + '[[bypass]]\nremote = "10.2.0.5"\n'))
    section = text[text.index("[bypass#1]") :]
    assert 'remote = "10.2.0.5"  # set at' in section
    assert "local = (any)  # default" in section
