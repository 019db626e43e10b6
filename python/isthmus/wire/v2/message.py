"""Whole messages and chains of payloads (RFC 7296 §3.1, §3.2)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from isthmus.values.errors import LocalFault, Malformed, UnsupportedCritical
from isthmus.values.registry.ikev2 import PayloadType
from isthmus.wire.chain import close_payload, open_payload
from isthmus.wire.cursor import Reader
from isthmus.wire.header import HEADER_SIZE, Header
from isthmus.wire.v2.authentication import Authentication
from isthmus.wire.v2.certificate import Certificate, CertificateRequest
from isthmus.wire.v2.configuration import ConfigurationPayload
from isthmus.wire.v2.delete import Delete
from isthmus.wire.v2.eap import Eap
from isthmus.wire.v2.encrypted import Encrypted, EncryptedFragment
from isthmus.wire.v2.identification import Identification
from isthmus.wire.v2.key_exchange import KeyExchange
from isthmus.wire.v2.nonce import Nonce
from isthmus.wire.v2.notify import Notify
from isthmus.wire.v2.security_association import SecurityAssociation
from isthmus.wire.v2.selectors import TrafficSelectors
from isthmus.wire.v2.unknown import Unknown
from isthmus.wire.v2.vendor_id import VendorId

Payload = (
    SecurityAssociation
    | KeyExchange
    | Identification
    | Certificate
    | CertificateRequest
    | Authentication
    | Nonce
    | Notify
    | Delete
    | VendorId
    | TrafficSelectors
    | Encrypted
    | EncryptedFragment
    | ConfigurationPayload
    | Eap
    | Unknown
)

_CRITICAL = 0x80
_NONE = int(PayloadType.NONE)
_OF_SEVERAL_TYPES = (Identification, TrafficSelectors, Unknown)
_CLOSED = (Encrypted, EncryptedFragment)

_DECODERS: dict[int, Callable[[Reader], Payload]] = {
    PayloadType.SA: SecurityAssociation.decode,
    PayloadType.KE: KeyExchange.decode,
    PayloadType.ID_I: lambda body: Identification.decode(body, PayloadType.ID_I),
    PayloadType.ID_R: lambda body: Identification.decode(body, PayloadType.ID_R),
    PayloadType.CERT: Certificate.decode,
    PayloadType.CERTREQ: CertificateRequest.decode,
    PayloadType.AUTH: Authentication.decode,
    PayloadType.NONCE: Nonce.decode,
    PayloadType.NOTIFY: Notify.decode,
    PayloadType.DELETE: Delete.decode,
    PayloadType.VENDOR_ID: VendorId.decode,
    PayloadType.TS_I: lambda body: TrafficSelectors.decode(body, PayloadType.TS_I),
    PayloadType.TS_R: lambda body: TrafficSelectors.decode(body, PayloadType.TS_R),
    PayloadType.CP: ConfigurationPayload.decode,
    PayloadType.EAP: Eap.decode,
}


@dataclass(frozen=True, slots=True)
class Message:
    """A header and its payloads; what an SK or SKF payload holds is still closed."""

    header: Header
    payloads: tuple[Payload, ...]


def payload_type(payload: Payload) -> int:
    """The number that the next-payload field before this payload holds."""
    # Where the class has no number of its own, the payload has one.
    if isinstance(payload, _OF_SEVERAL_TYPES):
        return payload.type
    return payload.TYPE


def decode_message(octets: bytes) -> Message:
    """Of a whole IKEv2 datagram, without the non-ESP marker.

    An SK or SKF payload must be the last one. Raises UnsupportedCritical for a payload of unknown
    type with the critical bit set, else Malformed for whatever is no message.
    """
    return read_message(Reader(octets), Header.decode(octets))


def read_message(reader: Reader, header: Header) -> Message:
    """`decode_message` for a caller who has the header already; `reader` has all the octets."""
    if header.major != 2:
        raise Malformed(f"a message of version {header.major} is not IKEv2", at=17)
    reader.skip(HEADER_SIZE)
    return Message(header, _read_chain(header.next_payload, reader, outer=True))


def decode_chain(first: int, octets: bytes, base: int = 0) -> tuple[Payload, ...]:
    """The payloads that were inside an SK payload; `first` is the type of the first.

    Raises as `decode_message` does, and Malformed for an SK or SKF payload inside.
    """
    return _read_chain(first, Reader(octets, base), outer=False)


def _read_chain(first: int, reader: Reader, *, outer: bool) -> tuple[Payload, ...]:
    payloads: list[Payload] = []
    kind = first
    while kind != _NONE:
        at = reader.offset
        following, flags, body = open_payload(kind, reader, len(payloads))
        decode = _DECODERS.get(kind)
        if decode is not None:
            # The critical bit of a payload that we know is ignored (RFC 7296 §3.2).
            payload = decode(body)
            body.finish()
            payloads.append(payload)
        elif kind in (PayloadType.SK, PayloadType.SKF):
            if not outer:
                raise Malformed("an encrypted payload inside another", at=at)
            payloads.append(_closed_payload(kind, body, following))
            break
        elif flags & _CRITICAL:
            raise UnsupportedCritical(kind)
        else:
            payloads.append(Unknown(kind, False, body.rest()))
        kind = following
    reader.finish()
    return tuple(payloads)


def _closed_payload(kind: int, body: Reader, first: int) -> Encrypted | EncryptedFragment:
    if kind == PayloadType.SK:
        return Encrypted.decode(body, first)
    return EncryptedFragment.decode(body, first)


def encode_chain(payloads: Iterable[Payload]) -> tuple[int, bytes]:
    """The type of the first payload (0 when there is none) and the octets of all.

    Raises LocalFault for a payload that is too long, and for anything behind an SK payload.
    """
    chain = tuple(payloads)
    kinds = [payload_type(payload) for payload in chain]
    parts: list[bytes] = []
    for at, payload in enumerate(chain):
        body = payload.encode()
        following = kinds[at + 1] if at + 1 < len(chain) else _NONE
        if isinstance(payload, _CLOSED):
            if following:
                raise LocalFault("an encrypted payload is the last of its message")
            following = payload.first
        critical = _CRITICAL if isinstance(payload, Unknown) and payload.critical else 0
        parts.append(close_payload(kinds[at], body, following, critical))
    return (kinds[0] if kinds else _NONE), b"".join(parts)


def encode_message(header: Header, payloads: Iterable[Payload]) -> bytes:
    """The datagram; the header's length and next payload are made to fit.

    Raises LocalFault as `encode_chain` does and for a message of more than 65,535 octets.
    """
    first, octets = encode_chain(payloads)
    size = HEADER_SIZE + len(octets)
    return header.with_payload(first, size).encode(size) + octets
