"""Attributes payload of the Transaction exchange: Mode Config and XAUTH.

draft-ietf-ipsec-isakmp-mode-cfg-05 §3.2, draft-ietf-ipsec-isakmp-xauth-06 §4.
"""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from isthmus.values.registry.ikev1 import PayloadType
from isthmus.wire.cursor import Reader, Writer
from isthmus.wire.v1.attributes import Attribute, decode_attributes, encode_attributes

_LAYOUT = Struct(">BBH")


@dataclass(frozen=True, slots=True)
class Attributes:
    """Things asked for (empty values) or given. `kind` is a `ConfigType` or an unknown number.

    The answer to a request has its `identifier`.
    """

    TYPE: ClassVar[PayloadType] = PayloadType.ATTRIBUTES
    kind: int
    identifier: int
    attributes: tuple[Attribute, ...] = ()

    @classmethod
    def decode(cls, body: Reader) -> Self:
        """Raises Malformed for attributes that are cut off or too many."""
        kind, _, identifier = body.unpack(_LAYOUT)
        return cls(kind, identifier, decode_attributes(body, {}))

    def encode(self) -> bytes:
        """The payload's body."""
        writer = Writer().u8(self.kind).zeros(1).u16(self.identifier)
        return writer.put(encode_attributes(self.attributes)).octets()
