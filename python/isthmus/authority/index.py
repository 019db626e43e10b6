"""The list of what an authority has issued: `index.json`, plain JSON that a person can read."""

from enum import StrEnum

import msgspec

from isthmus.authority.errors import AuthorityError

FORMAT = 1
DAY_S = 86_400
WARN_DAYS = 30
"""A certificate that ends sooner is warned of."""


class State(StrEnum):
    """How a certificate stands."""

    VALID = "valid"
    ENDING = "ends soon"
    EXPIRED = "expired"
    REVOKED = "revoked"


class Reason(StrEnum):
    """Why a certificate is revoked (RFC 5280 §5.3.1)."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "key-compromise"
    AFFILIATION_CHANGED = "affiliation-changed"
    SUPERSEDED = "superseded"
    CESSATION = "cessation"


class Issued(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One certificate. Times are Unix seconds."""

    name: str
    serial: str
    """In hexadecimal digits."""
    subject: str
    identities: tuple[str, ...]
    """Typed, as in the configuration; the first is who the gateway says it is."""
    key: str
    """The key's kind; "theirs" where somebody else holds it."""
    not_before: int
    not_after: int
    address: str = ""
    """Where peers reach the gateway."""
    networks: tuple[str, ...] = ()
    """Behind the gateway."""
    is_authority: bool = False
    revoked_at: int | None = None
    reason: Reason | None = None

    def state(self, at: int) -> State:
        """How it stands at a time."""
        if self.revoked_at is not None:
            return State.REVOKED
        if at >= self.not_after:
            return State.EXPIRED
        return State.ENDING if self.days_left(at) < WARN_DAYS else State.VALID

    def days_left(self, at: int) -> int:
        """Whole days until it ends; negative behind its end."""
        return (self.not_after - at) // DAY_S


class Index(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that is not in a certificate."""

    format: int
    name: str
    key: str
    """The kind that gateways' keys have unless said otherwise."""
    days: int
    """How long gateways' certificates last."""
    crl_days: int
    crl_url: str = ""
    crl_number: int = 0
    crl_next_update: int = 0
    certificates: tuple[Issued, ...] = ()
    """In order of issue."""

    def current(self, name: str) -> Issued | None:
        """The newest certificate of a name."""
        return next((c for c in reversed(self.certificates) if c.name == name), None)

    def find(self, what: str) -> tuple[Issued, ...]:
        """All certificates of a name, or the one whose serial number begins so."""
        named = tuple(c for c in self.certificates if c.name == what)
        digits = what.lower().replace(":", "")
        if named or len(digits) < 8:
            return named
        found = tuple(c for c in self.certificates if c.serial.startswith(digits))
        return found if len(found) == 1 else ()


def encode(index: Index) -> bytes:
    """The file's octets."""
    return msgspec.json.format(msgspec.json.encode(index), indent=2) + b"\n"


def decode(octets: bytes, file: str) -> Index:
    """Raises AuthorityError for a file that is not such a list."""
    try:
        index = msgspec.json.decode(octets, type=Index)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AuthorityError(
            f"{file} cannot be read.", f"{error}.", "Restore it from a backup of the folder."
        ) from None
    if index.format != FORMAT:
        raise AuthorityError(
            f"{file} has format {index.format}.",
            f"This version reads format {FORMAT}.",
            "Use the version of Isthmus that wrote it.",
        )
    return index
