"""IKEv1 messages (RFC 2407, 2408, 2409): one file per payload, whole messages in `message.py`.

`rules.py` says which payloads a message may carry; the classes of all payloads can be had from
here.
"""

from isthmus.wire.v1.attributes import Attribute
from isthmus.wire.v1.authentication import Hash, Signature
from isthmus.wire.v1.certificate import Certificate, CertificateRequest
from isthmus.wire.v1.configuration import Attributes
from isthmus.wire.v1.delete import Delete
from isthmus.wire.v1.fragment import Fragment
from isthmus.wire.v1.identification import Identification
from isthmus.wire.v1.key_exchange import KeyExchange
from isthmus.wire.v1.message import (
    VERSION_1,
    Chain,
    Payload,
    decode_chain,
    decode_message,
    encode_chain,
    encode_message,
    payload_type,
)
from isthmus.wire.v1.nat import NatDetection, NatOriginalAddress
from isthmus.wire.v1.nonce import Nonce
from isthmus.wire.v1.notify import Notify
from isthmus.wire.v1.security_association import ProposalV1, SecurityAssociation, TransformV1
from isthmus.wire.v1.unknown import Unknown
from isthmus.wire.v1.vendor_id import VendorId

__all__ = [
    "VERSION_1",
    "Attribute",
    "Attributes",
    "Certificate",
    "CertificateRequest",
    "Chain",
    "Delete",
    "Fragment",
    "Hash",
    "Identification",
    "KeyExchange",
    "NatDetection",
    "NatOriginalAddress",
    "Nonce",
    "Notify",
    "Payload",
    "ProposalV1",
    "SecurityAssociation",
    "Signature",
    "TransformV1",
    "Unknown",
    "VendorId",
    "decode_chain",
    "decode_message",
    "encode_chain",
    "encode_message",
    "payload_type",
]
