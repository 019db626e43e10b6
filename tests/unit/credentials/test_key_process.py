"""A key in another process: what its program may say, and what comes of that."""

import json
import os
import signal
import sys
import time
from base64 import b64encode
from pathlib import Path

import pytest

from exchanges import pki
from isthmus.credentials.key_process import ProcessKey
from isthmus.credentials.load import Unavailable
from isthmus.crypto.signature import verify
from isthmus.values.errors import LocalFault
from isthmus.values.signature import DigestScheme, Scheme

HOLDER = (sys.executable, "-m", "isthmus.daemon.key_holder")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "gw.key"
    path.write_bytes(pki.issue("gw").key_pem)
    path.chmod(0o600)
    return path


def program(text: str) -> tuple[str, ...]:
    """A key holder in a few lines; `PUBLIC` is what it should say first."""
    public = json.dumps({"public": b64encode(pki.issue("gw").spki).decode()})
    return (sys.executable, "-I", "-c", f"PUBLIC = {public!r}\nimport sys, time\n{text}")


def test_the_program_signs_and_is_started_again_when_it_has_ended(key: Path) -> None:
    held = ProcessKey((*HOLDER, str(key)), os.environ)
    for _ in range(2):
        signature = held.sign(Scheme.ECDSA_SHA256, b"octets")
        verify(held.public, Scheme.ECDSA_SHA256, b"octets", signature)
        pid = held.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        _ends(pid)
    held.close()
    assert held.pid is None


def _ends(pid: int) -> None:
    deadline = time.monotonic() + 30
    while _runs(pid):
        assert time.monotonic() < deadline, "it runs for ever"
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_the_program_signs_digests_for_ikev1(key: Path) -> None:
    held = ProcessKey((*HOLDER, str(key)), os.environ)
    try:
        digest = bytes(range(32))
        verify(held.public, DigestScheme.ECDSA, digest, held.sign(DigestScheme.ECDSA, digest))
        with pytest.raises(LocalFault, match="no digest"):
            held.sign(DigestScheme.ECDSA, b"octets")
    finally:
        held.close()


def test_it_ends_with_the_last_that_needs_it(key: Path) -> None:
    held = ProcessKey((*HOLDER, str(key)), os.environ)
    pid = held.pid
    assert pid is not None and _runs(pid)
    del held
    _ends(pid)


def test_the_key_is_not_in_what_is_shown(key: Path) -> None:
    held = ProcessKey((*HOLDER, str(key)), os.environ)
    assert repr(held) == f"ProcessKey({sys.executable}, <ECDSA P-256>)"
    held.close()


def test_a_scheme_of_other_keys_is_refused(key: Path) -> None:
    held = ProcessKey((*HOLDER, str(key)), os.environ)
    with pytest.raises(LocalFault, match="cannot sign by ed25519"):
        held.sign(Scheme.ED25519, b"octets")
    held.close()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has ended"),
        ("print('no JSON', flush=True)", "no JSON"),
        ("print('[]', flush=True)", "no JSON object"),
        ("print('{}', flush=True)", "gave no public"),
        ('print(\'{"public": "AAAA"}\', flush=True)', "is refused"),
        ('print(\'{"error": "locked"}\', flush=True)', "refuses: locked"),
        ("print('x' * 100000, flush=True); time.sleep(60)", "too long"),
    ],
)
def test_a_program_without_a_key_is_unavailable(text: str, why: str) -> None:
    with pytest.raises(Unavailable, match=why):
        ProcessKey(program(text), os.environ)


def test_a_program_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="cannot be started"):
        ProcessKey(("/nowhere/keyd",), os.environ)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("print(PUBLIC, flush=True)", "has ended|cannot be asked"),
        (
            "print(PUBLIC, flush=True); sys.stdin.readline();"
            ' print(\'{"signature": "AAAA"}\', flush=True)',
            "does not hold",
        ),
        (
            "print(PUBLIC, flush=True); sys.stdin.readline();"
            " print('{\"signature\": 7}', flush=True)",
            "gave no signature",
        ),
    ],
)
def test_what_is_no_signature_never_leaves(text: str, why: str) -> None:
    held = ProcessKey(program(text), os.environ)
    with pytest.raises(LocalFault, match=why):
        held.sign(Scheme.ECDSA_SHA256, b"octets")
    held.close()


def test_the_holder_takes_a_private_file_only(key: Path) -> None:
    key.chmod(0o644)
    with pytest.raises(Unavailable, match="open to everyone"):
        ProcessKey((*HOLDER, str(key)), os.environ)
