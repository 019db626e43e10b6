"""What the plane was told and a plane that is started in its place must be told again.

SAs go with their keys: a new plane counts on where the old one stopped, for those numbers lie in
memory that outlives it (`count_as`). So the keys of Child SAs stay in this process, which made
them, as long as the SAs live.
"""

import secrets
from collections.abc import Iterator

import msgspec

from isthmus.backends.specs import EndpointSpec, LimitsSpec, SaSpec
from isthmus.values.spi import Spi

SaKey = tuple[Spi, bool]
"""SPI and whether it is inbound."""


def new_count() -> int:
    """A number to count an SA under: nobody's before, and not 0."""
    return secrets.randbits(63) + 1


class KeptState:
    """The wishes that stand."""

    def __init__(self) -> None:
        self._sas: dict[SaKey, SaSpec] = {}
        self.keepalives: dict[tuple[EndpointSpec, EndpointSpec], int] = {}
        """Milliseconds between two, by our end and the peer's."""

    def installed(self, key: SaKey, spec: SaSpec) -> None:
        """An SA stands from now on."""
        self._sas[key] = spec

    def forget(self, key: SaKey) -> None:
        """It stands no longer, if it did."""
        self._sas.pop(key, None)

    def update(
        self,
        key: SaKey,
        *,
        standby: bool | None,
        local: EndpointSpec | None,
        remote: EndpointSpec | None,
        encap: bool | None,
        limits: LimitsSpec | None,
    ) -> None:
        """What is not None has changed."""
        spec = self._sas.get(key)
        if spec is not None:
            self._sas[key] = msgspec.structs.replace(
                spec,
                standby=spec.standby if standby is None else standby,
                local=local or spec.local,
                remote=remote or spec.remote,
                encap=spec.encap if encap is None else encap,
                limits=limits or spec.limits,
            )

    def keepalive(self, local: EndpointSpec, remote: EndpointSpec, every_ms: int) -> None:
        """Keepalives from now on, or none any more (0)."""
        if every_ms:
            self.keepalives[local, remote] = every_ms
        else:
            self.keepalives.pop((local, remote), None)

    def missing(self, present: set[SaKey]) -> Iterator[tuple[SaKey, SaSpec]]:
        """SAs that a plane with these does not have, as it is to resume them: inbound ones first,
        and those that are used last, so that the newest of a rule is so again."""
        lost = [(key, spec) for key, spec in self._sas.items() if key not in present]
        for key, spec in sorted(lost, key=lambda entry: not entry[0][1]):
            yield key, msgspec.structs.replace(spec, resume=True)
