"""Whether a certificate speaks for an identity (RFC 7296 §3.5, RFC 4945 §3.1).

Strict: an address, a domain name or an e-mail address must stand in SubjectAltName, whole and of
the same type; a DN must be the subject, or a directoryName there; a key ID must be the key's own.
The common name is never taken for a domain name, and an asterisk in a certificate is just a
character. Patterns are the configuration's business: they choose identities, not certificates.
"""

from isthmus.values.errors import Malformed
from isthmus.values.identity import Identity
from isthmus.values.registry.ikev2 import IdType
from isthmus.x509.certificate import Certificate
from isthmus.x509.general_name import NameKind
from isthmus.x509.name import Name


def matches(certificate: Certificate, identity: Identity) -> bool:
    """The certificate names `identity`."""
    octets = identity.octets
    match identity.kind:
        case IdType.IPV4_ADDR if len(octets) == 4:
            return _has(certificate, NameKind.IP, octets)
        case IdType.IPV6_ADDR if len(octets) == 16:
            return _has(certificate, NameKind.IP, octets)
        case IdType.FQDN:
            return _sensible(octets) and any(
                name.kind is NameKind.DNS and name.octets.lower() == octets.lower()
                for name in certificate.alternative_names
            )
        case IdType.RFC822_ADDR:
            return _sensible(octets) and any(
                name.kind is NameKind.EMAIL and same_mailbox(name.octets, octets)
                for name in certificate.alternative_names
            )
        case IdType.DER_ASN1_DN:
            return _has_dn(certificate, octets)
        case IdType.KEY_ID:
            return bool(octets) and octets in key_identifiers(certificate)
        case _:
            return False


def describe(certificate: Certificate) -> str:
    """All names that the certificate holds, in the configuration's spelling."""
    names = [str(name) for name in certificate.alternative_names[:32]]
    if not certificate.subject.empty:
        names.append(f"dn:{certificate.subject}")
    identifier = certificate.extensions.subject_key_identifier
    names.append(f"keyid:0x{(identifier or certificate.key_sha1).hex()}")
    return " ".join(names)


def identities(certificate: Certificate) -> tuple[Identity, ...]:
    """Every identity that `matches`, the most telling first: what our own side could send."""
    found: list[Identity] = []
    for name in certificate.alternative_names:
        match name.kind:
            case NameKind.DNS:
                found.append(Identity(IdType.FQDN, name.octets))
            case NameKind.EMAIL:
                found.append(Identity(IdType.RFC822_ADDR, name.octets))
            case NameKind.IP:
                kind = IdType.IPV4_ADDR if len(name.octets) == 4 else IdType.IPV6_ADDR
                found.append(Identity(kind, name.octets))
            case NameKind.DIRECTORY:
                found.append(Identity(IdType.DER_ASN1_DN, name.octets))
    if not certificate.subject.empty:
        found.append(Identity(IdType.DER_ASN1_DN, certificate.subject.der))
    found.extend(Identity(IdType.KEY_ID, key) for key in key_identifiers(certificate))
    return tuple(one for one in dict.fromkeys(found) if matches(certificate, one))


def key_identifiers(certificate: Certificate) -> tuple[bytes, ...]:
    """What a key ID may be: the SubjectKeyIdentifier, or SHA-1 of the key or of its SPKI."""
    own = (certificate.key_sha1, certificate.spki_sha1)
    identifier = certificate.extensions.subject_key_identifier
    return own if identifier is None else (identifier, *own)


def same_mailbox(one: bytes, other: bytes) -> bool:
    """RFC 5280 §7.5: the local part octet by octet, the domain without regard to case."""
    local, at, domain = one.rpartition(b"@")
    other_local, other_at, other_domain = other.rpartition(b"@")
    return bool(at and other_at and local) and (
        local == other_local and domain.lower() == other_domain.lower()
    )


def _sensible(octets: bytes) -> bool:
    """Printable ASCII without blanks: a name with a NUL inside is nobody's."""
    return bool(octets) and all(0x21 <= octet <= 0x7E for octet in octets)


def _has(certificate: Certificate, kind: NameKind, octets: bytes) -> bool:
    return any(n.kind is kind and n.octets == octets for n in certificate.alternative_names)


def _has_dn(certificate: Certificate, octets: bytes) -> bool:
    try:
        wanted = Name.parse(octets)
    except Malformed:
        return False
    if wanted.empty:
        return False
    return certificate.subject == wanted or any(
        name.directory == wanted for name in certificate.alternative_names
    )
