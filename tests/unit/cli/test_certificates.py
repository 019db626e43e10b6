"""What commands say of certificates: whose they are and how long they last."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exchanges import pki
from isthmus.cli.main import run
from isthmus.cli.render import tunnel_lines
from isthmus.cli.text import Paint
from isthmus.management import api

ROOT = pki.issue("Root")
DAYS = 12


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """A tunnel whose certificate ends soon."""
    ends = datetime.fromtimestamp(time.time(), UTC) + timedelta(days=DAYS, hours=1)
    gateway = pki.issue("gw", ROOT, names=("fqdn:gw.example.net",), not_after=ends)
    for name, octets in (
        ("gw.pem", gateway.pem),
        ("gw.key", gateway.key_pem),
        ("root.pem", ROOT.pem),
    ):
        (tmp_path / name).write_bytes(octets)
        (tmp_path / name).chmod(0o600)
    path = tmp_path / "isthmus.toml"
    path.write_text(
        '[tunnel.office]\npeer = "203.0.113.10"\nauth = "cert"\ncert = "gw.pem"\n'
        'key = { file = "gw.key" }\nca = "root.pem"\n'
    )
    path.chmod(0o600)
    return path


def test_check_tells_the_days_that_are_left_and_warns(
    configuration: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", str(configuration)]) == 0
    out = capsys.readouterr().out
    assert f"ends in {DAYS} days" in out and "1 warning" in out
    assert "office: our certificate C=CH, O=Isthmus tests, CN=gw, until 20" in out
    assert f"{DAYS} days left" in out and "the root certificate" in out
    assert run(["check", "--strict", str(configuration)]) == 3


def test_check_as_json_has_every_certificate(
    configuration: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", "--json", str(configuration)]) == 0
    found = json.loads(capsys.readouterr().out)["certificates"]
    assert [(one["tunnel"], one["role"]) for one in found] == [
        ("office", "own"),
        ("office", "anchor"),
    ]
    assert found[0]["days_left"] == DAYS and found[1]["days_left"] > 5000


@pytest.mark.parametrize(
    ("days", "words"), [(400, "400 days left"), (1, "1 day left"), (-2, "EXPIRED")]
)
def test_status_shows_them(days: int, words: str) -> None:
    status = api.TunnelStatus(
        name="office",
        peer="203.0.113.10",
        mode="route",
        start="traffic",
        healthy=True,
        held_down=False,
        phase1=api.Phase1Status(state="down", since_s=3.0),
        rules=(),
        certificates=(
            api.CertificateStatus(role="own", subject="CN=gw\x1b[31m", not_after=0, days_left=days),
        ),
    )
    (line,) = [line for line in tunnel_lines(status, Paint(False)) if "certificate" in line]
    assert line.strip().startswith("our certificate CN=gw") and line.endswith(words)
    assert "\x1b" not in line, "a stranger's name must not write to the terminal"
