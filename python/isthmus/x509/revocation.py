"""Whether a path's certificates were revoked: lists and answers weighed (RFC 5280 §6.3, RFC 6960).

What was fetched or read is kept in `Statuses`, a frozen index. `judge` asks it about every
certificate of a path below the anchor and raises; `needed` says what is missing and where it can be
had. A revocation that is proven counts even when its list has passed its date; a certificate counts
as good only by a list or answer that is current.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise
from operator import attrgetter
from typing import Self

from isthmus.values.trust import RevocationMode
from isthmus.x509 import walk
from isthmus.x509.certificate import Certificate
from isthmus.x509.crl import REASON_NAMES, REMOVE_FROM_CRL, Crl
from isthmus.x509.errors import BadCrl, BadOcsp, Defect, Untrusted
from isthmus.x509.extensions import CRL_SIGN, REASONS_ALL, Point
from isthmus.x509.general_name import NameKind
from isthmus.x509.name import Key
from isthmus.x509.ocsp import OcspAnswer, Single, Verdict, request
from isthmus.x509.path import validate
from isthmus.x509.rules import VerifiedPath
from isthmus.x509.scope import in_scope, reasons_of
from isthmus.x509.usage import Purpose

SKEW_S = 300
"""Seconds that an issuer's clock may be ahead of ours."""
AGE_MAX_S = 86_400
"""Seconds that an OCSP answer or list without a next update is current for."""
LISTS_MAX = 64
"""Lists kept of one issuer: one for each key, scope and kind."""
ANSWERS_MAX = 4096
"""OCSP answers kept; the oldest goes first."""
SOURCES_MAX = 8
"""Places asked about one certificate."""
URL_SIZE_MAX = 2048
SIGNERS_MAX = 8
"""Certificates of a list's issuer whose key is tried: each costs a hash over the whole list."""
_NESTING_MAX = 3
"""Certificates that sign lists have lists of their own; how deep that is followed."""


@dataclass(frozen=True, slots=True)
class Statuses:
    """Lists by issuer's name, answers by serial number; never changed, only made anew."""

    crls: Mapping[Key, tuple[Crl, ...]] = field(default_factory=dict)
    answers: Mapping[int, tuple[OcspAnswer, ...]] = field(default_factory=dict)
    certificates: tuple[Certificate, ...] = ()
    """Certificates that may sign lists, beside those of the path."""

    @classmethod
    def of(
        cls,
        crls: Iterable[Crl] = (),
        answers: Iterable[OcspAnswer] = (),
        certificates: Sequence[Certificate] = (),
    ) -> Self:
        """An index of all these."""
        statuses = cls(certificates=tuple(certificates))
        for crl in crls:
            statuses = statuses.with_crl(crl)
        for answer in answers:
            statuses = statuses.with_answer(answer)
        return statuses

    def with_crl(self, crl: Crl) -> Self:
        """With one more list, which replaces an older one of the same issuer, key and scope.

        For lists that an administrator named; for those from the network see `admit`.
        """
        kept = list(self.crls.get(crl.issuer.key, ()))
        for index, known in enumerate(kept):
            if known.identity == crl.identity:
                if crl.this_update < known.this_update:
                    return self
                kept[index] = crl
                break
        else:
            kept = [*kept[-LISTS_MAX + 1 :], crl]
        return replace(self, crls={**self.crls, crl.issuer.key: tuple(kept)})

    def with_answer(self, answer: OcspAnswer) -> Self:
        """With one more answer, which replaces older ones about the same certificates."""
        answers = dict(self.answers)
        for single in answer.singles:
            others = [
                other
                for other in answers.pop(single.about.serial, ())
                if not any(one.about == single.about for one in other.singles)
            ]
            answers[single.about.serial] = (*others[-3:], answer)
        while len(answers) > ANSWERS_MAX:
            del answers[next(iter(answers))]
        return replace(self, answers=answers)


@dataclass(frozen=True, slots=True)
class Judgement:
    """No certificate of the path is known to be revoked.

    `good_until` is when the first list or answer that this rests on passes its date, in Unix
    seconds; None when one certificate's status is not known. `notes` say what could not be used.
    """

    good_until: int | None
    notes: tuple[str, ...] = ()


class SourceKind(StrEnum):
    """What stands at a source."""

    CRL = "crl"
    OCSP = "ocsp"


@dataclass(frozen=True, slots=True)
class Source:
    """A place to ask: GET for a list, POST of `request` for an answer; plain HTTP."""

    kind: SourceKind
    url: str
    certificate: Certificate = field(repr=False)
    request: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Revocation:
    """`PathRules.revocation`: paths with a revoked certificate are not taken."""

    mode: RevocationMode
    statuses: Statuses

    def check(self, path: VerifiedPath, at: int) -> None:
        """Raises Untrusted."""
        judge(path, self.statuses, at, self.mode)


def judge(path: VerifiedPath, statuses: Statuses, at: int, mode: RevocationMode) -> Judgement:
    """Ask about every certificate below the anchor at the Unix time `at`.

    Raises Untrusted when one is revoked, and in strict mode when one is not known to be good.
    """
    return _Inquiry(path, statuses, at, mode, _NESTING_MAX, frozenset()).judge()


def needed(
    path: VerifiedPath, statuses: Statuses, at: int, *, nonce: bytes = b""
) -> tuple[Source, ...]:
    """Where to ask about certificates whose status is not known at the Unix time `at`.

    OCSP comes before lists, and each place once. `nonce` goes into the OCSP requests.
    """
    inquiry = _Inquiry(path, statuses, at, RevocationMode.SOFT, _NESTING_MAX, frozenset())
    found: dict[tuple[SourceKind, str, bytes], Source] = {}
    for index, (certificate, issuer) in enumerate(inquiry.pairs):
        try:
            if inquiry.ask(index).good_until is not None:
                continue
        except Untrusted:
            continue
        said = certificate.extensions
        asked = request(certificate, issuer, nonce) if said.ocsp_urls else b""
        places = [
            *(Source(SourceKind.OCSP, url, certificate, asked) for url in said.ocsp_urls),
            *(
                Source(SourceKind.CRL, name.text, certificate)
                for point in (*said.points, *said.freshest)
                for name in point.names
                if name.kind is NameKind.URI
            ),
        ]
        for place in [place for place in places if _fetchable(place.url)][:SOURCES_MAX]:
            found.setdefault((place.kind, place.url, place.request), place)
    return tuple(found.values())


def _fetchable(url: str) -> bool:
    """Plain HTTP: what is fetched is signed, and HTTPS would need a path of its own."""
    return (
        url.lower().startswith("http://")
        and len(url) <= URL_SIZE_MAX
        and all(0x21 <= ord(character) <= 0x7E for character in url)
    )


def admit_crl(statuses: Statuses, crl: Crl, path: VerifiedPath, at: int) -> Statuses:
    """`statuses` with a list from the network, if somebody in or beside the path signed it.

    A list whose signature does not hold must not take the place of one that does. Raises BadCrl.
    """
    inquiry = _Inquiry(path, statuses, at, RevocationMode.SOFT, _NESTING_MAX, frozenset())
    for index in range(len(inquiry.pairs)):
        if crl.issuer == inquiry.pairs[index][1].subject or crl.scope is not None:
            inquiry.check_signer(crl, index)
            return statuses.with_crl(crl)
    raise BadCrl(f"the revocation list is one of {crl.issuer}, who issued nothing in this path")


def admit_answer(statuses: Statuses, answer: OcspAnswer, path: VerifiedPath, at: int) -> Statuses:
    """`statuses` with an answer from the network or the peer, if it is about the path and signed.

    Raises BadOcsp.
    """
    inquiry = _Inquiry(path, statuses, at, RevocationMode.SOFT, _NESTING_MAX, frozenset())
    for index, (certificate, issuer) in enumerate(inquiry.pairs):
        if any(single.is_about(certificate, issuer) for single in answer.singles):
            inquiry.check_responder(answer, index)
            return statuses.with_answer(answer)
    raise BadOcsp("the OCSP answer is about no certificate of this path")


@dataclass(slots=True)
class _Opinion:
    """What is known of one certificate: good until then, or why not."""

    good_until: int | None = None
    defect: Defect = Defect.STATUS_UNKNOWN
    notes: list[str] = field(default_factory=list)

    def doubt(self, defect: Defect, note: str) -> None:
        """Something was there and could not be used; the first such thing is the reason."""
        if self.defect is Defect.STATUS_UNKNOWN:
            self.defect = defect
        self.notes.append(note)

    def good(self, until: int) -> None:
        self.good_until = until if self.good_until is None else max(self.good_until, until)


class _Inquiry:
    """One path, one instant. `busy` are signers of lists whose own status is being asked."""

    def __init__(
        self,
        path: VerifiedPath,
        statuses: Statuses,
        at: int,
        mode: RevocationMode,
        nesting: int,
        busy: frozenset[Certificate],
    ) -> None:
        self._path = path
        self._statuses = statuses
        self._at = at
        self._mode = mode
        self._nesting = nesting
        self._busy = busy
        chain = path.certificates
        self.pairs = tuple(pairwise(chain))

    def check(self, path: VerifiedPath, at: int) -> None:
        """As a `Judge`, for the path of a list's signer."""
        _Inquiry(path, self._statuses, at, self._mode, self._nesting - 1, self._busy).judge()

    def judge(self) -> Judgement:
        if self._mode is RevocationMode.OFF:
            return Judgement(None)
        until: list[int | None] = []
        notes: list[str] = []
        for index, (certificate, _) in enumerate(self.pairs):
            opinion = self.ask(index)
            until.append(opinion.good_until)
            notes.extend(opinion.notes)
            if opinion.good_until is None and self._mode is RevocationMode.STRICT:
                raise Untrusted(
                    opinion.defect,
                    f"whether {certificate.subject_text} was revoked is not known"
                    + "".join(f"; {note}" for note in opinion.notes[:4]),
                )
        known = [instant for instant in until if instant is not None]
        return Judgement(
            min(known) if known and len(known) == len(until) else None, tuple(notes[:16])
        )

    def ask(self, index: int) -> _Opinion:
        """What is known of the certificate at `index`. Raises Untrusted when it is revoked."""
        opinion = _Opinion()
        self._ask_answers(index, opinion)
        self._ask_lists(index, opinion)
        return opinion

    # OCSP

    def _ask_answers(self, index: int, opinion: _Opinion) -> None:
        certificate, issuer = self.pairs[index]
        for answer in self._statuses.answers.get(certificate.serial, ()):
            for single in answer.singles:
                if not single.is_about(certificate, issuer):
                    continue
                try:
                    self.check_responder(answer, index)
                except BadOcsp as error:
                    opinion.doubt(Defect.BAD_OCSP, error.reason)
                    continue
                self._weigh_single(certificate, single, opinion)

    def _weigh_single(self, certificate: Certificate, single: Single, opinion: _Opinion) -> None:
        if single.verdict is Verdict.REVOKED:
            raise Untrusted(
                Defect.REVOKED_BY_OCSP,
                f"{certificate.subject_text} was revoked{_since(single.since, single.reason)}, "
                "says OCSP",
            )
        until = self._current_until(single.this_update, single.next_update)
        if until is None:
            opinion.doubt(
                Defect.STATUS_STALE,
                f"the OCSP answer of {walk.date(single.this_update)} is not current",
            )
        elif single.verdict is Verdict.UNKNOWN:
            opinion.doubt(Defect.BAD_OCSP, "the OCSP responder does not know the certificate")
        else:
            opinion.good(until)

    def _current_until(self, this_update: int, next_update: int | None) -> int | None:
        """The end of what a list or answer is good for; None when it is not current."""
        until = this_update + AGE_MAX_S if next_update is None else next_update
        return until if this_update - SKEW_S <= self._at <= until else None

    def check_responder(self, answer: OcspAnswer, index: int) -> None:
        """The issuer signed the answer, or a responder that it certified. Raises BadOcsp."""
        issuer = self.pairs[index][1]
        weak = self._path.rules.allow_sha1
        if answer.is_by(issuer):
            answer.check_signature(issuer.public_key, allow_sha1=weak)
            return
        reason = "its responder is not the issuer and sent no certificate"
        above = self._path.certificates[index + 1 :]
        for responder in answer.certificates:
            if not answer.is_by(responder):
                continue
            try:
                if responder.issuer != issuer.subject:
                    raise BadOcsp("another authority than the certificate's issuer certified it")
                rules = replace(self._path.rules, purpose=Purpose.OCSP_SIGNING, revocation=None)
                policies = walk.walk((responder, *above), self._at, rules)
                answer.check_signature(responder.public_key, allow_sha1=weak)
                if not responder.extensions.ocsp_no_check:
                    own = VerifiedPath((responder, *above), self._path.pool, policies, rules)
                    self._check_not_listed(own)
                return
            except (Untrusted, BadOcsp) as error:
                reason = error.reason
        raise BadOcsp(f"the OCSP answer is not believed: {reason}")

    def _check_not_listed(self, path: VerifiedPath) -> None:
        """RFC 6960 §4.2.2.2.1: a responder without no-check must not be on a list."""
        statuses = replace(self._statuses, answers={})
        inquiry = _Inquiry(path, statuses, self._at, RevocationMode.SOFT, self._nesting, self._busy)
        inquiry.ask(0)

    # Lists

    def _ask_lists(self, index: int, opinion: _Opinion) -> None:
        """RFC 5280 §6.3.3: each distribution point, then the issuer's own list."""
        certificate, _ = self.pairs[index]
        covered: frozenset[int] = frozenset()
        until: list[int] = []
        for point in (*certificate.extensions.points, Point()):
            for crl in self._lists_for(certificate, point):
                reasons = point.reasons & reasons_of(crl)
                try:
                    signer = self.check_signer(crl, index)
                except BadCrl as error:
                    opinion.doubt(Defect.BAD_CRL, error.reason)
                    continue
                good = self._weigh_list(certificate, crl, signer, opinion)
                if good is not None:
                    covered |= reasons
                    until.append(good)
        if covered == REASONS_ALL:
            opinion.good(min(until))
        elif covered:
            opinion.doubt(
                Defect.STATUS_UNKNOWN, "the revocation lists at hand do not cover every reason"
            )

    def _lists_for(self, certificate: Certificate, point: Point) -> list[Crl]:
        issuers = [name.directory for name in point.issuers if name.directory is not None]
        lists = [
            crl
            for issuer in (issuers or [certificate.issuer])
            for crl in self._statuses.crls.get(issuer.key, ())
        ]
        return [
            crl for crl in lists if crl.delta_base is None and in_scope(crl, certificate, point)
        ]

    def _weigh_list(
        self, certificate: Certificate, crl: Crl, signer: Certificate, opinion: _Opinion
    ) -> int | None:
        """Until when the list says good; None if it is not current. Raises Untrusted."""
        entry = crl.lookup(certificate.issuer, certificate.serial)
        until = self._current_until(crl.this_update, crl.next_update)
        for delta in self._deltas(crl, signer):
            change = delta.lookup(certificate.issuer, certificate.serial)
            if change is not None:
                entry = None if change.reason == REMOVE_FROM_CRL else change
            current = self._current_until(delta.this_update, delta.next_update)
            if current is not None:
                # A base list and its delta are together a list of the delta's date.
                until = current if until is None else max(until, current)
        if entry is not None:
            raise Untrusted(
                Defect.REVOKED_BY_CRL,
                f"{certificate.subject_text} was revoked{_since(entry.since, entry.reason)}, "
                f"says the list of {crl.issuer}",
            )
        if until is None:
            opinion.doubt(
                Defect.STATUS_STALE,
                f"the revocation list of {crl.issuer} of {walk.date(crl.this_update)} is not "
                "current",
            )
        return until

    def _deltas(self, base: Crl, signer: Certificate) -> list[Crl]:
        """Delta lists that continue `base`, oldest first (RFC 5280 §5.2.4)."""
        found: list[Crl] = []
        for crl in self._statuses.crls.get(base.issuer.key, ()):
            if crl.delta_base is None or base.number is None or crl.number is None:
                continue
            if crl.scope != base.scope or not crl.delta_base <= base.number <= crl.number:
                continue
            try:
                crl.check_signature(signer.public_key, allow_sha1=self._path.rules.allow_sha1)
            except BadCrl:
                continue
            found.append(crl)
        return sorted(found, key=attrgetter("number", "this_update"))

    def check_signer(self, crl: Crl, index: int) -> Certificate:
        """Who signed the list: an authority of the path, or one that the anchor leads to.

        Raises BadCrl when nobody who may sign it did.
        """
        above = self._path.certificates[index + 1 :]
        # Ours before those that a peer sent along, which may be there to cost time.
        beside = (*self._statuses.certificates, *self._path.certificates, *self._path.pool)
        named = [one for one in dict.fromkeys((*above, *beside)) if one.subject == crl.issuer]
        reason = f"nobody at hand is {crl.issuer}, who signed the revocation list"
        for candidate in named[:SIGNERS_MAX]:
            try:
                _check_may_sign(candidate)
                crl.check_signature(candidate.public_key, allow_sha1=self._path.rules.allow_sha1)
                # A signer of lists may stand on its own list (as any root's does): then this is
                # where its status is being asked.
                if candidate not in above and candidate not in self._busy:
                    self._check_signer_path(candidate)
                return candidate
            except (Untrusted, BadCrl) as error:
                reason = error.reason
        raise BadCrl(reason)

    def _check_signer_path(self, signer: Certificate) -> None:
        """A path from a list's signer to the same anchor, none of it revoked."""
        if self._nesting == 0:
            raise BadCrl("lists that are signed by certificates on lists, too deep to follow")
        # The authorities between the path's ends are from its pool.
        pool = tuple(dict.fromkeys((*self._path.pool, *self._statuses.certificates)))
        judge = _Inquiry(
            self._path,
            self._statuses,
            self._at,
            self._mode,
            self._nesting,
            self._busy | {signer},
        )
        rules = replace(
            self._path.rules,
            purpose=Purpose.CRL_SIGNING,
            revocation=judge,
            pool_max=max(len(pool), self._path.rules.pool_max),
        )
        validate(signer, pool, (self._path.anchor,), at=self._at, rules=rules)


def _check_may_sign(candidate: Certificate) -> None:
    """RFC 5280 §6.3.3 f: if there is a key usage, it holds cRLSign. Raises BadCrl."""
    usage = candidate.extensions.key_usage
    if usage is not None and CRL_SIGN not in usage:
        raise BadCrl(f"the key usage of {candidate.subject_text} lacks cRLSign")


def _since(since: int | None, reason: int | None) -> str:
    shown = "" if since is None else f" on {walk.date(since)}"
    return shown + (f" ({REASON_NAMES.get(reason, str(reason))})" if reason else "")
