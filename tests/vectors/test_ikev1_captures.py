"""IKEv1 as strongSwan speaks it with itself and with us, from the first octet to phase 2's keys.

`captures/ikev1_strongswan.json` holds the datagrams (without the non-ESP marker) of a Main Mode and
of an Aggressive Mode with their Quick Modes and deletes, of XAUTH with Mode Config, and of a Main
Mode in fragments, between two strongSwans; `captures/ikev1_isthmus.json` those of both modes
between Isthmus and strongSwan, in both roles. The secrets are what strongSwan logged.
Every message is read, held to the rules, written again, and its hash made anew.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from isthmus.ike.v1 import mode_config, xauth
from isthmus.ike.v1.authoctets import (
    hash_i,
    hash_r,
    informational_hash,
    quick_hash_1,
    quick_hash_2,
    quick_hash_3,
)
from isthmus.ike.v1.identifications import identity_of, selector_of
from isthmus.ike.v1.keys import (
    Phase1Keys,
    phase1_iv,
    phase1_keys,
    phase2_iv,
    quick_keys,
    skeyid_psk,
)
from isthmus.ike.v1.offers import (
    OfferedPhase1,
    OfferedPhase2,
    chosen_phase1,
    chosen_phase2,
    read_phase1,
)
from isthmus.ike.v1.protect import Protector
from isthmus.policy.connection import AccessRole, ModeConfig
from isthmus.values.proposal import Suite, suite_from
from isthmus.values.registry.ikev1 import (
    AuthenticationMethod,
    ConfigAttribute,
    ConfigType,
    ExchangeType,
    Flag,
    PayloadType,
    XauthAttribute,
    XauthStatus,
)
from isthmus.values.registry.ikev2 import Prf
from isthmus.values.secret import Secret
from isthmus.values.spi import IkeSpi, spi_from
from isthmus.wire.describe import describe_payloads
from isthmus.wire.header import Header
from isthmus.wire.v1 import (
    Attribute,
    Attributes,
    Chain,
    Fragment,
    Hash,
    Identification,
    SecurityAssociation,
    decode_chain,
    decode_message,
    encode_chain,
    encode_message,
    payload_type,
)
from isthmus.wire.v1.rules import check

T = PayloadType
CAPTURES: dict[str, Any] = {
    capture["name"]: capture
    for peer in ("strongswan", "isthmus")
    for capture in json.loads(
        (Path(__file__).parent / "captures" / f"ikev1_{peer}.json").read_text()
    )
}


def body(chain: Chain, kind: int, place: int = 0) -> bytes:
    """The octets of a payload of a kind, as they came."""
    found = [
        b for p, b in zip(chain.payloads, chain.bodies, strict=True) if payload_type(p) == kind
    ]
    return found[place]


def association(chain: Chain) -> SecurityAssociation:
    (found,) = (p for p in chain.payloads if isinstance(p, SecurityAssociation))
    return found


def identifications(chain: Chain) -> list[Identification]:
    return [p for p in chain.payloads if isinstance(p, Identification)]


def proof(chain: Chain) -> bytes:
    (found,) = (p.data for p in chain.payloads if isinstance(p, Hash))
    return found


class WrongHash(AssertionError):
    """A message's HASH payload is not what its octets and the secrets make."""


def judge(chain: Chain, made: bytes) -> None:
    if proof(chain) != made:
        raise WrongHash(describe_payloads(chain.payloads))


@dataclass
class Replay:
    """One capture as somebody reads it who knows the secrets."""

    capture: dict[str, Any]
    datagrams: list[bytes] = field(init=False)
    clear: list[Chain] = field(default_factory=list)
    """Messages of phase 1 in clear."""
    lines: list[str] = field(default_factory=list)
    chosen: OfferedPhase1 = field(init=False)
    suite: Suite = field(init=False)
    keys: Phase1Keys = field(init=False)
    protector: Protector = field(init=False)
    publics: tuple[bytes, bytes] = field(init=False)
    """The initiator's public value, and the responder's."""
    phase1_block: bytes = b""
    """The last block of phase 1, from which the IVs of other exchanges come."""
    ivs: dict[bytes, bytes] = field(default_factory=dict)
    """What each encrypted datagram was opened with."""

    def __post_init__(self) -> None:
        self.datagrams = [bytes.fromhex(row["octets"]) for row in self.capture["datagrams"]]

    def secret(self, name: str) -> bytes:
        return bytes.fromhex(self.capture[name])

    def sender(self, octets: bytes) -> str:
        """Which side a datagram comes from."""
        return str(self.capture["datagrams"][self.datagrams.index(octets)]["from"])

    @property
    def prf(self) -> Prf:
        assert self.suite.prf is not None
        return self.suite.prf

    def read_clear(self, exchange: ExchangeType, *places: str) -> None:
        """The first messages: each is written again to the octets that it had."""
        for place, octets in zip(places, self.datagrams, strict=False):
            header, chain = decode_message(octets)
            assert encode_message(header, chain.payloads) == octets
            assert header.exchange == exchange
            check(exchange, place, chain.payloads)
            self.lines.append(describe_payloads(chain.payloads))
            self.clear.append(chain)

    def derive(self, keys_of: tuple[Chain, Chain]) -> None:
        """What strongSwan derived from the shared secret, and the first IV."""
        offer, answer = association(self.clear[0]), association(self.clear[1])
        self.chosen = chosen_phase1(offer, answer)
        self.suite = suite_from(self.chosen.proposal)
        one, two = keys_of
        nonces = body(one, T.NONCE), body(two, T.NONCE)
        skeyid = skeyid_psk(self.prf, Secret(self.capture["psk"].encode()), *nonces)
        self.keys = phase1_keys(self.suite, skeyid, Secret(self.secret("shared")), *self.cookies)
        for name in ("skeyid", "skeyid_d", "skeyid_a", "skeyid_e", "cipher_key"):
            assert getattr(self.keys, name).reveal() == self.secret(name), name
        self.protector = Protector(self.suite, self.keys)
        self.publics = body(one, T.KE), body(two, T.KE)
        self.phase1_block = phase1_iv(self.prf, *self.publics, self.protector.block_size)

    @property
    def cookies(self) -> tuple[IkeSpi, IkeSpi]:
        header = Header.decode(self.datagrams[1])
        return IkeSpi(header.spi_i), IkeSpi(header.spi_r)

    def open(self, octets: bytes, place: str, iv: bytes) -> tuple[Chain, bytes]:
        """An encrypted message: sealed again, it has the octets that it had. The padding is ours,
        or what strongSwan puts there, which adds a whole block where none is needed."""
        self.ivs[octets] = iv
        header = Header.decode(octets)
        assert header.flags == Flag.ENCRYPTION
        plain, following = self.protector.open(octets, iv)
        chain = decode_chain(header.next_payload, plain, padded=True)
        check(header.exchange, place, chain.payloads)
        self.lines.append(describe_payloads(chain.payloads))
        first, again = encode_chain(chain.payloads)
        assert (first, again) == (header.next_payload, chain.octets)
        size = len(plain) if self.sender(octets) != self.capture.get("isthmus") else len(again)
        padded = again + bytes(size - len(again))
        assert padded == plain[:size]
        assert self.protector.seal(header, first, padded, iv) == (octets, following)
        return chain, following

    def check_phase1_hash(self, chain: Chain, id_body: bytes, *, initiator: bool) -> None:
        made = (hash_i if initiator else hash_r)(
            self.prf,
            self.keys.skeyid,
            *self.publics,
            *self.cookies,
            body(self.clear[0], T.SA),
            id_body,
        )
        judge(chain, made)

    def main_mode(self) -> None:
        """All of it, and the secrets that come out of it."""
        self.read_clear(ExchangeType.MAIN_MODE, *(f"main {number}" for number in range(1, 5)))
        self.derive((self.clear[2], self.clear[3]))
        self.main_proofs()

    def aggressive_mode(self) -> None:
        """All of it, and the secrets that come out of it."""
        self.read_clear(ExchangeType.AGGRESSIVE_MODE, "aggressive 1", "aggressive 2")
        one, two = self.clear
        self.derive((one, two))
        self.check_phase1_hash(two, body(two, T.ID), initiator=False)
        three, self.phase1_block = self.open(self.datagrams[2], "aggressive 3", self.phase1_block)
        self.check_phase1_hash(three, body(one, T.ID), initiator=True)

    def main_proofs(self) -> None:
        """The last two messages of Main Mode: who the sides are, and their hashes."""
        iv = self.phase1_block
        for octets, place in zip(self.datagrams[4:6], ("main 5", "main 6"), strict=True):
            chain, iv = self.open(octets, place, iv)
            initiator = place == "main 5"
            self.check_phase1_hash(chain, body(chain, T.ID), initiator=initiator)
            who = identity_of(identifications(chain)[0])
            assert str(who) == f"fqdn:{'a' if initiator else 'b'}.example"
        self.phase1_block = iv

    def transaction(self, datagrams: list[bytes]) -> tuple[Attributes, Attributes]:
        """What was asked or set, and the answer."""
        message_id = Header.decode(datagrams[0]).message_id
        iv = phase2_iv(self.prf, self.phase1_block, message_id)
        found: list[Attributes] = []
        for octets in datagrams:
            chain, iv = self.open(octets, "transaction", iv)
            rest = chain.after(0)
            judge(chain, informational_hash(self.prf, self.keys.skeyid_a, message_id, rest))
            found += (p for p in chain.payloads if isinstance(p, Attributes))
        asked, answer = found
        assert asked.identifier == answer.identifier
        return asked, answer

    def quick_mode(self, datagrams: list[bytes]) -> OfferedPhase2:
        """Three messages, and the keys that come out of them."""
        message_id = Header.decode(datagrams[0]).message_id
        iv = phase2_iv(self.prf, self.phase1_block, message_id)
        key = self.keys.skeyid_a
        one, iv = self.open(datagrams[0], "quick 1", iv)
        judge(one, quick_hash_1(self.prf, key, message_id, one.after(0)))
        nonce_i = body(one, T.NONCE)
        two, iv = self.open(datagrams[1], "quick 2", iv)
        judge(two, quick_hash_2(self.prf, key, message_id, nonce_i, two.after(0)))
        nonce_r = body(two, T.NONCE)
        three, _ = self.open(datagrams[2], "quick 3", iv)
        judge(three, quick_hash_3(self.prf, key, message_id, nonce_i, nonce_r))
        assert identifications(one) == identifications(two)
        networks = [str(selector_of(each)) for each in identifications(one)]
        assert networks == ["10.1.0.0/24", "10.2.0.0/24"]
        chosen = chosen_phase2(association(one), association(two))
        self.check_phase2_keys(one, two, suite_from(chosen.proposal), nonce_i, nonce_r)
        return chosen

    def check_phase2_keys(
        self, one: Chain, two: Chain, suite: Suite, nonce_i: bytes, nonce_r: bytes
    ) -> None:
        logged = self.capture["phase2"]
        shared = bytes.fromhex(logged["shared"])
        for chain, who in ((one, "initiator"), (two, "responder")):
            spi = association(chain).proposals[0].spi
            assert spi.hex() == logged[f"spi_{who}"]
            made = quick_keys(
                suite,
                self.prf,
                self.keys.skeyid_d,
                3,
                spi_from(spi),
                nonce_i,
                nonce_r,
                Secret(shared) if shared else None,
            )
            both = b"".join(each.reveal() for each in made)
            assert both == bytes.fromhex(logged[f"to_{who}"]), who

    def informational(self, datagrams: list[bytes]) -> None:
        """Each is an exchange of its own, with an IV of its own."""
        for octets in datagrams:
            message_id = Header.decode(octets).message_id
            iv = phase2_iv(self.prf, self.phase1_block, message_id)
            chain, _ = self.open(octets, "informational", iv)
            made = informational_hash(self.prf, self.keys.skeyid_a, message_id, chain.after(0))
            judge(chain, made)


@dataclass(frozen=True)
class Whole:
    """What a capture from phase 1 to its delete must show."""

    name: str
    method: int
    """Of authentication."""
    suite: str
    lifetime_s: int
    child: str
    """Phase 2's suite."""
    first: str
    """How the first message begins, as we describe it."""
    informational: tuple[str, ...]
    """The messages behind Quick Mode."""
    aggressive: bool = False

    def replay(self, capture: dict[str, Any]) -> Replay:
        """All of it, read, held to the rules, written again, with hashes and keys made anew."""
        replay = Replay(capture)
        if self.aggressive:
            replay.aggressive_mode()
        else:
            replay.main_mode()
        at = len(replay.lines)
        chosen = replay.quick_mode(replay.datagrams[at : at + 3])
        replay.informational(replay.datagrams[at + 3 :])
        assert str(replay.suite) == self.suite
        assert (replay.chosen.method, replay.chosen.lifetime_s) == (self.method, self.lifetime_s)
        assert str(chosen.proposal) == self.child
        assert chosen.encapsulation == 3
        assert replay.lines[0].startswith(self.first)
        spi = capture["phase2"]["spi_initiator"]
        cookies = b"".join(replay.cookies).hex()
        told = tuple(line.format(spi=spi, cookies=cookies) for line in self.informational)
        assert tuple(replay.lines[at + 3 :]) == told
        return replay


ASKED = "HASH N(R_U_THERE ISAKMP 0x{cookies})"
ANSWERED = "HASH N(R_U_THERE_ACK ISAKMP 0x{cookies})"
DELETE_2 = "HASH D(ESP 0x{spi})"
DELETE_1 = "HASH D(ISAKMP 0x{cookies})"
PSK = int(AuthenticationMethod.PSK)
WHOLE = (
    Whole(
        "main mode",
        PSK,
        "aes128-sha256-prfsha256-ecp256",
        15840,
        "aes128-sha1-ecp256-noesn",
        "SA(ISAKMP AES_CBC-128-SHA2_256-ECP_256-PSK) V(0x0900",
        (DELETE_2, DELETE_1),
    ),
    Whole(
        "main mode, isthmus begins",
        PSK,
        "aes256-sha384-prfsha384-ecp256",
        28800,
        "aes256gcm16-ecp256-noesn",
        "SA(ISAKMP AES_CBC-256-SHA2_384-ECP_256-PSK) V(0xafca",
        # strongSwan never answers a delete, so ours is sent a second time before the next one.
        (ASKED, ANSWERED) * 2 + (DELETE_2, ASKED, ANSWERED, DELETE_2, DELETE_1),
    ),
    Whole(
        "main mode, isthmus answers",
        PSK,
        "aes128-sha256-prfsha256-modp2048",
        15840,
        "aes128-sha256-noesn",
        "SA(ISAKMP AES_CBC-128-SHA2_256-MODP_2048-PSK) V(0x0900",
        (DELETE_2, DELETE_1),
    ),
    Whole(
        "aggressive mode",
        PSK,
        "3des-sha1-prfsha1-modp1024",
        15840,
        "aes128gcm16-noesn",
        "SA(ISAKMP TRIPLE_DES-SHA1-MODP_1024-PSK) KE(128 octets) NONCE ID(fqdn:a.example)",
        (DELETE_2, DELETE_1),
        aggressive=True,
    ),
    Whole(
        "aggressive mode, isthmus begins",
        PSK,
        "3des-sha1-prfsha1-modp1024",
        28800,
        "aes128-sha1-modp1024-noesn",
        "SA(ISAKMP TRIPLE_DES-SHA1-MODP_1024-PSK) KE(128 octets) NONCE ID(fqdn:a.example)",
        (DELETE_2, DELETE_2, DELETE_1),
        aggressive=True,
    ),
    Whole(
        "aggressive mode, isthmus answers",
        PSK,
        "aes256-sha512-prfsha512-modp1536",
        15840,
        "3des-sha1-noesn",
        "SA(ISAKMP AES_CBC-256-SHA2_512-MODP_1536-PSK) KE(192 octets) NONCE ID(fqdn:a.example)",
        (DELETE_2, DELETE_1),
        aggressive=True,
    ),
)


@pytest.mark.parametrize("whole", WHOLE, ids=lambda whole: whole.name)
def test_a_whole_life(whole: Whole) -> None:
    replay = whole.replay(CAPTURES[whole.name])
    assert len(replay.lines) == len(replay.datagrams)


def test_every_capture_from_phase_1_to_its_delete_is_read() -> None:
    assert {whole.name for whole in WHOLE} == {
        name for name, capture in CAPTURES.items() if "phase2" in capture
    }
    ours = {(c["isthmus"], w.aggressive) for w in WHOLE if "isthmus" in (c := CAPTURES[w.name])}
    assert ours == {(s, mode) for s in ("initiator", "responder") for mode in (False, True)}


@pytest.mark.parametrize("whole", WHOLE, ids=lambda whole: whole.name)
def test_a_hash_with_one_wrong_bit_fails(whole: Whole) -> None:
    """Each message that has a hash, sealed again with the key and IV that it had: these tests would
    see a wrong one."""
    replay = whole.replay(CAPTURES[whole.name])
    hashes = [line.count("HASH ") + line.endswith("HASH") for line in replay.lines]
    refused = 0
    for place, octets in enumerate(replay.datagrams):
        if octets in replay.ivs:
            forged = with_wrong_hash(replay, octets)
        elif hashes[place]:
            found = proof(decode_message(octets)[1])
            forged = octets.replace(found, flipped(found))
        else:
            continue
        rows = [*CAPTURES[whole.name]["datagrams"]]
        rows[place] = rows[place] | {"octets": forged.hex()}
        with pytest.raises(WrongHash):
            whole.replay(CAPTURES[whole.name] | {"datagrams": rows})
        refused += 1
    assert refused == sum(map(bool, hashes)) > 5


def flipped(octets: bytes) -> bytes:
    return octets[:-1] + bytes((octets[-1] ^ 1,))


def with_wrong_hash(replay: Replay, octets: bytes) -> bytes:
    """An encrypted datagram whose hash has one bit changed, and nothing else."""
    header, iv = Header.decode(octets), replay.ivs[octets]
    plain, _ = replay.protector.open(octets, iv)
    found = proof(decode_chain(header.next_payload, plain, padded=True))
    assert plain.count(found) == 1
    forged = plain.replace(found, flipped(found))
    return replay.protector.seal(header, header.next_payload, forged, iv)[0]


def test_xauth_and_mode_config_between_two_strongswans() -> None:
    replay = Replay(CAPTURES["xauth"])
    replay.main_mode()
    assert replay.chosen.method == AuthenticationMethod.XAUTH_INITIATOR_PSK
    asked, answer = replay.transaction(replay.datagrams[6:8])
    assert (asked.kind, answer.kind) == (ConfigType.REQUEST, ConfigType.REPLY)
    assert [a.kind for a in asked.attributes] == [16521, 16522]
    assert [a.octets for a in answer.attributes] == [b"bob", b"hunter2"]
    assert xauth.question(asked.identifier) == asked
    assert xauth.answer(asked, "bob", Secret(b"hunter2")) == answer
    assert xauth.read_answer(answer) == xauth.Claim("bob", Secret(b"hunter2"))
    told, taken = replay.transaction(replay.datagrams[8:10])
    assert (told.kind, taken.kind) == (ConfigType.SET, ConfigType.ACK)
    assert told.attributes == (Attribute(XauthAttribute.STATUS, XauthStatus.OK),)
    assert xauth.read_verdict(told) == xauth.Verdict(admitted=True)
    assert xauth.verdict(told.identifier, admitted=True) == told
    assert xauth.confirmation(told) == taken
    asked, answer = replay.transaction(replay.datagrams[10:12])
    assert [a.kind for a in asked.attributes] == [ConfigAttribute.INTERNAL_IP4_ADDRESS]
    assert [(a.kind, a.octets) for a in answer.attributes] == [
        (ConfigAttribute.INTERNAL_IP4_ADDRESS, b"\x0a\x09\0\1"),
        (ConfigAttribute.INTERNAL_IP4_DNS, b"\x0a\x02\0\x35"),
    ]
    assert mode_config.read_request(asked) == mode_config.Asked()
    given = mode_config.read_reply(answer)
    assert (str(given.address), [str(each) for each in given.dns]) == ("10.9.0.1", ["10.2.0.53"])
    terms = ModeConfig(AccessRole.SERVER, pool=("10.9.0.0/24",), dns=("10.2.0.53",))
    assert mode_config.reply(asked, terms, given.address, netmask=False) == answer
    assert "hunter2" not in " ".join(replay.lines)
    assert len(replay.lines) == len(replay.datagrams)


def test_fragments_put_together_are_the_messages_of_main_mode() -> None:
    """strongSwan sends them under Main Mode and message ID 0, in clear, whatever they hold."""
    messages: list[bytes] = []
    pieces: list[bytes] = []
    for row in CAPTURES["fragments"]["datagrams"]:
        octets = bytes.fromhex(row["octets"])
        header, chain = decode_message(octets)
        assert (header.exchange, header.flags, header.message_id) == (2, 0, 0)
        assert encode_message(header, chain.payloads) == octets
        (piece,) = chain.payloads
        assert isinstance(piece, Fragment)
        pieces.append(piece.data)
        assert piece.number == len(pieces)
        if piece.is_last:
            messages.append(b"".join(pieces))
            pieces.clear()
    assert not pieces
    for number, octets in enumerate(messages, 1):
        header, chain = decode_message(octets)
        check(header.exchange, f"main {number}", chain.payloads)
        assert encode_message(header, chain.payloads) == octets
    assert len(messages) == 4


@pytest.mark.parametrize("name", sorted(CAPTURES.keys() - {"fragments"}))
def test_the_first_transform_of_an_offer_is_read(name: str) -> None:
    _, chain = decode_message(bytes.fromhex(CAPTURES[name]["datagrams"][0]["octets"]))
    assert len(read_phase1(association(chain))) == 1
