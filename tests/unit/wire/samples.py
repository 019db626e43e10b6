"""One golden triple per payload: the octets, the value, the line of text a human sees.

Adding a payload means adding its entries here; the other tests of this room take them from here.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from isthmus.values.identity import Identity
from isthmus.values.proposal import Proposal, Transform
from isthmus.values.registry.ikev2 import IdType, PayloadType, SecurityProtocol
from isthmus.values.selector import TrafficSelector
from isthmus.wire.v2 import (
    Authentication,
    Certificate,
    CertificateRequest,
    ConfigurationAttribute,
    ConfigurationPayload,
    Delete,
    Eap,
    Encrypted,
    EncryptedFragment,
    Identification,
    KeyExchange,
    Nonce,
    Notify,
    Payload,
    SecurityAssociation,
    TrafficSelectors,
    Unknown,
    UnknownSelector,
    VendorId,
)

ESP = SecurityProtocol.ESP
IKE = SecurityProtocol.IKE


@dataclass(frozen=True)
class Golden:
    """`octets` are the payload's body, without the generic header."""

    name: str
    octets: bytes
    value: Payload
    text: str
    lengths: tuple[tuple[int, int, int], ...] = ()
    """Length and count fields of the body: offset, octets of the field, octets of what it covers
    that stand before the field's own element (the header that its element cannot be without)."""


def _hex(text: str) -> bytes:
    return bytes.fromhex(text.replace(" ", "").replace("\n", ""))


GOLDEN = (
    Golden(
        "sa_ike",
        _hex(
            """0000 002c 01 01 00 04
            0300 000c 0100 0014 800e 0100
            0300 0008 0200 0006
            0300 0008 0400 001f
            0000 0008 0300 0000"""
        ),
        SecurityAssociation(
            (
                Proposal(
                    IKE,
                    (
                        Transform(1, 20, 256),
                        Transform(2, 6),
                        Transform(4, 31),
                        Transform(3, 0),
                    ),
                ),
            )
        ),
        "SA(aes256gcm16-prfsha384-x25519-integ:0)",
        lengths=((2, 2, 8), (6, 1, 0), (7, 1, 0), (10, 2, 8), (22, 2, 8), (30, 2, 8), (38, 2, 8)),
    ),
    Golden(
        "sa_esp_two",
        _hex(
            """0200 0020 01 03 04 02 c0ffee01
            0300 000c 0100 000c 800e 0080
            0000 0008 0300 000c
            0000 0018 02 02 04 01 c0ffee02
            0000 000c 0300 fde9 ffff 0000"""
        ),
        SecurityAssociation(
            (
                Proposal(
                    ESP,
                    (Transform(1, 12, 128), Transform(3, 12)),
                    bytes.fromhex("c0ffee01"),
                ),
                Proposal(
                    SecurityProtocol.AH,
                    (Transform(3, 65001, None, True),),
                    bytes.fromhex("c0ffee02"),
                    2,
                ),
            )
        ),
        "SA(aes128-sha256|integ:65001)",
        lengths=(
            (2, 2, 8),
            (6, 1, 0),
            (7, 1, 0),
            (14, 2, 8),
            (26, 2, 8),
            (34, 2, 8),
            (38, 1, 0),
            (39, 1, 0),
            (46, 2, 8),
        ),
    ),
    Golden("ke", _hex("001f 0000 aabbccdd"), KeyExchange(31, b"\xaa\xbb\xcc\xdd"), "KE(x25519)"),
    Golden(
        "id_i",
        _hex("02 000000") + b"gw.example",
        Identification(PayloadType.ID_I, Identity(IdType.FQDN, b"gw.example")),
        "IDi(fqdn:gw.example)",
    ),
    Golden(
        "id_r",
        _hex("01 000000 0a010001"),
        Identification(PayloadType.ID_R, Identity(IdType.IPV4_ADDR, b"\x0a\x01\x00\x01")),
        "IDr(ip:10.1.0.1)",
    ),
    Golden("cert", _hex("04 3082"), Certificate(4, b"0\x82"), "CERT(X509_SIGNATURE 2 octets)"),
    Golden(
        "certreq",
        _hex("04") + bytes(40),
        CertificateRequest(4, bytes(40)),
        "CERTREQ(X509_SIGNATURE 40 octets)",
    ),
    Golden("auth", _hex("02 000000 beef"), Authentication(2, b"\xbe\xef"), "AUTH(SHARED_KEY)"),
    Golden("nonce", bytes(range(16)), Nonce(bytes(range(16))), "Ni"),
    Golden(
        "notify",
        _hex("00 00 0011 001f"),
        Notify(17, b"\x00\x1f"),
        "N(INVALID_KE_PAYLOAD x25519)",
        lengths=((1, 1, 0),),
    ),
    Golden(
        "notify_rekey",
        _hex("03 04 4009 c0ffee01"),
        Notify(16393, b"", ESP, bytes.fromhex("c0ffee01")),
        "N(REKEY_SA ESP 0xc0ffee01)",
        lengths=((1, 1, 0),),
    ),
    Golden(
        "delete_esp",
        _hex("03 04 0002 c0ffee01 c0ffee02"),
        Delete(ESP, (bytes.fromhex("c0ffee01"), bytes.fromhex("c0ffee02"))),
        "D(ESP 0xc0ffee01,0xc0ffee02)",
        lengths=((1, 1, 0), (2, 2, 0)),
    ),
    Golden("delete_ike", _hex("01 00 0000"), Delete(IKE), "D(IKE)", lengths=((1, 1, 0), (2, 2, 0))),
    Golden("vendor", b"Isthmus", VendorId(b"Isthmus"), "V(Isthmus)"),
    Golden(
        "ts_i",
        _hex(
            """02 000000
            07 06 0010 01bb 01bb 0a010000 0a01ffff
            08 00 0028 0000 ffff fd00 0000000000000000000000000000
            fd00 000000000000 ffffffffffffffff"""
        ),
        TrafficSelectors(
            PayloadType.TS_I,
            (
                TrafficSelector(IPv4Address("10.1.0.0"), IPv4Address("10.1.255.255"), 6, 443, 443),
                TrafficSelector(IPv6Address("fd00::"), IPv6Address("fd00::ffff:ffff:ffff:ffff")),
            ),
        ),
        "TSi(10.1.0.0/16[tcp/443], fd00::/64)",
        lengths=((0, 1, 0), (6, 2, 16), (22, 2, 40)),
    ),
    Golden(
        "ts_r",
        _hex("02 000000 07 11 0010 ffff 0000 0a020001 0a020001 0a 00 0007 000141"),
        TrafficSelectors(
            PayloadType.TS_R,
            (
                TrafficSelector(IPv4Address("10.2.0.1"), IPv4Address("10.2.0.1"), 17, 65535, 0),
                UnknownSelector(_hex("0a 00 0007 000141")),
            ),
        ),
        "TSr(10.2.0.1/32[udp/opaque], TsType(10) 7 octets)",
        lengths=((0, 1, 0), (6, 2, 16), (22, 2, 4)),
    ),
    Golden(
        "cp",
        _hex("01 000000 0001 0000 0003 0004 0a000001"),
        ConfigurationPayload(
            1, (ConfigurationAttribute(1), ConfigurationAttribute(3, b"\x0a\x00\x00\x01"))
        ),
        "CP(REQUEST 1,3)",
        lengths=((6, 2, 0), (10, 2, 0)),
    ),
    Golden(
        "eap",
        _hex("01 07 0006 01 41"),
        Eap(1, 7, b"\x01A"),
        "EAP(REQUEST 7)",
        lengths=((2, 2, 4),),
    ),
    Golden("eap_success", _hex("03 08 0004"), Eap(3, 8), "EAP(SUCCESS 8)", lengths=((2, 2, 4),)),
    Golden("sk", bytes(24), Encrypted(41, bytes(24)), "SK(24 octets)"),
    Golden(
        "skf",
        _hex("0001 0003") + bytes(20),
        EncryptedFragment(36, 1, 3, bytes(20)),
        "SKF(1/3 20 octets)",
        lengths=((0, 2, 1), (2, 2, 1)),
    ),
    Golden("unknown", b"abc", Unknown(200, False, b"abc"), "payload200(3 octets)"),
)
