"""The secrets that the protocol core may ask for, by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from isthmus.credentials.xauth import Login
from isthmus.crypto.signature import PublicKey, SigningKey
from isthmus.values.secret import Secret
from isthmus.x509.certificate import Certificate
from isthmus.x509.revocation import Statuses


@dataclass(frozen=True, slots=True)
class Own:
    """What we prove ourselves with: a key, and what certifies it."""

    key: SigningKey
    chain: tuple[Certificate, ...] = ()
    """Our certificate, then the CAs above it; empty for a bare key (RFC 7670)."""


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom a peer's proof may go back to."""

    anchors: tuple[Certificate, ...] = ()
    extra: tuple[Certificate, ...] = ()
    """CAs between, for peers that do not send them. They are not trusted by themselves."""
    raw: tuple[PublicKey, ...] = ()
    """Peers' keys that are known beforehand (RFC 7670)."""


NOTHING_KNOWN = Statuses()


class Store(Protocol):
    """Whoever answers for secrets by name."""

    def psk(self, name: str) -> Secret | None: ...

    def own(self, name: str) -> Own | None: ...

    def trust(self, name: str) -> Trust | None: ...

    def login(self, name: str) -> Login | None: ...


def kept(store: Store, name: str) -> tuple[object, ...]:
    """What is under a name, to be compared. Of our keys it is the public half: a key that was read
    again is the same key. Users of XAUTH are not in it: who they are counts when they log in."""
    own = store.own(name)
    ours = (own.key.public, own.chain) if own is not None else None
    login = store.login(name)
    password = login.password if login is not None else None
    return store.psk(name), ours, store.trust(name), password


class Credentials:
    """An unchanging set of secrets, held in memory. Its `repr` names them and shows none."""

    __slots__ = ("_logins", "_owns", "_psks", "_trusts", "statuses")

    def __init__(
        self,
        psks: Mapping[str, Secret] | None = None,
        owns: Mapping[str, Own] | None = None,
        trusts: Mapping[str, Trust] | None = None,
        statuses: Statuses = NOTHING_KNOWN,
        logins: Mapping[str, Login] | None = None,
    ) -> None:
        self._psks = MappingProxyType(dict(psks or {}))
        self._owns = MappingProxyType(dict(owns or {}))
        self._trusts = MappingProxyType(dict(trusts or {}))
        self._logins = MappingProxyType(dict(logins or {}))
        self.statuses = statuses
        """Revocation lists and answers that were read from files."""

    def psk(self, name: str) -> Secret | None:
        """The pre-shared key that an authentication names; None when there is none."""
        return self._psks.get(name)

    def own(self, name: str) -> Own | None:
        """The key, and its certificates, that our side of an authentication names."""
        return self._owns.get(name)

    def trust(self, name: str) -> Trust | None:
        """The anchors or bare keys that the peer's side of an authentication names."""
        return self._trusts.get(name)

    def login(self, name: str) -> Login | None:
        """What XAUTH is done with under that name: our password, or the users that may log in."""
        return self._logins.get(name)

    def names(self) -> tuple[str, ...]:
        """The names of all pre-shared keys, in the order they were loaded."""
        return tuple(self._psks)

    def changed(self, newer: "Credentials") -> tuple[str, ...]:
        """Names under which `newer` holds something else, sorted. Revocation lists never count:
        they change by themselves."""
        names = {*self._psks, *self._owns, *self._trusts, *self._logins}
        names |= {*newer._psks, *newer._owns, *newer._trusts, *newer._logins}
        return tuple(sorted(name for name in names if kept(self, name) != kept(newer, name)))

    def __repr__(self) -> str:
        kinds = (("psks", self._psks), ("keys", self._owns), ("trust", self._trusts))
        named = (f"{kind}: {', '.join(names) or 'none'}" for kind, names in kinds)
        return f"Credentials({'; '.join(named)})"
