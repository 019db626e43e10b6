"""Golden triples, and what each payload refuses or forgives."""

import pytest

from isthmus.values.errors import LocalFault, Malformed, UnsupportedCritical
from isthmus.values.identity import Identity
from isthmus.values.proposal import Proposal, Transform
from isthmus.values.registry.ikev2 import IdType, PayloadType, SecurityProtocol
from isthmus.wire.chain import PAYLOADS_MAX
from isthmus.wire.describe import describe, describe_payloads
from isthmus.wire.header import Header
from isthmus.wire.proposals import PROPOSALS_MAX
from isthmus.wire.v2 import (
    Authentication,
    Delete,
    Eap,
    Encrypted,
    Identification,
    KeyExchange,
    Nonce,
    Notify,
    Payload,
    SecurityAssociation,
    TrafficSelectors,
    Unknown,
    VendorId,
    decode_chain,
    decode_message,
    encode_chain,
    encode_message,
    payload_type,
)
from isthmus.wire.v2.configuration import CONFIGURATION_ATTRIBUTES_MAX, ConfigurationPayload

from .building import body_of, generic, message_of
from .samples import GOLDEN, Golden

ids = [golden.name for golden in GOLDEN]


@pytest.mark.parametrize("golden", GOLDEN, ids=ids)
def test_a_golden_triple_agrees_with_itself(golden: Golden) -> None:
    assert golden.value.encode() == golden.octets
    assert body_of(golden.value) == golden.value
    assert describe(golden.value) == golden.text


def test_every_payload_type_has_a_golden_triple() -> None:
    assert {payload_type(golden.value) for golden in GOLDEN} == {
        *(set(PayloadType) - {PayloadType.NONE}),
        200,
    }


def refused(kind: int, octets: str | bytes) -> str:
    """The reason why a body is Malformed."""
    body = bytes.fromhex(octets) if isinstance(octets, str) else octets
    with pytest.raises(Malformed) as caught:
        decode_chain(kind, generic(0, body))
    return caught.value.reason


def accepted(kind: int, octets: str | bytes) -> Payload:
    """The value of a body."""
    body = bytes.fromhex(octets) if isinstance(octets, str) else octets
    (payload,) = decode_chain(kind, generic(0, body))
    return payload


def test_reserved_octets_are_ignored_on_receipt_and_zero_on_sending() -> None:
    """RFC 7296 §2.5 and §3: every RESERVED field of every payload, all ones."""
    noisy = {
        PayloadType.SA: ("00ff 001c 01010002 03ff 000c 01ff 0014 800e0100 00ff 0008 02ff 0005", 28),
        PayloadType.KE: ("001f ffff aa", 5),
        PayloadType.ID_I: ("0b ffffff aa", 5),
        PayloadType.AUTH: ("02 ffffff aa", 5),
        PayloadType.TS_I: ("01 ffffff 07 00 0010 0000 ffff 00000000 ffffffff", 20),
        PayloadType.CP: ("01 ffffff 8001 0000", 8),
    }
    for kind, (text, size) in noisy.items():
        octets = bytes.fromhex(text.replace(" ", ""))
        assert len(octets) == size
        clean = accepted(kind, octets).encode()
        assert len(clean) == size and clean != octets
        assert accepted(kind, clean) == accepted(kind, octets)
    first, _ = decode_chain(40, b"\x2b\x7f\x00\x14" + bytes(16) + b"\x00\xff\x00\x04")
    assert first == Nonce(bytes(16))


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ("", "4 octets wanted"),
        ("0000 0008 01 01 00 00 00", "1 octets too many"),
        ("0100 0008 01 01 00 00", "proposal marked 1"),
        ("0200 0008 01 01 00 00", "4 octets wanted"),
        ("0000 0008 01 01 00 00 0000 0008 02 01 00 00", "8 octets too many"),
        ("0000 0007 01 01 00", "proposal of 7 octets"),
        ("0000 0008 01 00 00 00", "proposal for no protocol"),
        ("0000 0008 01 04 00 00", "4 is no SecurityProtocol"),
        ("0000 0008 01 01 01 00", "1 octets wanted, 0 left"),
        ("0000 0008 01 01 00 01", "4 octets wanted, 0 left"),
        ("0000 0010 01 01 00 00 0000 0008 01 00 0014", "8 octets too many"),
        ("0000 0010 01 01 00 01 0300 0008 01 00 0014", "transform marked 3, not 0"),
        ("0000 0018 01 01 00 02 0000 0008 01 00 0014 0000 0008 02 00 0005", "marked 0, not 3"),
        ("0000 0010 01 01 00 01 0000 0007 01 00 0014", "transform of 7 octets"),
        ("0000 0012 01 01 00 01 0000 000a 01 00 0014 800e", "4 octets wanted, 2 left"),
        (
            "0000 0018 01 01 00 01 0000 0010 01 00 0014 800e 0100 800e 0080",
            "an attribute stands twice",
        ),
        ("0000 0014 01 01 00 01 0000 000c 01 00 0014 0007 0001", "1 octets wanted, 0 left"),
    ],
)
def test_an_sa_payload_with_wrong_counts_or_marks_is_malformed(octets: str, reason: str) -> None:
    assert reason in refused(PayloadType.SA, octets)


def test_a_key_length_in_the_long_form_is_an_unknown_attribute() -> None:
    """RFC 7296 §3.3.5 gives it the short form: such a transform is never chosen."""
    octets = "0000 0016 01 01 00 01 0000 000e 01 00 0014 000e 0002 0100"
    sa = accepted(PayloadType.SA, octets)
    assert isinstance(sa, SecurityAssociation)
    assert sa.proposals[0].transforms == (Transform(1, 20, None, True),)


def test_numbers_and_spis_of_proposals_are_kept_as_they_came() -> None:
    sa = SecurityAssociation(
        (
            Proposal(SecurityProtocol.ESP, (), b"\x01\x02\x03", 7),
            Proposal(SecurityProtocol.IKE, (), b"", 7),
        )
    )
    assert accepted(PayloadType.SA, sa.encode()) == sa


def test_integrity_none_beside_an_aead_cipher_is_accepted() -> None:
    sa = SecurityAssociation(
        (Proposal(SecurityProtocol.IKE, (Transform(1, 20, 256), Transform(3, 0))),)
    )
    assert accepted(PayloadType.SA, sa.encode()) == sa


def test_the_number_of_proposals_is_bounded() -> None:
    proposal = Proposal(SecurityProtocol.IKE, ())
    most = SecurityAssociation((proposal,) * PROPOSALS_MAX)
    assert accepted(PayloadType.SA, most.encode()) == most
    more = SecurityAssociation((proposal,) * (PROPOSALS_MAX + 1))
    assert f"more than {PROPOSALS_MAX}" in refused(PayloadType.SA, more.encode())


def test_the_number_of_configuration_attributes_is_bounded() -> None:
    octets = bytes(4) + bytes(4) * (CONFIGURATION_ATTRIBUTES_MAX + 1)
    assert "more" in refused(PayloadType.CP, octets)
    few = ConfigurationPayload.TYPE, bytes(4) + bytes(4) * 200
    assert isinstance(accepted(*few), ConfigurationPayload)


@pytest.mark.parametrize("size", [0, 15, 257])
def test_a_nonce_of_another_size_is_malformed(size: int) -> None:
    """RFC 7296 §3.9: 16 to 256 octets."""
    assert refused(PayloadType.NONCE, bytes(size)) == f"nonce of {size} octets"


@pytest.mark.parametrize("size", [16, 256])
def test_a_nonce_of_either_extreme_is_fine(size: int) -> None:
    assert accepted(PayloadType.NONCE, bytes(size)) == Nonce(bytes(size))


@pytest.mark.parametrize(("kind", "right"), [(IdType.IPV4_ADDR, 4), (IdType.IPV6_ADDR, 16)])
def test_an_address_identity_has_the_size_of_an_address(kind: IdType, right: int) -> None:
    for size in {0, 4, 5, 15, 16, 17} - {right}:
        reason = refused(PayloadType.ID_I, bytes([kind, 0, 0, 0]) + bytes(size))
        assert reason == f"{kind.name} identity of {size} octets"
    good = accepted(PayloadType.ID_R, bytes([kind, 0, 0, 0]) + bytes(right))
    assert good == Identification(PayloadType.ID_R, Identity(kind, bytes(right)))


def test_a_notify_without_an_spi_ignores_its_protocol() -> None:
    """RFC 7296 §3.10."""
    for protocol in (0, 1, 3, 99, 255):
        assert accepted(PayloadType.NOTIFY, bytes([protocol, 0, 0x40, 4])) == Notify(16388)
    assert Notify(16388, protocol=SecurityProtocol.ESP).encode()[0] == 0


def test_a_notify_with_an_spi_of_an_unknown_protocol_is_malformed() -> None:
    assert "99 is no SecurityProtocol" in refused(PayloadType.NOTIFY, "63 04 400900000001")
    assert accepted(PayloadType.NOTIFY, "00 04 400900000001") == Notify(16393, spi=b"\0\0\0\1")


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ("00 00 0000", "0-octet SPI for NONE"),
        ("04 04 0000", "4 is no SecurityProtocol"),
        ("01 08 0001 0000000000000000", "8-octet SPI for IKE"),
        ("03 08 0001 0000000000000000", "8-octet SPI for ESP"),
        ("03 00 0001", "0-octet SPI for ESP"),
        ("03 04 0002 00000001", "2 SPIs in 4 octets"),
        ("03 04 0000 00000001", "0 SPIs in 4 octets"),
        ("01 00 0000 00", "1 octets too many"),
    ],
)
def test_a_delete_that_does_not_add_up_is_malformed(octets: str, reason: str) -> None:
    assert reason in refused(PayloadType.DELETE, octets)


def test_the_count_of_spis_of_no_octets_is_not_believed() -> None:
    assert accepted(PayloadType.DELETE, "01 00 ffff") == Delete(SecurityProtocol.IKE)


@pytest.mark.parametrize(
    "delete",
    [
        Delete(SecurityProtocol.NONE),
        Delete(SecurityProtocol.IKE, (bytes(8),)),
        Delete(SecurityProtocol.ESP, (bytes(3),)),
    ],
)
def test_a_delete_that_cannot_be_said_is_our_own_fault(delete: Delete) -> None:
    with pytest.raises(LocalFault):
        delete.encode()


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ("00 000000", "no traffic selectors"),
        ("01 000000", "4 octets wanted"),
        ("01 000000 07 00 0003", "traffic selector of 3 octets"),
        ("01 000000 07 00 0010 0000 ffff 00000000", "4 octets wanted, 0 left"),
        ("01 000000 07 00 0028" + "00" * 36, "type 7 and 40 octets"),
        ("01 000000 08 00 0010" + "00" * 12, "type 8 and 16 octets"),
        ("01 000000 07 00 0010 0000 ffff 0a000002 0a000001", "first address is above its last"),
        ("01 000000 07 06 0010 0002 0001 0a000001 0a000001", "first port is above its last"),
        ("01 000000 0a 00 0008 0000", "4 octets wanted, 2 left"),
        ("01 000000 0a 00 0004 00", "1 octets too many"),
    ],
)
def test_a_traffic_selector_that_is_none_is_malformed(octets: str, reason: str) -> None:
    assert reason in refused(PayloadType.TS_I, octets.replace(" ", ""))


def test_a_payload_with_as_many_selectors_as_there_can_be_is_read() -> None:
    one = bytes.fromhex("07000010" + "0000ffff" + "0a000000" + "0affffff")
    ts = accepted(PayloadType.TS_R, b"\xff\0\0\0" + one * 255)
    assert isinstance(ts, TrafficSelectors) and len(ts.selectors) == 255


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ("01 07 0005", "tells 5 octets of 4"),
        ("01 07 0004", "EAP REQUEST of 4 octets"),
        ("03 07 0005 01", "EAP SUCCESS of 5 octets"),
        ("00 07 0005 01", "0 is no EapCode"),
        ("05 07 0005 01", "5 is no EapCode"),
        ("01 07 0004 01", "tells 4 octets of 5"),
    ],
)
def test_an_eap_packet_that_contradicts_itself_is_malformed(octets: str, reason: str) -> None:
    assert reason in refused(PayloadType.EAP, octets)


@pytest.mark.parametrize("numbers", ["0000 0000", "0000 0003", "0004 0003", "0001 0000"])
def test_a_fragment_beyond_the_last_is_malformed(numbers: str) -> None:
    """RFC 7383 §2.6."""
    with pytest.raises(Malformed, match="fragment"):
        decode_message(message_of(53, generic(0, bytes.fromhex(numbers) + bytes(20))))


def test_an_encrypted_payload_ends_the_message() -> None:
    sk = Encrypted(40, bytes(32))
    octets = message_of(43, generic(46, b"us") + generic(40, sk.body))
    assert decode_message(octets).payloads == (VendorId(b"us"), sk)
    behind = message_of(46, generic(40, sk.body) + generic(0, bytes(16)))
    with pytest.raises(Malformed, match="too many"):
        decode_message(behind)


def test_an_encrypted_payload_inside_another_is_malformed() -> None:
    for kind in (PayloadType.SK, PayloadType.SKF):
        assert "inside another" in refused(kind, bytes(40))


def test_nothing_is_encoded_behind_an_encrypted_payload() -> None:
    with pytest.raises(LocalFault):
        encode_chain((Encrypted(0, b""), Nonce(bytes(16))))


def test_unknown_payloads_are_kept_unless_they_are_critical() -> None:
    """RFC 7296 §2.5."""
    assert decode_chain(99, generic(0, b"abc")) == (Unknown(99, False, b"abc"),)
    first, octets = encode_chain((Nonce(bytes(16)), Unknown(99, True, b"abc")))
    with pytest.raises(UnsupportedCritical) as caught:
        decode_chain(first, octets)
    assert caught.value.payload_type == 99


def test_the_critical_bit_of_known_payloads_is_ignored() -> None:
    """RFC 7296 §3.2."""
    assert decode_chain(40, b"\x00\x80\x00\x14" + bytes(16)) == (Nonce(bytes(16)),)


def test_the_number_of_payloads_is_bounded() -> None:
    most = (VendorId(b""),) * PAYLOADS_MAX
    assert decode_chain(*encode_chain(most)) == most
    with pytest.raises(Malformed, match=f"more than {PAYLOADS_MAX} payloads"):
        decode_chain(*encode_chain((*most, VendorId(b""))))


def test_octets_behind_the_last_payload_are_malformed() -> None:
    assert decode_chain(0, b"") == ()
    with pytest.raises(Malformed, match="4 octets too many"):
        decode_chain(0, bytes(4))


@pytest.mark.parametrize("length", range(4))
def test_a_payload_shorter_than_its_header_is_malformed(length: int) -> None:
    """It would not advance: the class of endless loops (S-02)."""
    with pytest.raises(Malformed, match=f"payload 43 of {length} octets"):
        decode_chain(43, generic(0, b"", length=length))


@pytest.mark.parametrize(
    ("kind", "octets"),
    [
        (PayloadType.SA, "0000 0010 01 01 00 01 0000 0008 01 00"),
        (PayloadType.KE, "001f 00"),
        (PayloadType.ID_I, "0b 0000"),
        (PayloadType.NOTIFY, "03 04 4009 c0ffee"),
        (PayloadType.DELETE, "03 04 00"),
        (PayloadType.TS_I, "01 000000 07 00 0010 0000 ffff 00000000 ffffff"),
        (PayloadType.CP, "01 000000 0001 0004 0a0000"),
        (PayloadType.EAP, "01 07 00"),
    ],
)
def test_a_payload_does_not_read_on_into_the_next_one(kind: int, octets: str) -> None:
    chain = generic(PayloadType.VENDOR_ID, bytes.fromhex(octets)) + generic(0, b"behind")
    with pytest.raises(Malformed, match="octets wanted"):
        decode_chain(kind, chain)


def test_errors_tell_where_in_the_datagram_they_are() -> None:
    octets = message_of(40, generic(41, bytes(16)) + generic(0, bytes.fromhex("6304400900000001")))
    with pytest.raises(Malformed) as caught:
        decode_message(octets)
    assert caught.value.at == 28 + 20 + 4


def test_values_too_large_for_their_fields_are_our_own_fault() -> None:
    header = Header(bytes(8), bytes(8), 0)
    for payload in (
        KeyExchange(65536, b""),
        Authentication(256, b""),
        VendorId(bytes(65532)),
        Notify(16393, spi=bytes(256), protocol=SecurityProtocol.ESP),
        SecurityAssociation((Proposal(SecurityProtocol.IKE, (Transform(1, 1),) * 256),)),
        Eap(1, -1, b"x"),
    ):
        with pytest.raises(LocalFault):
            encode_message(header, (payload,))
    with pytest.raises(LocalFault):
        encode_message(header, (VendorId(bytes(60000)), VendorId(bytes(6000))))


def test_a_line_of_text_stays_a_line_whatever_a_stranger_wrote() -> None:
    nasty = (
        VendorId(b"\x1b[31m\n"),
        Identification(PayloadType.ID_I, Identity(IdType.FQDN, b"a\nb\x00\xff" * 90)),
        Delete(SecurityProtocol.ESP, tuple(i.to_bytes(4, "big") for i in range(300))),
        Notify(12345, b"\n", SecurityProtocol.ESP, b"\n" * 255),
    )
    for payload in nasty:
        line = describe(payload)
        assert line.isprintable() and len(line) <= 240
    assert describe_payloads((Nonce(bytes(16)),), is_response=True) == "Nr"
