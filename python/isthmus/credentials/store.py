"""The secrets that the protocol core may ask for, by name."""

from collections.abc import Mapping
from types import MappingProxyType

from isthmus.values.secret import Secret


class Credentials:
    """An unchanging set of secrets, held in memory. Its `repr` names them and shows none."""

    __slots__ = ("_psks",)

    def __init__(self, psks: Mapping[str, Secret] | None = None) -> None:
        self._psks = MappingProxyType(dict(psks or {}))

    def psk(self, name: str) -> Secret | None:
        """The pre-shared key that an authentication names; None when there is none."""
        return self._psks.get(name)

    def names(self) -> tuple[str, ...]:
        """The names of all pre-shared keys, in the order they were loaded."""
        return tuple(self._psks)

    def changed(self, newer: "Credentials") -> tuple[str, ...]:
        """Names whose secret differs in `newer` or is only in one of the two, sorted."""
        names = {*self._psks, *newer._psks}
        return tuple(sorted(name for name in names if self.psk(name) != newer.psk(name)))

    def __repr__(self) -> str:
        return f"Credentials(psks: {', '.join(self._psks) or 'none'})"
