"""Which tunnel fits a peer, when there are many."""

from dataclasses import replace
from itertools import pairwise

import pytest
from tests.exchanges.pair import connection, rule

from isthmus.policy.connection import Configuration, Connection
from isthmus.policy.select import Candidates, PeerIndex, by_identity
from isthmus.values.address import Endpoint
from isthmus.values.identity import Identity, IdentityPattern

LOCAL, OTHER_LOCAL = Endpoint("192.0.2.1", 500), Endpoint("192.0.2.2", 500)
PEER, STRANGER = Endpoint("198.51.100.1", 500), Endpoint("203.0.113.9", 500)


def tunnel(
    name: str, peer: str | None = PEER.address, remote_id: str | None = None, **more: object
) -> Connection:
    """A tunnel to a peer, told apart by its identity or a pattern."""
    told = connection(name, peer, (rule(),), **more)  # type: ignore[arg-type]
    if remote_id is None:
        return told
    parsed = IdentityPattern.parse(remote_id) if "*" in remote_id else Identity.parse(remote_id)
    return replace(told, remote_id=parsed)


MIXED = (
    tunnel("one", remote_id="fqdn:one.example"),
    tunnel("pattern", remote_id="fqdn:*.example"),
    tunnel("two", remote_id="fqdn:TWO.example"),
    tunnel("address"),
    tunnel("again", remote_id="fqdn:one.example"),
    tunnel("mail", remote_id="email:one@example"),
)


@pytest.mark.parametrize(
    "claimed",
    [
        "fqdn:one.example",
        "fqdn:ONE.example",
        "fqdn:two.example",
        "fqdn:three.example",
        "fqdn:elsewhere.test",
        f"ip:{PEER.address}",
        "email:one@example",
        "keyid:0x00",
    ],
)
def test_an_index_by_identity_finds_what_a_look_at_each_tunnel_finds_in_the_same_order(
    claimed: str,
) -> None:
    identity = Identity.parse(claimed)
    plain = by_identity(MIXED, LOCAL, PEER, identity, None)
    assert by_identity(Candidates(MIXED), LOCAL, PEER, identity, None) == plain


def test_an_identity_is_found_without_a_look_at_the_other_tunnels() -> None:
    many = Candidates(tunnel(f"t{n}", remote_id=f"fqdn:t{n}.example") for n in range(1000))
    assert [c.name for c in many.claimed(Identity.parse("fqdn:t500.example"))] == ["t500"]
    assert many.claimed(Identity.parse("fqdn:stranger.example")) == ()


def test_each_offer_is_held_against_tunnels_that_differ_in_their_proposals_alone() -> None:
    other = ("aes256gcm16-prfsha512-ecp384",)
    many = Candidates(
        tunnel(f"t{n}", **({"proposals": other} if n % 2 else {})) for n in range(1000)
    )
    assert [c.name for c in many.of_each_offer] == ["t0", "t1"]


def test_all_messages_between_two_addresses_share_one_list_of_tunnels() -> None:
    index = PeerIndex(MIXED)
    first = index.fitting(LOCAL, PEER)
    assert first == MIXED
    assert index.fitting(OTHER_LOCAL, Endpoint(PEER.address, 4500)) is first
    strangers = [index.fitting(LOCAL, Endpoint(f"203.0.113.{n}", 500)) for n in range(100)]
    assert all(one is other for one, other in pairwise(strangers))
    assert strangers[0] == ()


def test_a_tunnel_with_a_local_address_fits_there_alone() -> None:
    here = tunnel("here", local_address=LOCAL.address)
    anywhere = tunnel("anywhere", peer=None)
    index = PeerIndex((here, anywhere))
    assert index.fitting(LOCAL, PEER) == (here, anywhere)
    assert index.fitting(OTHER_LOCAL, PEER) == (anywhere,)
    assert index.fitting(LOCAL, STRANGER) == (anywhere,)


def test_a_configuration_holds_a_tunnel_with_all_its_terms() -> None:
    configuration = Configuration(MIXED)
    assert all(configuration.holds(c) for c in MIXED)
    assert configuration.holds(tunnel("one", remote_id="fqdn:one.example"))
    assert not configuration.holds(tunnel("one", remote_id="fqdn:other.example"))
    assert not configuration.holds(tunnel("none"))
    assert configuration.connection("two") is MIXED[2]
    assert configuration.connection("none") is None
