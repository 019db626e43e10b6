"""What certificates and lists are made of: what every kind of peer takes (RFC 4945, RFC 5280).

A gateway's certificate says what strongSwan, Windows, Apple's systems and other gateways look for:
its names as SubjectAltName, TLS server and client and IPsec as extended usage (Windows and Apple
want the first of them), digital signature as usage, and no longer life than Apple takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from isthmus.authority.index import DAY_S, Issued, Reason
from isthmus.authority.keys import PrivateKey, hash_for
from isthmus.values.identity import Identity
from isthmus.values.registry.ikev2 import IdType

ROOT_DAYS = 3650
GATEWAY_DAYS = 825
"""Apple's systems refuse certificates for servers that live longer."""
CRL_DAYS = 180
EARLIER_S = 3600
"""Certificates begin that much before they are made: clocks of peers may be late."""
SERIAL_OCTETS = 20
IKE_INTERMEDIATE = ObjectIdentifier("1.3.6.1.5.5.8.2.2")
"""What Windows prefers among several certificates."""
USAGES = (
    ExtendedKeyUsageOID.SERVER_AUTH,
    ExtendedKeyUsageOID.CLIENT_AUTH,
    ExtendedKeyUsageOID.IPSEC_IKE,
    IKE_INTERMEDIATE,
)
_REASONS = {
    Reason.UNSPECIFIED: x509.ReasonFlags.unspecified,
    Reason.KEY_COMPROMISE: x509.ReasonFlags.key_compromise,
    Reason.AFFILIATION_CHANGED: x509.ReasonFlags.affiliation_changed,
    Reason.SUPERSEDED: x509.ReasonFlags.superseded,
    Reason.CESSATION: x509.ReasonFlags.cessation_of_operation,
}


@dataclass(frozen=True, slots=True)
class Issuer:
    """The authority's own certificate and key."""

    certificate: x509.Certificate
    key: PrivateKey


@dataclass(frozen=True, slots=True)
class Draft:
    """What every certificate says: whose it is, its key and number, and its time in Unix seconds:
    when it is made and when it ends."""

    subject: x509.Name
    key: CertificatePublicKeyTypes
    serial: int
    at: int
    until: int

    def begun(self, issuer: x509.Name) -> x509.CertificateBuilder:
        """A certificate by this issuer, without what its kind adds."""
        return (
            x509.CertificateBuilder()
            .issuer_name(issuer)
            .subject_name(self.subject)
            .public_key(self.key)
            .serial_number(self.serial)
            .not_valid_before(_time(self.at - EARLIER_S))
            .not_valid_after(_time(self.until))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key), critical=False)
        )


def serial_of(entropy: bytes) -> int:
    """A serial number of 20 octets that nobody can foretell (RFC 5280 §4.1.2.2: positive)."""
    return int.from_bytes(entropy[:SERIAL_OCTETS], "big") >> 1 | 1 << 158


def end_of(at: int, days: int) -> int:
    """When a certificate ends that is made now and lasts so many days, its early hour included."""
    return at - EARLIER_S + days * DAY_S


def subject_of(organization: str, common: str) -> x509.Name:
    """`O=organization, CN=common`; what is too long for its field is cut."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization[:64]),
            x509.NameAttribute(NameOID.COMMON_NAME, common[:64]),
        ]
    )


def alternative(identity: Identity) -> x509.GeneralName | None:
    """The SubjectAltName that an identity is looked for in; None for `dn:` and `keyid:`."""
    match identity.kind:
        case IdType.FQDN:
            return x509.DNSName(identity.octets.decode("ascii"))
        case IdType.RFC822_ADDR:
            return x509.RFC822Name(identity.octets.decode("ascii"))
        case IdType.IPV4_ADDR | IdType.IPV6_ADDR:
            return x509.IPAddress(ip_address(identity.octets))
        case _:
            return None


def root(name: str, key: PrivateKey, serial: int, at: int, days: int) -> x509.Certificate:
    """The authority's own certificate. It may stand above one more authority."""
    subject = subject_of(name, f"{name} root"[:64])
    draft = Draft(subject, key.public_key(), serial, at, end_of(at, days))
    return _as_authority(draft.begun(subject), 1).sign(key, hash_for(key))


def gateway(
    issuer: Issuer, draft: Draft, names: Sequence[x509.GeneralName], crl_url: str
) -> x509.Certificate:
    """The certificate of one gateway."""
    is_rsa = isinstance(draft.key, rsa.RSAPublicKey)
    builder = (
        draft.begun(issuer.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True, key_encipherment=is_rsa), critical=True)
        .add_extension(x509.ExtendedKeyUsage(USAGES), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(_authority_key(issuer), critical=False)
    )
    return _with_list(builder, crl_url).sign(issuer.key, hash_for(issuer.key))


def authority(issuer: Issuer, draft: Draft, crl_url: str) -> x509.Certificate:
    """The certificate of somebody else's authority below ours (AWS Private CA, say)."""
    builder = _as_authority(draft.begun(issuer.certificate.subject), 0)
    builder = builder.add_extension(_authority_key(issuer), critical=False)
    return _with_list(builder, crl_url).sign(issuer.key, hash_for(issuer.key))


def revocation_list(
    issuer: Issuer, revoked: Sequence[Issued], number: int, at: int, until: int
) -> x509.CertificateRevocationList:
    """The authority's list: every revoked certificate that has not expired."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(_time(at))
        .next_update(_time(until))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(_authority_key(issuer), critical=False)
    )
    for entry in revoked:
        if entry.revoked_at is None:
            continue
        one = (
            x509.RevokedCertificateBuilder()
            .serial_number(int(entry.serial, 16))
            .revocation_date(_time(entry.revoked_at))
        )
        # RFC 5280 §5.3.1: "unspecified" is said by saying nothing.
        if entry.reason not in (None, Reason.UNSPECIFIED):
            one = one.add_extension(x509.CRLReason(_REASONS[entry.reason]), critical=False)
        builder = builder.add_revoked_certificate(one.build())
    return builder.sign(issuer.key, hash_for(issuer.key))


def is_strong(key: object) -> bool:
    """A key of a request that peers take: RSA of 2048 to 8192 bits, the NIST curves, Ed25519."""
    match key:
        case rsa.RSAPublicKey():
            return 2048 <= key.key_size <= 8192
        case ec.EllipticCurvePublicKey():
            return key.curve.name in ("secp256r1", "secp384r1", "secp521r1")
        case ed25519.Ed25519PublicKey():
            return True
        case dsa.DSAPublicKey() | ed448.Ed448PublicKey():
            return False
        case _:
            return False


def _as_authority(builder: x509.CertificateBuilder, below: int) -> x509.CertificateBuilder:
    return builder.add_extension(
        x509.BasicConstraints(ca=True, path_length=below), critical=True
    ).add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)


def _authority_key(issuer: Issuer) -> x509.AuthorityKeyIdentifier:
    held = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(held.value)


def _with_list(builder: x509.CertificateBuilder, url: str) -> x509.CertificateBuilder:
    if not url:
        return builder
    place = x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)
    return builder.add_extension(x509.CRLDistributionPoints([place]), critical=False)


def _usage(
    *,
    digital_signature: bool = False,
    key_encipherment: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _time(at: int) -> datetime:
    return datetime.fromtimestamp(at, UTC)
