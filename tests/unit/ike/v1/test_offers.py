"""Offers of both phases by attributes made by hand: what is said, read, and left out."""

import pytest

from isthmus.ike.v1.offers import (
    answer_phase1,
    answer_phase2,
    choose_offered,
    chosen_phase1,
    chosen_phase2,
    expressible_phase1,
    expressible_phase2,
    group_of,
    phase1_payload,
    phase2_group,
    phase2_payload,
    read_phase1,
    read_phase2,
)
from isthmus.policy.connection import PHASE2_LIFETIMES, Lifetimes
from isthmus.values.errors import NoAgreement, PeerMisbehaved
from isthmus.values.proposal import Proposal, parse_proposal
from isthmus.values.registry.ikev1 import AuthenticationMethod, EncapsulationMode
from isthmus.values.registry.ikev2 import Esn, KeMethod, SecurityProtocol, TransformType
from isthmus.values.spi import Spi
from isthmus.wire.v1 import (
    Attribute,
    ProposalV1,
    SecurityAssociation,
    TransformV1,
    decode_chain,
    encode_chain,
)

PSK = AuthenticationMethod.PSK
TUNNEL = EncapsulationMode.TUNNEL
OURS = Spi(0xC0FFEE01)
THEIRS = b"\xde\xad\xbe\xef"


def phase1(*texts: str) -> tuple[Proposal, ...]:
    return tuple(parse_proposal(text, SecurityProtocol.IKE) for text in texts)


def phase2(*texts: str) -> tuple[Proposal, ...]:
    return tuple(parse_proposal(text, SecurityProtocol.ESP) for text in texts)


def isakmp(*transforms: TransformV1, number: int = 1) -> SecurityAssociation:
    return SecurityAssociation((ProposalV1(number, 1, b"", transforms),))


def esp(*transforms: TransformV1, spi: bytes = THEIRS) -> SecurityAssociation:
    return SecurityAssociation((ProposalV1(1, 3, spi, transforms),))


def row(number: int, transform_id: int, *said: tuple[int, int | bytes]) -> TransformV1:
    return TransformV1(number, transform_id, tuple(Attribute(*each) for each in said))


def values(transform: TransformV1) -> dict[int, int | bytes]:
    return {attribute.kind: attribute.value for attribute in transform.attributes}


def texts(proposals: tuple[Proposal, ...]) -> list[str]:
    return [str(proposal) for proposal in proposals]


AES_SHA1 = ((1, 7), (14, 128), (2, 2), (4, 14), (3, 1))
"""AES-128, SHA-1, group 14, pre-shared key."""
GCM = ((6, 256), (4, 1))
CBC = ((6, 128), (5, 5), (4, 1))

# --- what IKEv1 can say -------------------------------------------------------------------------


def test_each_combination_of_phase_1_in_our_order() -> None:
    assert texts(expressible_phase1(phase1("aes256-aes128-sha256-sha1-ecp256-modp2048"))) == [
        "aes256-sha256-prfsha256-ecp256",
        "aes256-sha256-prfsha256-modp2048",
        "aes256-sha1-prfsha1-ecp256",
        "aes256-sha1-prfsha1-modp2048",
        "aes128-sha256-prfsha256-ecp256",
        "aes128-sha256-prfsha256-modp2048",
        "aes128-sha1-prfsha1-ecp256",
        "aes128-sha1-prfsha1-modp2048",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "aes256gcm16-prfsha384-ecp256",  # brings its own integrity
        "aes256ctr-sha256-ecp256",  # no number in phase 1
        "aes256-sha256-prfsha384-ecp256",  # one hash is both
        "aes256-aesxcbc-prfaesxcbc-ecp256",
        "aes256-sha256-x25519",
    ],
)
def test_what_phase_1_cannot_say_is_left_out(text: str) -> None:
    assert expressible_phase1(phase1(text)) == ()
    with pytest.raises(NoAgreement, match="IKEv1 can say none of our phase 1 proposals"):
        phase1_payload(phase1(text), PSK, 28800)
    sayable = phase1(text, "aes256-sha256-ecp256")
    assert texts(expressible_phase1(sayable)) == ["aes256-sha256-prfsha256-ecp256"]


def test_the_same_combination_is_said_once() -> None:
    assert len(expressible_phase1(phase1("aes256-sha256-ecp256", "aes256-sha256-ecp256"))) == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("aes256gcm16-noesn", ["aes256gcm16-noesn"]),
        ("aes256gcm16", ["aes256gcm16-esn", "aes256gcm16-noesn"]),
        ("3des-md5-modp1024-noesn", ["3des-md5-modp1024-noesn"]),
        ("aes128-sha256-ecp256-x25519-noesn", ["aes128-sha256-ecp256-noesn"]),
        ("aes128-aesxcbc-noesn", ["aes128-aesxcbc-noesn"]),
        ("aes128-aescmac", []),
        ("chacha20poly1305", []),
        ("aes128-sha256-x25519", []),
    ],
)
def test_what_phase_2_can_say(text: str, found: list[str]) -> None:
    assert texts(expressible_phase2(phase2(text))) == found


# --- phase 1 ------------------------------------------------------------------------------------


def test_a_phase_1_offer_is_one_proposal_with_a_transform_for_each_combination() -> None:
    offer = phase1_payload(phase1("aes256-3des-sha256-modp2048"), PSK, 86400.0)
    (proposal,) = offer.proposals
    assert (proposal.number, proposal.protocol, proposal.spi) == (1, 1, b"")
    first, second = proposal.transforms
    assert (first.number, first.id, second.number, second.id) == (1, 1, 2, 1)
    day = b"\x00\x01\x51\x80"
    assert values(first) == {1: 7, 14: 256, 2: 4, 4: 14, 3: 1, 11: 1, 12: day}
    assert values(second) == {1: 5, 2: 4, 4: 14, 3: 1, 11: 1, 12: day}


@pytest.mark.parametrize(
    ("text", "number"), [("md5", 1), ("sha1", 2), ("sha256", 4), ("sha384", 5), ("sha512", 6)]
)
def test_every_hash_of_phase_1_goes_and_comes(text: str, number: int) -> None:
    offer = phase1_payload(phase1(f"aes192-{text}-modp1536"), PSK, 600)
    assert values(offer.proposals[0].transforms[0])[2] == number
    (read,) = read_phase1(offer)
    assert str(read.proposal) == f"aes192-{text}-prf{text}-modp1536"


def test_an_offer_comes_through_the_octets() -> None:
    offered = phase1("aes256-aes128-3des-sha384-sha1-ecp384-modp4096-modp1024")
    payload = phase1_payload(offered, AuthenticationMethod.RSA_SIG, 3600)
    (back,) = decode_chain(*encode_chain((payload,))).payloads
    assert back == payload
    assert isinstance(back, SecurityAssociation)
    found = read_phase1(back)
    assert [each.proposal.transforms for each in found] == [
        each.transforms for each in expressible_phase1(offered)
    ]
    assert [each.proposal.number for each in found] == list(range(1, 19))
    assert {(each.method, each.lifetime_s, each.kilobytes) for each in found} == {(3, 3600, None)}


@pytest.mark.parametrize(
    "transform",
    [
        row(1, 2, *AES_SHA1),  # not KEY_IKE
        row(1, 1, *AES_SHA1, (13, 1)),  # a PRF, which nobody has defined
        row(1, 1, *AES_SHA1, (200, 1)),
        row(1, 1, (1, 3), (2, 2), (4, 14), (3, 1)),  # Blowfish
        row(1, 1, (1, 7), (14, 128), (2, 3), (4, 14), (3, 1)),  # Tiger
        row(1, 1, (1, 7), (14, 128), (2, 2), (4, 31), (3, 1)),  # no group 31 here
        row(1, 1, (1, 7), (14, 128), (2, 2), (4, 0), (3, 1)),
        row(1, 1, (1, 7), (2, 2), (4, 14), (3, 1)),  # AES without a key length
        row(1, 1, (1, 5), (14, 192), (2, 2), (4, 14), (3, 1)),  # 3DES with one
        row(1, 1, (1, 7), (14, 128), (2, 2), (4, 14)),  # no method
        row(1, 1, (1, 7), (14, 128), (4, 14), (3, 1)),
        row(1, 1, (1, 7), (14, 128), (2, 2), (3, 1)),
        row(1, 1, *AES_SHA1, (14, 256)),  # two that contradict each other
        row(1, 1, *AES_SHA1, (12, 600)),  # a duration without its type
        row(1, 1, *AES_SHA1, (11, 3), (12, 600)),
        row(1, 1, *AES_SHA1, (11, 1), (12, 0)),
        row(1, 1, *AES_SHA1, (11, 1), (12, bytes(9))),
        row(1, 1, *AES_SHA1, (11, 1), (12, 600), (11, 1), (12, 601)),
        row(1, 1),
    ],
)
def test_a_phase_1_transform_that_we_do_not_know_all_of_is_left_out(
    transform: TransformV1,
) -> None:
    good = row(2, 1, *AES_SHA1)
    (found,) = read_phase1(isakmp(transform, good))
    assert found.wire is good
    assert read_phase1(isakmp(transform)) == ()


def test_numbers_may_come_in_the_long_form_and_attributes_twice() -> None:
    said = ((1, b"\0\7"), (14, b"\0\0\0\x80"), (2, 2), (2, 2), (4, 14), (3, 1), (12, 9))
    assert read_phase1(isakmp(row(1, 1, *said))) == ()
    (found,) = read_phase1(isakmp(row(7, 1, *said[:-1], (11, 2), (12, 9), (11, 1), (12, b"\x70"))))
    assert str(found.proposal) == "aes128-sha1-prfsha1-modp2048"
    assert (found.proposal.number, found.lifetime_s, found.kilobytes) == (7, 0x70, 9)


def test_unknown_methods_are_read_as_numbers() -> None:
    said = (*AES_SHA1[:-1], (3, 64999))
    assert read_phase1(isakmp(row(1, 1, *said)))[0].method == 64999


def test_esp_in_phase_1_is_not_read() -> None:
    transform = row(1, 1, *AES_SHA1)
    assert read_phase1(esp(transform)) == ()
    assert len(read_phase1(isakmp(transform))) == 1


def test_the_first_of_ours_is_taken_whatever_the_peer_puts_first() -> None:
    ours = expressible_phase1(phase1("aes256-aes128-sha256-ecp256-modp2048"))
    offer = phase1_payload(phase1("aes128-aes256-sha256-modp2048-ecp256"), PSK, 600)
    found = choose_offered(ours, read_phase1(offer))
    assert found is not None
    taken, chosen = found
    assert str(chosen.suite) == "aes256-sha256-prfsha256-ecp256"
    assert taken.wire is offer.proposals[0].transforms[3]
    assert choose_offered(ours, read_phase1(isakmp(row(1, 1, *AES_SHA1)))) is None


def test_the_answer_is_the_transform_as_it_came() -> None:
    weird = row(9, 1, *AES_SHA1, (11, 1), (12, b"\0\0\0\0\0\0\x70\x80"))
    offer = isakmp(row(1, 1, (1, 99)), weird, number=5)
    answer = answer_phase1(offer, read_phase1(offer)[0])
    assert answer == isakmp(weird, number=5)
    taken = chosen_phase1(offer, answer)
    assert (taken.wire, taken.lifetime_s) == (weird, 28800)


@pytest.mark.parametrize(
    "answer",
    [
        isakmp(row(1, 1, (1, 7), (14, 128), (2, 1), (4, 14), (3, 1))),  # MD5
        isakmp(row(1, 1, (1, 7), (14, 256), (2, 2), (4, 14), (3, 1))),
        isakmp(row(1, 1, (1, 7), (14, 128), (2, 2), (4, 14), (3, 65001))),
        isakmp(row(1, 1, *AES_SHA1), row(2, 1, *AES_SHA1)),
        isakmp(row(1, 1, (1, 99))),
        esp(row(1, 1, *AES_SHA1)),
    ],
)
def test_an_answer_that_was_not_offered_is_the_peers_fault(answer: SecurityAssociation) -> None:
    offer = isakmp(row(1, 1, *AES_SHA1, (11, 1), (12, 28800)))
    with pytest.raises(PeerMisbehaved, match="did not offer"):
        chosen_phase1(offer, answer)


def test_an_answer_may_count_anew_and_live_shorter() -> None:
    offer = isakmp(row(4, 1, *AES_SHA1, (11, 1), (12, 28800)))
    answer = isakmp(row(1, 1, *AES_SHA1[::-1], (11, 1), (12, b"\0\0\x0e\x10")))
    assert chosen_phase1(offer, answer).lifetime_s == 3600


# --- phase 2 ------------------------------------------------------------------------------------


def test_a_phase_2_offer_says_encapsulation_group_and_lifetimes() -> None:
    lifetimes = Lifetimes(lifetime_s=3600, margin_s=270, octets_max=100_000 * 1024)
    offer = phase2_payload(
        phase2("aes256gcm16-ecp256", "3des-sha1-ecp256"),
        OURS,
        EncapsulationMode.UDP_TUNNEL,
        lifetimes,
        KeMethod.ECP_256,
    )
    (proposal,) = offer.proposals
    assert (proposal.number, proposal.protocol, proposal.spi) == (1, 3, b"\xc0\xff\xee\x01")
    gcm, des = proposal.transforms
    kinds = [attribute.kind for attribute in gcm.attributes]
    assert kinds == [6, 3, 4, 1, 2, 1, 2]
    assert [a.number for a in gcm.attributes] == [256, 19, 3, 1, 3600, 2, 100_000]
    assert [a.kind for a in des.attributes] == [5, 3, 4, 1, 2, 1, 2]
    assert (gcm.number, gcm.id, des.number, des.id) == (1, 20, 2, 3)
    (first, second) = read_phase2(offer)
    assert str(first.proposal) == "aes256gcm16-ecp256-noesn"
    assert (first.encapsulation, first.lifetime_s, first.kilobytes) == (3, 3600, 100_000)
    assert str(second.proposal) == "3des-sha1-ecp256-noesn"


def test_esn_is_read_and_never_offered() -> None:
    offer = phase2_payload(phase2("aes256gcm16"), OURS, TUNNEL, PHASE2_LIFETIMES)
    assert len(offer.proposals[0].transforms) == 1
    with pytest.raises(NoAgreement, match="none of our phase 2 proposals"):
        phase2_payload(phase2("aes256gcm16-esn"), OURS, TUNNEL, PHASE2_LIFETIMES)
    (found,) = read_phase2(esp(row(1, 20, *GCM, (11, 1))))
    assert found.proposal.of_kind(TransformType.ESN)[0].number == Esn.ESN


def test_all_transforms_of_an_offer_have_the_one_group() -> None:
    proposals = phase2("aes256-sha256-modp2048-ecp256", "aes128gcm16-ecp256", "aes128-sha1")
    assert phase2_group(proposals) is KeMethod.MODP_2048
    for group, count in ((KeMethod.MODP_2048, 1), (KeMethod.ECP_256, 2), (KeMethod.NONE, 1)):
        offer = phase2_payload(proposals, OURS, TUNNEL, PHASE2_LIFETIMES, group)
        found = read_phase2(offer)
        assert len(found) == count
        assert {group_of(each.proposal) for each in found} == {group}
    assert phase2_group(phase2("chacha20poly1305")) is KeMethod.NONE


@pytest.mark.parametrize(
    ("text", "number"),
    [("md5", 1), ("sha1", 2), ("sha256", 5), ("sha384", 6), ("sha512", 7), ("aesxcbc", 9)],
)
def test_every_integrity_of_phase_2_goes_and_comes(text: str, number: int) -> None:
    offer = phase2_payload(phase2(f"aes128-{text}"), OURS, TUNNEL, PHASE2_LIFETIMES)
    assert values(offer.proposals[0].transforms[0])[5] == number
    assert str(read_phase2(offer)[0].proposal) == f"aes128-{text}-noesn"


@pytest.mark.parametrize("text", ["aes128ctr-sha256", "aes192gcm8", "aes256ccm12", "aes128gcm16"])
def test_every_cipher_of_phase_2_goes_and_comes(text: str) -> None:
    offer = phase2_payload(phase2(text), OURS, TUNNEL, PHASE2_LIFETIMES)
    assert str(read_phase2(offer)[0].proposal) == f"{text}-noesn"


@pytest.mark.parametrize(
    "transform",
    [
        row(1, 99, *GCM),
        row(1, 20, *GCM, (5, 2)),  # integrity beside GCM
        row(1, 20, (4, 1)),  # no key length
        row(1, 3, (6, 192), (5, 2), (4, 1)),
        row(1, 12, (6, 128), (4, 1)),  # no integrity
        row(1, 12, (6, 128), (5, 3), (4, 1)),  # DES-MAC
        row(1, 12, *CBC, (3, 31)),
        row(1, 12, *CBC, (3, 0)),
        row(1, 12, *CBC, (11, 2)),
        row(1, 12, *CBC, (7, 10)),  # key rounds
        row(1, 12, *CBC, (32001, 1)),
        row(1, 12, *CBC, (2, 600)),
        row(1, 12, *CBC, (4, 2)),  # two that contradict each other
    ],
)
def test_a_phase_2_transform_that_we_do_not_know_all_of_is_left_out(
    transform: TransformV1,
) -> None:
    good = row(2, 12, *CBC)
    (found,) = read_phase2(esp(transform, good))
    assert found.wire is good
    assert read_phase2(esp(transform)) == ()


@pytest.mark.parametrize("spi", [b"", b"\0\0\0\xff", b"\1\2\3", bytes(16)])
def test_a_proposal_without_a_spi_of_esp_is_left_out(spi: bytes) -> None:
    assert read_phase2(esp(row(1, 20, *GCM), spi=spi)) == ()


@pytest.mark.parametrize("protocol", [2, 4])
def test_another_protocol_beside_esp_is_not_acceptable(protocol: int) -> None:
    wanted = ProposalV1(1, 3, THEIRS, (row(1, 20, *GCM),))
    beside = ProposalV1(1, protocol, b"\1\2\3\4", (row(1, 2, (4, 1)),))
    alone = ProposalV1(2, 3, THEIRS, (row(1, 12, *CBC),))
    assert read_phase2(SecurityAssociation((wanted, beside))) == ()
    assert read_phase2(SecurityAssociation((beside, wanted))) == ()
    (found,) = read_phase2(SecurityAssociation((wanted, beside, alone)))
    assert found.within is alone
    assert read_phase2(SecurityAssociation((beside,))) == ()


def test_what_is_not_said_of_encapsulation_is_a_tunnel() -> None:
    (found,) = read_phase2(esp(row(1, 20, (6, 256))))
    assert found.encapsulation == TUNNEL
    (draft,) = read_phase2(esp(row(1, 20, (6, 256), (4, 61443))))
    assert draft.encapsulation == EncapsulationMode.UDP_TUNNEL_DRAFT


def test_a_responder_answers_phase_2_under_its_own_spi() -> None:
    ours = expressible_phase2(phase2("aes256gcm16-ecp256", "aes128-sha256-ecp256"))
    offer = esp(row(3, 12, *CBC, (3, 19)), row(4, 20, *GCM, (3, 19)))
    found = choose_offered(ours, read_phase2(offer))
    assert found is not None
    taken, chosen = found
    assert str(chosen.suite) == "aes256gcm16-ecp256"
    assert chosen.proposal.spi == THEIRS
    answer = answer_phase2(offer, taken, OURS)
    assert answer == esp(row(4, 20, *GCM, (3, 19)), spi=b"\xc0\xff\xee\x01")
    accepted = chosen_phase2(offer, answer)
    assert accepted.proposal.spi == b"\xc0\xff\xee\x01"


@pytest.mark.parametrize(
    "answer",
    [
        esp(row(1, 20, (6, 128), (4, 1))),
        esp(row(1, 20, (6, 256), (4, 2))),
        esp(row(1, 20, *GCM, (3, 19))),
        esp(row(1, 19, *GCM)),
        esp(row(1, 20, *GCM, (11, 1))),
        esp(row(1, 20, *GCM), row(2, 20, *GCM)),
        esp(row(1, 20, *GCM), spi=bytes(4)),
    ],
)
def test_a_phase_2_answer_that_was_not_offered_is_the_peers_fault(
    answer: SecurityAssociation,
) -> None:
    with pytest.raises(PeerMisbehaved, match="did not offer"):
        chosen_phase2(esp(row(1, 20, *GCM)), answer)


def test_no_more_transforms_are_read_than_one_proposal_can_have() -> None:
    good = row(2, 1, *AES_SHA1)
    many = tuple(row(n % 255, 1, (1, 99)) for n in range(254))
    assert len(read_phase1(isakmp(*many, good, good))) == 1
    within = isakmp(*many).proposals[0]
    two = SecurityAssociation((within, isakmp(good, good, number=2).proposals[0]))
    assert len(read_phase1(two)) == 1
