"""Reading files and secrets within bounds."""

import os
import sys
from pathlib import Path

import pytest

from isthmus.credentials import load as module
from isthmus.credentials.load import Unavailable, fetch, files_in, read_file
from isthmus.credentials.reference import SecretCommand, SecretCredential, SecretEnv, SecretFile

ENVIRON = {"PATH": os.environ["PATH"]}


def private(path: Path, octets: bytes) -> str:
    path.write_bytes(octets)
    path.chmod(0o600)
    return str(path)


def python(code: str) -> SecretCommand:
    return SecretCommand((sys.executable, "-c", code))


def test_a_file_up_to_its_bound(tmp_path: Path) -> None:
    path = private(tmp_path / "a", b"x" * 100)
    assert read_file(path, 100).octets == b"x" * 100
    with pytest.raises(Unavailable, match="has more than 99 octets"):
        read_file(path, 99)


def test_the_content_of_a_file_is_not_in_its_repr(tmp_path: Path) -> None:
    assert "xyz" not in repr(read_file(private(tmp_path / "a", b"xyz"), 10))


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(Unavailable, match="not a regular file"):
        fetch(SecretFile(str(tmp_path / "pipe")), ENVIRON)


def test_a_name_with_nul_is_refused() -> None:
    with pytest.raises(Unavailable, match="NUL"):
        read_file("a\0b", 10)


def test_a_link_counts_as_the_file_that_it_leads_to(tmp_path: Path) -> None:
    private(tmp_path / "a", b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert fetch(SecretFile(str(tmp_path / "link")), ENVIRON) == b"secret"


def test_files_of_a_directory_are_sorted_and_a_missing_one_has_none(tmp_path: Path) -> None:
    for name in ("b.toml", "a.toml", ".c.toml", "d.txt"):
        (tmp_path / name).write_text("")
    assert [Path(p).name for p in files_in(str(tmp_path), ".toml")] == ["a.toml", "b.toml"]
    assert files_in(str(tmp_path / "none"), ".toml") == ()


def test_a_credential_of_systemd_may_have_a_group_but_not_everyone(tmp_path: Path) -> None:
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    path = Path(private(tmp_path / "office", b"secret"))
    path.chmod(0o440)
    assert fetch(SecretCredential("office"), environ) == b"secret"
    path.chmod(0o444)
    with pytest.raises(Unavailable, match="open to everyone"):
        fetch(SecretCredential("office"), environ)


def test_a_variable_keeps_octets_that_are_no_text() -> None:
    assert fetch(SecretEnv("A"), {"A": "x\udcff"}) == b"x\xff"


def test_a_command_sees_no_input_and_its_errors_are_not_taken() -> None:
    code = "import sys; print(sys.stdin.read() or 'none'); print('no', file=sys.stderr)"
    assert fetch(python(code), ENVIRON) == b"none\n"


def test_words_of_a_command_are_not_split_or_expanded() -> None:
    command = SecretCommand((sys.executable, "-c", "import sys; print(sys.argv[1])", "$HOME; `ls`"))
    assert fetch(command, ENVIRON) == b"$HOME; `ls`\n"


def test_a_command_that_prints_without_end_is_stopped() -> None:
    with pytest.raises(Unavailable, match="printed more than 4098 octets"):
        fetch(python("while True: print('x' * 1000)"), ENVIRON)


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.sleep(60)",
        "import os, time; os.close(1); time.sleep(60)",
        "import subprocess; subprocess.Popen(['sleep', '60'])",
    ],
)
def test_a_command_that_does_not_end_is_stopped(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Also one that has closed its output, and one whose child holds the output open."""
    monkeypatch.setattr(module, "COMMAND_TIMEOUT_S", 0.3)
    with pytest.raises(Unavailable, match="did not end within"):
        fetch(python(code), ENVIRON)


def test_a_command_that_fails_gives_no_secret() -> None:
    with pytest.raises(Unavailable, match="exit code 3"):
        fetch(python("import sys; print('secret'); sys.exit(3)"), ENVIRON)
