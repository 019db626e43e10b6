"""Main Mode with pre-shared keys chooses the secret by the caller's address: `check` tells."""

from pathlib import Path

import pytest

from .samples import SECRET, errors, loaded

OTHER = SECRET[::-1]


def tunnel(name: str, peer: str, psk: str = "office.psk", *more: str) -> str:
    """One tunnel that says who its peer is."""
    lines = (f'peer = "{peer}"', f'psk.file = "{psk}"', f'remote_id = "fqdn:{name}.example"', *more)
    return "\n".join((f"[tunnel.{name}]", *lines, ""))


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A directory with a second secret."""
    (tmp_path / "other.psk").write_text(OTHER)
    (tmp_path / "other.psk").chmod(0o600)
    return tmp_path


@pytest.mark.parametrize("peer", ["any", "203.0.113.10"])
def test_two_secrets_for_the_same_callers_are_refused(here: Path, peer: str) -> None:
    text = tunnel("a", peer, "office.psk", "ike = 1") + tunnel("b", peer, "other.psk", "ike = 1")
    (error,) = errors(here, text)
    assert error.message.startswith("[tunnel.b] has another secret than [tunnel.a]")
    assert "before it is known who calls" in error.why
    assert "give both the same secret" in error.hint
    assert SECRET not in str(error) and OTHER not in str(error)


@pytest.mark.parametrize(
    "second",
    [
        tunnel("b", "203.0.113.10", "office.psk", "ike = 1"),
        tunnel("b", "203.0.113.11", "other.psk", "ike = 1"),
        tunnel("b", "203.0.113.10", "other.psk"),
        tunnel("b", "203.0.113.10", "other.psk", "ike = 1", 'local_address = "192.0.2.2"'),
    ],
    ids=["same secret", "other address", "IKEv2", "other address of ours"],
)
def test_what_can_be_told_apart_is_taken(here: Path, second: str) -> None:
    first = tunnel("a", "203.0.113.10", "office.psk", "ike = 1", 'local_address = "192.0.2.1"')
    assert loaded(here, first + second).warnings == ()


def test_an_aggressive_tunnel_shows_who_calls(here: Path) -> None:
    more = ("ike = 1", "aggressive = true", "allow_weak = true")
    text = tunnel("a", "any", "office.psk", *more) + tunnel("b", "any", "other.psk", *more)
    assert all("Aggressive Mode" in warning for warning in loaded(here, text).warnings)


@pytest.mark.parametrize(
    ("peer", "ike"), [("any", '"auto"'), ("gw.example.net", "1"), ("203.0.113.10", '"auto"')]
)
def test_what_may_never_happen_is_a_warning(here: Path, peer: str, ike: str) -> None:
    text = tunnel("a", peer, "office.psk", f"ike = {ike}")
    text += tunnel("b", peer, "other.psk", f"ike = {ike}")
    warnings = loaded(here, text).warnings
    of_second = [warning for warning in warnings if "[tunnel.b]" in warning]
    assert len(of_second) == 1 and "has another secret than [tunnel.a]" in of_second[0]


def test_a_tunnel_for_any_caller_says_so(here: Path) -> None:
    (warning,) = loaded(here, tunnel("a", "any", "office.psk", "ike = 1")).warnings
    assert "the one for every IKEv1 caller whose address no other tunnel names" in warning
    assert loaded(here, tunnel("a", "any")).warnings == ()
