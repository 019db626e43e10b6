"""What this room refuses with: each defect has a code of its own (docs/codes.md)."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from isthmus.values.errors import IsthmusError, Malformed


class Defect(StrEnum):
    """Why a certificate, a path or a revocation answer is refused."""

    UNKNOWN_ROOT = "E140"
    EXPIRED = "E141"
    IDENTITY = "E142"
    EXTENDED_KEY_USAGE = "E143"
    NOT_YET_VALID = "E144"
    MISSING_ISSUER = "E145"
    NOT_A_CA = "E146"
    PATH_LENGTH = "E147"
    KEY_USAGE = "E148"
    REVOKED_BY_CRL = "E149"
    REVOKED_BY_OCSP = "E151"
    UNKNOWN_CRITICAL = "E152"
    NAME_CONSTRAINTS = "E153"
    SIGNATURE = "E154"
    ALGORITHM = "E155"
    KEY = "E156"
    UNREADABLE = "E157"
    POLICY = "E158"
    TOO_MUCH = "E159"
    STATUS_UNKNOWN = "E160"
    STATUS_STALE = "E161"
    BAD_CRL = "E162"
    BAD_OCSP = "E163"
    CONTRADICTION = "E164"


class _Refusal(IsthmusError):
    """`code` is the finding (docs/codes.md), `reason` a sentence's worth of what is wrong."""

    def __init__(self, reason: str, *, code: Defect) -> None:
        super().__init__(f"{reason} ({code.value})")
        self.reason = reason
        self.code: str = code.value


class BadCertificate(_Refusal):
    """The octets are no certificate that can be used at all."""

    def __init__(self, reason: str, *, code: Defect = Defect.UNREADABLE) -> None:
        super().__init__(reason, code=code)


class BadCrl(_Refusal):
    """The octets are no revocation list, or none that may be believed."""

    def __init__(self, reason: str, *, code: Defect = Defect.BAD_CRL) -> None:
        super().__init__(reason, code=code)


class BadOcsp(_Refusal):
    """The octets are no OCSP answer, or none that may be believed."""

    def __init__(self, reason: str, *, code: Defect = Defect.BAD_OCSP) -> None:
        super().__init__(reason, code=code)


class Untrusted(_Refusal):
    """No path from the certificate to an anchor holds. `hint` says what to do about it."""

    def __init__(self, defect: Defect, reason: str, hint: str = "") -> None:
        super().__init__(reason, code=defect)
        self.defect = defect
        self.hint = hint


@contextmanager
def refused_as(refusal: type[BadCertificate | BadCrl], what: str) -> Iterator[None]:
    """A stranger's octets are read inside: whatever goes wrong there is raised as `refusal`, which
    says that `what` cannot be read."""
    try:
        yield
    except refusal:
        raise
    except Malformed as error:
        raise refusal(f"{what} cannot be read: {error}") from None
    except Exception as error:
        # The library names no complete set of what it raises on a stranger's octets.
        raise refusal(f"{what} cannot be read ({type(error).__name__})") from None
