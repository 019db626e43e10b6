"""One line of text for a message, for traces and logs: what is in it, and no secrets.

What a stranger wrote is escaped and clipped, so a line stays a line of a known length.
"""

from collections.abc import Iterable
from typing import assert_never

from isthmus.values.identity import printable
from isthmus.values.proposal import Transform, transform_keyword
from isthmus.values.registry.ikev2 import (
    AuthMethod,
    CertEncoding,
    CfgType,
    EapCode,
    ExchangeType,
    NotifyType,
    PayloadType,
    SecurityProtocol,
    TransformType,
    TsType,
    label,
)
from isthmus.wire.v2.authentication import Authentication
from isthmus.wire.v2.certificate import Certificate, CertificateRequest
from isthmus.wire.v2.configuration import ConfigurationPayload
from isthmus.wire.v2.delete import Delete
from isthmus.wire.v2.eap import Eap
from isthmus.wire.v2.encrypted import Encrypted, EncryptedFragment
from isthmus.wire.v2.identification import Identification
from isthmus.wire.v2.key_exchange import KeyExchange
from isthmus.wire.v2.message import Message, Payload
from isthmus.wire.v2.nonce import Nonce
from isthmus.wire.v2.notify import Notify
from isthmus.wire.v2.security_association import SecurityAssociation
from isthmus.wire.v2.selectors import TrafficSelectors, UnknownSelector
from isthmus.wire.v2.unknown import Unknown
from isthmus.wire.v2.vendor_id import VendorId

SHOWN_MAX = 8
"""Proposals, transforms of one, selectors, SPIs, attributes: how many are spelled out."""
PAYLOAD_TEXT_MAX = 240
"""Characters of one payload's text."""


def describe_message(message: Message) -> str:
    """Exchange, direction, message ID and payloads: `IKE_SA_INIT request 0 [SA(...) KE(...)]`."""
    header = message.header
    what = "response" if header.is_response else "request"
    inside = describe_payloads(message.payloads, is_response=header.is_response)
    return f"{label(ExchangeType, header.exchange)} {what} {header.message_id} [{inside}]"


def describe_payloads(payloads: Iterable[Payload], *, is_response: bool = False) -> str:
    """The payloads in their order, with blanks between them."""
    return " ".join(describe(payload, is_response=is_response) for payload in payloads)


def describe(payload: Payload, *, is_response: bool = False) -> str:
    """One payload: `KE(x25519)`, `N(COOKIE)`, `TSi(10.1.0.0/16)`."""
    text = _text(payload, is_response)
    return text if len(text) <= PAYLOAD_TEXT_MAX else text[: PAYLOAD_TEXT_MAX - 1] + "…"


def _text(payload: Payload, is_response: bool) -> str:
    match payload:
        case SecurityAssociation(proposals):
            return f"SA({_several('|', (_proposal(p.transforms) for p in proposals))})"
        case KeyExchange(method):
            return f"KE({transform_keyword(Transform(TransformType.KE, method))})"
        case Identification(role, identity):
            return f"{'IDi' if role is PayloadType.ID_I else 'IDr'}({identity})"
        case Certificate(encoding, data):
            return f"CERT({label(CertEncoding, encoding)} {len(data)} octets)"
        case CertificateRequest(encoding, data):
            return f"CERTREQ({label(CertEncoding, encoding)} {len(data)} octets)"
        case Authentication(method):
            return f"AUTH({label(AuthMethod, method)})"
        case Nonce():
            return "Nr" if is_response else "Ni"
        case Notify():
            return _notify(payload)
        case Delete(protocol, spis):
            return f"D({_joined(protocol.name, (f'0x{spi.hex()}' for spi in spis))})"
        case VendorId(data):
            return f"V({_vendor(data)})"
        case TrafficSelectors(role, selectors):
            name = "TSi" if role is PayloadType.TS_I else "TSr"
            return f"{name}({_several(', ', map(_selector, selectors))})"
        case Encrypted(_, body):
            return f"SK({len(body)} octets)"
        case EncryptedFragment(_, number, total, body):
            return f"SKF({number}/{total} {len(body)} octets)"
        case ConfigurationPayload(kind, attributes):
            return f"CP({_joined(label(CfgType, kind), (str(a.kind) for a in attributes))})"
        case Eap(code, identifier):
            return f"EAP({label(EapCode, code)} {identifier})"
        case Unknown(number, _, data):
            return f"payload{number}({len(data)} octets)"
        case _:
            assert_never(payload)


def _several(separator: str, texts: Iterable[str]) -> str:
    """The first few, and how many more there are."""
    shown: list[str] = []
    more = 0
    for text in texts:
        if len(shown) < SHOWN_MAX:
            shown.append(text)
        else:
            more += 1
    return separator.join([*shown, f"+{more}"] if more else shown)


def _joined(word: str, texts: Iterable[str]) -> str:
    """A word and, behind a blank, what belongs to it."""
    return f"{word} {_several(',', texts)}".rstrip()


def _proposal(transforms: tuple[Transform, ...]) -> str:
    return _several("-", (str(transform) for transform in transforms))


def _notify(notify: Notify) -> str:
    name = label(NotifyType, notify.kind)
    if notify.spi:
        name += f" {label(SecurityProtocol, notify.protocol)} 0x{notify.spi.hex()}"
    if notify.kind == NotifyType.INVALID_KE_PAYLOAD and len(notify.data) == 2:
        wanted = int.from_bytes(notify.data, "big")
        name += f" {transform_keyword(Transform(TransformType.KE, wanted))}"
    return f"N({name})"


def _selector(selector: object) -> str:
    if isinstance(selector, UnknownSelector):
        return f"{label(TsType, selector.kind)} {len(selector.octets)} octets"
    return str(selector)


def _vendor(data: bytes) -> str:
    """As text where it is some, else as hexadecimal digits."""
    if data and all(32 <= octet < 127 for octet in data):
        return printable(data)
    return "0x" + data[:32].hex()
