"""Signatures of before RFC 7427 with strongSwan: RSA of RFC 7296 and ECDSA of RFC 4754."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.lab.namespaces import World

from .conftest import CHARON_SETTINGS
from .support import CharonGateway
from .test_certificates import Both, Cell, carried_from_either_side, loaded

pytestmark = [pytest.mark.root, pytest.mark.interop]

CELLS = (
    Cell(
        "old-rsa-sha1",
        "rsa2048",
        "pubkey",
        ("rsa-pkcs1-sha1",),
        seen="rsa-pkcs1-sha1",
        more={"allow_weak": True},
    ),
    Cell("old-p256", "p256", seen="ecdsa-sha256"),
    Cell("old-p384", "p384", seen="ecdsa-sha384"),
    Cell("old-p521", "p521", seen="ecdsa-sha512"),
)


@pytest.fixture(scope="module")
def both(world: World, far: CharonGateway, short_directory: Path) -> Iterator[Both]:
    """Every cell on both sides, and a charon that does not say which hashes it takes."""
    far.charon.stop()
    far.charon.start(settings=CHARON_SETTINGS + "signature_authentication = no\n")
    try:
        with loaded(world, far, short_directory / "old", CELLS) as found:
            yield found
    finally:
        far.charon.stop()
        far.charon.start(settings=CHARON_SETTINGS)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_comes_up_and_carries_from_either_side(both: Both, cell: Cell) -> None:
    carried_from_either_side(both, cell)
