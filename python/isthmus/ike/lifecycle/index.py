"""Every IKE SA that is not closed, by tunnel and in the order of their making."""

from collections.abc import Iterator

from isthmus.ike.core.sa import IkeSa


class SaIndex:
    """Finds the IKE SAs of one tunnel without looking at the others'."""

    __slots__ = ("_by_tunnel", "_home")

    def __init__(self) -> None:
        self._by_tunnel: dict[str, dict[bytes, IkeSa]] = {}
        self._home: dict[bytes, str] = {}

    def add(self, sa: IkeSa) -> None:
        """Under the name of its connection."""
        self._home[sa.own_spi] = sa.connection.name
        self._by_tunnel.setdefault(sa.connection.name, {})[sa.own_spi] = sa

    def discard(self, sa: IkeSa) -> None:
        """Wherever it stands; nothing happens if it does not."""
        name = self._home.pop(sa.own_spi, None)
        if name is None:
            return
        mine = self._by_tunnel[name]
        del mine[sa.own_spi]
        if not mine:
            del self._by_tunnel[name]

    def of(self, tunnel: str) -> list[IkeSa]:
        """Those of one tunnel, the newest last."""
        return list(self._by_tunnel.get(tunnel, {}).values())

    def __iter__(self) -> Iterator[IkeSa]:
        for mine in tuple(self._by_tunnel.values()):
            yield from tuple(mine.values())

    def __len__(self) -> int:
        return len(self._home)
