"""Certificates that change under a running daemon, strongSwan at the other end: a renewed one, a
revoked peer, a key in another process; the plan tells what and shows no secret."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.exchanges.pki import Node, issue, private, revoked

from isthmus.lab.daemon import DaemonRefused, Isthmus
from isthmus.lab.namespaces import World

from .certtunnels import connection, private_file, shown, start_or_fail, toml, trusted
from .support import SITE_A, SITE_B, CharonGateway, eventually

pytestmark = [pytest.mark.root, pytest.mark.interop]

NAME = "renewed"
HOST = "10.2.0.240/32"
ROOT = issue("Reload root", key=private("p256", 60))
FIRST = issue("near", ROOT, private("p256", 61), names=("fqdn:near.example.org",))
SECOND = issue("near", ROOT, private("p384", 61), names=("fqdn:near.example.org",))
FAR = issue("far", ROOT, private("p256", 62), names=("fqdn:far.example.org",))
OTHER = issue("other", ROOT, private("p256", 63))


@dataclass(slots=True)
class Both:
    """The two daemons, and the files of ours."""

    near: Isthmus
    far: CharonGateway
    directory: Path

    def put(self, node: Node) -> None:
        """Our certificate and its key."""
        private_file(self.directory, "near.pem", node.pem)
        private_file(self.directory, "near.key", node.key_pem)

    def diary(self) -> str:
        return f"{self.near.log_tail(50)}\n{self.far.log()[-3000:]}"

    def events(self, name: str) -> list[dict[str, object]]:
        return [event for event in self.near.events() if event["event"] == name]


@pytest.fixture(scope="module")
def both(world: World, far: CharonGateway, short_directory: Path) -> Iterator[Both]:
    """One tunnel that is up."""
    directory = short_directory / "renewal"
    directory.mkdir()
    found = Both(Isthmus(world, SITE_A.gateway, directory / "near"), far, directory)
    found.put(FIRST)
    holder = [sys.executable, "-m", "isthmus.daemon.key_holder", str(directory / "near.key")]
    entries = {
        "auth": "cert",
        "revocation": "strict",
        "cert": f"{directory}/near.pem",
        "key": {"process": holder},
        "ca": private_file(directory, "root.pem", ROOT.pem),
        "crl": private_file(directory, "root.crl", revoked(OTHER)),
        "remote_id": "fqdn:far.example.org",
    }
    found.near.write(others=toml(NAME, HOST, entries))
    world.run(SITE_B.gateway, ["ip", "address", "add", HOST, "dev", "lo"])
    try:
        far.charon.load_key(FAR.key_pem.decode())
        far.charon.load(
            connection(
                NAME,
                HOST,
                ("far.example.org", "near.example.org"),
                local=shown(FAR),
                remote=trusted(ROOT),
            )
        )
        start_or_fail(found.near)
        yield found
    finally:
        found.near.stop()
        far.charon.unload(NAME)
        world.run(SITE_B.gateway, ["ip", "address", "del", HOST, "dev", "lo"])


def test_a_key_in_another_process_signs_and_our_name_is_the_certificates(both: Both) -> None:
    both.near.request("up", tunnel=NAME)
    assert both.near.tunnel()["phase1"]["local_id"] == "fqdn:near.example.org"
    assert [one["role"] for one in both.near.tunnel()["certificates"]] == ["own", "anchor", "peer"]
    assert "left" in both.near.do("status", NAME)


def test_a_renewed_certificate_is_planned_and_taken(both: Both) -> None:
    assert "certificates" not in both.near.do("plan"), "nothing has changed yet"
    before = len(both.events("phase1.up"))
    both.put(SECOND)
    plan = both.near.do("plan")
    assert "certificates or their key changed" in plan and NAME in plan, plan
    said = plan + both.near.do("reload")
    assert not any(line and line in said for line in SECOND.key_pem.decode().split("\n")[1:-2])
    eventually("phase 1 is made anew", lambda: len(both.events("phase1.up")) > before)
    assert both.events("phase1.signed")[-1]["scheme"] == "ecdsa-sha384", both.diary()


def test_a_file_that_does_not_fit_changes_nothing(both: Both) -> None:
    private_file(both.directory, "near.key", FIRST.key_pem)
    refused = both.near.ask("reload")
    assert refused.returncode == 3 and "belongs to none of our certificates" in refused.stderr
    assert both.near.tunnel()["phase1"]["state"] == "up"
    both.put(SECOND)


def test_a_peer_that_a_new_list_names_is_closed_after_a_reload(both: Both) -> None:
    private_file(both.directory, "root.crl", revoked(OTHER, FAR))
    both.near.do("reload")
    eventually("it is closed", lambda: both.events("peer.distrusted"), timeout_s=60, every_s=0.5)
    assert both.events("peer.distrusted")[0]["code"] == "E149", both.diary()
    eventually("charon knows", lambda: not both.far.charon.list_sas())
    with pytest.raises(DaemonRefused) as refused:
        both.near.request("up", tunnel=NAME)
    assert refused.value.code == "E149"
