"""One path, checked from the anchor down (RFC 5280 §6.1).

Each check is a function of its own that raises, so that none can be asked and not heard.
"""

from datetime import UTC, datetime
from functools import lru_cache

from isthmus.crypto.signature import BadSignature, verify
from isthmus.values.signature import WEAK_SCHEMES, KeyKind
from isthmus.x509.certificate import Certificate
from isthmus.x509.constraints import Constraints
from isthmus.x509.errors import Defect, Untrusted
from isthmus.x509.policies import Policies
from isthmus.x509.rules import PathRules
from isthmus.x509.usage import (
    check_extended_key_usage,
    check_issuer_key_usage,
    check_key_usage,
)

KEPT_MAX = 256
KEPT_OCTETS_MAX = 8192
"""Signatures that are known to hold, and octets of a certificate beyond which it is not kept."""


def walk(chain: tuple[Certificate, ...], at: int, rules: PathRules) -> frozenset[str]:
    """Check a path: the certificate that is asked about first, the anchor last.

    Names must already link (`path.py` builds it so). Returns the policies under which the path
    holds. Raises Untrusted.
    """
    leaf = chain[0]
    for certificate in reversed(chain):
        check_form(certificate)
        check_critical(certificate)
        check_validity(certificate, at)
        check_key(certificate, rules)
    if len(chain) == 1:
        # The anchor is the certificate itself: trusted by name, so its issuer does not matter.
        _check_last(leaf, rules)
        return frozenset()
    constraints = Constraints()
    policies = Policies(
        len(chain),
        rules.policies,
        rules.explicit_policy,
        rules.inhibit_policy_mapping,
        rules.inhibit_any_policy,
    )
    # One more than RFC 5280 §6.1.2 k begins with: the anchor is counted here like the others.
    below_max = len(chain)
    for index in range(len(chain) - 1, 0, -1):
        issuer, subject = chain[index], chain[index - 1]
        last = index == 1
        check_authority(issuer)
        below_max = check_path_length(issuer, below_max)
        check_issuer_key_usage(issuer)
        constraints = constraints.narrowed(issuer.extensions.subtrees)
        check_algorithm(subject, rules)
        check_signature(subject, issuer)
        if last or not subject.self_issued:
            constraints = constraints.checked(subject)
        policies.take(subject, last=last)
        if not last:
            policies.prepare(subject)
            check_extended_key_usage(subject, rules.purpose, rules.eku, last=False)
    _check_last(leaf, rules)
    return policies.finish(leaf)


def _check_last(leaf: Certificate, rules: PathRules) -> None:
    check_key_usage(leaf, rules.purpose)
    check_extended_key_usage(leaf, rules.purpose, rules.eku, last=True)


def check_form(certificate: Certificate) -> None:
    """What contradicts itself. Raises Untrusted."""
    if not certificate.algorithms_equal:
        raise Untrusted(
            Defect.CONTRADICTION,
            f"{certificate.subject_text} names two signature algorithms, inside and outside",
        )


def check_critical(certificate: Certificate) -> None:
    """RFC 5280 §4.2: an unknown critical extension refuses the certificate. Raises Untrusted."""
    unknown = certificate.extensions.unknown_critical
    if unknown:
        raise Untrusted(
            Defect.UNKNOWN_CRITICAL,
            f"{certificate.subject_text} has the unknown critical extension {unknown[0]}",
        )


def check_validity(certificate: Certificate, at: int) -> None:
    """RFC 5280 §4.1.2.5: both ends of the time are part of it. Raises Untrusted."""
    if at > certificate.not_after:
        raise Untrusted(
            Defect.EXPIRED,
            f"{certificate.subject_text} expired {date(certificate.not_after)}, "
            f"{_ago(at - certificate.not_after)} ago by this machine's clock",
        )
    if at < certificate.not_before:
        raise Untrusted(
            Defect.NOT_YET_VALID,
            f"{certificate.subject_text} is valid only from {date(certificate.not_before)}, "
            f"in {_ago(certificate.not_before - at)} by this machine's clock",
        )


def date(at: int) -> str:
    """A Unix time for people, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _ago(seconds: int) -> str:
    days, rest = divmod(seconds, 86_400)
    return f"{days} days" if days else f"{rest // 3600} h {rest % 3600 // 60} min"


def check_key(certificate: Certificate, rules: PathRules) -> None:
    """Every key of the path is long enough. Raises Untrusted."""
    key = certificate.public_key
    if key.kind is KeyKind.RSA and key.bits < rules.rsa_bits_min:
        raise Untrusted(
            Defect.KEY,
            f"the key of {certificate.subject_text} has {key.bits} bits, "
            f"fewer than {rules.rsa_bits_min}",
        )


def check_authority(issuer: Certificate) -> None:
    """RFC 5280 §6.1.4 k; version 1 certificates can be none. Raises Untrusted."""
    if not issuer.is_authority:
        said = "says that it is no" if issuer.extensions.is_authority is False else "is not marked"
        raise Untrusted(
            Defect.NOT_A_CA, f"{issuer.subject_text} issued a certificate and {said} authority"
        )


def check_path_length(issuer: Certificate, below_max: int) -> int:
    """RFC 5280 §6.1.4 l and m: authorities below this one that are not self-issued.

    `below_max` is what the authorities above leave. Returns what is left below. Raises Untrusted.
    """
    if not issuer.self_issued:
        if below_max <= 0:
            raise Untrusted(
                Defect.PATH_LENGTH,
                f"an authority above {issuer.subject_text} allows no further authority below it",
            )
        below_max -= 1
    length = issuer.extensions.path_length
    return below_max if length is None else min(below_max, length)


def check_algorithm(certificate: Certificate, rules: PathRules) -> None:
    """The signature's algorithm is strong, or was allowed by name. Raises Untrusted."""
    if certificate.scheme in WEAK_SCHEMES and not rules.allow_sha1:
        raise Untrusted(
            Defect.ALGORITHM, f"{certificate.subject_text} is signed by {certificate.scheme}"
        )


_verify_once = lru_cache(KEPT_MAX)(verify)
"""That a signature holds does not change: the same few authorities have signed every peer's
certificate, and a path is walked more than once. One that does not hold is checked each time."""


def check_signature(certificate: Certificate, issuer: Certificate) -> None:
    """The issuer's key signed the certificate. Raises Untrusted."""
    if certificate.scheme is None:
        raise Untrusted(
            Defect.ALGORITHM,
            f"{certificate.subject_text} is signed by an algorithm that is not accepted",
        )
    is_small = len(certificate.signed) + len(certificate.signature) <= KEPT_OCTETS_MAX
    check = _verify_once if is_small else verify
    try:
        check(issuer.public_key, certificate.scheme, certificate.signed, certificate.signature)
    except BadSignature as error:
        raise Untrusted(
            Defect.SIGNATURE,
            f"the signature of {certificate.subject_text} does not hold under the key of "
            f"{issuer.subject_text}: {error}",
        ) from None
