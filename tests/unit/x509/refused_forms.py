"""Certificates whose octets are wrong: read by nobody, and nothing else happens (S-01, S-09)."""

from collections.abc import Callable

from isthmus.x509 import extensions as ext
from isthmus.x509.der import Reader

from . import forge
from .cases import Case, Maker, refused
from .forge import Extension, dns, email, encode, ip, number, oid, seq, tagged
from .scenes import Scene, inter, leaf

EMPTY = seq()


def _with(nickname: str, one: Extension) -> Maker:
    return lambda: Scene(leaf().having(**{nickname: one}))


BAD_EXTENSIONS: dict[str, Extension] = {
    "key usage without bits": (ext.KEY_USAGE, True, forge.bit_string(b"\x00")),
    "key usage empty": (ext.KEY_USAGE, True, encode(0x03, b"")),
    "key usage of no octets": (ext.KEY_USAGE, True, b""),
    "key usage as an integer": (ext.KEY_USAGE, True, number(128)),
    "key usage with unused bits set": (ext.KEY_USAGE, True, forge.bit_string(b"\x81", 7)),
    "key usage with nine unused bits": (ext.KEY_USAGE, True, forge.bit_string(b"\x80", 9)),
    "key usage of twelve octets": (ext.KEY_USAGE, True, forge.bit_string(b"\x80" * 12)),
    "no names": (ext.SUBJECT_ALTERNATIVE_NAME, False, EMPTY),
    "names not in a sequence": (ext.SUBJECT_ALTERNATIVE_NAME, False, dns("a.example.net")),
    "names and then octets": (
        ext.SUBJECT_ALTERNATIVE_NAME,
        False,
        seq(dns("a.example.net")) + b"\x05\x00",
    ),
    "a name of kind 9": (ext.SUBJECT_ALTERNATIVE_NAME, False, seq(encode(0x89, b"a"))),
    "a name of a universal tag": (ext.SUBJECT_ALTERNATIVE_NAME, False, seq(number(1))),
    "a DNS name as a container": (ext.SUBJECT_ALTERNATIVE_NAME, False, seq(tagged(2, b"a"))),
    "a directory name as a string": (
        ext.SUBJECT_ALTERNATIVE_NAME,
        False,
        seq(tagged(4, b"a", constructed=False)),
    ),
    "a DNS name that is not ASCII": forge.names(dns("gw\xfc.example.net")),
    "an email that is not ASCII": forge.names(email("b\xfcro@example.net")),
    "an address of 3 octets": forge.names(tagged(7, b"\x01\x02\x03", constructed=False)),
    "an address with a mask": forge.names(ip("192.0.2.0/24")),
    "an address of no octets": forge.names(tagged(7, b"", constructed=False)),
    "257 names": forge.names(*[dns(f"h{n}.example.net") for n in range(257)]),
    "no purposes": (ext.EXTENDED_KEY_USAGE, False, EMPTY),
    "65 purposes": forge.purposes(*[f"1.3.6.1.4.1.55555.20.{n}" for n in range(65)]),
    "an empty purpose": (ext.EXTENDED_KEY_USAGE, False, seq(encode(0x06, b""))),
    "a purpose cut short": (ext.EXTENDED_KEY_USAGE, False, seq(encode(0x06, b"\x2a\x86"))),
    "a purpose with a long arc": (
        ext.EXTENDED_KEY_USAGE,
        False,
        seq(encode(0x06, b"\x2a\x80\x01")),
    ),
    "basic constraints with a negative length": (
        ext.BASIC_CONSTRAINTS,
        True,
        seq(forge.TRUE, number(-1)),
    ),
    "basic constraints with a length of 40 bits": forge.basic(length=2**39),
    "basic constraints with a boolean of 1": (
        ext.BASIC_CONSTRAINTS,
        True,
        seq(b"\x01\x01\x01"),
    ),
    "basic constraints with more": (
        ext.BASIC_CONSTRAINTS,
        True,
        seq(forge.TRUE, number(1), number(1)),
    ),
    "name constraints that are empty": (ext.NAME_CONSTRAINTS, True, EMPTY),
    "name constraints with an empty list": (ext.NAME_CONSTRAINTS, True, seq(tagged(0, b""))),
    "name constraints with a minimum": forge.subtrees(
        [dns("a")], extra=tagged(0, b"\x01", constructed=False)
    ),
    "name constraints with a maximum": forge.subtrees(
        [dns("a")], extra=tagged(1, b"\x01", constructed=False)
    ),
    "name constraints of an address without a mask": forge.subtrees([ip("192.0.2.1")]),
    "name constraints of a mask with holes": forge.subtrees(
        [tagged(7, bytes((192, 0, 2, 0, 255, 0, 255, 0)), constructed=False)]
    ),
    "257 name constraints": forge.subtrees([dns(f"h{n}") for n in range(257)]),
    "no policies": (ext.CERTIFICATE_POLICIES, False, EMPTY),
    "a policy twice": forge.policies("1.2.3", "1.2.3"),
    "65 policies": forge.policies(*[f"1.2.3.{n}" for n in range(65)]),
    "no policy mappings": (ext.POLICY_MAPPINGS, True, EMPTY),
    "65 policy mappings": forge.mappings(*[("1.2.3", f"1.2.3.{n}") for n in range(65)]),
    "policy constraints that are empty": (ext.POLICY_CONSTRAINTS, True, EMPTY),
    "policy constraints with a negative number": forge.policy_constraints(explicit=-1),
    "inhibit any policy as text": (ext.INHIBIT_ANY_POLICY, True, encode(0x0C, b"1")),
    "inhibit any policy that is empty": (ext.INHIBIT_ANY_POLICY, True, encode(0x02, b"")),
    "inhibit any policy not in its shortest form": (
        ext.INHIBIT_ANY_POLICY,
        True,
        encode(0x02, b"\x00\x01"),
    ),
    "authority key with a name and no number": (
        ext.AUTHORITY_KEY_IDENTIFIER,
        False,
        seq(tagged(1, dns("a"))),
    ),
    "authority key of 200 octets": forge.authority_key(b"\x01" * 200),
    "subject key of 200 octets": forge.subject_key(b"\x01" * 200),
    "no distribution points": (ext.CRL_DISTRIBUTION_POINTS, False, EMPTY),
    "an empty distribution point": forge.points(EMPTY),
    "17 distribution points": forge.points(
        *[forge.point([forge.uri(f"http://h{n}/")]) for n in range(17)]
    ),
    "a distribution point's name of kind 2": forge.points(
        seq(tagged(0, tagged(2, forge.attribute("CN", "a"))))
    ),
    "17 places of the authority": (
        ext.AUTHORITY_INFORMATION,
        False,
        seq(*[seq(oid(ext.OCSP_METHOD), forge.uri("http://a/"))] * 17),
    ),
    "OCSP no check with content": (ext.OCSP_NO_CHECK, False, number(1)),
}


def indefinite(der: bytes) -> bytes:
    """BER: the outermost length is open, closed by two zeros."""
    assert der[1] == 0x82
    return der[:1] + b"\x80" + der[4:] + b"\x00\x00"


def long_form(der: bytes) -> bytes:
    """The outermost length with an octet too many."""
    assert der[1] == 0x82
    return der[:1] + b"\x83\x00" + der[2:]


BAD_WHOLES: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda der: b"",
    "one octet": lambda der: der[:1],
    "cut in half": lambda der: der[: len(der) // 2],
    "cut by an octet": lambda der: der[:-1],
    "an octet more": lambda der: der + b"\x00",
    "itself twice": lambda der: der * 2,
    "of indefinite length": indefinite,
    "of a length too long": long_form,
    "as a set": lambda der: b"\x31" + der[1:],
    "an empty sequence": lambda der: EMPTY,
    "three empty sequences": lambda der: seq(EMPTY, EMPTY, EMPTY),
    "text": lambda der: b"-----BEGIN CERTIFICATE-----",
    "sequences inside each other": lambda der: _nested(4000),
}


def _nested(depth: int) -> bytes:
    der = b""
    for _ in range(depth):
        der = seq(der)
    return der


def cases() -> list[Case]:
    """All of them."""
    wholes: dict[str, Maker] = {
        f"a certificate that is {what}": lambda raw=raw: Scene(leaf(raw=raw))
        for what, raw in BAD_WHOLES.items()
    }
    fields: dict[str, Maker] = {
        "an empty issuer": lambda: Scene(leaf(issuer=forge.dn(""))),
        "a name of 9,000 octets": lambda: Scene(
            leaf(subject=forge.dn(", ".join(["O=" + "x" * 900] * 10)))
        ),
        "an attribute of 1,100 octets": lambda: Scene(leaf(subject=forge.dn("CN=" + "x" * 1100))),
        "an empty set in a name": lambda: Scene(leaf(subject=forge.rdns(b""))),
        "a serial number of 30 octets": lambda: Scene(leaf(serial=1 << 239)),
        "version 4": lambda: Scene(leaf(version=3)),
        "version -1": lambda: Scene(leaf(version=-1)),
        "no extensions in their field": lambda: Scene(
            leaf(unique=tagged(3, b"")).but(extensions={})
        ),
        "an extension twice": lambda: Scene(leaf().having(again=forge.usage(0))),
        "65 extensions": lambda: Scene(
            leaf().but(
                extensions={
                    str(n): (f"1.3.6.1.4.1.55555.30.{n}", False, forge.NULL) for n in range(65)
                }
            )
        ),
        "more than 64 KiB": lambda: Scene(
            leaf().having(large=("1.3.6.1.4.1.55555.31", False, bytes(65_536)))
        ),
        "a signature with unused bits": lambda: Scene(
            leaf("P256", "RSA", raw=unused_bits), inter("RSA")
        ),
        "RSA with PSS and a salt of 20": lambda: Scene(leaf(inside=_salted(), outside=_salted())),
    }
    extensions: dict[str, Maker] = {
        what: _with(_NICKNAMES.get(one[0], "more"), one) for what, one in BAD_EXTENSIONS.items()
    }
    return refused("E157", wholes | fields | extensions)


_NICKNAMES = {
    ext.KEY_USAGE: "usage",
    ext.SUBJECT_ALTERNATIVE_NAME: "names",
    ext.EXTENDED_KEY_USAGE: "purposes",
    ext.SUBJECT_KEY_IDENTIFIER: "subject_key",
    ext.AUTHORITY_KEY_IDENTIFIER: "authority_key",
}


def _salted() -> bytes:
    return seq(oid("1.2.840.113549.1.1.10"), forge.pss_parameters(256, 20))


def unused_bits(der: bytes) -> bytes:
    """The last bit of the signature declared unused (and zero, as DER wants it)."""
    outer = Reader(der).inner()
    outer.any()
    outer.any()
    at = len(der) - len(outer.any().body)
    return der[:at] + b"\x01" + der[at + 1 : -1] + bytes((der[-1] & 0xFE,))
