"""Which payloads an exchange may and must carry (RFC 7296 §1.2 to §1.4 and appendix C).

`check` is asked once per message, with the payloads that the exchange is about: those inside the SK
payload once it is open, or those of an IKE_SA_INIT. What needs more than this one message to be
judged (an IDr that is due in the first IKE_AUTH response alone, say) stays with the exchange.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from isthmus.values.errors import Malformed
from isthmus.values.registry.ikev2 import (
    FIRST_STATUS_TYPE,
    ExchangeType,
    NotifyType,
    PayloadType,
    SecurityProtocol,
    label,
)
from isthmus.values.spi import ESP_SPI_SIZE, IKE_SPI_SIZE
from isthmus.wire.v2.authentication import decode_announcements, decode_hashes
from isthmus.wire.v2.message import Payload, payload_type
from isthmus.wire.v2.notify import Notify
from isthmus.wire.v2.security_association import SecurityAssociation
from isthmus.wire.v2.unknown import Unknown

T = PayloadType
ANYWHERE = frozenset({T.NOTIFY, T.VENDOR_ID})
"""Payloads that any message may carry any number of times."""
COOKIE_MAX = 64
"""Octets of a cookie (RFC 7296 §2.6)."""
NOTIFY_ONCE = frozenset(
    {
        NotifyType.COOKIE,
        NotifyType.INVALID_KE_PAYLOAD,
        NotifyType.REKEY_SA,
        NotifyType.SIGNATURE_HASH_ALGORITHMS,
        NotifyType.SUPPORTED_AUTH_METHODS,
    }
)
"""Notifies that mean nothing when they stand twice."""
NOTIFY_SIZES: dict[int, tuple[int, int]] = {
    NotifyType.COOKIE: (1, COOKIE_MAX),
    NotifyType.INVALID_KE_PAYLOAD: (2, 2),
    NotifyType.NAT_DETECTION_SOURCE_IP: (20, 20),
    NotifyType.NAT_DETECTION_DESTINATION_IP: (20, 20),
    NotifyType.SET_WINDOW_SIZE: (4, 4),
}
"""Fewest and most octets of data, where RFC 7296 tells them."""
_ANY_SIZE = (0, 65535)
INSTEAD_OF_SA = frozenset({NotifyType.COOKIE, NotifyType.REDIRECT})
"""Status notifies that stand in a response instead of what was asked for (also RFC 5685)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What one kind of message is made of, beside notifies and vendor IDs."""

    must: frozenset[PayloadType] = frozenset()
    """Exactly once each."""
    once: frozenset[PayloadType] = frozenset()
    """At most once each."""
    many: frozenset[PayloadType] = frozenset()
    """Any number."""
    together: frozenset[PayloadType] = frozenset()
    """All of them or none; each is in `once` as well."""


_CHILD = frozenset({T.SA, T.TS_I, T.TS_R})
_CERTS = frozenset({T.CERT, T.CERTREQ})

INIT_REQUEST = Shape(must=frozenset({T.SA, T.KE, T.NONCE}))
INIT_RESPONSE = Shape(must=INIT_REQUEST.must, many=frozenset({T.CERTREQ}))
AUTH_FIRST_REQUEST = Shape(
    must=frozenset({T.ID_I}),
    once=frozenset({T.ID_R, T.AUTH, T.CP}) | _CHILD,
    many=_CERTS,
    together=_CHILD,
)
"""No AUTH asks for EAP; no child at all is RFC 6023."""
AUTH_RESPONSE = Shape(
    must=frozenset({T.AUTH}),
    once=frozenset({T.ID_R, T.CP}) | _CHILD,
    many=_CERTS,
    together=_CHILD,
)
EAP_REQUEST = Shape(must=frozenset({T.EAP}))
EAP_RESPONSE = Shape(
    must=frozenset({T.EAP}), once=frozenset({T.ID_R, T.AUTH}), many=frozenset({T.CERT})
)
AUTH_LAST_REQUEST = Shape(must=frozenset({T.AUTH}))
CHILD_CREATION = Shape(must=frozenset({T.NONCE}) | _CHILD, once=frozenset({T.KE, T.CP}))
IKE_REKEY = Shape(must=frozenset({T.SA, T.NONCE, T.KE}))
INFORMATION = Shape(once=frozenset({T.CP}), many=frozenset({T.DELETE}))

SPI_SIZES = {
    SecurityProtocol.IKE: IKE_SPI_SIZE,
    SecurityProtocol.AH: ESP_SPI_SIZE,
    SecurityProtocol.ESP: ESP_SPI_SIZE,
}
"""Octets of a proposal's SPI once there is an IKE SA; in IKE_SA_INIT there are none."""


def check(exchange: int, is_response: bool, payloads: Sequence[Payload]) -> None:
    """Raises Malformed, with a sentence, for a message that the exchange does not know.

    Unknown payloads and unknown notifies are never the reason. In a response, an error notify (and
    a cookie or redirect) takes the place of what else must be there.
    """
    counts = Counter(payload_type(p) for p in payloads if not isinstance(p, Unknown))
    notifies = [p for p in payloads if isinstance(p, Notify)]
    shape = _shape_of(exchange, is_response, counts, payloads)
    excused = is_response and any(_excuses(notify) for notify in notifies)
    _check_shape(shape, counts, excused=excused)
    _check_notifies(notifies)
    for payload in payloads:
        if isinstance(payload, SecurityAssociation):
            _check_proposals(exchange, is_response, payload)


def _shape_of(
    exchange: int, is_response: bool, counts: Counter[int], payloads: Iterable[Payload]
) -> Shape:
    match exchange:
        case ExchangeType.IKE_SA_INIT:
            return INIT_RESPONSE if is_response else INIT_REQUEST
        case ExchangeType.IKE_AUTH if is_response:
            return EAP_RESPONSE if counts[T.EAP] else AUTH_RESPONSE
        case ExchangeType.IKE_AUTH:
            if counts[T.ID_I]:
                return AUTH_FIRST_REQUEST
            return EAP_REQUEST if counts[T.EAP] else AUTH_LAST_REQUEST
        case ExchangeType.CREATE_CHILD_SA:
            return IKE_REKEY if _is_ike_rekey(payloads) else CHILD_CREATION
        case ExchangeType.INFORMATIONAL:
            return INFORMATION
        case _:
            raise Malformed(f"no rules for exchange {label(ExchangeType, exchange)}")


def _is_ike_rekey(payloads: Iterable[Payload]) -> bool:
    return any(
        proposal.protocol is SecurityProtocol.IKE
        for payload in payloads
        if isinstance(payload, SecurityAssociation)
        for proposal in payload.proposals
    )


def _excuses(notify: Notify) -> bool:
    return notify.kind < FIRST_STATUS_TYPE or notify.kind in INSTEAD_OF_SA


def _check_shape(shape: Shape, counts: Counter[int], *, excused: bool) -> None:
    for kind, count in counts.items():
        if kind in ANYWHERE or kind in shape.many:
            continue
        if kind not in shape.must and kind not in shape.once:
            raise Malformed(f"{label(PayloadType, kind)} payload has no place in this message")
        if count > 1:
            raise Malformed(f"{label(PayloadType, kind)} payload stands {count} times")
    if excused:
        return
    for kind in sorted(shape.must):
        if not counts[kind]:
            raise Malformed(f"{kind.name} payload is missing")
    present = [kind for kind in shape.together if counts[kind]]
    if present and len(present) != len(shape.together):
        missing = sorted(kind.name for kind in shape.together if not counts[kind])
        raise Malformed(f"{' and '.join(missing)} payload is missing")


def _check_notifies(notifies: Sequence[Notify]) -> None:
    seen: set[int] = set()
    for notify in notifies:
        kind = notify.kind
        if kind in seen and kind in NOTIFY_ONCE:
            raise Malformed(f"notify {label(NotifyType, kind)} stands twice")
        seen.add(kind)
        fewest, most = NOTIFY_SIZES.get(kind, _ANY_SIZE)
        if not fewest <= len(notify.data) <= most:
            raise Malformed(f"notify {label(NotifyType, kind)} of {len(notify.data)} octets")
        if kind == NotifyType.SIGNATURE_HASH_ALGORITHMS:
            decode_hashes(notify.data)
        if kind == NotifyType.SUPPORTED_AUTH_METHODS:
            decode_announcements(notify.data)
        if kind == NotifyType.REKEY_SA and (
            notify.protocol not in (SecurityProtocol.ESP, SecurityProtocol.AH)
            or len(notify.spi) != ESP_SPI_SIZE
        ):
            raise Malformed("notify REKEY_SA names no Child SA")


def _check_proposals(exchange: int, is_response: bool, association: SecurityAssociation) -> None:
    if is_response and len(association.proposals) != 1:
        raise Malformed(f"{len(association.proposals)} proposals where one is to be chosen")
    initial = exchange == ExchangeType.IKE_SA_INIT
    for proposal in association.proposals:
        for_ike = proposal.protocol is SecurityProtocol.IKE
        if (initial and not for_ike) or (exchange == ExchangeType.IKE_AUTH and for_ike):
            raise Malformed(f"{proposal.protocol.name} proposal has no place in this exchange")
        size = 0 if initial else SPI_SIZES[proposal.protocol]
        if len(proposal.spi) != size:
            raise Malformed(f"{proposal.protocol.name} SPI of {len(proposal.spi)} octets")
    if len({p.protocol is SecurityProtocol.IKE for p in association.proposals}) > 1:
        raise Malformed("proposals for an IKE SA beside proposals for a Child SA")
