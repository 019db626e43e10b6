"""`--explain-defaults`: every key with what is in force, and whether it was set."""

import tomllib
from pathlib import Path

from isthmus.config.explain import explain_defaults, explain_text, reference
from isthmus.config.schema import DPD, PHASE1, RULE
from isthmus.config.v1_schema import MODE_CONFIG, XAUTH

from .samples import RULE as RULE_TEXT
from .samples import SECRET, TUNNEL, loaded

PLAIN_TEXT = '[[bypass]]\nremote = "10.2.0.5"\n[[discard]]\nremote = "10.9.0.0/16"\n'
TABLES = {PHASE1.name, DPD.name, RULE.name, XAUTH.name, MODE_CONFIG.name}
V1_TEXT = 'ike = 1\nxauth = { user = "branch7", password.file = "office.psk" }\nmode_config = {}\n'


def test_every_key_is_explained_for_every_section(tmp_path: Path) -> None:
    found = explain_defaults(loaded(tmp_path, TUNNEL + V1_TEXT + RULE_TEXT + PLAIN_TEXT))
    names = {
        "listen": "listen",
        "daemon": "daemon",
        "tunnel.office": "tunnel.NAME",
        "tunnel.office.phase1": "tunnel.NAME.phase1",
        "tunnel.office.dpd": "tunnel.NAME.dpd",
        "tunnel.office.rule.net": "tunnel.NAME.rule.RULE",
        "tunnel.office.xauth": "tunnel.NAME.xauth",
        "tunnel.office.mode_config": "tunnel.NAME.mode_config",
        "bypass#1": "[bypass]",
        "discard#1": "[discard]",
    }
    explained = [(names[effective.section], effective.key) for effective in found]
    assert sorted(explained) == sorted(
        (s, key.name) for s, key in reference() if key.name not in TABLES and s != "group.NAME"
    )
    assert all(effective.value and effective.about for effective in found)


def test_what_was_set_says_where(tmp_path: Path) -> None:
    text = TUNNEL + 'idle = "10m"\nphase1.lifetime = "4h"\n' + RULE_TEXT
    found = explain_defaults(loaded(tmp_path, text))
    set_keys = {(e.section, e.key, e.value, e.set_at.line) for e in found if e.set_at is not None}
    assert set_keys == {
        ("tunnel.office", "peer", '"203.0.113.10"', 2),
        ("tunnel.office", "psk", '{ file = "office.psk" }', 3),
        ("tunnel.office", "idle", '"10m"', 4),
        ("tunnel.office.phase1", "lifetime", '"4h"', 5),
        ("tunnel.office.rule.net", "local", '["10.1.0.0/24"]', 7),
        ("tunnel.office.rule.net", "remote", '["10.2.0.0/24"]', 8),
    }


def test_what_follows_from_other_settings_is_shown_as_it_is_in_force(tmp_path: Path) -> None:
    text = (
        TUNNEL + 'suite = "compat"\nclear_df = true\nlifetime = "20m"\nidle = "1h"\n'
        'dpd.every = "30s"\n' + RULE_TEXT
    )
    found = {(e.section, e.key): e.value for e in explain_defaults(loaded(tmp_path, text))}
    assert found["tunnel.office", "mode"] == '"policy"'
    assert found["tunnel.office", "df"] == '"clear"'
    assert found["tunnel.office", "remote_id"] == '"ip:203.0.113.10"'
    assert found["tunnel.office.phase1", "suite"] == '"compat"'
    assert "modp2048" in found["tunnel.office.phase1", "proposals"]
    assert found["tunnel.office.dpd", "timeout"] == '"2m"'
    assert found["tunnel.office.rule.net", "lifetime"] == '"20m"'
    assert found["tunnel.office.rule.net", "idle"] == '"1h"'
    assert found["tunnel.office.rule.net", "df"] == '"clear"'
    assert "modp2048" in found["tunnel.office.rule.net", "proposals"]


def test_explained_values_load_to_the_same_configuration(tmp_path: Path) -> None:
    """The defaults of the schema are those that are compiled: writing them changes nothing."""
    for text in (
        TUNNEL,
        TUNNEL + RULE_TEXT,
        TUNNEL + 'suite = "aws"\ndpd.every = "7s"\n',
        TUNNEL + "ike = 1\n",
        TUNNEL + "ike = 1\n" + RULE_TEXT,
        TUNNEL + 'ike = "auto"\n' + RULE_TEXT,
    ):
        first = loaded(tmp_path, text)
        lines = explain_text(first).splitlines()
        # Words in brackets stand for what no text says; a suite beside its proposals, and keys of
        # the other mode, cannot be written down.
        is_policy = "rule" in text
        skipped = ("(", "suite =", *(("inside", "routes", "protect") if is_policy else ()))
        kept = [
            line
            for line in lines
            if not line.split("= ")[-1].startswith("(")
            and " = (" not in line
            and not line.startswith(skipped)
        ]
        second = loaded(tmp_path, "\n".join(kept))
        assert tomllib.loads("\n".join(kept))
        assert _without_origins(repr(second.configuration)) == _without_origins(
            repr(first.configuration)
        ).replace("remote_id=None", "remote_id=" + _identity())


def _identity() -> str:
    from isthmus.values.identity import Identity

    return repr(Identity.parse("ip:203.0.113.10"))


def _without_origins(text: str) -> str:
    import re

    text = re.sub(r"origin='[^']*'", "", text)
    return re.sub(r"(\d)\.0\b", r"\1", text)


def test_the_text_shows_no_secret(tmp_path: Path) -> None:
    text = explain_text(loaded(tmp_path, TUNNEL.replace('{ file = "office.psk" }', f'"{SECRET}"')))
    assert 'psk = "..."  # set at' in text and SECRET not in text
