"""Mutated certificates, revocation lists and OCSP answers, and what is asked of each of them.

A mutant is one of the samples with one to four changes: single bits and octets, and changes that
know DER: lengths that lie, elements dropped, doubled, swapped, emptied, nested, or taken from
another sample. Half of them are changed inside what is signed, and signed anew, to come as far
as a hostile authority's would. Whatever can be read is walked, judged and asked for its names.
"""

import random
import resource
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from isthmus.values.identity import Identity
from isthmus.values.trust import RevocationMode
from isthmus.x509 import identity, path, revocation
from isthmus.x509.certificate import Certificate
from isthmus.x509.crl import Crl
from isthmus.x509.der import Reader
from isthmus.x509.errors import BadCertificate, BadCrl, BadOcsp, Untrusted
from isthmus.x509.ocsp import OcspAnswer
from isthmus.x509.revocation import Statuses

from . import forge, refused_status
from .forge import AT, dn, dns, email, ip, uri
from .scenes import INTER, inter, leaf, leaf_answer, leaf_list, root, root_list

SLOWEST_MAX_S = 0.050
"""CPU seconds of one mutant."""
MEMORY_FACTOR, MEMORY_BASE = 4, 64 * 1024
"""Octets allocated at most while one mutant is looked at: so many times its size, and a base."""
SAMPLED = 50
"""One mutant in so many is looked at under tracemalloc, which is slow."""


SEAL = "ED25519"
"""What mutants are signed with: it is fast, and the same octets get the same signature."""


def full_leaf() -> forge.Spec:
    """A leaf with every extension that is read."""
    return leaf("P256", SEAL).having(
        names=forge.names(
            dns("gw.example.net"),
            email("gw@example.net"),
            uri("http://example.net/"),
            ip("192.0.2.1"),
            ip("2001:db8::1"),
            forge.directory(dn("C=CH, O=Example, CN=alias")),
            forge.other_name(),
        ),
        points=forge.points(
            forge.point([forge.uri("http://crl.example.net/a.crl")], reasons=(1, 2)),
            forge.point(relative=forge.attribute("CN", "a"), issuers=[forge.directory(dn("O=x"))]),
        ),
        places=forge.authority_information("http://ocsp.example.net/", "http://example.net/ca"),
        policies=forge.policies("1.2.3", "1.2.4"),
        no_check=forge.no_check(),
    )


def full_inter() -> forge.Spec:
    """An intermediate authority with every extension that is read."""
    return inter(SEAL, SEAL).having(
        subtrees=forge.subtrees(
            [dns("example.net"), ip("192.0.2.0/24"), ip("2001:db8::/32"), email("example.net")],
            [forge.directory(dn("C=CH, O=Bad")), uri(".bad.example.net")],
        ),
        policies=forge.policies("2.5.29.32.0", "1.2.3"),
        mappings=forge.mappings(("1.2.3", "1.2.4")),
        constraints=forge.policy_constraints(3, 2),
        inhibit=forge.inhibit_any(2),
    )


@dataclass(frozen=True)
class Samples:
    """What mutants are made of, by kind."""

    certificates: tuple[bytes, ...]
    crls: tuple[bytes, ...]
    answers: tuple[bytes, ...]


@cache
def samples() -> Samples:
    """Good ones of each kind, large and small."""
    issuer = forge.key(SEAL, "inter")
    own = leaf_list().but(signer=issuer)
    about = forge.cert_id(INTER, issuer, 0x1234)
    said = leaf_answer().but(signer=issuer, about=about)
    many = tuple((n, AT - 5, (forge.reason(n % 6),)) for n in range(300))
    return Samples(
        (
            full_leaf().der(),
            full_inter().der(),
            root(SEAL).der(),
            leaf("P256", SEAL).der(),
            inter(SEAL, SEAL).der(),
            leaf("RSA", "RSA", pss=True).der(),
            leaf("ED25519", "ED448").der(),
            leaf("P521", "P384", size=384).der(),
        ),
        (
            own.but(entries=refused_status.listing(5, forge.reason(1))).der(),
            own.but(entries=many).der(),
            refused_status.indirect(
                (1, AT, ()), (2, AT, (forge.entry_issuer(dn("O=x")), forge.reason(3)))
            ).der(),
            own.but(extensions=(forge.crl_number(6), forge.delta_of(5))).der(),
            root_list().but(extensions=(forge.scope(authorities=True, reasons=(1, 2)),)).der(),
        ),
        (
            said.but(nonce=b"n" * 32).der(),
            said.but(status=forge.revoked(AT - 5, 1)).der(),
            refused_status.delegated(refused_status.responder(signer=issuer), about=about).der(),
        ),
    )


# Mutations


def _places(octets: bytes) -> list[tuple[int, int, int]]:
    """Where elements stand, at every depth: start, start of the content, end."""
    found: list[tuple[int, int, int]] = []
    open_ = [(0, len(octets))]
    while open_ and len(found) < 2000:
        at, end = open_.pop()
        while at + 2 <= end:
            length, body = octets[at + 1], at + 2
            if length & 0x80:
                size = length & 0x7F
                length = int.from_bytes(octets[body : body + size])
                body += size
            stop = body + length
            if stop > end:
                break
            found.append((at, body, stop))
            if octets[at] & 0x20:
                open_.append((body, stop))
            elif octets[at] in (0x04, 0x03) and length > 2:
                open_.append((body + (octets[at] == 0x03), stop))
            at = stop
    return found


def _bit(octets: bytes, chance: random.Random, other: bytes) -> bytes:
    at = chance.randrange(len(octets))
    return octets[:at] + bytes((octets[at] ^ 1 << chance.randrange(8),)) + octets[at + 1 :]


def _octet(octets: bytes, chance: random.Random, other: bytes) -> bytes:
    at = chance.randrange(len(octets))
    value = chance.choice((0, 1, 0x7F, 0x80, 0xFF, 0x30, 0x31, chance.randrange(256)))
    return octets[:at] + bytes((value,)) + octets[at + 1 :]


def _cut(octets: bytes, chance: random.Random, other: bytes) -> bytes:
    return octets[: chance.randrange(len(octets))]


def _longer(octets: bytes, chance: random.Random, other: bytes) -> bytes:
    return octets + chance.randbytes(chance.randrange(1, 40))


def _encoded(length: int) -> bytes:
    size = (length.bit_length() + 7) // 8
    return bytes((length,)) if length < 0x80 else bytes((0x80 | size,)) + length.to_bytes(size)


def _length(octets: bytes, chance: random.Random, other: bytes) -> bytes:
    """An element's length: 0, 1, one off, all there is, endless."""
    places = _places(octets)
    if not places:
        return octets
    start, body, stop = chance.choice(places)
    said = stop - body
    lie = chance.choice((0, 1, max(said - 1, 0), said + 1, len(octets) - body, 0xFFFFFF))
    form = chance.choice(
        (
            _encoded(lie),
            b"\x80",
            b"\x84\x7f\xff\xff\xff",
            b"\x81" + bytes((said & 0x7F,)),
        )
    )
    return octets[: start + 1] + form + octets[body:]


def _rebuilt(octets: bytes, start: int, stop: int, fresh: bytes) -> bytes:
    """With an element replaced, and the lengths around it put right."""
    around = [p for p in _places(octets) if p[1] <= start and stop <= p[2] and p[0] < start]
    for outer_start, outer_body, outer_stop in sorted(around, reverse=True):
        tag = octets[outer_start]
        content = octets[outer_body:start] + fresh + octets[stop:outer_stop]
        start, stop, fresh = outer_start, outer_stop, forge.encode(tag, content)
    return octets[:start] + fresh + octets[stop:]


def _element(octets: bytes, chance: random.Random, other: bytes) -> bytes:
    """An element dropped, doubled, emptied, nested, retagged, or taken from another sample."""
    places = _places(octets)
    if not places:
        return octets
    start, body, stop = chance.choice(places)
    whole, content, tag = octets[start:stop], octets[body:stop], octets[start]
    strangers = _places(other)
    a, _, z = chance.choice(strangers) if strangers else (0, 0, len(other))
    fresh = chance.choice(
        (
            lambda: b"",
            lambda: whole * 2,
            lambda: whole * chance.randrange(2, 40),
            lambda: forge.encode(tag, b""),
            lambda: forge.encode(0x30, whole),
            lambda: _nested(whole, chance.randrange(2, 200)),
            lambda: forge.encode(chance.randrange(256) & 0xDF | tag & 0x20, content),
            lambda: other[a:z],
            lambda: forge.encode(tag, content + chance.randbytes(chance.randrange(1, 2000))),
            lambda: forge.encode(tag, chance.randbytes(len(content))),
            lambda: forge.encode(tag, b"\xff" * chance.randrange(1, 600)),
        )
    )()
    return _rebuilt(octets, start, stop, fresh)


def _value(octets: bytes, chance: random.Random, other: bytes) -> bytes:
    """A value replaced by another of its type: what stays readable and means something else."""
    places = [p for p in _places(octets) if not octets[p[0]] & 0x20]
    if not places:
        return octets
    start, body, stop = chance.choice(places)
    tag, content = octets[start], octets[body:stop]
    alike = [other[b:e] for a, b, e in _places(other) if other[a] == tag]
    alike += [octets[b:e] for a, b, e in _places(octets) if octets[a] == tag]
    fresh = {
        0x01: (b"\x00", b"\xff"),
        0x02: (b"\x00", b"\xff", b"\x7f", b"\x01\x00", b"\x7f" * 20, b"\x7f" * 60),
        0x03: (b"\x00", b"\x07\x80", b"\x00\x00", b"\x01\xfe"),
        0x17: (b"500101000000Z", b"491231235959Z", b"990229000000Z"),
        0x18: (b"00010101000000Z", b"99991231235959Z", b"20500101000000Z"),
    }.get(tag, (b"", b"\x00", content[:-1], content * 2, content.swapcase()))
    return _rebuilt(octets, start, stop, forge.encode(tag, chance.choice((*fresh, *alike))))


def _nested(whole: bytes, depth: int) -> bytes:
    for _ in range(depth):
        whole = forge.encode(0x30, whole)
    return whole


CHANGES: tuple[Callable[[bytes, random.Random, bytes], bytes], ...] = (
    _bit,
    _octet,
    _cut,
    _longer,
    _length,
    _element,
    _element,
    _element,
    *(_value,) * 8,
)


def mutant(octets: bytes, chance: random.Random, other: bytes) -> bytes:
    """One to four changes, at most 64 KiB in all."""
    for _ in range(chance.choice((1, 1, 1, 2, 3, 4))):
        if octets:
            octets = chance.choice(CHANGES)(octets, chance, other)[: 64 * 1024]
    return octets


def _plain(kind: str, octets: bytes, chance: random.Random, other: bytes) -> bytes:
    """Changes anywhere; the signature stays what it was."""
    return mutant(octets, chance, other)


def sealed(kind: str, octets: bytes, chance: random.Random, other: bytes) -> bytes:
    """Changes inside what is signed, and a signature that holds."""
    spots = {"certificate": (0,), "crl": (0,), "answer": (1, 0, 1, 0, 0)}[kind]
    start, stop = 0, len(octets)
    for step, spot in enumerate((0, *spots)):
        reader, at = Reader(octets[start:stop]), start
        if step:
            reader = Reader(_content(octets[start:stop]))
            at = stop - len(_content(octets[start:stop]))
        for _ in range(spot):
            at += len(reader.any().whole)
        start, stop = at, at + len(reader.any().whole)
    fresh = mutant(octets[start:stop], chance, other)
    name = chance.choice(("inter", "inter", "root"))
    rest = forge.algorithm(forge.key(SEAL)) + forge.bit_string(
        forge.sign(forge.key(SEAL, name), fresh)
    )
    # Algorithm and signature come next, and nothing but certificates of responders after them.
    return _rebuilt(octets, start, stop + _two(octets[stop:]), fresh + rest)


def _content(octets: bytes) -> bytes:
    return Reader(octets).any().body


def _two(octets: bytes) -> int:
    reader = Reader(octets)
    return len(reader.any().whole) + len(reader.any().whole)


# What is asked of a mutant


@dataclass
class Report:
    """What came of a campaign. Times are CPU seconds."""

    count: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    slowest_seed: int = 0
    worst_memory: float = 0.0
    """Of the sampled mutants: the largest share of what they may allocate."""
    escaped: list[str] = field(default_factory=list)
    grown_kib: int = 0

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"mutants              {self.count}",
            *(f"  {name:<18} {count}" for name, count in self.outcomes.most_common(12)),
            f"slowest              {self.slowest * 1000:.2f} ms (seed {self.slowest_seed})",
            f"memory               {self.worst_memory:.0%} of the bound at most",
            f"resident set grew by {self.grown_kib} KiB",
            f"escaped exceptions   {len(self.escaped)}",
        ]

    def complaints(self, growth_max_kib: int) -> list[str]:
        """What does not hold."""
        found = list(self.escaped[:20])
        if self.slowest > SLOWEST_MAX_S:
            found.append(f"seed {self.slowest_seed} took {self.slowest * 1000:.1f} ms")
        if self.worst_memory > 1:
            found.append(f"a mutant allocated {self.worst_memory:.1f} times the bound")
        if self.grown_kib > growth_max_kib:
            found.append(f"the resident set grew by {self.grown_kib} KiB")
        return found


class Campaign:
    """Good neighbours for the mutants, read once."""

    def __init__(self) -> None:
        self._leaf = leaf("P256", SEAL).made()
        self._inter = inter(SEAL, SEAL).made()
        self._root = root(SEAL).made()
        self._good = path.validate(self._leaf, [self._inter], [self._root], at=AT)
        self._names = [
            Identity.parse("gw.example.net"),
            Identity.parse("192.0.2.1"),
            Identity.parse("gw@example.net"),
        ]

    def look_at(self, kind: str, octets: bytes) -> str:
        """Everything that is done with octets from a stranger. Returns what came of it."""
        try:
            match kind:
                case "certificate":
                    self._use(Certificate.parse(octets))
                case "crl":
                    crl = Crl.parse(octets)
                    known = revocation.admit_crl(Statuses(), crl, self._good, AT)
                    revocation.judge(self._good, known, AT, RevocationMode.SOFT)
                case _:
                    answer = OcspAnswer.parse(octets)
                    answer.check_nonce(b"n" * 32)
                    known = revocation.admit_answer(Statuses(), answer, self._good, AT)
                    revocation.judge(self._good, known, AT, RevocationMode.SOFT)
        except (BadCertificate, BadCrl, BadOcsp, Untrusted) as error:
            return error.code
        return "accepted"

    def _use(self, certificate: Certificate) -> None:
        identity.describe(certificate)
        for name in self._names:
            identity.matches(certificate, name)
        identity.identities(certificate)
        assert certificate.subject_text.isprintable()
        pool, anchors = [self._inter, certificate], [self._root]
        refused: Untrusted | None = None
        for one, beside, above in (
            (certificate, pool, anchors),
            (self._leaf, [certificate], anchors),
            (self._leaf, [self._inter], [certificate]),
        ):
            try:
                found = path.validate(one, beside, above, at=AT)
                revocation.judge(found, Statuses(), AT, RevocationMode.SOFT)
                revocation.needed(found, Statuses(), AT)
            except Untrusted as error:
                refused = refused or error
        if refused is not None:
            raise refused


def run(count: int, *, seed: int = 0, warm_up: int = 500) -> Report:
    """`count` mutants, each from its own seed, so that one can be made again."""
    campaign, report = Campaign(), Report()
    by_kind = {
        "certificate": samples().certificates,
        "crl": samples().crls,
        "answer": samples().answers,
    }
    everything = [octets for each in by_kind.values() for octets in each]
    kinds = ("certificate", "certificate", "crl", "answer")
    before = _resident_kib()
    for number in range(seed, seed + count):
        chance = random.Random(number)
        kind = kinds[number % len(kinds)]
        sample, other = chance.choice(by_kind[kind]), chance.choice(everything)
        change = sealed if number // len(kinds) % 2 else _plain
        octets = change(kind, sample, chance, other)
        sampled = number % SAMPLED == 0
        if sampled:
            tracemalloc.start()
        start = time.thread_time()
        try:
            outcome = campaign.look_at(kind, octets)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            outcome = "escaped"
            report.escaped.append(f"seed {number} ({kind}): {type(error).__name__}: {error}")
        spent = time.thread_time() - start
        if sampled:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            share = peak / (MEMORY_FACTOR * len(octets) + MEMORY_BASE)
            report.worst_memory = max(report.worst_memory, share)
        elif spent > report.slowest:
            report.slowest, report.slowest_seed = spent, number
        report.outcomes[outcome] += 1
        report.count += 1
        if report.count == warm_up:
            before = _resident_kib()
    report.grown_kib = _resident_kib() - before
    return report


def _resident_kib() -> int:
    """The largest resident set so far, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
