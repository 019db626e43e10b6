"""What a certificate at the end of a path may be used for (RFC 4945 §5.1.3, RFC 5280 §4.2.1.12)."""

from enum import StrEnum

from isthmus.values.trust import EkuRule
from isthmus.x509.certificate import Certificate
from isthmus.x509.errors import Defect, Untrusted
from isthmus.x509.extensions import (
    CONTENT_COMMITMENT,
    CRL_SIGN,
    DIGITAL_SIGNATURE,
    KEY_CERT_SIGN,
)

ANY_PURPOSE = "2.5.29.37.0"
SERVER_AUTH = "1.3.6.1.5.5.7.3.1"
CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"
IPSEC_END_SYSTEM = "1.3.6.1.5.5.7.3.5"
IPSEC_TUNNEL = "1.3.6.1.5.5.7.3.6"
IPSEC_USER = "1.3.6.1.5.5.7.3.7"
OCSP_SIGNING = "1.3.6.1.5.5.7.3.9"
IPSEC_IKE = "1.3.6.1.5.5.7.3.17"
IKE_INTERMEDIATE = "1.3.6.1.5.5.8.2.2"


class Purpose(StrEnum):
    """What the last certificate of a path is wanted for."""

    IKE = "ike"
    CRL_SIGNING = "crl-signing"
    OCSP_SIGNING = "ocsp-signing"
    ANY = "any"


_ACCEPTED: dict[EkuRule, frozenset[str]] = {
    EkuRule.IKE: frozenset(
        {
            ANY_PURPOSE,
            IPSEC_IKE,
            IKE_INTERMEDIATE,
            IPSEC_END_SYSTEM,
            IPSEC_TUNNEL,
            IPSEC_USER,
            SERVER_AUTH,
            CLIENT_AUTH,
        }
    ),
    EkuRule.SERVER: frozenset({ANY_PURPOSE, SERVER_AUTH}),
    EkuRule.CLIENT: frozenset({ANY_PURPOSE, CLIENT_AUTH}),
}
_NAMES = {
    ANY_PURPOSE: "any",
    SERVER_AUTH: "serverAuth",
    CLIENT_AUTH: "clientAuth",
    "1.3.6.1.5.5.7.3.3": "codeSigning",
    "1.3.6.1.5.5.7.3.4": "emailProtection",
    IPSEC_END_SYSTEM: "ipsecEndSystem",
    IPSEC_TUNNEL: "ipsecTunnel",
    IPSEC_USER: "ipsecUser",
    "1.3.6.1.5.5.7.3.8": "timeStamping",
    OCSP_SIGNING: "OCSPSigning",
    IPSEC_IKE: "ipsecIKE",
    IKE_INTERMEDIATE: "iKEIntermediate",
}


def check_key_usage(certificate: Certificate, purpose: Purpose) -> None:
    """KeyUsage of the last certificate. Raises Untrusted.

    RFC 4945 §5.1.3.2: digitalSignature or nonRepudiation for IKE; nothing said allows everything.
    """
    usage = certificate.extensions.key_usage
    if usage is None or purpose is Purpose.ANY:
        return
    if purpose is Purpose.CRL_SIGNING:
        wanted, word = {CRL_SIGN}, "cRLSign"
    else:
        wanted, word = {DIGITAL_SIGNATURE, CONTENT_COMMITMENT}, "digitalSignature"
    if not usage & wanted:
        raise Untrusted(
            Defect.KEY_USAGE, f"the key usage of {certificate.subject_text} lacks {word}"
        )


def check_issuer_key_usage(certificate: Certificate) -> None:
    """An authority's key must be one for signing certificates. Raises Untrusted."""
    usage = certificate.extensions.key_usage
    if usage is not None and KEY_CERT_SIGN not in usage:
        raise Untrusted(
            Defect.KEY_USAGE, f"the key usage of {certificate.subject_text} lacks keyCertSign"
        )


def check_extended_key_usage(
    certificate: Certificate, purpose: Purpose, rule: EkuRule, *, last: bool
) -> None:
    """ExtendedKeyUsage of the last certificate or of an authority below the anchor.

    An authority that lists purposes can give out no others, as Windows and browsers see it.
    Raises Untrusted.
    """
    found = certificate.extensions.purposes
    if purpose is Purpose.OCSP_SIGNING:
        if not last:
            return
        accepted = frozenset({OCSP_SIGNING})
        if found is None:
            found = frozenset()
    elif purpose is Purpose.IKE and rule is not EkuRule.ANY:
        accepted = _ACCEPTED[rule]
        if found is None and (rule is EkuRule.IKE or not last):
            return
    else:
        return
    if found is None or not found & accepted:
        shown = ", ".join(sorted(_NAMES.get(oid, oid) for oid in found or ())[:8]) or "none"
        wanted = ", ".join(sorted(_NAMES[oid] for oid in accepted))
        raise Untrusted(
            Defect.EXTENDED_KEY_USAGE,
            f"the extended key usage of {certificate.subject_text} is {shown}; "
            f"one of {wanted} is asked for",
        )
