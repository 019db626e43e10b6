"""Fixtures of the live tests: one set of namespaces and one charon for many cells."""

import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from isthmus.lab import topology
from isthmus.lab.namespaces import World
from isthmus.lab.strongswan import Charon
from isthmus.lab.topology import SITE_A, SITE_B

from .support import CharonGateway, IsthmusGateway, Pair, require_root_and

# Many half-open and closed SAs of one address are the point here, not an attack.
CHARON_SETTINGS = """
  dos_protection = no
  reuse_ikesa = no
  close_ike_on_child_failure = yes
  retransmit_timeout = 1.0
  retransmit_tries = 3
  i_dont_care_about_security_and_use_aggressive_mode_psk = yes
"""


@pytest.fixture(scope="session")
def short_directory() -> Iterator[Path]:
    """A directory whose path leaves room for the names of Unix sockets."""
    with tempfile.TemporaryDirectory(prefix="isth-") as path:
        yield Path(path)


@pytest.fixture(scope="session")
def world(short_directory: Path) -> Iterator[World]:
    """Two sites and an internet; gone with this process, whatever ends it."""
    require_root_and()
    with topology.two_sites(short_directory) as found:
        yield found


@pytest.fixture(scope="session")
def far(world: World, short_directory: Path) -> Iterator[CharonGateway]:
    """strongSwan as the gateway of site B."""
    require_root_and("strongswan")
    charon = Charon(world, SITE_B.gateway, short_directory / "far")
    charon.start(settings=CHARON_SETTINGS)
    yield CharonGateway(charon)
    charon.stop()


@pytest.fixture
def pair(world: World, far: CharonGateway, short_directory: Path) -> Iterator[Pair]:
    """Isthmus at site A and strongSwan at site B, told nothing yet."""
    near = IsthmusGateway(world, SITE_A, short_directory / "near")
    found = Pair(world, near, far, short_directory)
    yield found
    found.finish()


@pytest.fixture
def charon_pair(world: World, far: CharonGateway, short_directory: Path) -> Iterator[Pair]:
    """strongSwan at both ends: proves that the tests themselves are sound."""
    charon = Charon(world, SITE_A.gateway, short_directory / "near-charon")
    charon.start(settings=CHARON_SETTINGS)
    found = Pair(world, CharonGateway(charon), far, short_directory)
    yield found
    found.finish()
    charon.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With a failure, print what both gateways said."""
    report = yield
    if report.when == "call" and report.failed:
        arguments = getattr(item, "funcargs", {})
        found = arguments.get("pair") or arguments.get("charon_pair")
        if isinstance(found, Pair):
            report.sections.append(("gateways", found.diary()))
    return report
