"""Issue by issue what is refused, in both roles: a finding of its own on our side,
AUTHENTICATION_FAILED on the wire, and nothing installed."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID

from isthmus.credentials.store import Own, Trust
from isthmus.crypto.signature import MemoryKey, PublicKey
from isthmus.ike.core.commands import Configure, Initiate
from isthmus.ike.core.effects import InstallSa
from isthmus.ike.v2.exchanges import auth_terms
from isthmus.observe.codes import CATALOGUE
from isthmus.policy.authentication import AuthKind, LocalAuth, RemoteAuth
from isthmus.policy.connection import Configuration, Connection
from isthmus.values.identity import IdentityPattern
from isthmus.values.registry.ikev2 import HashAlgorithm, NotifyType
from isthmus.values.signature import AnyScheme, Scheme
from isthmus.values.trust import RevocationMode
from isthmus.wire.v2.authentication import encode_hashes
from isthmus.wire.v2.notify import Notify
from isthmus.x509.crl import Crl
from isthmus.x509.ocsp import OcspAnswer
from isthmus.x509.revocation import Statuses

from .pair import DATE, Keys, Pair, Side
from .pki import UNKNOWN, Node, Private, issue, ocsp_answer, private, revoked, trust
from .test_certificates import CERT, left_side, right_side

ROOT = issue("Root")
SOUND = {
    side: issue(side, ROOT, private("p256", number), names=(f"fqdn:{side}.example.org",))
    for side, number in (("left", 100), ("right", 200))
}
BEFORE = datetime.fromtimestamp(DATE - 86_400, UTC)
AFTER = datetime.fromtimestamp(DATE + 86_400, UTC)
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
SHA384_INFO = bytes.fromhex("3031300d060960864801650304020205000420")
"""With the other hash's name and this one's length."""
SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


@dataclass(frozen=True, slots=True)
class Case:
    """What the faulty side has, and what the other knows and says of it."""

    name: str
    code: str
    own: Callable[[str], Own]
    """By the side that is at fault."""
    says: str
    """A word that the refusal must hold."""
    trust: Trust = field(default_factory=lambda: trust(ROOT))
    local: LocalAuth = CERT[0]
    remote: RemoteAuth = CERT[1]
    statuses: Callable[[str], Statuses] = field(default=lambda side: Statuses())


class Forger:
    """A key that signs what it likes."""

    def __init__(self, key: Private, forge: Callable[[Private, AnyScheme, bytes], bytes]) -> None:
        self._key = key
        self._forge = forge
        self.public: PublicKey = MemoryKey(key).public

    def sign(self, scheme: AnyScheme, octets: bytes) -> bytes:
        """Something of the right form."""
        return self._forge(self._key, scheme, octets)


def subject(side: str) -> tuple[str, ...]:
    return (f"fqdn:{side}.example.org",)


def issued(issuer: Node = ROOT, *between: Node, **how: object) -> Callable[[str], Own]:
    """A certificate with something amiss, and the CAs that are sent with it."""

    def make(side: str) -> Own:
        more = {"names": subject(side)} | how
        return issue(side, issuer, private("p256", 300), **more).own(*between)  # type: ignore[arg-type]

    return make


def forged(kind: str, forge: Callable[[Private, AnyScheme, bytes], bytes]) -> Callable[[str], Own]:
    """A sound certificate, whose key signs amiss."""

    def make(side: str) -> Own:
        key = private(kind, 400)
        node = issue(side, ROOT, key, names=subject(side))
        return Own(Forger(key, forge), (node.read,))

    return make


def padded(make: Callable[[bytes], bytes]) -> Callable[[Private, AnyScheme, bytes], bytes]:
    """PKCS#1 with a block of the forger's making, of 256 octets, around the right digest."""

    def forge(key: Private, scheme: AnyScheme, octets: bytes) -> bytes:
        assert scheme is Scheme.RSA_PKCS1_SHA256 and isinstance(key, rsa.RSAPrivateKey)
        numbers = key.private_numbers()
        block = int.from_bytes(make(hashlib.sha256(octets).digest()))
        return pow(block, numbers.d, numbers.public_numbers.n).to_bytes(256)

    return forge


def filled(info: bytes) -> bytes:
    return b"\0\x01" + b"\xff" * (253 - len(info)) + b"\0" + info


def short_ps(digest: bytes) -> bytes:
    start = b"\0\x01" + b"\xff" * 8 + b"\0" + SHA256_INFO + digest
    return start + bytes(256 - len(start))


def ecdsa(r: int, s: int) -> Callable[[Private, AnyScheme, bytes], bytes]:
    return lambda key, scheme, octets: encode_dss_signature(r, s)


OTHER_ROOT = issue("Another root", key=private("p256", 900), organization="Strangers")
INTERMEDIATE = issue("Issuing", ROOT, private("p256", 901), ca=True)
NO_CA = issue("No authority", ROOT, private("p256", 902), ca=False)
SHORT_ROOT = issue("Short root", key=private("p256", 903), path_length=0)
BELOW_SHORT = issue("Too deep", SHORT_ROOT, private("p256", 904), ca=True)
NO_SIGNING = issue("Signs nothing", ROOT, private("p256", 905), ca=True, signs=False)
NARROW = issue(
    "Narrow",
    ROOT,
    private("p256", 906),
    ca=True,
    extensions=((x509.NameConstraints([x509.DNSName("example.com")], None), True),),
)
MARKED = {
    side: issue(side, ROOT, private("p256", 300), names=subject(side)) for side in ("left", "right")
}
SHA256_PKCS1 = LocalAuth(AuthKind.CERT, "own", (Scheme.RSA_PKCS1_SHA256,))
PKCS1_TOO = RemoteAuth(AuthKind.CERT, "trust", (Scheme.RSA_PKCS1_SHA256,))

CASES = (
    Case("expired", "E141", issued(not_after=BEFORE), "expired"),
    Case("not yet valid", "E144", issued(not_before=AFTER), "valid"),
    Case("wrong CA", "E140", issued(OTHER_ROOT), "trusted"),
    Case("missing intermediate", "E145", issued(INTERMEDIATE), "missing"),
    Case("CA without basicConstraints", "E146", issued(NO_CA, NO_CA), "No authority"),
    Case(
        "path length exceeded",
        "E147",
        issued(BELOW_SHORT, BELOW_SHORT),
        "no further authority",
        trust(SHORT_ROOT),
    ),
    Case("wrong EKU", "E143", issued(usages=(ExtendedKeyUsageOID.CODE_SIGNING,)), "usage"),
    Case("CA key may not sign", "E148", issued(NO_SIGNING, NO_SIGNING), "usage"),
    Case(
        "revoked by CRL",
        "E149",
        lambda side: MARKED[side].own(),
        "revoked",
        statuses=lambda side: Statuses.of(crls=(Crl.parse(revoked(MARKED[side])),)),
    ),
    Case(
        "revoked by OCSP",
        "E151",
        lambda side: MARKED[side].own(),
        "revoked",
        statuses=lambda side: Statuses.of(
            answers=(OcspAnswer.parse(ocsp_answer(MARKED[side], good=False)),)
        ),
    ),
    Case(
        "nothing known, and strict",
        "E160",
        lambda side: MARKED[side].own(),
        "not known",
        remote=RemoteAuth(AuthKind.CERT, "trust", (), RevocationMode.STRICT),
    ),
    Case("identity not in certificate", "E142", issued(names=("fqdn:x.example.org",)), "fqdn:x."),
    Case(
        "signature over wrong octets",
        "E134",
        forged("p256", lambda key, scheme, octets: MemoryKey(key).sign(scheme, octets + b"x")),
        "does not hold",
    ),
    Case(
        "short PS",
        "E134",
        forged("rsa2048", padded(short_ps)),
        "does not hold",
        local=SHA256_PKCS1,
        remote=PKCS1_TOO,
    ),
    Case(
        "trailing garbage",
        "E134",
        forged("rsa2048", padded(lambda digest: filled(SHA256_INFO + digest + b"\0"))),
        "does not hold",
        local=SHA256_PKCS1,
        remote=PKCS1_TOO,
    ),
    Case(
        "wrong DigestInfo",
        "E134",
        forged(
            "rsa2048",
            padded(
                lambda digest: filled(
                    SHA256_INFO.replace(b"\x02\x01\x05", b"\x02\x02\x05") + digest
                )
            ),
        ),
        "does not hold",
        local=SHA256_PKCS1,
        remote=PKCS1_TOO,
    ),
    *(
        Case(f"ECDSA {name}", "E134", forged("p256", ecdsa(r, s)), "outside 1 to n-1")
        for name, r, s in (
            ("r = 0", 0, 1),
            ("s = 0", 1, 0),
            ("r = n", P256_ORDER, 1),
            ("s = n", 1, P256_ORDER),
        )
    ),
    Case(
        "empty signature", "E134", forged("p256", lambda key, scheme, octets: b""), "does not hold"
    ),
    Case("unknown critical extension", "E152", issued(extensions=((UNKNOWN, True),)), "critical"),
    Case("name-constraint violation", "E153", issued(NARROW, NARROW), "example.org"),
    Case(
        "bare key where a certificate is asked for",
        "E132",
        lambda side: Own(MemoryKey(private("p256", 300))),
        "RAW_PUBLIC_KEY",
        local=LocalAuth(AuthKind.PUBKEY, "own"),
    ),
    Case(
        "unknown bare key",
        "E138",
        lambda side: Own(MemoryKey(private("p256", 300))),
        "none that is known here",
        Trust(raw=(MemoryKey(private("p256", 301)).public,)),
        local=LocalAuth(AuthKind.PUBKEY, "own"),
        remote=RemoteAuth(AuthKind.PUBKEY, "trust"),
    ),
    Case(
        "pre-shared key where a certificate is asked for",
        "E123",
        lambda side: SOUND[side].own(),
        "SHARED_KEY",
        local=LocalAuth(AuthKind.PSK, "psk"),
    ),
)


def scene(case: Case, faulty: str) -> tuple[Pair, Side, Side]:
    """Both sides, then the one that has to refuse and the one at fault."""
    sound = "right" if faulty == "left" else "left"
    stores = {
        faulty: Keys(owns={"own": case.own(faulty)}, trusts={"trust": trust(ROOT)}),
        sound: Keys(
            owns={"own": SOUND[sound].own()},
            trusts={"trust": case.trust},
            statuses=case.statuses(faulty),
        ),
    }
    auths = {
        faulty: (case.local, RemoteAuth(AuthKind.CERT, "trust")),
        sound: (LocalAuth(AuthKind.CERT, "own"), case.remote),
    }
    pair = Pair(
        left_side(*auths["left"]), right_side(*auths["right"]), stores["left"], stores["right"]
    )
    sides = {"left": pair.left, "right": pair.right}
    return pair, sides[sound], sides[faulty]


def said(side: Side, notify: NotifyType) -> bool:
    """It has sent this notify, under the keys of the IKE SA."""
    return any(
        notify.name in str(dict(h.detail)["payloads"])
        for h in side.events("exchange.sent")
        if dict(h.detail)["exchange"] in ("IKE_AUTH", "INFORMATIONAL")
    )


def refused(pair: Pair, judge: Side, other: Side, code: str) -> str:
    """One attempt; the sentence of the refusal."""
    pair.left.command(Initiate("site-b"))
    pair.settle()
    failures = judge.events("phase1.failed")
    assert [f.code for f in failures] == [code], [(f.code, f.message) for f in failures]
    assert said(judge, NotifyType.AUTHENTICATION_FAILED)
    assert not said(other, NotifyType.AUTHENTICATION_FAILED)
    # A responder at fault believes in the SA until it is told: RFC 7296 §2.21.2.
    assert not judge.sas and not other.sas
    assert not any(isinstance(effect, InstallSa) for effect in judge.effects)
    assert judge.view().state != "up" and not judge.events("phase1.up")
    # What is told can be looked up.
    assert code in {finding.id for finding in CATALOGUE}
    return failures[0].message


@pytest.mark.parametrize("faulty", ["left", "right"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_is_refused(case: Case, faulty: str) -> None:
    """The left begins: with the fault there, the responder has to refuse, else the initiator."""
    pair, judge, other = scene(case, faulty)
    assert case.says in refused(pair, judge, other, case.code)
    pair.advance(5)
    assert judge.engine.census()["half_open"] == 0
    assert judge.engine.census()["waiting_computes"] == 0


@pytest.mark.parametrize("faulty", ["left", "right"])
def test_a_hash_that_was_not_offered_is_refused(
    faulty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signer is made to believe that every hash was offered; the judge takes SHA2-384 alone."""
    only = RemoteAuth(AuthKind.CERT, "trust", (Scheme.ECDSA_SHA384,))
    case = Case("", "E135", lambda side: SOUND[side].own(), "", remote=only)
    pair, judge, other = scene(case, faulty)
    every = Notify(
        kind=NotifyType.SIGNATURE_HASH_ALGORITHMS, data=encode_hashes(tuple(HashAlgorithm))
    )

    def tell_all(connections: tuple[Connection, ...]) -> tuple[Notify, ...]:
        return (every,)

    monkeypatch.setattr(auth_terms, "hashes", tell_all)
    monkeypatch.setattr(auth_terms, "announced", lambda connections: ())
    message = refused(pair, judge, other, "E135")
    assert "SHA2_256" in message and "ecdsa-sha384" in message


@pytest.mark.parametrize("faulty", ["left", "right"])
def test_a_signer_that_hears_what_is_taken_finds_its_way(faulty: str) -> None:
    """The same terms, unpatched: the key can do SHA2-384 as well."""
    only = RemoteAuth(AuthKind.CERT, "trust", (Scheme.ECDSA_SHA384,))
    case = Case("", "", lambda side: SOUND[side].own(), "", remote=only)
    pair, judge, _ = scene(case, faulty)
    pair.establish()
    (happening,) = judge.events("peer.verified")
    assert dict(happening.detail)["scheme"] == "ecdsa-sha384"


@pytest.mark.parametrize("faulty", ["left", "right"])
def test_another_identity_than_expected_tells_all_three(faulty: str) -> None:
    """Sent, expected, and what the certificate holds."""
    pair, judge, other = scene(Case("", "", lambda side: SOUND[side].own(), ""), faulty)
    # A pattern is not sent as IDr: the responder could not know that another was expected.
    expected = IdentityPattern.parse("fqdn:*.example.com")
    ours, make = ("site-a", right_side) if faulty == "left" else ("site-b", left_side)
    judge.command(Configure(Configuration((replace(make(*CERT), remote_id=expected),))))
    message = refused(pair, judge, other, "E130")
    assert f"fqdn:{faulty}.example.org" in message, message
    assert f"{expected} (tunnel {ours})" in message
    assert f"its certificate holds fqdn:{faulty}.example.org" in message


@pytest.mark.parametrize("mode", [RevocationMode.SOFT, RevocationMode.STRICT])
@pytest.mark.parametrize("faulty", ["left", "right"])
def test_what_is_known_to_be_good_comes_up(faulty: str, mode: RevocationMode) -> None:
    fresh = datetime.fromtimestamp(DATE - 3600, UTC)
    case = Case(
        "",
        "",
        lambda side: MARKED[side].own(),
        "",
        remote=RemoteAuth(AuthKind.CERT, "trust", (), mode),
        statuses=lambda side: Statuses.of(
            answers=(OcspAnswer.parse(ocsp_answer(MARKED[side], good=True, at=fresh)),)
        ),
    )
    pair, _, _ = scene(case, faulty)
    pair.establish().agree()
