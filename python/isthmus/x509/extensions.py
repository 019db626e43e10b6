"""Certificate and CRL extensions as values (RFC 5280 §4.2, §5.2; RFC 6960 §4.2.2.2.1).

What this room does not know is kept by number if it is critical, and not looked at otherwise. What
it does know must be well formed, critical or not.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from isthmus.values.errors import Malformed
from isthmus.x509.der import (
    BOOLEAN,
    ENUMERATED,
    INTEGER,
    OCTET_STRING,
    SEQUENCE,
    Reader,
    bits,
    boolean,
    context,
    integer,
    small,
)
from isthmus.x509.general_name import (
    NAMES_MAX,
    GeneralName,
    NameKind,
    general_name,
    general_names,
)
from isthmus.x509.name import Rdn, relative

EXTENSIONS_MAX = 64
POLICIES_MAX = 64
POINTS_MAX = 16
PURPOSES_MAX = 64
KEY_IDENTIFIER_MAX = 128

SUBJECT_KEY_IDENTIFIER = "2.5.29.14"
KEY_USAGE = "2.5.29.15"
SUBJECT_ALTERNATIVE_NAME = "2.5.29.17"
BASIC_CONSTRAINTS = "2.5.29.19"
CRL_NUMBER = "2.5.29.20"
DELTA_CRL_INDICATOR = "2.5.29.27"
ISSUING_DISTRIBUTION_POINT = "2.5.29.28"
NAME_CONSTRAINTS = "2.5.29.30"
CRL_DISTRIBUTION_POINTS = "2.5.29.31"
CERTIFICATE_POLICIES = "2.5.29.32"
POLICY_MAPPINGS = "2.5.29.33"
AUTHORITY_KEY_IDENTIFIER = "2.5.29.35"
POLICY_CONSTRAINTS = "2.5.29.36"
EXTENDED_KEY_USAGE = "2.5.29.37"
FRESHEST_CRL = "2.5.29.46"
INHIBIT_ANY_POLICY = "2.5.29.54"
AUTHORITY_INFORMATION = "1.3.6.1.5.5.7.1.1"
OCSP_NO_CHECK = "1.3.6.1.5.5.7.48.1.5"

ANY_POLICY = "2.5.29.32.0"
OCSP_METHOD = "1.3.6.1.5.5.7.48.1"
CA_ISSUERS_METHOD = "1.3.6.1.5.5.7.48.2"

DIGITAL_SIGNATURE: Final = 0
CONTENT_COMMITMENT: Final = 1
KEY_CERT_SIGN: Final = 5
CRL_SIGN: Final = 6
"""Bits of KeyUsage (RFC 5280 §4.2.1.3)."""

REASONS_ALL = frozenset(range(1, 9))
"""Bits of ReasonFlags (RFC 5280 §4.2.1.13)."""


@dataclass(frozen=True, slots=True)
class Subtrees:
    """NameConstraints (RFC 5280 §4.2.1.10)."""

    permitted: tuple[GeneralName, ...] = ()
    excluded: tuple[GeneralName, ...] = ()


@dataclass(frozen=True, slots=True)
class Point:
    """One DistributionPoint (RFC 5280 §4.2.1.13).

    `names` is its full name, `relative` what is appended to the CRL issuer's name instead.
    """

    names: tuple[GeneralName, ...] = ()
    relative: Rdn | None = None
    reasons: frozenset[int] = REASONS_ALL
    issuers: tuple[GeneralName, ...] = ()

    @property
    def named(self) -> bool:
        """It says where; one that does not stands for the issuer's own list."""
        return bool(self.names) or self.relative is not None


@dataclass(frozen=True, slots=True)
class Scope:
    """IssuingDistributionPoint (RFC 5280 §5.2.5): what a CRL is about."""

    point: Point = Point()
    only_users: bool = False
    only_authorities: bool = False
    only_attributes: bool = False
    indirect: bool = False


@dataclass(slots=True)
class Extensions:
    """What a certificate or CRL says of itself; None or empty where it says nothing."""

    found: dict[str, bytes] = field(default_factory=dict)
    """Octets of every extension by object identifier."""
    critical: set[str] = field(default_factory=set)
    unknown_critical: tuple[str, ...] = ()
    is_authority: bool | None = None
    path_length: int | None = None
    key_usage: frozenset[int] | None = None
    purposes: frozenset[str] | None = None
    alternative_names: tuple[GeneralName, ...] = ()
    subtrees: Subtrees | None = None
    policies: tuple[str, ...] | None = None
    mappings: tuple[tuple[str, str], ...] = ()
    require_explicit_policy: int | None = None
    inhibit_policy_mapping: int | None = None
    inhibit_any_policy: int | None = None
    subject_key_identifier: bytes | None = None
    authority_key_identifier: bytes | None = None
    authority_names: tuple[GeneralName, ...] = ()
    points: tuple[Point, ...] = ()
    freshest: tuple[Point, ...] = ()
    ocsp_urls: tuple[str, ...] = ()
    ca_issuer_urls: tuple[str, ...] = ()
    ocsp_no_check: bool = False
    crl_number: int | None = None
    delta_base: int | None = None
    scope: Scope | None = None


def parse(body: bytes, *, of_crl: bool = False) -> Extensions:
    """Read the content of Extensions. Raises Malformed.

    `of_crl` says which ones are known: an IssuingDistributionPoint means nothing in a certificate.
    """
    result = Extensions()
    for oid, critical, value in each_extension(Reader(body)):
        if oid in result.found:
            raise Malformed(f"extension {oid} twice")
        if len(result.found) == EXTENSIONS_MAX:
            raise Malformed(f"more than {EXTENSIONS_MAX} extensions")
        result.found[oid] = value
        if critical:
            result.critical.add(oid)
    known = _OF_CRLS if of_crl else _OF_CERTIFICATES
    result.unknown_critical = tuple(sorted(result.critical - known.keys()))
    for oid, value in result.found.items():
        read = known.get(oid)
        if read is not None:
            whole = Reader(value)
            read(result, whole)
            whole.finish()
    return result


def each_extension(reader: Reader) -> Iterator[tuple[str, bool, bytes]]:
    """Object identifier, critical or not, value. Raises Malformed."""
    while not reader.empty:
        one = reader.inner()
        oid = one.oid()
        critical = one.boolean() if one.tag == BOOLEAN else False
        value = one.take(OCTET_STRING)
        one.finish()
        yield oid, critical, value


def _subject_key_identifier(into: Extensions, reader: Reader) -> None:
    into.subject_key_identifier = _identifier(reader.take(OCTET_STRING))


def _identifier(octets: bytes) -> bytes:
    if len(octets) > KEY_IDENTIFIER_MAX:
        raise Malformed(f"a key identifier of {len(octets)} octets")
    return octets


def _key_usage(into: Extensions, reader: Reader) -> None:
    into.key_usage = reader.bits()
    if not into.key_usage:
        raise Malformed("a key usage without any use")


def _alternative_names(into: Extensions, reader: Reader) -> None:
    into.alternative_names = general_names(reader.take(SEQUENCE))


def _basic_constraints(into: Extensions, reader: Reader) -> None:
    inner = reader.inner()
    into.is_authority = inner.boolean() if inner.tag == BOOLEAN else False
    if inner.tag == INTEGER:
        # RFC 5280 §4.2.1.9: a length without cA means nothing; certificates that have one exist.
        into.path_length = small(inner.take(INTEGER))
    inner.finish()


def _name_constraints(into: Extensions, reader: Reader) -> None:
    inner = reader.inner()
    permitted = inner.optional(context(0, constructed=True))
    excluded = inner.optional(context(1, constructed=True))
    inner.finish()
    if permitted is None and excluded is None:
        raise Malformed("name constraints that constrain nothing")
    into.subtrees = Subtrees(_subtrees(permitted), _subtrees(excluded))


def _subtrees(body: bytes | None) -> tuple[GeneralName, ...]:
    if body is None:
        return ()
    reader = Reader(body)
    bases: list[GeneralName] = []
    while not reader.empty:
        if len(bases) == NAMES_MAX:
            raise Malformed(f"more than {NAMES_MAX} subtrees in one extension")
        one = reader.inner()
        base = general_name(one.any(), address_sizes=(8, 32))
        if base.kind is NameKind.IP:
            _check_mask(base.octets[len(base.octets) // 2 :])
        minimum = one.optional(context(0))
        if minimum not in (None, b"\x00") or not one.empty:
            raise Malformed("a subtree with a minimum or a maximum")
        bases.append(base)
    if not bases:
        raise Malformed("an empty list of subtrees")
    return tuple(bases)


def _check_mask(mask: bytes) -> None:
    """RFC 5280 §4.2.1.10 takes the style of RFC 4632: ones, then zeros."""
    inverse = ~int.from_bytes(mask) & ((1 << 8 * len(mask)) - 1)
    if inverse & (inverse + 1):
        raise Malformed("an address mask with holes")


def _policies(into: Extensions, reader: Reader) -> None:
    found: dict[str, None] = {}
    inner = reader.inner()
    while not inner.empty:
        one = inner.inner()
        oid = one.oid()
        one.optional(SEQUENCE)  # Qualifiers are told to people; nothing is decided by them.
        one.finish()
        if oid in found:
            raise Malformed(f"policy {oid} twice")
        if len(found) == POLICIES_MAX:
            raise Malformed(f"more than {POLICIES_MAX} policies")
        found[oid] = None
    if not found:
        raise Malformed("an empty list of policies")
    into.policies = tuple(found)


def _policy_mappings(into: Extensions, reader: Reader) -> None:
    found: list[tuple[str, str]] = []
    inner = reader.inner()
    while not inner.empty:
        one = inner.inner()
        if len(found) == POLICIES_MAX:
            raise Malformed(f"more than {POLICIES_MAX} policy mappings")
        found.append((one.oid(), one.oid()))
        one.finish()
    if not found:
        raise Malformed("an empty list of policy mappings")
    into.mappings = tuple(found)


def _policy_constraints(into: Extensions, reader: Reader) -> None:
    inner = reader.inner()
    explicit, mapping = inner.optional(context(0)), inner.optional(context(1))
    inner.finish()
    if explicit is None and mapping is None:
        raise Malformed("policy constraints that constrain nothing")
    into.require_explicit_policy = None if explicit is None else small(explicit)
    into.inhibit_policy_mapping = None if mapping is None else small(mapping)


def _inhibit_any_policy(into: Extensions, reader: Reader) -> None:
    into.inhibit_any_policy = small(reader.take(INTEGER))


def _authority_key_identifier(into: Extensions, reader: Reader) -> None:
    inner = reader.inner()
    identifier = inner.optional(context(0))
    into.authority_key_identifier = None if identifier is None else _identifier(identifier)
    names = inner.optional(context(1, constructed=True))
    into.authority_names = () if names is None else general_names(names)
    serial = inner.optional(context(2))
    inner.finish()
    if (names is None) is not (serial is None):
        raise Malformed("an authority's name without its serial number, or the reverse")


def _extended_key_usage(into: Extensions, reader: Reader) -> None:
    inner = reader.inner()
    purposes: list[str] = []
    while not inner.empty:
        if len(purposes) == PURPOSES_MAX:
            raise Malformed(f"more than {PURPOSES_MAX} extended key usages")
        purposes.append(inner.oid())
    if not purposes:
        raise Malformed("an empty list of extended key usages")
    into.purposes = frozenset(purposes)


def _distribution_points(into: Extensions, reader: Reader) -> None:
    into.points = _points(reader)


def _freshest(into: Extensions, reader: Reader) -> None:
    into.freshest = _points(reader)


def _points(reader: Reader) -> tuple[Point, ...]:
    inner = reader.inner()
    points: list[Point] = []
    while not inner.empty:
        if len(points) == POINTS_MAX:
            raise Malformed(f"more than {POINTS_MAX} distribution points")
        one = inner.inner()
        where = one.optional(context(0, constructed=True))
        names, rdn = ((), None) if where is None else _point_name(where)
        reasons = one.optional(context(1))
        issuers = one.optional(context(2, constructed=True))
        one.finish()
        if where is None and issuers is None:
            raise Malformed("a distribution point without name and issuer")
        points.append(
            Point(
                names,
                rdn,
                REASONS_ALL if reasons is None else bits(reasons) & REASONS_ALL,
                () if issuers is None else general_names(issuers),
            )
        )
    if not points:
        raise Malformed("an empty list of distribution points")
    return tuple(points)


def _point_name(body: bytes) -> tuple[tuple[GeneralName, ...], Rdn | None]:
    reader = Reader(body)
    choice = reader.any()
    reader.finish()
    if choice.tag == context(0, constructed=True):
        return general_names(choice.body), None
    if choice.tag != context(1, constructed=True):
        raise Malformed(f"a distribution point's name with tag {choice.tag:#04x}")
    return (), relative(choice.body)


def _authority_information(into: Extensions, reader: Reader) -> None:
    inner = reader.inner()
    ocsp: list[str] = []
    issuers: list[str] = []
    while not inner.empty:
        one = inner.inner()
        method = one.oid()
        place = general_name(one.any())
        one.finish()
        if len(ocsp) + len(issuers) == POINTS_MAX:
            raise Malformed(f"more than {POINTS_MAX} addresses of the authority")
        if place.kind is NameKind.URI and method == OCSP_METHOD:
            ocsp.append(place.text)
        elif place.kind is NameKind.URI and method == CA_ISSUERS_METHOD:
            issuers.append(place.text)
    into.ocsp_urls, into.ca_issuer_urls = tuple(ocsp), tuple(issuers)


def _ocsp_no_check(into: Extensions, reader: Reader) -> None:
    if reader.any().whole != b"\x05\x00":
        raise Malformed("an OCSP no-check extension that is not NULL")
    into.ocsp_no_check = True


def _crl_number(into: Extensions, reader: Reader) -> None:
    into.crl_number = _number(reader)


def _delta_crl_indicator(into: Extensions, reader: Reader) -> None:
    into.delta_base = _number(reader)


def _number(reader: Reader) -> int:
    body = reader.take(INTEGER)
    if len(body) > 21 or (value := integer(body)) < 0:
        raise Malformed("a CRL number that is negative or longer than 20 octets")
    return value


def _issuing_distribution_point(into: Extensions, reader: Reader) -> None:
    inner = reader.inner()
    where = inner.optional(context(0, constructed=True))
    names, rdn = ((), None) if where is None else _point_name(where)
    flags = dict.fromkeys((1, 2, 4, 5), False)
    reasons = REASONS_ALL
    for number in (1, 2, 3, 4, 5):
        value = inner.optional(context(number))
        if value is None:
            continue
        if number == 3:
            reasons = bits(value) & REASONS_ALL
        else:
            flags[number] = boolean(value)
    inner.finish()
    if flags[1] + flags[2] + flags[5] > 1:
        raise Malformed("a CRL that is only for users and only for authorities")
    into.scope = Scope(Point(names, rdn, reasons), flags[1], flags[2], flags[5], flags[4])


_OF_CERTIFICATES = {
    SUBJECT_KEY_IDENTIFIER: _subject_key_identifier,
    KEY_USAGE: _key_usage,
    SUBJECT_ALTERNATIVE_NAME: _alternative_names,
    BASIC_CONSTRAINTS: _basic_constraints,
    NAME_CONSTRAINTS: _name_constraints,
    CRL_DISTRIBUTION_POINTS: _distribution_points,
    CERTIFICATE_POLICIES: _policies,
    POLICY_MAPPINGS: _policy_mappings,
    AUTHORITY_KEY_IDENTIFIER: _authority_key_identifier,
    POLICY_CONSTRAINTS: _policy_constraints,
    EXTENDED_KEY_USAGE: _extended_key_usage,
    FRESHEST_CRL: _freshest,
    INHIBIT_ANY_POLICY: _inhibit_any_policy,
    AUTHORITY_INFORMATION: _authority_information,
    OCSP_NO_CHECK: _ocsp_no_check,
}
_OF_CRLS = {
    AUTHORITY_KEY_IDENTIFIER: _authority_key_identifier,
    CRL_NUMBER: _crl_number,
    DELTA_CRL_INDICATOR: _delta_crl_indicator,
    ISSUING_DISTRIBUTION_POINT: _issuing_distribution_point,
    FRESHEST_CRL: _freshest,
}


def enumerated(octets: bytes) -> int:
    """A whole ENUMERATED of one octet. Raises Malformed."""
    reader = Reader(octets)
    body = reader.take(ENUMERATED)
    reader.finish()
    if len(body) != 1:
        raise Malformed("an enumerated value of several octets")
    return int.from_bytes(body)
