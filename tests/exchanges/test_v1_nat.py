"""IKEv1 through address translators, and several tunnels at one address."""

import pytest

from isthmus.ike.core.commands import Configure, Initiate
from isthmus.ike.core.effects import SendDatagram
from isthmus.ike.core.events import DatagramReceived, PeerMoved
from isthmus.ike.v1 import vendors
from isthmus.ike.v1.vendors import NatTraversal
from isthmus.policy.connection import Configuration, Nat
from isthmus.values.address import Endpoint
from isthmus.values.registry.ikev1 import ExchangeType
from isthmus.values.secret import Secret
from isthmus.wire.v1 import VendorId

from .pair import LEFT, PSK, RIGHT, Keys, Pair, Side, rule
from .v1 import PHASE2_V1, nothing_left, one_pair, site, standing, two_sites, v1_sa

OUTSIDE = "203.0.113.9"
NEAR = rule(proposals=PHASE2_V1)
FAR = rule("lan", "10.2.0.0/24", "10.1.0.0/24", PHASE2_V1)


class BehindNat(Pair):
    """The left is behind a translator, which may change its mind about ports."""

    shift = 0

    def deliver(self, side: Side, datagram: SendDatagram) -> None:
        """Translate on the way."""
        self.wire.append(datagram)
        if side is self.left:
            source = Endpoint(OUTSIDE, datagram.local.port + self.shift)
            self.right.feed(DatagramReceived(datagram.remote, source, datagram.octets))
        elif datagram.remote.port - self.shift in (500, 4500):
            to = Endpoint(LEFT, datagram.remote.port - self.shift)
            self.left.feed(DatagramReceived(to, datagram.local, datagram.octets))


def behind(left: Nat = Nat.AUTO, right: Nat = Nat.AUTO, shift: int = 0) -> BehindNat:
    """Both ends know each other by identity."""
    pair = BehindNat(
        site("site-b", RIGHT, (NEAR,), nat=left),
        site("site-a", None, (FAR,), nat=right, remote_id=f"ip:{LEFT}"),
    )
    pair.shift = shift
    return pair


def encaps(pair: Pair) -> set[bool]:
    """Whether SAs of both sides travel in UDP."""
    return {sa.encap for side in (pair.left, pair.right) for sa in side.sas.values()}


@pytest.mark.parametrize("shift", [0, 1000])
@pytest.mark.parametrize("left", [Nat.AUTO, Nat.NEEDED])
def test_a_translator_is_seen_and_gone_around(left: Nat, shift: int) -> None:
    """RFC 3947: ports float with the fifth message, and ESP travels in UDP."""
    pair = behind(left, shift=shift)
    standing(pair)
    assert str(v1_sa(pair.left).nat) == "local" and str(v1_sa(pair.right).nat) == "peer"
    assert encaps(pair) == {True}
    ports = [d.local.port for d in pair.wire if d.local.address in (LEFT, "0.0.0.0")]
    assert ports[:4] == [500, 500, 4500, 4500]
    assert {sa.remote for sa in pair.right.sas.values()} == {Endpoint(OUTSIDE, 4500 + shift)}
    assert pair.left.keepalives[-1].every_s > 0 and not pair.right.keepalives
    pair.advance(20)
    for side in (pair.left, pair.right):
        for phase in (1, 2):
            pair.rekey(side, phase)
            pair.settle().advance(25)
            assert encaps(pair) == {True}
    one_pair(pair)
    assert pair.left.keepalives[-1].every_s > 0
    pair.down(pair.left)
    pair.settle()
    nothing_left(pair)


@pytest.mark.parametrize("way", list(NatTraversal))
def test_every_way_that_peers_speak_of_it(
    way: NatTraversal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The RFC's and the drafts' numbers: the initiator knows this one alone."""
    pair = behind()

    def offered(connection: object) -> tuple[object, ...]:
        return (VendorId(vendors.DPD), VendorId(way.value))

    monkeypatch.setattr(vendors, "offered", offered)
    standing(pair)
    assert (
        v1_sa(pair.left).peer_can.nat_traversal is way is v1_sa(pair.right).peer_can.nat_traversal
    )
    assert encaps(pair) == {True}


def test_without_a_translator_nothing_is_wrapped() -> None:
    pair = standing(two_sites())
    assert encaps(pair) == {False}
    assert {d.remote.port for d in pair.wire} == {500}
    assert not pair.left.keepalives and not pair.right.keepalives


@pytest.mark.parametrize("left", [Nat.AUTO, Nat.FORCE, Nat.OFF, Nat.NEEDED])
@pytest.mark.parametrize("right", [Nat.AUTO, Nat.FORCE, Nat.OFF, Nat.NEEDED])
def test_both_ends_agree_on_encapsulation_without_a_translator(left: Nat, right: Nat) -> None:
    pair = standing(two_sites(left={"nat": left}, right={"nat": right}))
    expected = Nat.FORCE in (left, right) and Nat.OFF not in (left, right)
    assert encaps(pair) == {expected}
    pair.advance(20)
    for side in (pair.right, pair.left):
        pair.rekey(side, 1)
        pair.settle().advance(20)
        pair.rekey(side, 2)
        pair.settle().advance(20)
    assert encaps(pair) == {expected}
    one_pair(pair)


@pytest.mark.parametrize("how", ["esp", "quick", "probe"])
def test_a_peer_that_moved_is_followed(how: str) -> None:
    """RFC 3947 §7: by authentic traffic of either kind."""
    pair = behind()
    standing(pair)
    pair.advance(5)
    pair.shift = 3000
    (spi,) = (spi for spi, inbound in pair.right.sas if inbound)
    to = Endpoint(OUTSIDE, 4500 + 3000)
    if how == "esp":
        pair.right.feed(PeerMoved(spi, to))
    elif how == "quick":
        pair.rekey(pair.left)
        pair.settle().advance(10)
    else:
        pair.advance(30)
    assert v1_sa(pair.right).remote == to
    assert pair.right.events("peer.moved")
    pair.rekey(pair.right)
    pair.settle().advance(2)
    one_pair(pair)


def test_who_is_not_behind_a_translator_is_not_followed() -> None:
    pair = standing(two_sites())
    (spi,) = (spi for spi, inbound in pair.right.sas if inbound)
    pair.right.feed(PeerMoved(spi, Endpoint(OUTSIDE, 4500)))
    assert v1_sa(pair.right).remote == Endpoint(LEFT, 500)


@pytest.mark.parametrize("lost", range(9))
def test_each_message_lost_once_behind_a_translator(lost: int) -> None:
    pair = behind(shift=100)
    pair.packet(pair.left)
    for _ in range(lost):
        pair.step()
    assert pair.lose() == 1
    pair.advance(5)
    assert pair.left.view().rules[0].state == pair.right.view().rules[0].state == "up"
    pair.agree()


# --- several tunnels at one address ---------------------------------------------------------


def test_several_tunnels_at_one_address_by_identity() -> None:
    """Behind one translator, or anywhere: the identity of the fifth message decides."""
    names = ("one", "two", "three")
    tunnels = tuple(
        site(
            name,
            None,
            (rule("lan", "10.2.0.0/24", f"10.{n}.0.0/24", PHASE2_V1),),
            remote_id=f"fqdn:{name}.example.org",
            local_id="fqdn:hub.example.org",
        )
        for n, name in enumerate(names, start=11)
    )
    for n, name in enumerate(names, start=11):
        left = site(
            "site-b",
            RIGHT,
            (rule("lan", f"10.{n}.0.0/24", "10.2.0.0/24", PHASE2_V1),),
            local_id=f"fqdn:{name}.example.org",
            remote_id="fqdn:hub.example.org",
        )
        pair = Pair(left)
        pair.right.command(Configure(Configuration(tunnels)))
        pair.left.command(Initiate("site-b"))
        pair.settle().advance(1)
        assert pair.right.view(name).rules[0].state == "up"
        assert {sa.tunnel for sa in pair.right.sas.values()} == {name}
        pair.agree()


def test_an_identity_that_no_tunnel_expects_is_refused() -> None:
    left = site("site-b", RIGHT, (NEAR,), local_id="fqdn:nobody.example.org")
    right = site("site-a", None, (FAR,), remote_id="fqdn:somebody.example.org")
    pair = Pair(left, right)
    pair.left.command(Initiate("site-b"))
    pair.settle().advance(3)
    (failed,) = pair.right.events("phase1.failed")
    assert failed.code == "E130"
    assert "fqdn:nobody.example.org" in failed.message
    assert "fqdn:somebody.example.org" in failed.message
    assert not pair.right.sas and pair.right.engine.census()["half_open"] == 0
    assert {h.code for h in pair.left.events("phase1.failed")} == {"E120"}


def test_another_secret_is_told_on_both_sides() -> None:
    pair = two_sites(right_keys=Keys(Secret(b"something else altogether, as long")))
    pair.left.command(Initiate("site-b"))
    pair.settle().advance(100)
    assert "E120" in {h.code for h in pair.right.events("phase1.failed")}
    assert pair.left.events("phase1.failed")
    assert not pair.left.sas and not pair.right.sas
    pair.advance(31)
    assert pair.right.engine.census()["half_open"] == 0


def test_a_secret_that_is_not_loaded() -> None:
    for side in ("left", "right"):
        keys = {f"{side}_keys": Keys(None)}
        pair = two_sites(**keys)  # type: ignore[arg-type]
        pair.left.command(Initiate("site-b"))
        pair.settle().advance(100)
        told = getattr(pair, side).events("phase1.failed")
        assert "E122" in {h.code for h in told}, told
        assert not pair.left.sas and not pair.right.sas


# --- secrets --------------------------------------------------------------------------------


def test_no_record_and_no_text_holds_a_secret() -> None:
    pair = standing(two_sites(("aes256-sha256-modp2048-noesn",)))
    pair.advance(20)
    secrets = {PSK.reveal()}
    for side in (pair.left, pair.right):
        for sa in side.engine._sas.values():
            keys = getattr(sa, "keys", None)
            assert keys is not None
            for name in ("skeyid", "skeyid_d", "skeyid_a", "skeyid_e", "cipher_key"):
                secrets.add(getattr(keys, name).reveal())
        for installed in side.sas.values():
            secrets |= {installed.encryption_key.reveal(), installed.integrity_key.reveal()}
    for phase in (1, 2):
        pair.rekey(pair.left, phase)
        pair.settle().advance(30)
    secrets.discard(b"")
    texts = [repr(h) for side in (pair.left, pair.right) for h in side.happenings]
    texts += [repr(sa) for side in (pair.left, pair.right) for sa in side.engine._sas.values()]
    texts += [repr(e) for side in (pair.left, pair.right) for e in side.effects]
    everything = "\n".join(texts)
    assert len(secrets) >= 8 and len(everything) > 10_000
    for secret in secrets:
        assert secret.hex() not in everything.replace(":", "").lower()
        assert repr(secret)[2:-1] not in everything
    sealed = [d for d in pair.wire if d.octets[18] == ExchangeType.QUICK_MODE]
    assert all(not any(secret in d.octets for secret in secrets) for d in sealed)
