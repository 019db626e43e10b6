"""Whole messages in clear, and chains of payloads (RFC 2408 §3.1, §3.2).

Hashes of phase 2 cover octets as they came, so a decoded chain keeps them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from isthmus.values.errors import Malformed
from isthmus.values.registry.ikev1 import FIRST_PRIVATE_PAYLOAD, Flag, PayloadType
from isthmus.wire.chain import GENERIC, close_payload, open_payload
from isthmus.wire.cursor import Reader
from isthmus.wire.header import HEADER_SIZE, Header
from isthmus.wire.v1.authentication import Hash, Signature
from isthmus.wire.v1.certificate import Certificate, CertificateRequest
from isthmus.wire.v1.configuration import Attributes
from isthmus.wire.v1.delete import Delete
from isthmus.wire.v1.fragment import Fragment
from isthmus.wire.v1.identification import Identification
from isthmus.wire.v1.key_exchange import KeyExchange
from isthmus.wire.v1.nat import NatDetection, NatOriginalAddress
from isthmus.wire.v1.nonce import Nonce
from isthmus.wire.v1.notify import Notify
from isthmus.wire.v1.security_association import SecurityAssociation
from isthmus.wire.v1.unknown import Unknown
from isthmus.wire.v1.vendor_id import VendorId

Payload = (
    SecurityAssociation
    | KeyExchange
    | Identification
    | Certificate
    | CertificateRequest
    | Hash
    | Signature
    | Nonce
    | Notify
    | Delete
    | VendorId
    | Attributes
    | NatDetection
    | NatOriginalAddress
    | Fragment
    | Unknown
)

VERSION_1 = 0x10
PADDING_MAX = 255
"""Octets behind the last payload of an encrypted message. A block's rest would do; some pad more
(RFC 2409 §5.3 and appendix B leave it open)."""

_DECODERS: dict[int, Callable[[Reader], Payload]] = {
    PayloadType.SA: SecurityAssociation.decode,
    PayloadType.KE: KeyExchange.decode,
    PayloadType.ID: Identification.decode,
    PayloadType.CERT: Certificate.decode,
    PayloadType.CR: CertificateRequest.decode,
    PayloadType.HASH: Hash.decode,
    PayloadType.SIG: Signature.decode,
    PayloadType.NONCE: Nonce.decode,
    PayloadType.NOTIFY: Notify.decode,
    PayloadType.DELETE: Delete.decode,
    PayloadType.VENDOR_ID: VendorId.decode,
    PayloadType.ATTRIBUTES: Attributes.decode,
    PayloadType.NAT_D: lambda body: NatDetection.decode(body, draft=False),
    PayloadType.NAT_OA: lambda body: NatOriginalAddress.decode(body, draft=False),
    PayloadType.NAT_D_DRAFT: lambda body: NatDetection.decode(body, draft=True),
    PayloadType.NAT_OA_DRAFT: lambda body: NatOriginalAddress.decode(body, draft=True),
    PayloadType.FRAGMENT: Fragment.decode,
}


@dataclass(frozen=True, slots=True)
class Chain:
    """Payloads, and the octets that they were read from."""

    payloads: tuple[Payload, ...]
    octets: bytes = b""
    """Generic headers included, padding not."""
    ends: tuple[int, ...] = ()
    """Where each payload ends in `octets`."""

    @property
    def bodies(self) -> tuple[bytes, ...]:
        """Each payload's octets as they came, without its generic header."""
        starts = (0, *self.ends)
        return tuple(
            self.octets[start + GENERIC.size : end]
            for start, end in zip(starts, self.ends, strict=False)
        )

    def after(self, index: int) -> bytes:
        """The octets behind payload `index`, up to the end of the last one.

        With the HASH payload's index: what HASH(1) covers (RFC 2409 §5.5).
        """
        return self.octets[self.ends[index] :]


def payload_type(payload: Payload) -> int:
    """The number that the next-payload field before this payload holds."""
    if isinstance(payload, NatDetection | NatOriginalAddress | Unknown):
        return payload.type
    return payload.TYPE


def decode_message(octets: bytes) -> tuple[Header, Chain]:
    """Of a whole IKEv1 datagram in clear, without the non-ESP marker.

    Raises Malformed for whatever is no message, and for an encrypted one: decrypt it first, and
    give what was in it to `decode_chain`.
    """
    header = Header.decode(octets)
    if header.major != 1:
        raise Malformed(f"a message of version {header.major} is not IKEv1", at=17)
    if header.flags & Flag.ENCRYPTION:
        raise Malformed("the message is encrypted", at=19)
    return header, decode_chain(header.next_payload, octets[HEADER_SIZE:])


def decode_chain(
    first: int, octets: bytes, *, padded: bool = False, base: int = HEADER_SIZE
) -> Chain:
    """The payloads behind a header; `first` is the type of the first.

    `padded`: there may be up to `PADDING_MAX` octets of anything behind the last one. `base` is
    the offset that errors tell for the first octet. Raises Malformed for what is no chain: also
    for a RESERVED octet that is not zero, and a type that RFC 2408 reserves (§5.3).
    """
    return read_chain(first, Reader(octets, base), octets, padded=padded)


def read_chain(first: int, reader: Reader, octets: bytes, *, padded: bool) -> Chain:
    """`decode_chain` for a caller who has the reader of `octets` already."""
    base = reader.offset
    payloads: list[Payload] = []
    ends: list[int] = []
    kind = first
    while kind != PayloadType.NONE:
        at = reader.offset
        following, reserved, body = open_payload(kind, reader, len(payloads))
        if reserved:
            raise Malformed(f"payload {kind} has {reserved} where zero is RESERVED", at=at + 1)
        payloads.append(_read_payload(kind, body, at))
        ends.append(reader.offset - base)
        kind = following
    if not padded:
        reader.finish()
    elif reader.remaining > PADDING_MAX:
        raise Malformed(f"{reader.remaining} octets of padding", at=reader.offset)
    return Chain(tuple(payloads), octets[: reader.offset - base], tuple(ends))


def _read_payload(kind: int, body: Reader, at: int) -> Payload:
    decode = _DECODERS.get(kind)
    if decode is not None:
        payload = decode(body)
        body.finish()
        return payload
    if kind < FIRST_PRIVATE_PAYLOAD:
        raise Malformed(f"no payload is of type {kind}", at=at)
    return Unknown(kind, body.rest())


def encode_chain(payloads: Iterable[Payload]) -> tuple[int, bytes]:
    """The type of the first payload (0 when there is none) and the octets of all.

    Raises LocalFault for a payload that is too long.
    """
    chain = tuple(payloads)
    kinds = [payload_type(payload) for payload in chain] + [int(PayloadType.NONE)]
    parts = [
        close_payload(kinds[at], payload.encode(), kinds[at + 1])
        for at, payload in enumerate(chain)
    ]
    return kinds[0], b"".join(parts)


def encode_message(header: Header, payloads: Iterable[Payload]) -> bytes:
    """The datagram in clear; the header's length and next payload are made to fit.

    Raises LocalFault as `encode_chain` does and for a message of more than 65,535 octets.
    """
    first, octets = encode_chain(payloads)
    size = HEADER_SIZE + len(octets)
    return header.with_payload(first, size).encode(size) + octets
