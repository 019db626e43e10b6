"""`isthmus ca` as a user types it."""

import json
from pathlib import Path

import pytest

from isthmus.cli.exits import Exit
from isthmus.cli.main import run

SECRET = "a passphrase of some length"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "ca"
    monkeypatch.setenv("ISTHMUS_CA", str(path))
    monkeypatch.chdir(tmp_path)
    return path


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["ca", *arguments]) == Exit.OK
    out, err = capsys.readouterr()
    assert err == ""
    return out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["ca", *arguments]) == Exit.FAILED
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 3
    return err


def init(capsys: pytest.CaptureFixture[str], *more: str) -> str:
    return told(capsys, "init", "Example VPN", "--key", "ecdsa-p256", *more)


def test_two_sites_in_four_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Configurations of both come out, and `isthmus check` has nothing to say against them."""
    site = ("--address", "--network")
    init(capsys)
    for name, values in (
        ("hq", ("192.0.2.1", "10.1.0.0/24")),
        ("branch", ("198.51.100.1", "10.2.0.0/24")),
    ):
        options = [word for pair in zip(site, values, strict=True) for word in pair]
        told(capsys, "issue", name, f"vpn.{name}.example.net", *options)
    told(capsys, "export", "hq", "branch", "-o", "sites")
    for name in ("hq", "branch"):
        assert run(["check", "--strict", f"sites/{name}/isthmus.toml"]) == Exit.OK
        assert "ok (1 tunnel, 1 rule)" in capsys.readouterr().out


def test_every_answer_can_be_read_by_a_script(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = json.loads(init(capsys, "--json"))
    assert made["schema"] == "isthmus/v1" and made["authority"]["name"] == "Example VPN"
    issued = json.loads(told(capsys, "issue", "hq", "a.example", "--json"))
    assert issued["certificate"]["identities"] == ["fqdn:a.example"]
    found = json.loads(told(capsys, "list", "--json"))
    assert [c["state"] for c in found["certificates"]] == ["valid"] and found["warnings"] == []
    assert json.loads(told(capsys, "show", "--json"))["authority"]["certificates"] == 1
    shown = json.loads(told(capsys, "show", "hq", "--json"))["certificate"]
    assert shown["sha256"] == issued["certificate"]["sha256"]
    gone = json.loads(told(capsys, "revoke", "hq", "--json"))
    assert [c["name"] for c in gone["revoked"]] == ["hq"] and gone["crl"] == str(folder / "ca.crl")


def test_what_ends_soon_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    init(capsys)
    assert "hq ends in 4 days" in told(capsys, "issue", "hq", "a.example", "--days", "5")
    out = told(capsys, "list")
    assert "ends soon" in out and "isthmus ca issue hq --renew" in out
    assert "ends in" not in told(capsys, "issue", "hq", "--renew", "--days", "500")


def test_a_passphrase_from_a_file_or_not_at_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "word").write_text(SECRET + "\n")
    assert "terminal" in refused(capsys, "init", "x", "--key", "ecdsa-p256", "--encrypt")
    init(capsys, "--passphrase-file", "word")
    assert "no terminal to ask" in refused(capsys, "issue", "hq", "a.example")
    told(capsys, "issue", "hq", "a.example", "--passphrase-file", "word")
    (tmp_path / "word").write_text("another passphrase")
    err = refused(capsys, "issue", "branch", "b.example", "--passphrase-file", "word")
    assert "does not open it" in err and "another" not in err
    # What needs no signature needs no passphrase.
    told(capsys, "export", "hq", "-o", "sites")
    told(capsys, "list")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("list",), "There is no authority in"),
        (("show",), "There is no authority in"),
        (("issue", "hq", "a.example"), "There is no authority in"),
        (("export", "hq"), "There is no authority in"),
        (("revoke", "hq"), "There is no authority in"),
        (("init", ""), "cannot be the name of an authority"),
    ],
)
def test_errors_are_told_in_three_lines(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in refused(capsys, *arguments)


def test_a_name_that_nobody_has(capsys: pytest.CaptureFixture[str]) -> None:
    init(capsys)
    for arguments in (("show", "hq"), ("export", "hq"), ("export", "hq", "branch")):
        assert "There is no certificate hq" in refused(capsys, *arguments)


def test_an_export_says_what_it_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    init(capsys)
    for name in ("hq", "branch"):
        told(capsys, "issue", name, f"{name}.example")
    told(capsys, "export", "hq", "branch", "-o", "sites")
    with Path("sites/hq/isthmus.toml").open("a") as file:
        file.write("# mine\n")
    out = told(capsys, "export", "hq", "branch", "-o", "sites")
    assert "sites/hq/isthmus.toml was there, and is as it was." in out
    assert "sites/branch/isthmus.toml was there" not in out


def test_no_private_key_is_ever_printed(capsys: pytest.CaptureFixture[str]) -> None:
    shown = init(capsys) + told(capsys, "issue", "hq", "a.example")
    for arguments in (("list",), ("show",), ("show", "hq"), ("export", "hq"), ("revoke", "hq")):
        shown += told(capsys, *arguments)
    key = next((Path.cwd() / "ca/issued").glob("*.key")).read_text().splitlines()[1]
    assert key not in shown and "PRIVATE" not in shown
