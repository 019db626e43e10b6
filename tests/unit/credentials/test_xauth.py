"""Passwords of XAUTH and files of users."""

import hashlib
from base64 import b64decode, b64encode

import pytest

from isthmus.credentials.xauth import (
    Hashed,
    Login,
    RefusedLogin,
    Users,
    hashed,
    is_user,
    read_password,
    read_users,
)
from isthmus.crypto.entropy import SeededEntropy
from isthmus.values.secret import Secret

RIGHT, WRONG = Secret(b"correct horse battery"), Secret(b"correct horse batterx")
LINE = hashed(RIGHT, SeededEntropy(1)).text


def test_a_hash_is_what_its_line_says() -> None:
    kind, parameters, salt, digest = LINE.removeprefix("$").split("$")
    assert (kind, parameters) == ("scrypt", "ln=14,r=8,p=1")
    raw = hashlib.scrypt(
        RIGHT.reveal(), salt=_octets(salt), n=1 << 14, r=8, p=1, maxmem=1 << 26, dklen=32
    )
    assert digest == b64encode(raw).decode().rstrip("=")


def test_a_salt_is_never_used_twice() -> None:
    entropy = SeededEntropy(1)
    assert hashed(RIGHT, entropy).text != hashed(RIGHT, entropy).text


def test_users_are_told_apart_by_name_and_password() -> None:
    users = read_users(f"# remote workers\n\nann:{LINE}\r\nbob:{_small(WRONG).text}\n".encode())
    assert users.names() == ("ann", "bob")
    assert users.admits("ann", RIGHT) and users.admits("bob", WRONG)
    assert not users.admits("ann", WRONG) and not users.admits("bob", RIGHT)
    assert not users.admits("ANN", RIGHT) and not users.admits("nobody", RIGHT)


def test_nobody_has_no_password() -> None:
    assert not Users({}).admits("", Secret(b"")) and not Users({}).admits("ann", RIGHT)


@pytest.mark.parametrize(
    "hash_text",
    [
        "",
        "correct horse battery",
        "$1$salt$hash",
        LINE + "x",
        LINE.replace("ln=14", "ln=17"),
        LINE.replace("ln=14", "ln=9"),
        LINE.replace("r=8", "r=17"),
        LINE.replace("r=8", "r=0"),
        LINE.replace("p=1", "p=5"),
        LINE.replace("p=1", "p=0"),
        LINE.replace("$scrypt", "$argon2id"),
    ],
)
def test_a_line_that_is_no_hash_is_refused_by_its_number(hash_text: str) -> None:
    with pytest.raises(RefusedLogin, match="line 2 ") as raised:
        read_users(f"ann:{LINE}\nbob:{hash_text}\n".encode())
    said = raised.value.message + raised.value.why + raised.value.hint
    assert "horse" not in said and "bob" not in said


@pytest.mark.parametrize("name", ["", "a" * 129, "a\u200bb"])
def test_a_name_that_nobody_can_have(name: str) -> None:
    assert not is_user(name)
    with pytest.raises(RefusedLogin, match="line 1 "):
        read_users(f"{name}:{LINE}\n".encode())


def test_a_name_stands_once() -> None:
    with pytest.raises(RefusedLogin, match=r"line 2 .*second time"):
        read_users(f"ann:{LINE}\nann:{LINE}\n".encode())


@pytest.mark.parametrize("octets", [b"", b"# nobody\n", b"\xff\xfe"])
def test_a_file_of_nobody_is_refused(octets: bytes) -> None:
    with pytest.raises(RefusedLogin):
        read_users(octets)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_password_has_no_line_end(end: bytes) -> None:
    assert read_password(RIGHT.reveal() + end) == RIGHT


@pytest.mark.parametrize("octets", [b"", b"\n", b"two\nlines", b"x" * 1025])
def test_what_is_no_password_is_refused(octets: bytes) -> None:
    with pytest.raises(RefusedLogin):
        read_password(octets)


def test_nothing_shows_a_password() -> None:
    shown = repr(Login(RIGHT, read_users(f"ann:{LINE}".encode())))
    assert "horse" not in shown and LINE[-20:] not in shown and "ann" not in shown


def _small(password: Secret) -> Hashed:
    """As another program may have made it: fewer rounds, a short salt."""
    digest = hashlib.scrypt(password.reveal(), salt=b"12345678", n=1024, r=1, p=1, dklen=32)
    return Hashed(10, 1, 1, b"12345678", Secret(digest))


def _octets(text: str) -> bytes:
    return b64decode(text + "=" * (-len(text) % 4))
