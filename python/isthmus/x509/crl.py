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
from isthmus.x509.der import BIT_STRING, INTEGER, SEQUENCE, Reader, context
from isthmus.x509.errors import BadCrl
from isthmus.x509.extensions import Extensions, Scope
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
_REASONS = {
    library.ReasonFlags.unspecified: 0,
    library.ReasonFlags.key_compromise: 1,
    library.ReasonFlags.ca_compromise: 2,
    library.ReasonFlags.affiliation_changed: 3,
    library.ReasonFlags.superseded: 4,
    library.ReasonFlags.cessation_of_operation: 5,
    library.ReasonFlags.certificate_hold: 6,
    library.ReasonFlags.remove_from_crl: REMOVE_FROM_CRL,
    library.ReasonFlags.privilege_withdrawn: 9,
    library.ReasonFlags.aa_compromise: 10,
}


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
        try:
            return cls._from_der(bytes(der))
        except Malformed as error:
            raise BadCrl(f"the revocation list cannot be read: {error}") from None
        except BadCrl:
            raise
        except Exception as error:
            # The library names no complete set of what it raises on a stranger's octets.
            kind = type(error).__name__
            raise BadCrl(f"the revocation list cannot be read ({kind})") from None

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
        fields.optional(SEQUENCE)  # The entries, which the library reads below.
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
        entries, foreign = _index(read, issuer, indirect)
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
    read: library.CertificateRevocationList, issuer: Name, indirect: bool
) -> tuple[dict[int, int], dict[tuple[Key, int], int]]:
    entries: dict[int, int] = {}
    foreign: dict[tuple[Key, int], int] = {}
    current = issuer
    for revoked in read:
        reason = 0
        for extension in revoked.extensions:
            value = extension.value
            if isinstance(value, library.CRLReason):
                reason = _REASONS[value.reason]
            elif isinstance(value, library.CertificateIssuer):
                if not indirect:
                    raise BadCrl("an entry names another issuer, but the list is not indirect")
                current = _issuer(value)
            elif extension.critical:
                raise BadCrl(
                    f"an entry has the unknown critical extension {extension.oid.dotted_string}"
                )
        packed = int(revoked.revocation_date_utc.timestamp()) << 4 | reason
        if current == issuer:
            entries[revoked.serial_number] = packed
        else:
            foreign[current.key, revoked.serial_number] = packed
    return entries, foreign


def _issuer(value: library.CertificateIssuer) -> Name:
    """The one directoryName of a CertificateIssuer (RFC 5280 §5.3.3)."""
    names = value.get_values_for_type(library.DirectoryName)
    if len(names) != 1:
        raise BadCrl("an entry whose issuer is not one distinguished name")
    return Name.parse(names[0].public_bytes())


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
