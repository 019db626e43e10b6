"""IKEv2 messages (RFC 7296 §3): one file per payload, whole messages in `message.py`.

`rules.py` says which payloads an exchange may carry; the classes of all payloads can be had from
here.
"""

from isthmus.wire.v2.authentication import Authentication
from isthmus.wire.v2.certificate import Certificate, CertificateRequest
from isthmus.wire.v2.configuration import ConfigurationAttribute, ConfigurationPayload
from isthmus.wire.v2.delete import Delete
from isthmus.wire.v2.eap import Eap
from isthmus.wire.v2.encrypted import Encrypted, EncryptedFragment, prefix
from isthmus.wire.v2.identification import Identification
from isthmus.wire.v2.key_exchange import KeyExchange
from isthmus.wire.v2.message import (
    Message,
    Payload,
    decode_chain,
    decode_message,
    encode_chain,
    encode_message,
    payload_type,
)
from isthmus.wire.v2.nonce import Nonce
from isthmus.wire.v2.notify import Notify
from isthmus.wire.v2.security_association import SecurityAssociation
from isthmus.wire.v2.selectors import TrafficSelectors, UnknownSelector
from isthmus.wire.v2.unknown import Unknown
from isthmus.wire.v2.vendor_id import VendorId

__all__ = [
    "Authentication",
    "Certificate",
    "CertificateRequest",
    "ConfigurationAttribute",
    "ConfigurationPayload",
    "Delete",
    "Eap",
    "Encrypted",
    "EncryptedFragment",
    "Identification",
    "KeyExchange",
    "Message",
    "Nonce",
    "Notify",
    "Payload",
    "SecurityAssociation",
    "TrafficSelectors",
    "Unknown",
    "UnknownSelector",
    "VendorId",
    "decode_chain",
    "decode_message",
    "encode_chain",
    "encode_message",
    "payload_type",
    "prefix",
]
