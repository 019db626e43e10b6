"""One line of text for a message, for traces and logs: what is in it, and no secrets.

What a stranger wrote is escaped and clipped, so a line stays a line of a known length.
"""

from collections.abc import Iterable
from enum import IntEnum
from ipaddress import ip_address
from typing import assert_never

from isthmus.values.identity import Identity, printable
from isthmus.values.proposal import Transform, transform_keyword
from isthmus.values.registry import ikev1
from isthmus.values.registry.ikev2 import (
    AuthMethod,
    CertEncoding,
    CfgType,
    EapCode,
    ExchangeType,
    IdType,
    KeMethod,
    NotifyType,
    PayloadType,
    SecurityProtocol,
    TransformType,
    TsType,
    known,
    label,
)
from isthmus.wire import v1
from isthmus.wire.v1.identification import SIZES
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


def describe_payloads(
    payloads: Iterable[Payload | v1.Payload], *, is_response: bool = False
) -> str:
    """The payloads of either IKE version in their order, with blanks between them."""
    return " ".join(describe(payload, is_response=is_response) for payload in payloads)


def describe(payload: Payload | v1.Payload, *, is_response: bool = False) -> str:
    """One payload: `KE(x25519)`, `N(COOKIE)`, `TSi(10.1.0.0/16)`."""
    text = _text_v1(payload) if isinstance(payload, v1.Payload) else _text(payload, is_response)
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


def _text_v1(payload: v1.Payload) -> str:
    match payload:
        case v1.SecurityAssociation(proposals):
            rows = (_transform_v1(p.protocol, t) for p in proposals for t in p.transforms)
            return f"SA({_several('|', rows)})"
        case v1.KeyExchange(data):
            return f"KE({len(data)} octets)"
        case v1.Identification():
            return f"ID({_identification_v1(payload)})"
        case v1.Certificate(encoding, data):
            return f"CERT({label(ikev1.CertEncoding, encoding)} {len(data)} octets)"
        case v1.CertificateRequest(encoding, data):
            return f"CR({label(ikev1.CertEncoding, encoding)} {len(data)} octets)"
        case v1.Notify(kind, _, protocol, spi):
            name = label(ikev1.NotifyType, kind)
            about = f" {label(ikev1.ProtocolId, protocol)} 0x{spi.hex()}" if spi else ""
            return f"N({name}{about})"
        case v1.Delete(protocol, spis):
            name = label(ikev1.ProtocolId, protocol)
            return f"D({_joined(name, (f'0x{spi.hex()}' for spi in spis))})"
        case v1.VendorId(data):
            return f"V({_vendor(data)})"
        case v1.Attributes(kind, identifier, attributes):
            name = f"{label(ikev1.ConfigType, kind)} {identifier}"
            return f"ATTR({_joined(name, (_attribute_v1(a.kind) for a in attributes))})"
        case v1.NatOriginalAddress(kind, data):
            return f"NAT-OA({Identity(known(IdType, kind), data)})"
        case v1.Fragment(fragment, number, is_last, data):
            last = " last" if is_last else ""
            return f"FRAG({fragment} #{number}{last} {len(data)} octets)"
        case v1.Unknown(number, data):
            return f"payload{number}({len(data)} octets)"
        case v1.Hash():
            return "HASH"
        case v1.Signature():
            return "SIG"
        case v1.Nonce():
            return "NONCE"
        case v1.NatDetection():
            return "NAT-D"
        case _:
            assert_never(payload)


_PHASE1_NAMES: dict[int, type[IntEnum]] = {
    ikev1.Phase1Attribute.ENCRYPTION_ALGORITHM: ikev1.Cipher,
    ikev1.Phase1Attribute.HASH_ALGORITHM: ikev1.Hash,
    ikev1.Phase1Attribute.AUTHENTICATION_METHOD: ikev1.AuthenticationMethod,
    ikev1.Phase1Attribute.GROUP_DESCRIPTION: KeMethod,
}
_PHASE2_NAMES: dict[int, type[IntEnum]] = {
    ikev1.Phase2Attribute.AUTHENTICATION_ALGORITHM: ikev1.AuthAlgorithm,
    ikev1.Phase2Attribute.GROUP_DESCRIPTION: KeMethod,
    ikev1.Phase2Attribute.ENCAPSULATION_MODE: ikev1.EncapsulationMode,
}


def _transform_v1(protocol: int, transform: v1.TransformV1) -> str:
    """`ISAKMP AES_CBC-256-SHA2_256-MODP_2048-PSK`, `ESP AES_GCM_16-128-TUNNEL`."""
    is_phase1 = protocol == ikev1.ProtocolId.ISAKMP
    names = _PHASE1_NAMES if is_phase1 else _PHASE2_NAMES
    key_length = ikev1.Phase1Attribute.KEY_LENGTH if is_phase1 else ikev1.Phase2Attribute.KEY_LENGTH
    parts: list[str] = []
    if protocol == ikev1.ProtocolId.ESP:
        parts.append(label(ikev1.EspTransform, transform.id))
    for attribute in transform.attributes:
        if not isinstance(attribute.value, int):
            continue
        if attribute.kind in names:
            parts.append(label(names[attribute.kind], attribute.value))
        elif attribute.kind == key_length:
            parts.append(str(attribute.value))
    return _joined(label(ikev1.ProtocolId, protocol), ("-".join(parts[:SHOWN_MAX]),))


def _identification_v1(payload: v1.Identification) -> str:
    """Who it is, or `10.1.0.0/255.255.0.0`, with protocol and port where they are said."""
    kind, data = payload.kind, payload.data
    if kind in SIZES and len(data) == SIZES[kind]:
        half = len(data) // 2 if kind in _PAIRS else len(data)
        ends = [str(ip_address(part)) for part in (data[:half], data[half:]) if part]
        text = _PAIRS.get(kind, "").join(ends)
    else:
        text = str(Identity(known(IdType, kind), data))
    return f"{text} {payload.protocol}/{payload.port}" if payload.protocol else text


_PAIRS: dict[int, str] = {
    ikev1.IdType.IPV4_ADDR_SUBNET: "/",
    ikev1.IdType.IPV6_ADDR_SUBNET: "/",
    ikev1.IdType.IPV4_ADDR_RANGE: "-",
    ikev1.IdType.IPV6_ADDR_RANGE: "-",
}
"""Identifications that are two addresses, and what stands between them."""


def _attribute_v1(kind: int) -> str:
    """The name alone: a value may be a password."""
    member = known(ikev1.XauthAttribute, kind)
    if isinstance(member, ikev1.XauthAttribute):
        return f"XAUTH_{member.name}"
    return label(ikev1.ConfigAttribute, kind)


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
    if data.isascii() and (text := data.decode("ascii")) and text.isprintable():
        return printable(data)
    return "0x" + data[:32].hex()
