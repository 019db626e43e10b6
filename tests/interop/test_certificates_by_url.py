"""A strongSwan that sends an address instead of its certificate (RFC 7296 §3.6)."""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.lab.namespaces import World, end

from .conftest import CHARON_SETTINGS
from .support import SITE_B, CharonGateway, eventually
from .test_certificates import ROOT, Both, Cell, carried_from_either_side, certificate_of, loaded

pytestmark = [pytest.mark.root, pytest.mark.interop]

PORT = 8087
READ = Cell("by-url", seen="ecdsa-sha256", more={"remote_cert_url": True})
UNREAD = Cell("by-url-unread")


@pytest.fixture(scope="module")
def both(world: World, far: CharonGateway, short_directory: Path) -> Iterator[Both]:
    """A tunnel that fetches and one that does not, and the server that charon names."""
    directory = short_directory / "by-url"
    files = short_directory / "by-url-files"
    files.mkdir()
    for cell in (READ, UNREAD):
        der = certificate_of(cell, "far").der
        (files / hashlib.sha1(der).hexdigest()).write_bytes(der)
    script = Path(__file__).with_name("statusserver.py")
    words = [sys.executable, "-I", str(script), SITE_B.outer4, str(PORT), "1", str(files)]
    server = world.start(SITE_B.gateway, words)
    far.charon.stop()
    far.charon.start(settings=CHARON_SETTINGS + "hash_and_url = yes\n")
    sockets = ["ss", "-Hltn", f"sport = :{PORT}"]
    try:
        eventually("the server listens", lambda: world.run(SITE_B.gateway, sockets))
        with far.charon.vici() as vici:
            base = f"http://{SITE_B.outer4}:{PORT}/files/"
            authority = {"cacert": ROOT.pem.decode(), "cert_uri_base": base}
            vici.request("load-authority", {"root": authority})
        with loaded(world, far, directory, (READ, UNREAD)) as found:
            yield found
    finally:
        end(server)
        far.charon.stop()
        far.charon.start(settings=CHARON_SETTINGS)


def test_it_is_fetched_where_the_configuration_says_so(both: Both) -> None:
    carried_from_either_side(both, READ)
    log = both.far.charon.log.read_text(encoding="utf-8", errors="replace")
    assert f'sending hash-and-url "http://{SITE_B.outer4}:{PORT}/files/' in log, log[-3000:]


def test_it_is_not_asked_for_elsewhere(both: Both) -> None:
    """Nor where another tunnel to the same address would fetch: charon sends the certificate."""
    before = both.far.charon.log.read_text(encoding="utf-8", errors="replace").count("hash-and-url")
    carried_from_either_side(both, UNREAD)
    log = both.far.charon.log.read_text(encoding="utf-8", errors="replace")
    assert log.count("hash-and-url") == before
