"""Certificates for tests: sound ones, and ones with exactly the defect that is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from isthmus.credentials.store import Own, Trust
from isthmus.crypto.signature import MemoryKey
from isthmus.x509.certificate import Certificate

Private = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
FAR_AHEAD = datetime(2049, 1, 1, tzinfo=UTC)
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
GATEWAY = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


@cache
def private(kind: str, number: int = 0) -> Private:
    """A key by kind (`rsa2048`, `p256`, `ed25519`) and number: made once in a test run."""
    match kind:
        case "p256":
            return ec.generate_private_key(ec.SECP256R1())
        case "p384":
            return ec.generate_private_key(ec.SECP384R1())
        case "p521":
            return ec.generate_private_key(ec.SECP521R1())
        case "ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case "ed448":
            return ed448.Ed448PrivateKey.generate()
        case _:
            return rsa.generate_private_key(65_537, int(kind.removeprefix("rsa")))


@dataclass(frozen=True, slots=True)
class Node:
    """A certificate, its key, and who issued it (None: itself)."""

    certificate: x509.Certificate
    key: Private = field(repr=False)
    issuer: "Node | None"

    @property
    def der(self) -> bytes:
        """The certificate's octets."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        """The certificate as text."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key as text."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def spki(self) -> bytes:
        """The public key."""
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def read(self) -> Certificate:
        """As Isthmus reads it."""
        return Certificate.parse(self.der)

    def own(self, *between: "Node") -> Own:
        """What a side that has this certificate proves itself with."""
        return Own(MemoryKey(self.key), (self.read, *(node.read for node in between)))


def trust(*anchors: Node) -> Trust:
    """Trust in these roots."""
    return Trust(tuple(anchor.read for anchor in anchors))


def name(common: str, organization: str = "Isthmus tests") -> x509.Name:
    """A distinguished name."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CH"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def alternative(text: str) -> x509.GeneralName:
    """`fqdn:a.example.org`, `ip:192.0.2.1`, `email:a@example.org` as a SubjectAltName."""
    kind, _, value = text.partition(":")
    match kind:
        case "fqdn":
            return x509.DNSName(value)
        case "email":
            return x509.RFC822Name(value)
        case _:
            return x509.IPAddress(ip_address(value))


def issue(
    common: str,
    issuer: Node | None = None,
    key: Private | None = None,
    *,
    ca: bool | None = None,
    path_length: int | None = None,
    names: Sequence[str] = (),
    usages: Sequence[x509.ObjectIdentifier] | None = GATEWAY,
    signs: bool = True,
    not_before: datetime = LONG_AGO,
    not_after: datetime = FAR_AHEAD,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    signed_by: Private | None = None,
    organization: str = "Isthmus tests",
) -> Node:
    """A certificate; a CA's when nobody issues it, or `ca` says so.

    `usages` None: no extended key usage. `signs` False: a CA whose key may not sign certificates.
    `signed_by`: another key than the issuer's.
    """
    own = key or private("p256", hash(common) % 1000)
    is_ca = issuer is None if ca is None else ca
    above = own if issuer is None else issuer.key
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(common, organization))
        .issuer_name(name(common, organization) if issuer is None else issuer.certificate.subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), False
        )
        .add_extension(_key_usage(is_ca, signs), True)
    )
    if is_ca:
        builder = builder.add_extension(x509.BasicConstraints(True, path_length), True)
    elif usages is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), False)
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([alternative(text) for text in names]), False
        )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    signer = signed_by or above
    edwards = isinstance(signer, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return Node(builder.sign(signer, None if edwards else hashes.SHA256()), own, issuer)


def _key_usage(is_ca: bool, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca and signs,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )


def revoked(*nodes: Node, at: datetime = LONG_AGO) -> bytes:
    """The list, in DER, of the issuer of these certificates, with all of them on it."""
    issuer = nodes[0].issuer
    assert issuer is not None, "a root is on nobody's list"
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(at)
        .next_update(FAR_AHEAD)
        .add_extension(x509.CRLNumber(1), False)
    )
    for node in nodes:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(node.certificate.serial_number)
            .revocation_date(at)
            .build()
        )
    assert isinstance(issuer.key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.DER)


def ocsp_answer(
    node: Node, *, good: bool, at: datetime = LONG_AGO, until: datetime = FAR_AHEAD
) -> bytes:
    """What the issuer's responder says of a certificate, in DER."""
    issuer = node.issuer
    assert issuer is not None, "nobody is asked about a root"
    answer = ocsp.OCSPResponseBuilder().add_response(
        cert=node.certificate,
        issuer=issuer.certificate,
        algorithm=hashes.SHA1(),
        cert_status=ocsp.OCSPCertStatus.GOOD if good else ocsp.OCSPCertStatus.REVOKED,
        this_update=at,
        next_update=until,
        revocation_time=None if good else at,
        revocation_reason=None,
    )
    answer = answer.responder_id(ocsp.OCSPResponderEncoding.HASH, issuer.certificate)
    assert isinstance(issuer.key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    return answer.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.DER)
