"""One golden triple per IKEv1 payload: the octets, the value, the line of text a human sees.

Adding a payload means adding its entries here; the other tests of this room take them from here.
"""

from dataclasses import dataclass

from isthmus.values.registry.ikev1 import PayloadType
from isthmus.wire.v1 import (
    Attribute,
    Attributes,
    Certificate,
    CertificateRequest,
    Delete,
    Fragment,
    Hash,
    Identification,
    KeyExchange,
    NatDetection,
    NatOriginalAddress,
    Nonce,
    Notify,
    Payload,
    ProposalV1,
    SecurityAssociation,
    Signature,
    TransformV1,
    Unknown,
    VendorId,
)

T = PayloadType


@dataclass(frozen=True)
class Golden:
    """`octets` are the payload's body, without the generic header."""

    name: str
    kind: int
    octets: bytes
    value: Payload
    text: str
    lengths: tuple[tuple[int, int], ...] = ()
    """Length and count fields of the body: offset, octets of the field."""


def _hex(text: str) -> bytes:
    return bytes.fromhex(text.replace(" ", "").replace("\n", ""))


def _golden(
    name: str,
    kind: int,
    octets: str,
    value: Payload,
    text: str,
    lengths: tuple[tuple[int, int], ...] = (),
) -> Golden:
    return Golden(name, kind, _hex(octets), value, text, lengths)


PHASE1 = SecurityAssociation(
    (
        ProposalV1(
            1,
            1,
            b"",
            (
                TransformV1(
                    1,
                    1,
                    (
                        Attribute(1, 7),
                        Attribute(14, 256),
                        Attribute(2, 4),
                        Attribute(4, 14),
                        Attribute(3, 1),
                        Attribute(11, 1),
                        Attribute(12, 28800),
                    ),
                ),
                TransformV1(
                    2,
                    1,
                    (
                        Attribute(1, 5),
                        Attribute(2, 2),
                        Attribute(4, 2),
                        Attribute(3, 65001),
                        Attribute(11, 1),
                        Attribute(12, b"\x00\x01\x51\x80"),
                    ),
                ),
            ),
        ),
    )
)
"""AES-256, SHA2-256, group 14, pre-shared key, 8 hours; or 3DES, SHA-1, group 2, XAUTH, a day."""
PHASE1_OCTETS = """00000001 00000001
    0000 0050 01 01 00 02
    0300 0024 01 01 0000 80010007 800e0100 80020004 8004000e 80030001 800b0001 800c7080
    0000 0024 02 01 0000 80010005 80020002 80040002 8003fde9 800b0001 000c0004 00015180"""

PHASE2 = SecurityAssociation(
    (
        ProposalV1(
            1,
            3,
            b"\xc0\xff\xee\x01",
            (
                TransformV1(
                    1,
                    12,
                    (
                        Attribute(6, 128),
                        Attribute(5, 2),
                        Attribute(4, 3),
                        Attribute(1, 1),
                        Attribute(2, 3600),
                    ),
                ),
            ),
        ),
        ProposalV1(2, 4, b"\x12\x34", (TransformV1(1, 2, (Attribute(4, 1),)),)),
    )
)
"""ESP with AES-128 and SHA-1 in UDP for an hour, or IPComp with DEFLATE."""
PHASE2_OCTETS = """00000001 00000001
    0200 0028 01 03 04 01 c0ffee01
    0000 001c 01 0c 0000 80060080 80050002 80040003 80010001 80020e10
    0000 0016 02 04 02 01 1234
    0000 000c 01 02 0000 80040001"""

COOKIES = b"\x11" * 8 + b"\x22" * 8

GOLDEN = (
    _golden(
        "sa_phase1",
        T.SA,
        PHASE1_OCTETS,
        PHASE1,
        "SA(ISAKMP AES_CBC-256-SHA2_256-MODP_2048-PSK|"
        "ISAKMP TRIPLE_DES-SHA1-MODP_1024-XAUTH_INITIATOR_PSK)",
        ((10, 2), (14, 1), (15, 1), (18, 2), (54, 2), (82, 2)),
    ),
    _golden(
        "sa_phase2",
        T.SA,
        PHASE2_OCTETS,
        PHASE2,
        "SA(ESP AES_CBC-128-HMAC_SHA1-UDP_TUNNEL|IPCOMP TUNNEL)",
        ((10, 2), (14, 1), (15, 1), (22, 2), (50, 2), (54, 1), (55, 1), (60, 2)),
    ),
    _golden("ke", T.KE, "0102030405", KeyExchange(b"\1\2\3\4\5"), "KE(5 octets)"),
    _golden(
        "id_address",
        T.ID,
        "01 11 01f4 c0000201",
        Identification(1, 17, 500, b"\xc0\x00\x02\x01"),
        "ID(192.0.2.1 17/500)",
    ),
    _golden(
        "id_name",
        T.ID,
        "02 00 0000 612e6578",
        Identification(2, 0, 0, b"a.ex"),
        "ID(fqdn:a.ex)",
    ),
    _golden(
        "id_subnet",
        T.ID,
        "04 06 0050 0a010000 ffff0000",
        Identification(4, 6, 80, b"\x0a\x01\0\0\xff\xff\0\0"),
        "ID(10.1.0.0/255.255.0.0 6/80)",
    ),
    _golden(
        "id_range",
        T.ID,
        "08 00 0000 fd00" + "00" * 13 + "01 fd00" + "00" * 13 + "09",
        Identification(8, 0, 0, b"\xfd" + bytes(14) + b"\1" + b"\xfd" + bytes(14) + b"\x09"),
        "ID(fd00::1-fd00::9)",
    ),
    _golden("cert", T.CERT, "04 3000", Certificate(4, b"0\0"), "CERT(X509_SIGNATURE 2 octets)"),
    _golden("cr", T.CR, "04", CertificateRequest(4, b""), "CR(X509_SIGNATURE 0 octets)"),
    _golden("hash", T.HASH, "abcdef", Hash(b"\xab\xcd\xef"), "HASH"),
    _golden("sig", T.SIG, "ab", Signature(b"\xab"), "SIG"),
    _golden("nonce", T.NONCE, "0001020304050607", Nonce(bytes(range(8))), "NONCE"),
    _golden(
        "notify_status",
        T.NOTIFY,
        "00000001 01 10 8d28" + COOKIES.hex() + "0000002a",
        Notify(36136, b"\0\0\0\x2a", 1, COOKIES),
        f"N(R_U_THERE ISAKMP 0x{COOKIES.hex()})",
        ((5, 1),),
    ),
    _golden(
        "notify_error",
        T.NOTIFY,
        "00000000 03 00 000e",
        Notify(14, b"", 3, b"", 0),
        "N(NO_PROPOSAL_CHOSEN)",
        ((5, 1),),
    ),
    _golden(
        "delete_phase1",
        T.DELETE,
        "00000001 01 10 0001" + COOKIES.hex(),
        Delete(1, (COOKIES,)),
        f"D(ISAKMP 0x{COOKIES.hex()})",
        ((5, 1), (6, 2)),
    ),
    _golden(
        "delete_phase2",
        T.DELETE,
        "00000001 03 04 0002 c0ffee01 c0ffee02",
        Delete(3, (b"\xc0\xff\xee\x01", b"\xc0\xff\xee\x02")),
        "D(ESP 0xc0ffee01,0xc0ffee02)",
        ((5, 1), (6, 2)),
    ),
    _golden("vendor", T.VENDOR_ID, "afcad713", VendorId(b"\xaf\xca\xd7\x13"), "V(0xafcad713)"),
    _golden(
        "attributes",
        T.ATTRIBUTES,
        "02 00 1234 c0880000 40890003 626f62 408a0002 7077 0001 0000",
        Attributes(
            2,
            0x1234,
            (
                Attribute(16520, 0),
                Attribute(16521, b"bob"),
                Attribute(16522, b"pw"),
                Attribute(1, b""),
            ),
        ),
        "ATTR(REPLY 4660 XAUTH_TYPE,XAUTH_USER_NAME,XAUTH_USER_PASSWORD,INTERNAL_IP4_ADDRESS)",
        ((10, 2), (17, 2), (23, 2)),
    ),
    _golden("nat_d", T.NAT_D, "aa55", NatDetection(b"\xaa\x55"), "NAT-D"),
    _golden("nat_d_draft", T.NAT_D_DRAFT, "aa55", NatDetection(b"\xaa\x55", True), "NAT-D"),
    _golden(
        "nat_oa",
        T.NAT_OA,
        "01 000000 0a000001",
        NatOriginalAddress(1, b"\x0a\0\0\1"),
        "NAT-OA(ip:10.0.0.1)",
    ),
    _golden(
        "nat_oa_draft",
        T.NAT_OA_DRAFT,
        "05 000000 fe80" + "00" * 14,
        NatOriginalAddress(5, b"\xfe\x80" + bytes(14), True),
        "NAT-OA(ip:fe80::)",
    ),
    _golden(
        "fragment",
        T.FRAGMENT,
        "0007 03 01 feed",
        Fragment(7, 3, True, b"\xfe\xed"),
        "FRAG(7 #3 last 2 octets)",
    ),
    _golden("unknown", 200, "0102", Unknown(200, b"\1\2"), "payload200(2 octets)"),
)
