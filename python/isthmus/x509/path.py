"""Finding a path from a certificate to an anchor, and holding it to the rules (RFC 5280 §6).

Issuers are looked up by name, tried with the likeliest first (the key identifier fits), and linked
by signature before the search goes on, so that certificates of strangers lead nowhere. Signatures
checked and paths tried are counted against a limit: authorities that certify each other across
make a number of paths that grows exponentially.
"""

from collections.abc import Iterator, Sequence

from isthmus.x509 import walk
from isthmus.x509.certificate import Certificate
from isthmus.x509.errors import Defect, Untrusted
from isthmus.x509.name import Key, Name
from isthmus.x509.rules import PathRules, VerifiedPath

SIGNATURES_MAX = 64
"""Signatures checked while building; a path of eight needs seven."""
PATHS_MAX = 16
"""Complete paths held to the rules."""

_Chain = tuple[Certificate, ...]
_DEFAULT = PathRules()


def validate(
    leaf: Certificate,
    intermediates: Sequence[Certificate],
    anchors: Sequence[Certificate],
    *,
    at: int,
    rules: PathRules = _DEFAULT,
) -> VerifiedPath:
    """The first path from `leaf` to one of `anchors` that holds at the Unix time `at`.

    An anchor is trusted for being named, not for who signed it; everything else it says of itself
    (validity, constraints, usage) counts. A leaf that is itself named as an anchor needs no
    issuer. Raises Untrusted with the defect of the path that came closest.
    """
    if len(intermediates) > rules.pool_max:
        raise Untrusted(
            Defect.TOO_MUCH,
            f"{len(intermediates)} certificates beside the peer's own; "
            f"{rules.pool_max} are allowed",
        )
    return _Search(leaf, tuple(dict.fromkeys(intermediates)), anchors, at, rules).run()


class _Search:
    """One search, depth first. Holds what was found wrong, to tell the most telling."""

    def __init__(
        self,
        leaf: Certificate,
        pool: _Chain,
        anchors: Sequence[Certificate],
        at: int,
        rules: PathRules,
    ) -> None:
        self._leaf = leaf
        self._pool = pool
        self._at = at
        self._rules = rules
        self._anchors = anchors
        self._anchors_by_name = _by_name(anchors)
        self._pool_by_name = _by_name(pool)
        self._linked: dict[tuple[bytes, bytes], bool] = {}
        self._worst: tuple[int, Untrusted] | None = None

    def run(self) -> VerifiedPath:
        for tried, chain in enumerate(self._chains((self._leaf,))):
            if tried == PATHS_MAX:
                raise Untrusted(
                    Defect.TOO_MUCH, f"{PATHS_MAX} paths lead to an anchor and none of them holds"
                )
            try:
                policies = walk.walk(chain, self._at, self._rules)
                path = VerifiedPath(chain, self._pool, policies, self._rules)
                if self._rules.revocation is not None:
                    self._rules.revocation.check(path, self._at)
                return path
            except Untrusted as error:
                self._note(_COMPLETE, error)
        assert self._worst is not None  # A chain that ends nowhere is noted, as is one that fails.
        raise self._worst[1]

    def _note(self, rank: int, error: Untrusted) -> None:
        if self._worst is None or rank > self._worst[0]:
            self._worst = (rank, error)

    def _chains(self, chain: _Chain) -> Iterator[_Chain]:
        """Chains that begin so and end in an anchor, every signature checked."""
        last = chain[-1]
        if len(chain) == 1 and last in self._anchors_by_name.get(last.subject.key, ()):
            yield chain
        anchors = _likeliest_first(last, self._anchors_by_name.get(last.issuer.key, ()))
        issuers = [
            issuer
            for issuer in _likeliest_first(last, self._pool_by_name.get(last.issuer.key, ()))
            # The same name and key again brings nothing but another round (RFC 4158 §2.4.2).
            if not any(_same_authority(issuer, known) for known in (*chain, *anchors))
        ]
        if not anchors and not issuers:
            self._note(_NO_ISSUER + len(chain), self._no_issuer(chain))
            return
        for anchor in anchors:
            if anchor not in chain and self._links(last, anchor):
                yield (*chain, anchor)
        if issuers and len(chain) + 2 > self._rules.certificates_max:
            self._note(
                _TOO_LONG,
                Untrusted(
                    Defect.TOO_MUCH,
                    f"the path is longer than {self._rules.certificates_max} certificates",
                ),
            )
            return
        for issuer in issuers:
            if self._links(last, issuer):
                yield from self._chains((*chain, issuer))

    def _links(self, subject: Certificate, issuer: Certificate) -> bool:
        """The issuer's key signed the subject; what is wrong otherwise is noted."""
        pair = (subject.der, issuer.public_key.spki)
        known = self._linked.get(pair)
        if known is not None:
            return known
        if len(self._linked) >= SIGNATURES_MAX:
            raise Untrusted(
                Defect.TOO_MUCH, f"no path found within {SIGNATURES_MAX} checks of signatures"
            )
        try:
            walk.check_signature(subject, issuer)
            self._linked[pair] = True
        except Untrusted as error:
            self._linked[pair] = False
            if _names_another_key(subject, issuer):
                self._note(_OTHER_KEY, self._other_key(subject, issuer))
            else:
                self._note(_BAD_LINK, error)
        return self._linked[pair]

    def _other_key(self, subject: Certificate, issuer: Certificate) -> Untrusted:
        return Untrusted(
            Defect.UNKNOWN_ROOT,
            f"{subject.subject_text} was issued by an authority called {issuer.subject_text}, "
            "but by another key than the one that is known here",
            "the authority may have been made anew: compare its certificates on both sides",
        )

    def _no_issuer(self, chain: _Chain) -> Untrusted:
        """Nobody of the issuer's name is at hand: a certificate is missing, or it is a stranger.

        The two look alike from here. What the last certificate says of its issuer's issuer, a
        place to fetch it from, or a name akin to an anchor's speak for a missing one.
        """
        last = chain[-1]
        shown = " < ".join(certificate.subject_text for certificate in chain)
        trusted = "; ".join(anchor.subject_text for anchor in self._anchors[:4]) or "nobody"
        if last.self_issued:
            return Untrusted(
                Defect.UNKNOWN_ROOT,
                f"the chain {shown} ends in a root that is not trusted here (trusted: {trusted})",
                "name this root in the tunnel's trust, or use a certificate of one that is",
            )
        anchor_names = [anchor.subject for anchor in self._anchors]
        if (
            any(name.directory in anchor_names for name in last.extensions.authority_names)
            or last.extensions.ca_issuer_urls
            or any(_akin(last.issuer, name) for name in anchor_names)
        ):
            return Untrusted(
                Defect.MISSING_ISSUER,
                f"the chain {shown} breaks off: the certificate of {last.issuer} is missing",
                "install that intermediate certificate at the peer, so that it is sent along",
            )
        return Untrusted(
            Defect.UNKNOWN_ROOT,
            f"the chain {shown} was issued by {last.issuer}, "
            f"which is not trusted here (trusted: {trusted})",
            "name its root in the tunnel's trust; or an intermediate certificate is missing",
        )


_NO_ISSUER = 0
_TOO_LONG = 1000
_OTHER_KEY = 1001
_BAD_LINK = 1002
_COMPLETE = 1003


def _by_name(certificates: Sequence[Certificate]) -> dict[Key, list[Certificate]]:
    found: dict[Key, list[Certificate]] = {}
    for certificate in certificates:
        found.setdefault(certificate.subject.key, []).append(certificate)
    return found


def _same_authority(one: Certificate, other: Certificate) -> bool:
    return one.subject == other.subject and one.public_key == other.public_key


def _names_another_key(subject: Certificate, issuer: Certificate) -> bool:
    wanted = subject.extensions.authority_key_identifier
    return wanted is not None and wanted not in (
        issuer.extensions.subject_key_identifier,
        issuer.key_sha1,
    )


def _likeliest_first(subject: Certificate, issuers: Sequence[Certificate]) -> list[Certificate]:
    return sorted(issuers, key=lambda issuer: _names_another_key(subject, issuer))


def _akin(one: Name, other: Name) -> bool:
    """The two names share an organization or a domain component."""
    return bool(_organization(one) & _organization(other))


def _organization(name: Name) -> set[tuple[str, int, str | bytes]]:
    wanted = ("2.5.4.10", "0.9.2342.19200300.100.1.25")
    return {attribute for rdn in name.key for attribute in rdn if attribute[0] in wanted}
