"""Which certificates a revocation list is about (RFC 5280 §5.2.5, §6.3.3 b and d)."""

from isthmus.x509.certificate import Certificate
from isthmus.x509.crl import Crl
from isthmus.x509.extensions import REASONS_ALL, Point
from isthmus.x509.general_name import NameKind
from isthmus.x509.name import Name


def reasons_of(crl: Crl) -> frozenset[int]:
    """The reasons for revocation that a list speaks of."""
    return REASONS_ALL if crl.scope is None else crl.scope.point.reasons


def in_scope(crl: Crl, certificate: Certificate, point: Point) -> bool:
    """RFC 5280 §6.3.3 b: a list is about this certificate, as found through this point."""
    scope = crl.scope
    if scope is None:
        return not point.issuers
    if point.issuers and not scope.indirect:
        return False
    if scope.only_attributes:
        return False
    if certificate.is_authority and scope.only_users:
        return False
    if not certificate.is_authority and scope.only_authorities:
        return False
    if not scope.point.named:
        return True
    wanted = _places(scope.point, crl.issuer)
    if point.named:
        return bool(wanted & _places(point, _point_issuer(certificate, point)))
    if point.issuers:
        return bool(wanted & _places(Point(point.issuers), crl.issuer))
    return (NameKind.DIRECTORY, certificate.issuer.key) in wanted


def _point_issuer(certificate: Certificate, point: Point) -> Name:
    named = [name.directory for name in point.issuers if name.directory is not None]
    return named[0] if named else certificate.issuer


def _places(point: Point, issuer: Name) -> set[tuple[NameKind, object]]:
    """The names of a distribution point, so that two can be compared."""
    if point.relative is not None:
        return {(NameKind.DIRECTORY, (*issuer.key, point.relative))}
    return {
        (name.kind, name.octets if name.directory is None else name.directory.key)
        for name in point.names
    }
