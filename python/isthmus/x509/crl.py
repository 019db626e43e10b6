"""Certificate revocation lists: read once, indexed, looked up in constant time (RFC 5280 §5)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from cryptography import x509 as library

from isthmus.crypto.signature import BadSignature, PublicKey, verify
from isthmus.values.errors import Malformed
from isthmus.values.signature import WEAK_SCHEMES, Scheme
from isthmus.x509 import extensions
from isthmus.x509.algorithm import scheme_of
from isthmus.x509.der import BIT_STRING, INTEGER, SEQUENCE, Reader, context, integer, time
from isthmus.x509.errors import BadCrl, refused_as
from isthmus.x509.extensions import Extensions, Scope, each_extension, enumerated
from isthmus.x509.general_name import general_names
from isthmus.x509.name import Key, Name

CRL_SIZE_MAX = 10 * 1024 * 1024
"""Octets: some 250,000 entries."""

REMOVE_FROM_CRL = 8
"""CRLReason of a delta list's entry that takes a certificate off hold."""
REASON_NAMES = {
    0: "unspecified",
    1: "keyCompromise",
    2: "cACompromise",
    3: "affiliationChanged",
    4: "superseded",
    5: "cessationOfOperation",
    6: "certificateHold",
    8: "removeFromCRL",
    9: "privilegeWithdrawn",
    10: "aACompromise",
}
CRL_REASON = "2.5.29.21"
CERTIFICATE_ISSUER = "2.5.29.29"


@dataclass(frozen=True, slots=True)
class Entry:
    """A revoked certificate: since when (Unix seconds) and why (CRLReason)."""

    since: int
    reason: int


@dataclass(frozen=True, slots=True, eq=False)
class Crl:
    """A revocation list that was read; whether it may be believed, `check_signature` says.

    Times are Unix seconds. `entries` holds date and reason of each serial number in one integer,
    so that a list of 100,000 takes some 15 MB.
    """

    issuer: Name
    this_update: int
    next_update: int | None
    extensions: Extensions = field(repr=False)
    scheme: Scheme
    entries: Mapping[int, int] = field(repr=False)
    foreign: Mapping[tuple[Key, int], int] = field(repr=False)
    """Entries for other issuers than the list's own (indirect lists)."""
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    _held_under: set[bytes] = field(default_factory=set, repr=False)

    @classmethod
    def parse(cls, der: bytes) -> Self:
        """Read a list of at most 10 MiB. Raises BadCrl, and nothing else."""
        if len(der) > CRL_SIZE_MAX:
            raise BadCrl(f"the revocation list has {len(der)} octets")
        with refused_as(BadCrl, "the revocation list"):
            return cls._from_der(bytes(der))

    @classmethod
    def _from_der(cls, der: bytes) -> Self:
        read = library.load_der_x509_crl(der)
        whole = Reader(der)
        outer = whole.inner()
        whole.finish()
        tbs = outer.any()
        algorithm = outer.any().whole
        signature = outer.take(BIT_STRING)
        outer.finish()
        if not signature or signature[0] != 0:
            raise Malformed("a signature that is no whole number of octets")
        fields = Reader(tbs.body)
        version = fields.optional(INTEGER)
        fields.any()  # The algorithm once more: the library has seen that it is the same.
        issuer = Name.parse(fields.any().whole)
        fields.any()  # thisUpdate, which the library has read.
        if fields.tag in (0x17, 0x18):
            fields.any()
        listed = fields.optional(SEQUENCE) or b""
        body = fields.optional(context(0, constructed=True))
        fields.finish()
        if body is not None and version is None:
            raise Malformed("a list of version 1 with extensions")
        scheme = scheme_of(algorithm)
        if scheme is None:
            raise BadCrl("the revocation list is signed by an algorithm that is not accepted")
        found = Extensions()
        if body is not None:
            inner = Reader(body)
            found = extensions.parse(inner.take(SEQUENCE), of_crl=True)
            inner.finish()
        if found.unknown_critical:
            raise BadCrl(
                "the revocation list has the unknown critical extension "
                f"{found.unknown_critical[0]}"
            )
        if issuer.empty:
            raise Malformed("an empty issuer name")
        indirect = found.scope is not None and found.scope.indirect
        entries, foreign = _index(listed, issuer, indirect)
        next_update = read.next_update_utc
        return cls(
            issuer=issuer,
            this_update=int(read.last_update_utc.timestamp()),
            next_update=None if next_update is None else int(next_update.timestamp()),
            extensions=found,
            scheme=scheme,
            entries=entries,
            foreign=foreign,
            signed=tbs.whole,
            signature=signature[1:],
        )

    @property
    def scope(self) -> Scope | None:
        """IssuingDistributionPoint: what the list is about; None for everything."""
        return self.extensions.scope

    @property
    def number(self) -> int | None:
        """CRLNumber (RFC 5280 §5.2.3)."""
        return self.extensions.crl_number

    @property
    def delta_base(self) -> int | None:
        """The number of the list that a delta list builds on; None for a complete list."""
        return self.extensions.delta_base

    @property
    def identity(self) -> tuple[object, ...]:
        """Lists that are alike in this replace each other: issuer, key, scope, delta or not."""
        key = self.extensions.authority_key_identifier
        return (self.issuer.key, key, self.scope, self.delta_base is not None)

    def lookup(self, issuer: Name, serial: int) -> Entry | None:
        """The entry of a certificate by its issuer and serial number."""
        if issuer == self.issuer:
            packed = self.entries.get(serial)
        else:
            packed = self.foreign.get((issuer.key, serial))
        return None if packed is None else Entry(packed >> 4, packed & 0x0F)

    def check_signature(self, key: PublicKey, *, allow_sha1: bool = False) -> None:
        """The key signed the list; one that held once is not computed again. Raises BadCrl."""
        if self.scheme in WEAK_SCHEMES and not allow_sha1:
            raise BadCrl(f"the revocation list of {self.issuer} is signed by {self.scheme}")
        if key.spki in self._held_under:
            return
        try:
            verify(key, self.scheme, self.signed, self.signature)
        except BadSignature as error:
            raise BadCrl(
                f"the signature of the revocation list of {self.issuer} does not hold: {error}"
            ) from None
        self._held_under.add(key.spki)


def _index(
    body: bytes, issuer: Name, indirect: bool
) -> tuple[dict[int, int], dict[tuple[Key, int], int]]:
    """The content of revokedCertificates. Raises Malformed or BadCrl.

    Dates and extensions of entries repeat, so each is read once. A CertificateIssuer holds for the
    entries after it too (RFC 5280 §5.3.3).
    """
    entries: dict[int, int] = {}
    foreign: dict[tuple[Key, int], int] = {}
    dates: dict[bytes, int] = {}
    extras: dict[bytes, tuple[int, Name | None]] = {b"": (0, None)}
    current = issuer
    reader = Reader(body)
    while not reader.empty:
        one = Reader(reader.take(SEQUENCE))
        serial = integer(one.take(INTEGER))
        tag, content, whole = one.any()
        since = dates.get(whole)
        if since is None:
            since = dates[whole] = time(tag, content)
        rest = b"" if one.empty else one.take(SEQUENCE)
        one.finish()
        said = extras.get(rest)
        if said is None:
            said = extras[rest] = _entry_extensions(rest, indirect)
        reason, named = said
        if named is not None:
            current = named
        packed = since << 4 | reason
        if current is issuer or current == issuer:
            entries[serial] = packed
        else:
            foreign[current.key, serial] = packed
    return entries, foreign


def _entry_extensions(body: bytes, indirect: bool) -> tuple[int, Name | None]:
    """Reason and issuer, as far as an entry says them. Raises Malformed or BadCrl."""
    reason, issuer = 0, None
    for oid, critical, value in each_extension(Reader(body)):
        if oid == CRL_REASON:
            reason = enumerated(value)
            if reason not in REASON_NAMES:
                raise Malformed(f"the reason {reason} of an entry")
        elif oid == CERTIFICATE_ISSUER:
            if not indirect:
                raise BadCrl("an entry names another issuer, but the list is not indirect")
            names = general_names(Reader(value).take(SEQUENCE))
            issuer, *others = (name.directory for name in names)
            if issuer is None or others:
                raise BadCrl("an entry whose issuer is not one distinguished name")
        elif critical:
            raise BadCrl(f"an entry has the unknown critical extension {oid}")
    return reason, issuer


def is_signed_by(der: bytes, keys: Iterable[PublicKey]) -> bool:
    """Did one of these keys sign the list? Its entries, which take the time, are not read: a large
    list from a stranger is held to this before it is parsed."""
    try:
        outer = Reader(der).inner()
        tbs = outer.any().whole
        scheme = scheme_of(outer.any().whole)
        signature = outer.take(BIT_STRING)[1:]
    except Malformed:
        return False
    if scheme is None:
        return False
    for key in keys:
        try:
            verify(key, scheme, tbs, signature)
        except BadSignature:
            continue
        return True
    return False
