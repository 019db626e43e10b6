"""What a setting is: its name, how it is read, and what the reference says of it."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from isthmus.config.fields import Read

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Key(Generic[T_co]):
    """One setting of a section."""

    name: str
    read: Read[T_co]
    kind: str
    """Its type, for the reference."""
    default: str
    """How the default is written, or words in brackets where it depends."""
    about: str
