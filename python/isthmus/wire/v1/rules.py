"""Which payloads a message may and must carry, and in which order (RFC 2409 §5, RFC 2408 §4.5).

`check` is asked once per message, with the payloads of a message in clear or of one that has been
decrypted. What needs the negotiated method or earlier messages to be judged (that a HASH stands
where a pre-shared key authenticates, say) stays with the exchange.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from isthmus.values.errors import Malformed
from isthmus.values.registry.ikev1 import ExchangeType, PayloadType, ProtocolId
from isthmus.values.registry.ikev2 import label
from isthmus.wire.v1.message import Payload, payload_type
from isthmus.wire.v1.security_association import SecurityAssociation
from isthmus.wire.v1.unknown import Unknown

T = PayloadType
ANYWHERE = frozenset({T.NOTIFY, T.VENDOR_ID})
"""Payloads that any message may carry any number of times."""
PROOF = frozenset({T.HASH, T.SIG})
"""One of them authenticates a side in phase 1."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What one kind of message is made of, beside notifies and vendor IDs."""

    exchange: ExchangeType
    first: tuple[PayloadType, ...] = ()
    """In this order in front of all others; each is in `must` as well."""
    must: frozenset[PayloadType] = frozenset()
    """Exactly once each."""
    once: frozenset[PayloadType] = frozenset()
    """At most once each."""
    many: frozenset[PayloadType] = frozenset()
    """Any number."""
    pair: PayloadType | None = None
    """Twice or not at all."""
    proof: bool = False
    """Exactly one of HASH and SIG."""
    some: frozenset[PayloadType] = frozenset()
    """At least one of these."""
    chosen: bool = False
    """Its SA payload is an answer: one transform."""


_CERTS = frozenset({T.CERT, T.CR})
_NAT_D = frozenset({T.NAT_D, T.NAT_D_DRAFT})
_NAT_OA = frozenset({T.NAT_OA, T.NAT_OA_DRAFT})
_MAIN = ExchangeType.MAIN_MODE
_AGGRESSIVE = ExchangeType.AGGRESSIVE_MODE
_QUICK = ExchangeType.QUICK_MODE

_MAIN_OFFER = Shape(_MAIN, first=(T.SA,), must=frozenset({T.SA}), many=frozenset({T.CR}))
_MAIN_ANSWER = Shape(
    _MAIN, first=(T.SA,), must=frozenset({T.SA}), many=frozenset({T.CR}), chosen=True
)
_MAIN_KEYS = Shape(_MAIN, must=frozenset({T.KE, T.NONCE}), many=_CERTS | _NAT_D)
_MAIN_PROOF = Shape(_MAIN, must=frozenset({T.ID}), many=_CERTS, proof=True)
_AGGRESSIVE_MUST = frozenset({T.SA, T.KE, T.NONCE, T.ID})
_QUICK_MUST = frozenset({T.HASH, T.SA, T.NONCE})
_INFORMATION = frozenset({T.NOTIFY, T.DELETE})

SHAPES = {
    "main 1": _MAIN_OFFER,
    "main 2": _MAIN_ANSWER,
    "main 3": _MAIN_KEYS,
    "main 4": _MAIN_KEYS,
    "main 5": _MAIN_PROOF,
    "main 6": _MAIN_PROOF,
    "aggressive 1": Shape(
        _AGGRESSIVE, first=(T.SA,), must=_AGGRESSIVE_MUST, many=frozenset({T.CR})
    ),
    "aggressive 2": Shape(
        _AGGRESSIVE,
        first=(T.SA,),
        must=_AGGRESSIVE_MUST,
        many=_CERTS | _NAT_D,
        proof=True,
        chosen=True,
    ),
    "aggressive 3": Shape(_AGGRESSIVE, many=_CERTS | _NAT_D, proof=True),
    "quick 1": Shape(
        _QUICK,
        first=(T.HASH, T.SA),
        must=_QUICK_MUST,
        once=frozenset({T.KE}),
        many=_NAT_OA,
        pair=T.ID,
    ),
    "quick 2": Shape(
        _QUICK,
        first=(T.HASH, T.SA),
        must=_QUICK_MUST,
        once=frozenset({T.KE}),
        many=_NAT_OA,
        pair=T.ID,
        chosen=True,
    ),
    "quick 3": Shape(_QUICK, first=(T.HASH,), must=frozenset({T.HASH})),
    "quick 4": Shape(_QUICK, first=(T.HASH,), must=frozenset({T.HASH}), some=frozenset({T.NOTIFY})),
    "informational": Shape(
        ExchangeType.INFORMATIONAL,
        first=(T.HASH,),
        must=frozenset({T.HASH}),
        many=_INFORMATION,
        some=_INFORMATION,
    ),
    "informational clear": Shape(ExchangeType.INFORMATIONAL, many=_INFORMATION, some=_INFORMATION),
    "transaction": Shape(
        ExchangeType.TRANSACTION, first=(T.HASH,), must=frozenset({T.HASH, T.ATTRIBUTES})
    ),
}
"""By exchange and place. Quick 4 is the CONNECTED of a responder that set the commit bit (RFC 2408
§3.1); an informational message in clear may come as long as there is no phase 1."""


def check(exchange: int, place: str, payloads: Sequence[Payload]) -> None:
    """Raises Malformed, with a sentence, for a message that has no such place in its exchange.

    `place` is one of `SHAPES`. Payloads of private types are never the reason, unless they stand
    in front of one that is to be first.
    """
    shape = SHAPES[place]
    if exchange != shape.exchange:
        raise Malformed(f"{label(ExchangeType, exchange)} where {shape.exchange.name} is due")
    kinds = [payload_type(payload) for payload in payloads]
    for at, kind in enumerate(shape.first):
        if kinds[at : at + 1] != [kind]:
            raise Malformed(f"payload {at + 1} is not {kind.name}")
    _check_counts(shape, Counter(payload_type(p) for p in payloads if not isinstance(p, Unknown)))
    for payload in payloads:
        if isinstance(payload, SecurityAssociation):
            _check_proposals(shape, payload)


def _check_counts(shape: Shape, counts: Counter[int]) -> None:
    proofs = PROOF if shape.proof else frozenset()
    for kind, count in counts.items():
        if kind in ANYWHERE or kind in shape.many or kind in proofs or kind == shape.pair:
            continue
        if kind not in shape.must and kind not in shape.once:
            raise Malformed(f"{label(PayloadType, kind)} payload has no place in this message")
        if count > 1:
            raise Malformed(f"{label(PayloadType, kind)} payload stands {count} times")
    for needed in sorted(shape.must):
        if not counts[needed]:
            raise Malformed(f"{needed.name} payload is missing")
    if shape.proof and sum(counts[kind] for kind in PROOF) != 1:
        raise Malformed("not exactly one of HASH and SIG payloads")
    if shape.pair is not None and counts[shape.pair] not in (0, 2):
        raise Malformed(f"{shape.pair.name} payload stands {counts[shape.pair]} times, not twice")
    if shape.some and not any(counts[kind] for kind in shape.some):
        raise Malformed(f"none of {', '.join(kind.name for kind in sorted(shape.some))}")


def _check_proposals(shape: Shape, association: SecurityAssociation) -> None:
    for_phase1 = shape.exchange is not _QUICK
    for proposal in association.proposals:
        if (proposal.protocol == ProtocolId.ISAKMP) is not for_phase1:
            name = label(ProtocolId, proposal.protocol)
            raise Malformed(f"{name} proposal has no place in this exchange")
        if not proposal.transforms:
            raise Malformed("a proposal without transforms")
        if shape.chosen and len(proposal.transforms) != 1:
            raise Malformed(f"{len(proposal.transforms)} transforms where one is to be chosen")
    if shape.chosen and len({proposal.number for proposal in association.proposals}) != 1:
        raise Malformed("proposals of several numbers where one is to be chosen")
