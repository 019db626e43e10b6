"""docs/configuration.md says what the schema says, and its examples load."""

import re
from pathlib import Path

import pytest

from exchanges import pki
from isthmus.config.key import Key
from isthmus.config.load import load
from isthmus.config.not_yet import NOT_YET
from isthmus.config.schema import SECTIONS
from isthmus.config.suites import SUITES, SUITES_NOT_YET
from isthmus.credentials.xauth import hashed
from isthmus.crypto.entropy import SeededEntropy
from isthmus.values.secret import Secret

from .samples import SECRET, write

DOCS = Path(__file__).parents[3] / "docs" / "configuration.md"
TEXT = DOCS.read_text() if DOCS.exists() else ""
EXAMPLES = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)


def table(keys: tuple[Key[object], ...]) -> str:
    """The reference of one section, as it stands in the document."""
    rows = [f"| `{key.name}` | {key.kind} | {_default(key)} | {key.about} |" for key in keys]
    return "\n".join(["| key | type | default | |", "| --- | --- | --- | --- |", *rows])


def _default(key: Key[object]) -> str:
    return key.default[1:-1] if key.default.startswith("(") else f"`{key.default}`"


@pytest.mark.parametrize(("section", "keys"), SECTIONS)
def test_the_reference_has_every_key_with_its_default(
    section: str, keys: tuple[Key[object], ...]
) -> None:
    assert f"### `[{section}]`\n\n{table(keys)}\n" in TEXT


def test_the_document_has_its_examples() -> None:
    assert len(EXAMPLES) == 8


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_loads_and_nothing_in_it_is_doubtful(tmp_path: Path, example: str) -> None:
    for name in ("partner-psk", "partner.psk", "head.psk"):
        (tmp_path / name).write_text(SECRET)
        (tmp_path / name).chmod(0o600)
    root = pki.issue("Root")
    gateway = pki.issue("hq", root, pki.private("rsa2048"), names=("fqdn:vpn.hq.example.net",))
    (tmp_path / "example-root.pem").write_bytes(root.pem)
    (tmp_path / "hq.pem").write_bytes(gateway.pem)
    (tmp_path / "hq.key").write_bytes(gateway.key_pem)
    (tmp_path / "hq.key").chmod(0o600)
    (tmp_path / "branch7.password").write_text("a password that the peer knows")
    (tmp_path / "branch7.password").chmod(0o600)
    users = hashed(Secret(b"a password"), SeededEntropy(1)).text
    (tmp_path / "workers.users").write_text(f"ann:{users}\n")
    (tmp_path / "workers.users").chmod(0o600)
    for folder in ("secrets", "certs"):
        example = example.replace(f"/etc/isthmus/{folder}/", f"{tmp_path}/")
    path = write(tmp_path, example)
    found = load(path, {"CREDENTIALS_DIRECTORY": str(tmp_path), "PARTNER_PSK": SECRET})
    assert found.configuration.connections
    assert found.warnings == ()


def test_the_error_in_the_document_is_the_one_that_is_printed(tmp_path: Path) -> None:
    from isthmus.config.errors import ConfigErrors

    text = EXAMPLES[0].replace("/etc/isthmus/secrets/", "").replace("mode ", 'rout = ""\nmode ')
    with pytest.raises(ConfigErrors) as raised:
        load(write(tmp_path, text))
    shown = str(raised.value).replace(str(tmp_path), "/etc/isthmus")
    assert f"```\n{shown}\n```" in TEXT


def test_every_suite_is_described() -> None:
    for suite in SUITES.values():
        assert f"| `{suite.name}` | {suite.about} |" in TEXT
    assert all(f"`{name}`" in TEXT for name in SUITES_NOT_YET)


def test_no_key_is_both_there_and_not_yet() -> None:
    names = {"tunnel.NAME": "tunnel", "tunnel.NAME.phase1": "phase1", "tunnel.NAME.dpd": "dpd"}
    names |= {"tunnel.NAME.rule.RULE": "rule", "listen": "listen", "group.NAME": "group"}
    names |= {"daemon": "daemon"}
    names |= {f"tunnel.NAME.{table}": table for table in ("xauth", "mode_config")}
    names |= {"[bypass]": "bypass", "[discard]": "discard"}
    for section, keys in SECTIONS:
        assert not {key.name for key in keys} & set(NOT_YET[names[section]])
