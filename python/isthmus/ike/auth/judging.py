"""What workers do with proofs: sign, judge a peer's signature with the certificates it sent, and
look whether a password is its user's.

Pure functions of the job and of the date. Order: the certificate is read, its names are held
against what the peer says it is, its key against the signature, and only then the path to an anchor
is walked. One refusal is told, of the first tunnel that the peer might have belonged to.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import assert_never

from isthmus.crypto.signature import BadKey, PublicKey
from isthmus.ike.auth import signature
from isthmus.ike.core.effects import CheckLogin, JudgePeer, Sign
from isthmus.ike.core.events import ComputeFinished
from isthmus.ike.core.proofs import Judged, PeerTerms, Vouch
from isthmus.policy.authentication import AuthKind
from isthmus.values.errors import IsthmusError, Malformed, NotAuthenticated
from isthmus.values.registry.ikev2 import CertEncoding, NotifyType, label
from isthmus.values.signature import WEAK_SCHEMES, AnyScheme
from isthmus.values.trust import EkuRule, RevocationMode
from isthmus.wire.v2.certificate import Certificate as Sent
from isthmus.wire.v2.certificate import HashAndUrl
from isthmus.x509.certificate import Certificate
from isthmus.x509.errors import BadCertificate, BadOcsp, Defect, Untrusted
from isthmus.x509.identity import describe, matches
from isthmus.x509.ocsp import OcspAnswer
from isthmus.x509.path import validate
from isthmus.x509.revocation import (
    SKEW_S,
    Revocation,
    Source,
    SourceKind,
    Statuses,
    admit_answer,
    needed,
)
from isthmus.x509.rules import Judge, PathRules, VerifiedPath

ADDRESSES_MAX = 4
"""Certificates of one peer that are fetched."""
SENT_MAX = 16
"""CERT payloads that are looked at."""
PARSED_MAX = 32
"""Certificates that are known by their octets: what is asked before the verdict and the verdict
itself read the same ones, and so does a peer that comes again."""
_BY_URL = frozenset({CertEncoding.HASH_AND_URL_X509, CertEncoding.HASH_AND_URL_BUNDLE})


def answer(ticket: int, job: Sign | JudgePeer | CheckLogin, at: int) -> ComputeFinished:
    """Carry a job out; `at` is the date in Unix seconds. Never raises for what a peer has sent."""
    try:
        match job:
            case Sign(key, scheme, octets, vouch):
                answers = () if vouch is None else own_answers(vouch, at)
                return ComputeFinished(ticket, (key.sign(scheme, octets), *answers))
            case JudgePeer():
                return ComputeFinished(ticket, (judge(job, at),))
            case CheckLogin(users, user, password):
                if not users.admits(user, password):
                    raise _refusal("E170", f"{user} is no user here, or has another password")
                return ComputeFinished(ticket, (user.encode(),))
            case _:
                assert_never(job)
    except NotAuthenticated as refusal:
        return ComputeFinished(ticket, None, refusal.reason, refusal.code, refusal.hint)
    except IsthmusError as error:
        return ComputeFinished(ticket, None, str(error))


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the peer's CERT payloads hold."""

    leaf: Certificate | None
    between: tuple[Certificate, ...]
    raw: PublicKey | None
    ocsp: tuple[bytes, ...] = ()

    @property
    def key(self) -> PublicKey | None:
        """The key of the first payload, which AUTH must have been made with (RFC 7296 §3.6)."""
        return self.leaf.public_key if self.leaf is not None else self.raw


def judge(job: JudgePeer, at: int) -> Judged:
    """Under the first of the job's terms that holds. Raises NotAuthenticated, and nothing else."""
    shown = _read(job.certificates)
    refusal: NotAuthenticated | None = None
    for terms in job.terms:
        try:
            if terms.auth.kind is AuthKind.PUBKEY:
                return _by_bare_key(job, shown, terms)
            return _by_certificate(job, shown, terms, at)
        except NotAuthenticated as failure:
            refusal = refusal or failure
    raise refusal or _refusal("E137", "nothing is loaded that the peer could be trusted by")


def addresses(job: JudgePeer) -> dict[int, str]:
    """Where to fetch the peer's certificates, by the number of the CERT payload; empty unless a
    tunnel that the peer may belong to allows it. Raises NotAuthenticated for too many, or none that
    can be read."""
    if not any(terms.auth.by_url for terms in job.terms):
        return {}
    found: dict[int, str] = {}
    for number, payload in enumerate(job.certificates[:SENT_MAX]):
        if payload.encoding == CertEncoding.HASH_AND_URL_X509:
            try:
                found[number] = HashAndUrl.decode(payload.data).url
            except Malformed as malformed:
                raise _refusal("E133", f"a certificate by hash and URL: {malformed}") from None
    if len(found) > ADDRESSES_MAX:
        raise _refusal("E133", f"{len(found)} certificates by hash and URL are too many")
    return found


def with_fetched(job: JudgePeer, fetched: Mapping[int, bytes]) -> JudgePeer:
    """The job as if the certificates themselves had been sent, under the terms that allow it.

    Raises NotAuthenticated for octets that have another hash than the peer said.
    """
    certificates = list(job.certificates)
    for number, octets in fetched.items():
        digest = hashlib.sha1(octets, usedforsecurity=False).digest()
        if HashAndUrl.decode(certificates[number].data).digest != digest:
            raise _refusal("E133", "what lies at the peer's address is another certificate")
        certificates[number] = Sent(CertEncoding.X509_SIGNATURE, octets)
    terms = tuple(terms for terms in job.terms if terms.auth.by_url) if fetched else job.terms
    return replace(job, certificates=tuple(certificates), terms=terms)


def answer_or_ask(ticket: int, job: JudgePeer, at: int) -> "ComputeFinished | Questions":
    """The verdict, or what ought to be fetched before there can be one."""
    return questions(job, at) or answer(ticket, job, at)


@dataclass(frozen=True, slots=True)
class Question:
    """A peer's path that holds, and where to ask whether it was revoked."""

    path: VerifiedPath
    sources: tuple[Source, ...]
    mode: RevocationMode


Questions = tuple[Question, ...]


def questions(job: JudgePeer, at: int) -> Questions:
    """What ought to be fetched before `answer`. Nobody is asked about a certificate whose holder
    has not signed, or which leads to no anchor: strangers cannot have us fetch anything."""
    found: list[Question] = []
    if not any(_may_ask(terms) for terms in job.terms):
        return ()
    try:
        shown = _read(job.certificates)
    except NotAuthenticated:
        return ()  # `answer` tells the same, and there it counts.
    for terms in job.terms:
        if not _may_ask(terms):
            continue
        try:
            leaf, _ = _signer(job, shown, terms)
            path = _path(shown, leaf, terms, at, None)
        except (NotAuthenticated, Untrusted):
            continue  # As above.
        sources = needed(path, _with_answers(shown, job.statuses, path, at), at)
        if sources:
            found.append(Question(path, sources, terms.auth.revocation))
    return tuple(found)


def _may_ask(terms: PeerTerms) -> bool:
    return terms.auth.kind is AuthKind.CERT and terms.auth.revocation is not RevocationMode.OFF


def own_question(vouch: Vouch, at: int) -> Question | None:
    """Where to ask about our own certificate, so that the answer can go along with it."""
    path = _own_path(vouch, at)
    if path is None or any(_fitting(vouch, path, at)):
        return None
    leaf = path.leaf
    sources = tuple(
        source
        for source in needed(path, vouch.statuses, at)
        if source.kind is SourceKind.OCSP and source.certificate == leaf
    )
    return Question(path, sources, RevocationMode.SOFT) if sources else None


def own_answers(vouch: Vouch, at: int) -> tuple[bytes, ...]:
    """The OCSP answer about our own certificate, if a current one is known: one or none."""
    path = _own_path(vouch, at)
    return () if path is None else tuple(_fitting(vouch, path, at))[-1:]


def _own_path(vouch: Vouch, at: int) -> VerifiedPath | None:
    """From our certificate to the highest that is at hand; the peer judges for itself."""
    leaf, *above = vouch.chain
    rules = PathRules(eku=EkuRule.ANY, allow_sha1=True, rsa_bits_min=1024)
    try:
        return validate(leaf, above, (*vouch.anchors, *above), at=at, rules=rules)
    except Untrusted:
        return None  # Then there is no issuer to ask after; the peer will say what is wrong.


def _fitting(vouch: Vouch, path: VerifiedPath, at: int) -> Iterator[bytes]:
    leaf, issuer = path.certificates[0], path.certificates[min(1, len(path.certificates) - 1)]
    for known in vouch.statuses.answers.get(leaf.serial, ()):
        for single in known.singles:
            current = single.next_update is None or single.next_update > at
            if single.is_about(leaf, issuer) and current and single.this_update <= at + SKEW_S:
                yield known.der


def _read(sent: Sequence[Sent]) -> _Shown:
    """The payloads in their order: the first holds the key that signed, the others may help."""
    leaf: Certificate | None = None
    between: list[Certificate] = []
    raw: PublicKey | None = None
    ocsp: list[bytes] = []
    for payload in sent[:SENT_MAX]:
        first = leaf is None and raw is None
        if payload.encoding in _BY_URL and first:
            raise _refusal(
                "E133",
                "the peer sent its certificate by hash and URL, which is not fetched here",
                "have the peer send the certificate itself, or set remote_cert_url",
            )
        if payload.encoding == CertEncoding.RAW_PUBLIC_KEY and first:
            try:
                raw = PublicKey.from_spki(payload.data)
            except BadKey as bad:
                raise _refusal(Defect.KEY, f"the peer's bare public key: {bad}") from None
        elif payload.encoding == CertEncoding.X509_SIGNATURE:
            try:
                certificate = _parsed(payload.data)
            except BadCertificate as bad:
                if first:
                    raise _refusal(bad.code, f"the peer's certificate: {bad.reason}") from None
                continue  # One that cannot be read is missing on the path, if it is needed at all.
            if first:
                leaf = certificate
            else:
                between.append(certificate)
        elif payload.encoding == CertEncoding.OCSP_CONTENT:
            ocsp.append(payload.data)
    return _Shown(leaf, tuple(between), raw, tuple(ocsp))


_parsed = lru_cache(PARSED_MAX)(Certificate.parse)


def _by_bare_key(job: JudgePeer, shown: _Shown, terms: PeerTerms) -> Judged:
    """RFC 7670: the key itself is known here. A certificate around it is worth no more."""
    known = terms.trust.raw
    if shown.key is not None:
        if shown.key not in known:
            raise _refusal(
                "E138", f"the {shown.key} key of {job.claimed} is none that is known here"
            )
        known = (shown.key,)
    refusal = _refusal("E138", f"no key is known here for {job.claimed}")
    for key in known:
        try:
            scheme = signature.check(key, job.proof, job.octets, terms.auth.schemes)
        except NotAuthenticated as failure:
            refusal = failure
            continue
        return Judged(terms.tunnel, scheme, str(key))
    raise refusal


def _by_certificate(job: JudgePeer, shown: _Shown, terms: PeerTerms, at: int) -> Judged:
    leaf, scheme = _signer(job, shown, terms)
    mode = terms.auth.revocation
    try:
        path = _path(shown, leaf, terms, at, None)
        if mode is not RevocationMode.OFF:
            # A second walk, because another path may do where this one has been revoked.
            statuses = _with_answers(shown, job.statuses, path, at)
            path = _path(shown, leaf, terms, at, Revocation(mode, statuses))
    except Untrusted as untrusted:
        raise _refusal(untrusted.code, untrusted.reason, untrusted.hint) from None
    return Judged(terms.tunnel, scheme, leaf.subject_text, path.not_after, path, at)


def _signer(job: JudgePeer, shown: _Shown, terms: PeerTerms) -> tuple[Certificate, AnyScheme]:
    """The certificate that names the peer and whose key has signed. No path is walked before."""
    leaf = shown.leaf
    if leaf is None:
        kinds = ", ".join(label(CertEncoding, c.encoding) for c in job.certificates[:SENT_MAX])
        raise _refusal(
            "E132",
            f"{job.claimed} sent no X.509 certificate" + (f", only {kinds}" if kinds else ""),
            "have the peer send its certificate (strongSwan: send_cert = always)",
        )
    if not matches(leaf, job.claimed):
        raise _refusal(
            Defect.IDENTITY,
            f"the peer says that it is {job.claimed}; its certificate holds {describe(leaf)}",
            "set local_id there to a name that the certificate holds, or issue one with this name",
        )
    return leaf, signature.check(leaf.public_key, job.proof, job.octets, terms.auth.schemes)


def _path(
    shown: _Shown, leaf: Certificate, terms: PeerTerms, at: int, judge: Judge | None
) -> VerifiedPath:
    """From the leaf to one of the tunnel's anchors. Raises Untrusted."""
    rules = PathRules(
        eku=terms.auth.eku,
        allow_sha1=not WEAK_SCHEMES.isdisjoint(terms.auth.schemes),
        revocation=judge,
    )
    between = (*shown.between, *terms.trust.extra)
    return validate(leaf, between, terms.trust.anchors, at=at, rules=rules)


def _with_answers(shown: _Shown, statuses: Statuses, path: VerifiedPath, at: int) -> Statuses:
    """The OCSP answers that the peer sent along (RFC 4806), if they are to be believed."""
    for octets in shown.ocsp:
        try:
            statuses = admit_answer(statuses, OcspAnswer.parse(octets), path, at)
        except BadOcsp:
            continue  # As if it had not been sent: what the mode demands is still asked.
    return statuses


def _refusal(code: str, reason: str, hint: str = "") -> NotAuthenticated:
    return NotAuthenticated(
        reason, notify=NotifyType.AUTHENTICATION_FAILED, code=str(code), hint=hint
    )
