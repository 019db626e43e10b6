"""Configuration payload (RFC 7296 §3.15)."""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from isthmus.values.errors import Malformed
from isthmus.values.registry.ikev2 import PayloadType
from isthmus.wire.cursor import Reader, Writer

CONFIGURATION_ATTRIBUTES_MAX = 1024
"""Attributes that one payload may hold."""
_ATTRIBUTE = Struct(">HH")
_KIND = 0x7FFF
"""The highest bit is RESERVED."""
_ATTRIBUTE_MEMORY = 136


@dataclass(frozen=True, slots=True)
class ConfigurationAttribute:
    """One thing asked for (empty value) or given. `kind` has 15 bits."""

    kind: int
    value: bytes = b""


@dataclass(frozen=True, slots=True)
class ConfigurationPayload:
    """Addresses and the like, asked or given. `kind` is a `CfgType` or an unknown number."""

    TYPE: ClassVar[PayloadType] = PayloadType.CP
    kind: int
    attributes: tuple[ConfigurationAttribute, ...] = ()

    @classmethod
    def decode(cls, body: Reader) -> Self:
        """Raises Malformed for attributes that are cut off or too many."""
        kind = body.u8()
        body.skip(3)
        attributes: list[ConfigurationAttribute] = []
        while body.remaining:
            if len(attributes) == CONFIGURATION_ATTRIBUTES_MAX:
                raise Malformed(
                    f"more than {CONFIGURATION_ATTRIBUTES_MAX} attributes", at=body.offset
                )
            body.charge(_ATTRIBUTE_MEMORY)
            attribute, length = body.unpack(_ATTRIBUTE)
            attributes.append(ConfigurationAttribute(attribute & _KIND, body.take(length)))
        return cls(kind, tuple(attributes))

    def encode(self) -> bytes:
        """The payload's body."""
        writer = Writer().u8(self.kind).zeros(3)
        for attribute in self.attributes:
            writer.u16(attribute.kind & _KIND).u16(len(attribute.value)).put(attribute.value)
        return writer.octets()
