"""What `isthmus ca` shows of an authority and its certificates."""

from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from isthmus.authority.index import Issued, State
from isthmus.authority.operations import Authority
from isthmus.cli.text import Cell, Paint, count, table

Facts = dict[str, object]
_ROLES = {
    State.VALID: "good",
    State.ENDING: "busy",
    State.EXPIRED: "bad",
    State.REVOKED: "dim",
}
SERIAL_SHOWN = 12


def listed(issued: Issued, at: int) -> Facts:
    """A line of `isthmus ca list --json`."""
    return {
        "name": issued.name,
        "state": issued.state(at).value,
        "identities": list(issued.identities),
        "serial": issued.serial,
        "not_before": _day(issued.not_before),
        "ends": _day(issued.not_after),
        "days_left": issued.days_left(at),
        "key": issued.key,
        "authority": issued.is_authority,
    }


def list_lines(certificates: Sequence[Issued], at: int, paint: Paint) -> list[str]:
    """The table of `isthmus ca list`."""
    if not certificates:
        return ["Nothing is issued yet: isthmus ca issue NAME IDENTITY"]
    rows: list[list[Cell | str]] = [
        [
            issued.name,
            Cell(issued.state(at).value, _ROLES[issued.state(at)]),
            f"{_day(issued.not_after)} ({count(issued.days_left(at), 'day')})",
            issued.serial[:SERIAL_SHOWN],
            ", ".join(issued.identities) or issued.subject,
        ]
        for issued in certificates
    ]
    return table(["NAME", "STATE", "ENDS", "SERIAL", "NAMES"], rows, paint)


def details(authority: Authority, issued: Issued, at: int) -> Facts:
    """One certificate in full."""
    certificate = x509.load_pem_x509_certificate(authority.pem_of(issued))
    found: Facts = {
        **listed(issued, at),
        "subject": issued.subject,
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
        "certificate": str(authority.folder.issued(issued.serial, ".pem")),
    }
    if issued.address:
        found["address"] = issued.address
    if issued.networks:
        found["networks"] = list(issued.networks)
    if issued.revoked_at is not None:
        found["revoked"] = _day(issued.revoked_at)
        found["reason"] = issued.reason.value if issued.reason is not None else ""
    return found


def root_details(authority: Authority, at: int) -> Facts:
    """The authority in full."""
    index = authority.index
    states = [issued.state(at) for issued in index.certificates]
    return {
        "name": index.name,
        "subject": authority.certificate.subject.rfc4514_string(),
        "sha256": authority.certificate.fingerprint(hashes.SHA256()).hex(),
        "ends": _day(authority.ends_at),
        "key": index.key + (", encrypted" if authority.is_encrypted else ""),
        "root": str(authority.folder.certificate),
        "crl": str(authority.folder.crl),
        "crl_number": index.crl_number,
        "crl_ends": _day(index.crl_next_update),
        "crl_url": index.crl_url,
        "certificates": len(states),
        "revoked": sum(state is State.REVOKED for state in states),
    }


def _day(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
