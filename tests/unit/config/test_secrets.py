"""Where pre-shared keys may come from, and what is refused about them."""

import os
import sys
from pathlib import Path

import pytest

from isthmus.config.errors import ConfigErrors
from isthmus.config.explain import explain_text
from isthmus.config.load import load

from .samples import SECRET, TUNNEL, errors, loaded, only_error, without, write

LITERAL = TUNNEL.replace('{ file = "office.psk" }', f'"{SECRET}"')


def revealed(directory: Path, text: str, **environ: str) -> bytes:
    secret = loaded(directory, text, **environ).credentials.psk("office")
    assert secret is not None
    return secret.reveal()


def test_a_file_beside_the_configuration(tmp_path: Path) -> None:
    """A relative path starts at the configuration, and one newline is no part of the secret."""
    assert revealed(tmp_path, TUNNEL) == SECRET.encode()


def test_an_absolute_path(tmp_path: Path) -> None:
    other = tmp_path / "other.psk"
    other.write_text(SECRET[::-1])
    other.chmod(0o400)
    assert revealed(tmp_path, TUNNEL.replace("office.psk", str(other))) == SECRET[::-1].encode()


def test_an_environment_variable(tmp_path: Path) -> None:
    text = TUNNEL.replace('file = "office.psk"', 'env = "OFFICE_PSK"')
    assert revealed(tmp_path, text, OFFICE_PSK=SECRET) == SECRET.encode()


def test_a_systemd_credential(tmp_path: Path) -> None:
    text = TUNNEL.replace('file = "office.psk"', 'credential = "office.psk"')
    assert revealed(tmp_path, text, CREDENTIALS_DIRECTORY=str(tmp_path)) == SECRET.encode()


def test_a_command(tmp_path: Path) -> None:
    text = TUNNEL.replace(
        'file = "office.psk"', f"command = ['{sys.executable}', '-c', 'print(\"{SECRET}\")']"
    )
    assert revealed(tmp_path, text, PATH=os.environ["PATH"]) == SECRET.encode()


def test_a_literal_in_a_private_file_is_taken_with_a_warning(tmp_path: Path) -> None:
    found = loaded(tmp_path, LITERAL)
    secret = found.credentials.psk("office")
    assert secret is not None and secret.reveal() == SECRET.encode()
    assert any("safer in a file of its own" in warning for warning in found.warnings)


def test_nothing_that_is_shown_holds_a_secret(tmp_path: Path) -> None:
    found = loaded(tmp_path, LITERAL)
    shown = (repr(found), str(found.credentials), explain_text(found), *found.warnings)
    assert not any(SECRET in text for text in shown)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_literal_in_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigErrors) as raised:
        load(write(tmp_path, LITERAL, mode=mode))
    (error,) = without(tmp_path, raised.value)
    assert "a secret in a file that others may read" in error.message
    assert "chmod 600 isthmus.toml" in error.hint and (error.line, error.column) == (3, 7)


@pytest.mark.root
def test_a_literal_in_another_users_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, LITERAL)
    os.chown(path, 12345, 12345)
    with pytest.raises(ConfigErrors) as raised:
        load(path)
    assert "owner 12345" in raised.value.errors[0].message


@pytest.mark.root
def test_another_users_secret_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, TUNNEL)
    os.chown(tmp_path / "office.psk", 12345, 12345)
    with pytest.raises(ConfigErrors) as raised:
        load(path)
    assert "run: chown" in raised.value.errors[0].hint


@pytest.mark.parametrize(
    ("mode", "who"), [(0o640, "its group"), (0o604, "everyone"), (0o666, "every")]
)
def test_an_open_secret_file_is_refused_with_the_chmod_to_run(
    tmp_path: Path, mode: int, who: str
) -> None:
    path = write(tmp_path, TUNNEL)
    (tmp_path / "office.psk").chmod(mode)
    with pytest.raises(ConfigErrors) as raised:
        load(path)
    (error,) = without(tmp_path, raised.value)
    assert f"open to {who}" in error.message and error.hint == "run: chmod 600 office.psk"


@pytest.mark.parametrize("mode", [0o602, 0o622, 0o666])
def test_a_configuration_that_everyone_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigErrors) as raised:
        load(write(tmp_path, TUNNEL, mode=mode))
    (error,) = without(tmp_path, raised.value)
    assert "everyone may write" in error.message and error.hint == "run: chmod o-w isthmus.toml"


def test_a_command_in_a_file_that_others_may_change_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    text = TUNNEL.replace('file = "office.psk"', f'command = ["/usr/bin/touch", "{mark}"]')
    with pytest.raises(ConfigErrors) as raised:
        load(write(tmp_path, text, mode=0o664))
    (error,) = without(tmp_path, raised.value)
    assert "others may change" in error.message and not mark.exists()


def test_a_command_is_not_run_for_a_configuration_that_does_not_hold(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    text = TUNNEL.replace('file = "office.psk"', f'command = ["/usr/bin/touch", "{mark}"]')
    only_error(tmp_path, text + "zzz = 1\n")
    assert not mark.exists()


SOURCES = [
    ("{}", "has no source"),
    ('{ file = "a", env = "B" }', "more than one source"),
    ('{ fiel = "a" }', 'unknown source "fiel"'),
    ("{ file = 7 }", "psk.file in [tunnel.office] should be text"),
    ('{ file = "" }', "psk.file in [tunnel.office] is empty"),
    ('{ env = "A B" }', "psk.env in [tunnel.office] is no name"),
    ('{ credential = "../x" }', "psk.credential in [tunnel.office] is no name"),
    ('{ credential = "x" }', "there is no systemd credential x"),
    ('{ env = "NOT_SET" }', "NOT_SET is not set"),
    ('{ command = "cat x" }', "psk.command in [tunnel.office] should be a list of words"),
    ("{ command = [] }", "has no word"),
    ('{ command = ["/nonexistent/program"] }', "cannot be started"),
    ('{ command = ["/bin/false"] }', "failed with exit code 1"),
    ('{ command = ["/bin/true"] }', "the pre-shared key is empty"),
    ("7", "should be a reference to a secret, not a whole number"),
    ('{ file = "." }', "is not a regular file"),
    ('{ file = "/dev/zero" }', "is not a regular file"),
    ('""', "the pre-shared key is empty"),
    ('"short"', "has 5 characters; at least 16"),
]


@pytest.mark.parametrize(("source", "message"), SOURCES)
def test_a_source_is_refused(tmp_path: Path, source: str, message: str) -> None:
    error = only_error(tmp_path, TUNNEL.replace('{ file = "office.psk" }', source))
    assert message in error.message and error.line == 3


def test_a_tunnel_without_secret_is_refused(tmp_path: Path) -> None:
    error = only_error(tmp_path, TUNNEL.split("psk")[0])
    assert "has no psk" in error.message and "isthmus psk new" in error.hint


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ("\n", "is empty"),
        ("fifteen-letters\n", "has 15 characters"),
        (f"{SECRET}\nsecond line\n", "more than one line"),
        (f"{SECRET}\n\n", "more than one line"),
        ("x" * 5000, "has more than"),
    ],
)
def test_a_bad_secret_is_refused(tmp_path: Path, secret: str, message: str) -> None:
    with pytest.raises(ConfigErrors) as raised:
        load(write(tmp_path, TUNNEL, secret=secret))
    (error,) = without(tmp_path, raised.value)
    assert message in error.message
    assert not secret.strip() or secret.strip() not in str(error)


def test_a_short_secret_is_taken_where_weak_things_are_allowed(tmp_path: Path) -> None:
    found = load(write(tmp_path, TUNNEL + "allow_weak = true\n", secret="tiger\n"))
    secret = found.credentials.psk("office")
    assert secret is not None and secret.reveal() == b"tiger"
    assert any("is weak: about" in warning and "tiger" not in warning for warning in found.warnings)


def test_a_secret_that_aws_refuses_is_named_for_the_aws_suite(tmp_path: Path) -> None:
    path = write(tmp_path, TUNNEL + 'suite = "aws"\n', secret="0" + SECRET + "!")
    text = "\n".join(load(path).warnings)
    assert "AWS takes no pre-shared key that starts with 0" in text and "full stop" in text


def test_one_bad_secret_does_not_hide_another(tmp_path: Path) -> None:
    other = TUNNEL.replace("office]", "branch]").replace("203.0.113.10", "203.0.113.11")
    found = errors(tmp_path, (TUNNEL + other).replace("office.psk", "none.psk"))
    assert [error.line for error in found] == [3, 6]
