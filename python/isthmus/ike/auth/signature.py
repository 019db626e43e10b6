"""Signatures that prove who somebody is: which scheme, which method, and whether one holds.

In AUTH payloads three generations lie side by side: RSA of RFC 7296 §3.8 (method 1), ECDSA of
RFC 4754 (methods 9 to 11), and digital signatures of RFC 7427 and RFC 8420 (method 14), where the
peer has told in IKE_SA_INIT which hashes it takes. `read` takes them all to the one form that
`check` holds to the configuration; IKEv1 makes that form itself. Octets to sign are handed in.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from isthmus.crypto.signature import (
    BadSignature,
    PublicKey,
    ecdsa_from_raw,
    ecdsa_to_raw,
    verify,
)
from isthmus.ike.core.proofs import Proof
from isthmus.values.errors import Malformed, NotAuthenticated
from isthmus.values.registry.ikev2 import AuthMethod, HashAlgorithm, NotifyType, label
from isthmus.values.signature import (
    WEAK_SCHEMES,
    AnyScheme,
    DigestScheme,
    KeyKind,
    Scheme,
    schemes_of,
)
from isthmus.wire.v2.authentication import (
    ALGORITHMS,
    HASH_OF,
    Announcement,
    Authentication,
    DigitalSignature,
)

RFC_4754 = {
    KeyKind.EC_P256: (AuthMethod.ECDSA_P256, Scheme.ECDSA_SHA256),
    KeyKind.EC_P384: (AuthMethod.ECDSA_P384, Scheme.ECDSA_SHA384),
    KeyKind.EC_P521: (AuthMethod.ECDSA_P521, Scheme.ECDSA_SHA512),
}
"""A curve, its method, and the one hash that goes with it."""
_RFC_4754_KIND: dict[int, KeyKind] = {method: kind for kind, (method, _) in RFC_4754.items()}
RSA_METHOD_1 = (
    Scheme.RSA_PKCS1_SHA256,
    Scheme.RSA_PKCS1_SHA384,
    Scheme.RSA_PKCS1_SHA512,
    Scheme.RSA_PKCS1_SHA1,
)
"""Method 1 leaves the hash to the signer: the signature itself names it (RFC 7296 §3.8)."""
SIGNATURE_METHODS = frozenset(
    {AuthMethod.RSA_SIGNATURE, *_RFC_4754_KIND, AuthMethod.DIGITAL_SIGNATURE}
)


def strong(schemes: Iterable[Scheme]) -> tuple[Scheme, ...]:
    """Those that nobody has to name on purpose."""
    return tuple(scheme for scheme in schemes if scheme not in WEAK_SCHEMES)


def accepted(named: Sequence[Scheme]) -> tuple[Scheme, ...]:
    """What a peer may sign with: the schemes that the configuration names, else every strong one,
    best first."""
    return tuple(named) or STRONG


STRONG = strong(dict.fromkeys(scheme for kind in KeyKind for scheme in schemes_of(kind)))


def hashes(schemes: Iterable[Scheme]) -> tuple[HashAlgorithm, ...]:
    """What SIGNATURE_HASH_ALGORITHMS tells about these schemes (RFC 7427 §4, RFC 8420 §2)."""
    return tuple(sorted({HASH_OF[scheme] for scheme in schemes}))


def announcements(schemes: Iterable[Scheme]) -> tuple[Announcement, ...]:
    """What SUPPORTED_AUTH_METHODS tells about these schemes (RFC 9593 §3.2), for every CA alike."""
    return tuple(
        Announcement(AuthMethod.DIGITAL_SIGNATURE, 0, ALGORITHMS[scheme]) for scheme in schemes
    )


@dataclass(frozen=True, slots=True)
class PeerTakes:
    """What the peer has said about signatures that it can check."""

    hashes: frozenset[int] | None = None
    """None: it said nothing, so it may not know digital signatures (RFC 7427 §4)."""
    announced: tuple[Announcement, ...] = ()
    """RFC 9593; empty: it said nothing."""
    ocsp: bool = False
    """It would like an OCSP answer about our certificate (RFC 4806)."""


SAID_NOTHING = PeerTakes()


@dataclass(frozen=True, slots=True)
class Choice:
    """How we sign."""

    method: AuthMethod
    scheme: Scheme


def choose(kind: KeyKind, named: Sequence[Scheme], peer: PeerTakes) -> Choice:
    """The best scheme that our key can do, the configuration allows and the peer takes.

    Raises NotAuthenticated (E136) when there is none.
    """
    wanted = tuple(s for s in named if s in schemes_of(kind)) or strong(schemes_of(kind))
    if named and not set(named) & set(schemes_of(kind)):
        raise _no_scheme(f"our {kind} key can do none of {_row(named)}, which `signature` names")
    told = tuple(a.scheme for a in peer.announced)
    wanted = tuple(s for s in wanted if s in told) or wanted
    if peer.hashes is not None:
        for scheme in wanted:
            if HASH_OF[scheme] in peer.hashes:
                return Choice(AuthMethod.DIGITAL_SIGNATURE, scheme)
        names = ", ".join(label(HashAlgorithm, number) for number in sorted(peer.hashes))
        raise _no_scheme(f"the peer takes the hashes {names or 'none'}, we sign by {_row(wanted)}")
    if kind in RFC_4754:
        method, fixed = RFC_4754[kind]
        if fixed in wanted:
            return Choice(method, fixed)
    if kind is KeyKind.RSA:
        # RFC 7296 §3.8 expects SHA-1 here: where it is named, the peer is that old.
        for scheme in reversed(RSA_METHOD_1) if named else RSA_METHOD_1:
            if scheme in wanted:
                return Choice(AuthMethod.RSA_SIGNATURE, scheme)
    raise _no_scheme(
        f"the peer does not know digital signatures (RFC 7427), we sign by {_row(wanted)}"
    )


def _no_scheme(reason: str) -> NotAuthenticated:
    return NotAuthenticated(reason, notify=NotifyType.AUTHENTICATION_FAILED, code="E136")


def _row(schemes: Iterable[AnyScheme]) -> str:
    return ", ".join(schemes)


def payload(choice: Choice, kind: KeyKind, signature: bytes) -> Authentication:
    """The AUTH payload of a signature made by `choice`; ECDSA comes in DER."""
    match choice.method:
        case AuthMethod.DIGITAL_SIGNATURE:
            data = DigitalSignature.of(choice.scheme, signature).encode()
        case AuthMethod.RSA_SIGNATURE:
            data = signature
        case _:
            data = ecdsa_to_raw(kind, signature)
    return Authentication(choice.method, data)


def read(payload: Authentication) -> Proof:
    """What an AUTH payload says of itself, with no key at hand.

    Raises NotAuthenticated: E134 for what is no signature or cannot be read, E135 for an algorithm
    that nobody here knows.
    """
    match payload.method:
        case AuthMethod.RSA_SIGNATURE:
            return Proof(RSA_METHOD_1, payload.data)
        case AuthMethod.ECDSA_P256 | AuthMethod.ECDSA_P384 | AuthMethod.ECDSA_P521 as method:
            kind = _RFC_4754_KIND[method]
            return Proof((RFC_4754[kind][1],), payload.data, kind)
        case AuthMethod.DIGITAL_SIGNATURE:
            try:
                signed = DigitalSignature.decode(payload.data)
            except Malformed as malformed:
                raise _does_not_hold(f"the AUTH payload cannot be read: {malformed}") from None
            if signed.scheme is None:
                raise NotAuthenticated(
                    "the peer signed by an algorithm or with parameters that nobody here knows: "
                    f"AlgorithmIdentifier {signed.algorithm[:64].hex() or '(empty)'}",
                    notify=NotifyType.AUTHENTICATION_FAILED,
                    code="E135",
                )
            return Proof((signed.scheme,), signed.signature)
        case _:
            raise _does_not_hold(f"{label(AuthMethod, payload.method)} is no signature")


def check(key: PublicKey, proof: Proof, octets: bytes, named: Sequence[Scheme]) -> AnyScheme:
    """The scheme by which `proof` holds over `octets`; `named` are those of the configuration.

    Raises NotAuthenticated: E134 for a signature that does not hold, E135 for one that is made in a
    way that we do not take.
    """
    signature = proof.signature
    if proof.curve is not None:
        if key.kind is not proof.curve:
            raise _does_not_hold(f"an {proof.curve} signature with an {key} key")
        try:
            signature = ecdsa_from_raw(proof.curve, signature)
        except BadSignature as bad:
            raise _does_not_hold(str(bad)) from None
    if len(proof.schemes) == 1 and not _takes(named, key, proof.schemes[0]):
        raise _not_taken(proof.schemes[0], named)
    refusal: BadSignature | None = None
    for scheme in proof.schemes:
        try:
            verify(key, scheme, octets, signature)
        except BadSignature as bad:
            refusal = refusal or bad
            continue
        if not _takes(named, key, scheme):
            raise _not_taken(scheme, named)
        return scheme
    raise _does_not_hold(str(refusal))


def _takes(named: Sequence[Scheme], key: PublicKey, scheme: AnyScheme) -> bool:
    """A digest's hash was agreed on with the phase 1 proposal, which says itself what is weak: what
    is named speaks then of the kind of key alone."""
    if isinstance(scheme, DigestScheme):
        return not named or not set(named).isdisjoint(schemes_of(key.kind))
    return scheme in accepted(named)


def _not_taken(scheme: AnyScheme, named: Sequence[Scheme]) -> NotAuthenticated:
    how = "" if isinstance(scheme, DigestScheme) else f" ({HASH_OF[scheme].name})"
    return NotAuthenticated(
        f"the peer signed by {scheme}{how}; taken are {_row(accepted(named))}",
        notify=NotifyType.AUTHENTICATION_FAILED,
        code="E135",
    )


def _does_not_hold(why: str) -> NotAuthenticated:
    return NotAuthenticated(
        f"the peer's signature does not hold: {why}",
        notify=NotifyType.AUTHENTICATION_FAILED,
        code="E134",
    )
