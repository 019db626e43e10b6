"""What commands do without a daemon: help, usage, keys, checks, exit codes."""

import io
import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from isthmus.cli.commands.psk import findings
from isthmus.cli.commands.which import parse_protocol
from isthmus.cli.errors import CliError
from isthmus.cli.exits import MEANINGS, OF_KIND, Exit
from isthmus.cli.main import VERBS, run
from isthmus.cli.options import seconds, target
from isthmus.credentials.psk import ALPHABET
from isthmus.credentials.xauth import read_users
from isthmus.management.api import Kind
from isthmus.values.secret import Secret

GOOD_KEY = "x7Kq2._mZp0RtVw9LbNcYhGd4sFj6aQe"
FILE = """\
[tunnel.office]
peer = "203.0.113.10"
psk = {{ file = "{key}" }}
mode = "policy"

[tunnel.office.rule.lan]
local = ["10.1.0.0/24"]
remote = ["10.2.0.0/24"]
"""


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    key = tmp_path / "office.psk"
    key.write_text(GOOD_KEY)
    key.chmod(0o600)
    path = tmp_path / "isthmus.toml"
    path.write_text(FILE.format(key=key))
    return path


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "lab"])
def test_every_verb_helps_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([verb, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: isthmus {verb}")
    assert f"isthmus {verb}" in out.partition("\n")[2]


def test_the_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {verb} " in out for verb in VERBS)


@pytest.mark.parametrize(
    ("arguments", "what", "fix"),
    [
        (["stauts"], "There is no verb stauts.", "Did you mean `isthmus status`?"),
        (["status", "--jsn"], "No such option '--jsn'", "`isthmus status -h` shows an example."),
        (["up"], "Missing argument 'NAME[/RULE]'.", "`isthmus up -h` shows an example."),
        (["up", "a/b/c"], "a/b/c is no tunnel and no rule.", "`isthmus status` lists both."),
        (["up", "a", "--timeout", "0"], "0 is no duration.", "Write it like 30s, 2m or 1h."),
    ],
)
def test_wrong_usage_is_told_in_three_lines(
    arguments: list[str], what: str, fix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == Exit.USAGE
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and len(lines) == 3
    assert lines[0].startswith(f"error: {what}")
    assert lines[1].startswith("why:   ") and lines[2] == f"do:    {fix}"


def test_no_daemon_is_exit_code_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--socket", str(tmp_path / "none"), "status"]) == Exit.NOT_RUNNING
    assert run(["status", "--socket", str(tmp_path / "none"), "--json"]) == Exit.NOT_RUNNING
    error = json.loads(capsys.readouterr().err.splitlines()[-1])["error"]
    assert (error["what"], error["exit"]) == ("The daemon is not running.", 4)


def test_every_refusal_of_the_daemon_has_an_exit_code() -> None:
    kinds = {value for name, value in vars(Kind).items() if name.isupper()}
    assert set(OF_KIND) == kinds
    assert set(MEANINGS) == set(Exit)


def test_a_new_key_is_one_that_every_vendor_takes(capsys: pytest.CaptureFixture[str]) -> None:
    keys = set()
    for _ in range(500):
        assert run(["psk", "new"]) == 0
        key = capsys.readouterr().out.removesuffix("\n")
        assert len(key) == 32 and set(key) <= set(ALPHABET) and key[0] != "0"
        assert findings(key.encode()) == []
        keys.add(key)
    assert len(keys) == 500


def test_a_new_key_file_is_private_and_never_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "office.psk"
    assert run(["psk", "new", "-o", str(path)]) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = path.read_text()
    assert key not in capsys.readouterr().out
    assert run(["psk", "new", "-o", str(path)]) == Exit.FAILED
    assert path.read_text() == key
    assert run(["psk", "check", str(path)]) == 0


@pytest.mark.parametrize(
    ("octets", "grade", "said"),
    [
        (b"", "bad", "empty"),
        (b"short", "bad", "5 characters"),
        (GOOD_KEY.encode() + b"\nmore", "bad", "more than one line"),
        (b" " + GOOD_KEY.encode(), "warn", "blanks at its start or end"),
        ("’" + GOOD_KEY + "’", "warn", "curly quotes"),
        (b'"' + GOOD_KEY.encode() + b'"', "warn", "stands in quotes"),
        (b"aaaaaaaaaaaaaaaaaaaaaaaa", "warn", "weak"),
        (b"0" + GOOD_KEY.encode(), "note", "starts with 0"),
        (GOOD_KEY.encode() + b"\n", "note", "a line end follows the key"),
    ],
)
def test_what_makes_keys_fail_is_found(octets: bytes | str, grade: str, said: str) -> None:
    found = findings(octets.encode() if isinstance(octets, str) else octets)
    assert any(g == grade and said in text for g, text in found), found
    assert not any(GOOD_KEY in text for _, text in found)


def test_a_key_that_others_may_read_is_bad(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "office.psk"
    path.write_text(GOOD_KEY)
    path.chmod(0o644)
    assert run(["psk", "check", str(path), "--json"]) == Exit.FAILED
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert "chmod 600" in document["findings"][0]["text"]


def test_a_good_file_is_checked(configuration: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(configuration)]) == 0
    assert capsys.readouterr().out == f"{configuration}: ok (1 tunnel, 1 rule).\n"
    assert run(["check", str(configuration), "--explain-defaults"]) == 0
    out = capsys.readouterr().out
    assert "[tunnel.office]\n" in out and "  # default\n" in out
    assert GOOD_KEY not in out


def test_every_error_of_a_file_is_told_at_once(
    configuration: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = configuration.read_text().replace('"policy"', '"polcy"').replace("remote", "remot")
    configuration.write_text(text)
    assert run(["check", str(configuration)]) == Exit.CONFIG_INVALID
    out, err = capsys.readouterr()
    assert out == ""
    told = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(told) >= 2 and all(f"{configuration}:" in line for line in told)
    assert run(["check", str(configuration), "--json"]) == Exit.CONFIG_INVALID
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False and len(document["errors"]) == len(told)
    assert set(document["errors"][0]) == {"file", "line", "column", "what", "why", "fix"}


def test_which_answers_from_a_file(configuration: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["which", "10.1.0.9", "10.2.0.7", "-c", str(configuration)]) == 0
    assert capsys.readouterr().out.startswith("10.1.0.9 > 10.2.0.7   takes office/lan\n")
    assert run(["which", "10.1.0.9", "fd00::1", "-c", str(configuration)]) == Exit.USAGE
    assert run(["which", "10.1.0.9", "10.2.0.7", "-c", "/none.toml"]) == Exit.CONFIG_INVALID


@pytest.mark.parametrize(
    ("text", "parsed"),
    [("", (0, 0)), ("tcp/443", (6, 443)), ("UDP/53", (17, 53)), ("icmp", (1, 0)), ("47", (47, 0))],
)
def test_protocols_are_read(text: str, parsed: tuple[int, int]) -> None:
    assert parse_protocol(text) == parsed


@pytest.mark.parametrize(
    "text", ["tpc/443", "tcp/", "tcp/0", "tcp/65536", "tcp/99999999", "icmp/3", "256", "-1", "/80"]
)
def test_what_is_no_protocol_is_refused(text: str) -> None:
    with pytest.raises(CliError):
        parse_protocol(text)


def test_names_and_durations_are_read() -> None:
    assert target("office") == ("office", None)
    assert target("office/lan") == ("office", "lan")
    assert [seconds(t) for t in ("30s", "2m", "1h", "1.5")] == [30.0, 120.0, 3600.0, 1.5]
    for text in ("", "s", "-1s", "2h", "nan", "1d"):
        with pytest.raises(CliError):
            seconds(text)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    assert "_ISTHMUS_COMPLETE" in capsys.readouterr().out


def test_status_imports_nothing_heavy() -> None:
    """`isthmus status` must start fast: it needs click, msgspec and nothing of the daemon."""
    script = (
        "import sys; from isthmus.cli.main import run; run(['--socket', '/none', 'status']);"
        "print(*sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert "isthmus.cli.commands.status" in loaded
    heavy = {"pydantic", "pyroute2", "rich", "asyncio", "cryptography", "tomllib"}
    assert loaded & heavy == set()
    own = {name for name in loaded if name.startswith("isthmus.")}
    rooms = {name.split(".")[1] for name in own}
    assert rooms == {"cli", "management"}


def entered(monkeypatch: pytest.MonkeyPatch, octets: bytes) -> None:
    """Put a password on standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(octets)))


def test_the_line_of_a_user_lets_that_user_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = []
    for arguments in (["xauth", "user", "ann"], ["xauth", "user", "bob", "--json"]):
        entered(monkeypatch, b"correct horse battery\n")
        assert run(arguments) == 0
        out = capsys.readouterr().out
        assert "horse" not in out
        lines.append(json.loads(out)["line"] if "--json" in arguments else out.strip())
    users = read_users("\n".join(lines).encode())
    assert users.names() == ("ann", "bob")
    assert users.admits("ann", Secret(b"correct horse battery"))
    assert not users.admits("bob", Secret(b"correct horse"))


@pytest.mark.parametrize(
    ("name", "octets", "code"),
    [("a:b", b"x", 2), ("#a", b"x", 2), (" a", b"x", 2), ("a", b"", 1), ("a", b"1\n2\n", 1)],
)
def test_what_is_no_user_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    octets: bytes,
    code: int,
) -> None:
    entered(monkeypatch, octets)
    assert run(["xauth", "user", name]) == code
    assert capsys.readouterr().out == ""
