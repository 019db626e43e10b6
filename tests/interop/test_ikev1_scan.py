"""What a stranger's tool learns: ike-scan sees our Main Mode, and nothing at all of Aggressive Mode
where it is off."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from isthmus.lab import capture, gateways, topology
from isthmus.lab.daemon import Isthmus
from isthmus.lab.namespaces import World
from isthmus.lab.packets import Ike
from isthmus.lab.topology import INTERNET

from .certtunnels import start_or_fail
from .support import SITE_A, SITE_B, eventually, require_root_and

pytestmark = [pytest.mark.root, pytest.mark.interop]

RASH = str(SITE_A.outside4[2])
"""Our other address, where Aggressive Mode is on: it shows that the question can be answered."""
PROPOSAL = "aes256-sha256-modp2048"
TRANSFORM = "(1=7,14=256,2=4,3=1,4=14)"
"""The same in attributes of RFC 2409, with a pre-shared key."""
AGGRESSIVE_MODE = 4
SHAKEN = "Aggressive Mode Handshake returned"


@dataclass(frozen=True, slots=True)
class Ground:
    """Isthmus at site A, and a scanner in the place of the peer."""

    world: World
    directory: Path

    def scan(self, address: str, *words: str) -> str:
        """What ike-scan says of an address."""
        argv = ["ike-scan", "--nodns", "--retry=2", f"--trans={TRANSFORM}", *words, address]
        return self.world.run(SITE_B.gateway, argv)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """One tunnel at each address of ours, both with the scanner's address as the peer."""
    require_root_and("ike-scan")
    directory = tmp_path_factory.mktemp("scan")
    with topology.two_sites(directory) as world:
        world.run(SITE_A.gateway, ["ip", "address", "add", f"{RASH}/24", "dev", "wan"])
        told = gateways.tunnel(
            SITE_A, gateways.fresh_psk(), "policy", proposals=(PROPOSAL,), version=1
        )
        (rule,) = told.rules
        elsewhere = replace(rule, remote=("10.3.0.0/24",))
        quiet = {"ike": "1", "local_address": f'"{SITE_A.outer4}"'}
        rash = quiet | {"local_address": f'"{RASH}"', "aggressive": "true", "allow_weak": "true"}
        daemon = Isthmus(world, SITE_A.gateway, directory / "near")
        daemon.write(
            replace(told, settings=quiet),
            replace(told, name="rash", rules=(elsewhere,), settings=rash),
        )
        start_or_fail(daemon)
        try:
            yield Ground(world, directory)
        finally:
            print(daemon.log_tail(60))
            daemon.stop()


def _returned(said: str) -> tuple[int, int]:
    """How many handshakes and notifies ike-scan counted."""
    found = re.search(r"(\d+) returned handshake; (\d+) returned notify", said)
    assert found is not None, said
    return int(found[1]), int(found[2])


def test_main_mode_is_seen(ground: Ground) -> None:
    """With what was agreed on."""
    said = ground.scan(SITE_A.outer4)
    assert _returned(said) == (1, 0), said
    assert "Main Mode Handshake returned" in said
    for word in ("Enc=AES", "KeyLength=256", "Hash=SHA2-256", "Group=14:modp2048", "Auth=PSK"):
        assert word in said


def test_aggressive_mode_is_silent_unless_it_is_on(ground: Ground) -> None:
    """Not even a notify; the same question is answered where it is on.

    ike-scan makes up a public value, and every second one is none (it is not in the subgroup).
    """
    asked = ("--aggressive", "--dhgroup=14", "--idtype=2", f"--id={SITE_B.gateway}")
    wire = capture.start(ground.world, INTERNET, ground.directory / "wire.pcap")
    try:
        silent = ground.scan(SITE_A.outer4, *asked)
        told = eventually(
            "a handshake is returned where Aggressive Mode is on",
            lambda: said if SHAKEN in (said := ground.scan(RASH, *asked)) else None,
        )
        seen = wire.packets()
    finally:
        wire.abandon()
    assert _returned(silent) == (0, 0), silent
    assert _returned(told) == (1, 0), told
    assert {p.source for p in seen if isinstance(p.content, Ike)} == {SITE_B.outer4, RASH}
    assert all(p.content.exchange == AGGRESSIVE_MODE for p in seen if isinstance(p.content, Ike))
