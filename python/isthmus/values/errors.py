"""The kinds of error, named by who is to blame (ARCHITECTURE.md, style)."""

from isthmus.values.registry.ikev2 import NotifyType


class IsthmusError(Exception):
    """Root of every error that Isthmus raises on purpose."""


class Malformed(IsthmusError):
    """The octets are to blame: they are no value of the format.

    `at` is the offset in octets where reading failed, if known.
    """

    def __init__(self, reason: str, *, at: int | None = None) -> None:
        super().__init__(reason if at is None else f"{reason} (at octet {at})")
        self.reason = reason
        self.at = at


class UnsupportedCritical(Malformed):
    """An unknown payload had its critical bit set (RFC 7296 §2.5)."""

    def __init__(self, payload_type: int) -> None:
        super().__init__(f"unknown critical payload {payload_type}")
        self.payload_type = payload_type


class ProtocolError(IsthmusError):
    """An exchange cannot go on; `notify` is what may be said to an authenticated peer.

    `code` is the stable finding code of the product (E110 and so on), `data` the notify's data, and
    `hint` what a user may do about it, where the code's own remedy is not enough.
    """

    def __init__(
        self,
        reason: str,
        *,
        notify: NotifyType | None,
        code: str = "E000",
        data: bytes = b"",
        hint: str = "",
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.notify = notify
        self.code = code
        self.data = data
        self.hint = hint


class PeerMisbehaved(ProtocolError):
    """The protocol was broken by the peer."""


class NoAgreement(ProtocolError):
    """The two policies have nothing in common."""


class NotAuthenticated(ProtocolError):
    """The proof does not hold."""


class LocalFault(IsthmusError):
    """We or the system are to blame."""


class IntegrityFailed(IsthmusError):
    """An integrity check value did not verify; the octets must not be believed."""
