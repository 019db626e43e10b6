"""What strangers get from an IKEv1 responder: as good as nothing, and nothing that costs it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from isthmus.crypto.entropy import SeededEntropy
from isthmus.ike.core.commands import Configure, Initiate, Shutdown
from isthmus.ike.core.effects import Compute, SendDatagram
from isthmus.ike.core.events import ComputeFinished, DatagramReceived, DeadlineReached
from isthmus.ike.v1 import door, vendors
from isthmus.ike.v1.lifetimes import Lifetime, Phase, life_attributes
from isthmus.policy.connection import Configuration, IkeVersion, V1Terms
from isthmus.values.address import Endpoint
from isthmus.values.registry.ikev1 import (
    AuthenticationMethod,
    Cipher,
    ExchangeType,
    Flag,
    Hash,
    NotifyType,
    Phase1Attribute,
    ProtocolId,
)
from isthmus.values.spi import NO_IKE_SPI
from isthmus.wire.header import Header
from isthmus.wire.v1 import (
    VERSION_1,
    Attribute,
    Delete,
    Notify,
    Payload,
    ProposalV1,
    SecurityAssociation,
    TransformV1,
    VendorId,
    decode_message,
    encode_message,
)

from .pair import LEFT, RIGHT, Pair, Side, connection, rule
from .scenes import STRANGER, from_stranger, steps_of
from .v1 import PHASE2_V1, site, standing, two_sites

COOKIE = b"initiatr"
FAR = rule(local="10.2.0.0/24", remote="10.1.0.0/24", proposals=PHASE2_V1)


def anybody() -> Pair:
    """The right takes peers from any address."""
    return Pair(
        site("site-b", RIGHT, (rule(proposals=PHASE2_V1),)),
        site("site-a", None, (FAR,), remote_id=f"ip:{LEFT}"),
    )


def first_message(
    methods: tuple[int, ...],
    exchange: ExchangeType = ExchangeType.MAIN_MODE,
    cipher_bits: int = 128,
) -> bytes:
    """An offer of AES, SHA2-256 and MODP-2048 by each of these methods."""
    transforms = tuple(
        TransformV1(
            n,
            1,
            (
                Attribute(Phase1Attribute.ENCRYPTION_ALGORITHM, Cipher.AES_CBC),
                Attribute(Phase1Attribute.KEY_LENGTH, cipher_bits),
                Attribute(Phase1Attribute.HASH_ALGORITHM, Hash.SHA2_256),
                Attribute(Phase1Attribute.AUTHENTICATION_METHOD, method),
                Attribute(Phase1Attribute.GROUP_DESCRIPTION, 14),
                *life_attributes(Phase.ONE, Lifetime(3600)),
            ),
        )
        for n, method in enumerate(methods, start=1)
    )
    offer = SecurityAssociation((ProposalV1(1, ProtocolId.ISAKMP, b"", transforms),))
    head = Header(COOKIE, NO_IKE_SPI, 0, VERSION_1, exchange)
    return encode_message(head, (offer,))


def first_of(pair: Pair) -> SendDatagram:
    """The left's first message, which goes no further."""
    pair.left.command(Initiate("site-b"))
    return pair.left.out.pop(0)


def computes(side: Side) -> list[Compute]:
    """Slow work that was asked for."""
    return [e for e in side.effects if isinstance(e, Compute)]


@pytest.mark.parametrize(
    "methods",
    [
        (AuthenticationMethod.RSA_ENC,),
        (AuthenticationMethod.RSA_REV_ENC,),
        (AuthenticationMethod.RSA_ENC, AuthenticationMethod.RSA_REV_ENC),
    ],
)
def test_public_key_encryption_is_refused(methods: tuple[int, ...]) -> None:
    """S-17."""
    pair = two_sites()
    from_stranger(pair.right, first_message(methods), Endpoint(LEFT, 500))
    (answer,) = pair.right.out
    header, chain = decode_message(answer.octets)
    (notify,) = chain.payloads
    assert isinstance(notify, Notify) and notify.kind == NotifyType.NO_PROPOSAL_CHOSEN
    assert header.exchange == ExchangeType.INFORMATIONAL and header.spi_i == COOKIE
    assert pair.right.engine.census()["embryos"] == 0 and not computes(pair.right)
    (told,) = pair.right.events("phase1.failed")
    assert told.code == "E110" and "RSA" in told.message


def test_beside_one_that_we_do_it_is_passed_over() -> None:
    pair = two_sites()
    methods = (AuthenticationMethod.RSA_ENC, AuthenticationMethod.PSK)
    from_stranger(pair.right, first_message(methods), Endpoint(LEFT, 500))
    (answer,) = pair.right.out
    _, chain = decode_message(answer.octets)
    chosen = chain.payloads[0]
    assert isinstance(chosen, SecurityAssociation)
    assert [t.number for t in chosen.proposals[0].transforms] == [2]


def test_without_a_tunnel_of_version_1_not_one_octet_is_answered() -> None:
    """S-41."""
    pair = two_sites()
    standing(pair)
    old = Pair()  # both speak IKEv2 alone
    for datagram in pair.wire:
        if datagram.remote.address == RIGHT:
            old.right.feed(DatagramReceived(datagram.remote, datagram.local, datagram.octets))
    for methods in ((1,), (3,), (4,), (1, 3, 4)):
        for exchange in ExchangeType:
            for source in (Endpoint(LEFT, 500), STRANGER):
                from_stranger(old.right, first_message(methods, exchange), source)
    assert not old.right.out and not computes(old.right)
    assert {k: v for k, v in old.right.engine.census().items() if v} == {}


def test_aggressive_mode_that_nobody_asked_for_is_not_answered() -> None:
    """In none of its forms, whoever sends it."""
    pair = two_sites()
    aggressive = two_sites(left={"v1": V1Terms(aggressive=True)})
    opening = first_of(aggressive)
    assert opening.octets[18] == ExchangeType.AGGRESSIVE_MODE
    for source in (Endpoint(LEFT, 500), STRANGER):
        from_stranger(pair.right, opening.octets, source)
        from_stranger(pair.right, first_message((1,), ExchangeType.AGGRESSIVE_MODE), source)
    assert not pair.right.out and not computes(pair.right)
    assert {k: v for k, v in pair.right.engine.census().items() if v} == {}


def test_no_key_is_made_before_the_third_message() -> None:
    pair = two_sites()
    first = first_of(pair)
    for _ in range(3):
        pair.deliver(pair.left, first)
    assert not computes(pair.right)
    census = pair.right.engine.census()
    assert census["embryos"] == 1 and census["ike_sas"] == census["half_open"] == 0
    assert len({d.octets for d in pair.right.out}) == 1 and len(pair.right.out) == 3
    pair.right.out[1:] = []
    pair.step()
    pair.step()
    assert len(computes(pair.right)) == 1
    assert pair.right.engine.census()["embryos"] == 0
    assert pair.right.engine.census()["half_open"] == 1
    pair.settle().advance(1)
    assert pair.right.view().state == "up" and pair.right.engine.census()["half_open"] == 0


@pytest.mark.parametrize("octets_less", [0, 4, 20, 28])
def test_answers_are_never_longer_than_what_was_asked(octets_less: int) -> None:
    pair = anybody()
    first = first_of(pair)
    sent = received = 0
    for n in range(300):
        octets = bytearray(first.octets[: len(first.octets) - octets_less])
        octets[0:8] = (n + 1).to_bytes(8, "big")
        octets[24:28] = len(octets).to_bytes(4, "big")
        for _ in range(3):
            sent += len(octets)
            from_stranger(pair.right, bytes(octets), Endpoint(f"203.0.113.{n % 200 + 1}", 500))
        answered = [len(d.octets) for d in pair.right.out]
        assert all(size <= len(octets) for size in answered)
        received += sum(answered)
        pair.right.out.clear()
    pair.advance(60, deliver=False)
    assert received + sum(len(d.octets) for d in pair.right.out) <= sent
    assert octets_less or received


def test_a_short_word_for_pieces_does_not_make_the_answer_too_long() -> None:
    """Some peers send the hash alone, and nothing else beside one transform."""
    pair = two_sites()
    octets = first_message((AuthenticationMethod.PSK,))
    header, chain = decode_message(octets)
    said = VendorId(vendors.FRAGMENTATION)
    octets = encode_message(header, (*chain.payloads, said))
    from_stranger(pair.right, octets, Endpoint(LEFT, 500))
    (answer,) = pair.right.out
    assert len(answer.octets) <= len(octets)


def test_first_messages_are_bounded_and_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "EMBRYOS_MAX", 50)
    pair = anybody()
    first = first_of(pair)
    for n in range(200):
        octets = bytearray(first.octets)
        octets[0:8] = (n + 1).to_bytes(8, "big")
        from_stranger(pair.right, bytes(octets), Endpoint(f"203.0.113.{n % 200 + 1}", 500))
        assert pair.right.engine.census()["embryos"] == min(n + 1, 50)
    assert not computes(pair.right) and pair.right.engine.deadline is None
    pair.right.out.clear()
    # An honest peer gets in all the same.
    pair.left.out.append(first)
    pair.settle().advance(1)
    assert pair.left.view().state == pair.right.view().state == "up"
    pair.advance(door.EMBRYO_S)
    pair.right.feed(DeadlineReached())
    assert pair.right.engine.census()["embryos"] == 0


def third_of(pair: Pair) -> SendDatagram:
    """The left's third message, which goes no further; the right has an embryo."""
    pair.left.command(Initiate("site-b"))
    pair.step(), pair.step()
    return pair.left.out.pop(0)


WRONG: dict[str, Callable[[bytes, Endpoint], tuple[bytes, Endpoint]]] = {
    "another cookie of the initiator": lambda o, at: (b"x" * 8 + o[8:], at),
    "another cookie of ours": lambda o, at: (o[:8] + b"x" * 8 + o[16:], at),
    "both exchanged": lambda o, at: (o[8:16] + o[:8] + o[16:], at),
    "another address": lambda o, at: (o, STRANGER),
    "another exchange": lambda o, at: (
        o[:18] + bytes((ExchangeType.AGGRESSIVE_MODE,)) + o[19:],
        at,
    ),
    "encrypted": lambda o, at: (o[:19] + bytes((Flag.ENCRYPTION,)) + o[20:], at),
    "a message ID": lambda o, at: (o[:20] + b"\0\0\0\1" + o[24:], at),
    "cut short": lambda o, at: (o[:24] + (60).to_bytes(4, "big") + o[28:60], at),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_third_message_that_does_not_fit_is_refused(name: str) -> None:
    pair = two_sites()
    third = third_of(pair)
    octets, source = WRONG[name](third.octets, Endpoint(LEFT, 500))
    from_stranger(pair.right, octets, source)
    assert not pair.right.out and not computes(pair.right)
    assert pair.right.engine.census()["embryos"] == 1
    assert pair.right.engine.census()["ike_sas"] == 0
    pair.left.out.append(third)
    pair.settle().advance(1)
    assert pair.left.view().state == "up"


def test_a_third_message_after_half_a_minute_finds_nothing() -> None:
    pair = two_sites()
    third = third_of(pair)
    pair.now += door.EMBRYO_S + 1
    pair.deliver(pair.left, third)
    assert not pair.right.out and pair.right.engine.census()["ike_sas"] == 0


def test_a_third_message_comes_again_while_a_key_is_made() -> None:
    pair = two_sites()
    third = third_of(pair)
    pair.right.held_computes = []
    for _ in range(3):
        pair.deliver(pair.left, third)
    assert len(pair.right.held_computes) == 1 and not pair.right.out
    (job,) = pair.right.held_computes
    pair.right.held_computes = None
    pair.right.compute(job)
    assert len(pair.right.out) == 1
    pair.settle().advance(1)
    assert pair.left.view().state == "up"


def test_a_worker_without_time_leaves_the_next_repeat_its_chance() -> None:
    pair = two_sites()
    third = third_of(pair)
    pair.right.held_computes = []
    pair.deliver(pair.left, third)
    (job,) = pair.right.held_computes
    pair.right.feed(ComputeFinished(job.ticket, None, "too many jobs wait"))
    pair.right.held_computes = None
    assert not pair.right.out
    pair.advance(5)
    assert pair.left.view().rules[0].state == "up"


def test_public_values_that_are_no_good_are_not_tried_for_ever() -> None:
    pair = two_sites()
    third = third_of(pair)
    for n in range(40):
        octets = bytearray(third.octets)
        octets[32:288] = bytes(255) + bytes((n % 2,))  # 0 and 1 are refused
        from_stranger(pair.right, bytes(octets), Endpoint(LEFT, 500))
    assert 1 <= len(computes(pair.right)) <= 10 and not pair.right.out
    assert pair.right.engine.census()["ike_sas"] == 0


def test_half_open_peers_are_bounded_and_age() -> None:
    """32 of one address at most."""
    pair = anybody()
    first = first_of(pair)
    taken = 0
    for n in range(60):
        octets = bytearray(first.octets)
        octets[0:8] = (n + 1).to_bytes(8, "big")
        source = Endpoint(LEFT, 500)
        from_stranger(pair.right, bytes(octets), source)
        cookie = pair.right.out.pop(0).octets[8:16]
        third = bytearray(THIRD)
        third[0:8], third[8:16] = octets[0:8], cookie
        from_stranger(pair.right, bytes(third), source)
        taken += len(pair.right.out)
        pair.right.out.clear()
    assert taken == 32 and pair.right.engine.census()["half_open"] == 32
    pair.left.out.clear()
    pair.advance(31, deliver=False)
    census = pair.right.engine.census()
    assert census["half_open"] == census["ike_sas"] == census["embryos"] == 0


THIRD = third_of(two_sites()).octets


@pytest.mark.parametrize("changed", [False, True])
def test_a_reload_between_the_first_and_the_third_message(changed: bool) -> None:
    """The same tunnel read anew goes on; one that says something else begins anew."""
    pair = two_sites()
    third = third_of(pair)
    lifetimes = replace(site("x", LEFT, ()).phase1_lifetimes, lifetime_s=7200.0)
    more: dict[str, object] = {"phase1_lifetimes": lifetimes} if changed else {}
    pair.right.command(Configure(Configuration((site("site-a", LEFT, (FAR,), **more),))))
    pair.left.out.append(third)
    pair.settle().advance(1)
    if changed:
        assert pair.right.engine.census()["ike_sas"] == 0
        return
    assert pair.left.view().rules[0].state == "up"
    pair.rekey(pair.right, 2)
    pair.settle().advance(1)
    assert pair.right.events("phase2.rekeyed") or pair.right.events("phase2.up")
    pair.packet(pair.right)
    pair.down(pair.right)
    pair.settle()
    assert pair.left.engine.census()["ike_sas"] == 0


def test_a_daemon_that_stops_begins_nothing() -> None:
    pair = two_sites()
    third = third_of(pair)
    pair.right.command(Shutdown())
    pair.deliver(pair.left, third)
    assert not pair.right.out and pair.right.engine.census()["ike_sas"] == 0
    assert pair.right.events("daemon.quiet")


# --- cost -----------------------------------------------------------------------------------


def work_for_an_offer(tunnels: int, transforms: int, method: int) -> int:
    """What a large first message of a stranger costs beside so many tunnels of any address."""
    many = tuple(
        site(f"t{n}", None, (FAR,), remote_id=f"fqdn:t{n}.example") for n in range(tunnels)
    )
    pair = two_sites()
    pair.right.command(Configure(Configuration(many)))
    octets = first_message((method,) * transforms, cipher_bits=256)
    from_stranger(pair.right, octets, STRANGER)
    return steps_of(lambda: from_stranger(pair.right, octets[:7] + b"!" + octets[8:], STRANGER))


@pytest.mark.parametrize("method", [AuthenticationMethod.PSK, AuthenticationMethod.RSA_ENC])
def test_a_large_offer_costs_the_same_beside_a_thousand_tunnels(method: int) -> None:
    """Nothing in common: each of ours is looked for, and why not is told. What is left of the
    thousand is to walk along them."""
    few = work_for_an_offer(1, 255, method)
    many = work_for_an_offer(1000, 255, method)
    assert few > 255
    assert many < few + 1000 * 30


# --- S-19 -----------------------------------------------------------------------------------


def informational(sa_cookies: tuple[bytes, bytes], n: int, chance: SeededEntropy) -> bytes:
    """In clear, or under whatever key; about phase 1, a pair, or nothing at all."""
    cookie_i, cookie_r = sa_cookies
    payloads: tuple[Payload, ...]
    match n % 8:
        case 0:
            payloads = (Delete(ProtocolId.ISAKMP, (cookie_i + cookie_r,)),)
        case 1:
            payloads = (Delete(ProtocolId.ESP, (chance.octets(4),)),)
        case 2:
            payloads = (Notify(NotifyType.INITIAL_CONTACT, b"", 1, cookie_i + cookie_r),)
        case 3:
            payloads = (Notify(NotifyType.R_U_THERE, chance.octets(4), 1, cookie_i + cookie_r),)
        case 4:
            payloads = (Notify(NotifyType.INVALID_SPI, chance.octets(4), 3),)
        case 5:
            payloads = (Notify(NotifyType.RESPONDER_LIFETIME, chance.octets(8), 1),)
        case 6:
            payloads = (Notify(NotifyType.CONNECTED, b"", 3),)
        case _:
            octets = chance.octets(64)
            head = Header(
                cookie_i, cookie_r, 8, VERSION_1, ExchangeType.INFORMATIONAL, Flag.ENCRYPTION
            )
            return replace(head, message_id=n + 1).encode(28 + 64) + octets
    flags = Flag.ENCRYPTION if n % 3 == 0 else 0
    head = Header(cookie_i, cookie_r, 0, VERSION_1, ExchangeType.INFORMATIONAL, 0, n * 7919)
    octets = encode_message(head, payloads)
    return octets[:19] + bytes((flags,)) + octets[20:]


@pytest.mark.parametrize("steps", range(10))
def test_informationals_that_nobody_vouches_for_change_nothing(steps: int) -> None:
    """S-19, in every state of both roles: 10^5 in all, from the peer's own address."""
    pair = two_sites()
    pair.packet(pair.left)
    for _ in range(steps):
        pair.step()
    if steps == 9:
        pair.settle().advance(1)
    chance = SeededEntropy(steps)
    told = len(pair.left.happenings), len(pair.right.happenings)
    waiting = [list(s.out) for s in (pair.left, pair.right)]
    before = [s.engine.census() for s in (pair.left, pair.right)]
    for side, other in ((pair.left, RIGHT), (pair.right, LEFT)):
        sas = list(side.engine._sas.values())
        cookies = (sas[0].spi_i, sas[0].spi_r) if sas else (COOKIE, COOKIE)
        at = Endpoint(other, 500)
        for n in range(5000):
            octets = informational((bytes(cookies[0]), bytes(cookies[1])), n, chance)
            side.feed(DatagramReceived(Endpoint(side.address, 500), at, octets))
    for side, out in zip((pair.left, pair.right), waiting, strict=True):
        assert side.out == out, "nothing is answered"
    assert [s.engine.census() for s in (pair.left, pair.right)] == before
    for side, since in zip((pair.left, pair.right), told, strict=True):
        assert {h.event for h in side.happenings[since:]} <= {"datagram.dropped"}
    pair.settle().advance(1)
    assert pair.left.view().rules[0].state == pair.right.view().rules[0].state == "up"
    pair.agree()


@pytest.mark.parametrize("kind", [14, 24, 1, 4])
def test_a_forged_refusal_of_the_first_message_is_outlived(kind: int) -> None:
    """In clear, and before the genuine answer."""
    pair = two_sites()
    pair.packet(pair.left)
    cookie = pair.left.out[0].octets[:8]
    head = Header(cookie, b"\1" * 8, 0, VERSION_1, ExchangeType.INFORMATIONAL, 0, 77)
    from_stranger(pair.left, encode_message(head, (Notify(kind),)), Endpoint(RIGHT, 500))
    pair.settle().advance(2)
    assert pair.left.view().rules[0].state == "up"


def test_a_refusal_that_nothing_better_follows_is_told() -> None:
    """Both sides say why; no common proposal."""
    pair = Pair(
        site("site-b", RIGHT, (rule(proposals=PHASE2_V1),), proposals=("aes256-sha256-modp2048",)),
        site("site-a", LEFT, (FAR,)),
    )
    pair.left.command(Initiate("site-b"))
    pair.settle().advance(2)
    for side in (pair.left, pair.right):
        failure = side.view().failure
        assert failure is not None and failure.code == "E110"
        assert side.engine.census()["ike_sas"] == 0


# --- which version --------------------------------------------------------------------------


@pytest.mark.parametrize("who", [IkeVersion.V1, IkeVersion.V2, IkeVersion.AUTO])
def test_auto_answers_both_versions_and_begins_with_the_second(who: IkeVersion) -> None:
    both = "aes128-sha256-modp2048"
    near = rule(proposals=("aes128gcm16-noesn",))
    pair = Pair(
        connection("site-b", RIGHT, (near,), (both,), ike=who),
        connection("site-a", LEFT, (FAR,), (both,), ike=IkeVersion.AUTO),
    )
    pair.packet(pair.left)
    pair.settle().advance(1)
    assert pair.left.view().rules[0].state == pair.right.view().rules[0].state == "up"
    major = pair.wire[0].octets[17] >> 4
    assert major == (1 if who is IkeVersion.V1 else 2)
    pair.agree()
    # Renewed in the version that it is of, by whoever.
    pair.advance(20)
    for side in (pair.right, pair.left):
        for phase in (1, 2):
            since = len(pair.wire)
            pair.rekey(side, phase)
            pair.settle().advance(30)
            assert len(pair.wire) > since
            assert {d.octets[17] >> 4 for d in pair.wire[since:]} == {major}
    assert len(pair.left.children()) == 1 and pair.left.engine.census()["ike_sas"] == 1
    pair.agree()


def test_a_tunnel_of_version_1_never_answers_the_second() -> None:
    both = "aes128-sha256-modp2048"
    pair = Pair(connection("site-b", RIGHT, (rule(),), (both,)), site("site-a", LEFT, (FAR,)))
    pair.packet(pair.left)
    pair.settle()
    answered = [d for d in pair.wire if d.local.address == RIGHT]
    # At most a refusal: nothing stands.
    assert all(len(d.octets) < 60 for d in answered)
    assert pair.right.engine.census()["ike_sas"] == 0
    assert pair.left.view().rules[0].state != "up"
