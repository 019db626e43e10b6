"""Handshakes and memory, as figures beside the others: what handshakes.py measures, in rounds."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import handshakes
from bench.figures import Figure, Trial
from bench.ways import ISTHMUS, STRONGSWAN, Way

HANDSHAKES = "handshakes"
MEMORY = "memory"
_AUTHS = {"psk": "PSK", "ecdsa": "ECDSA"}
_KINDS = {ISTHMUS: "isthmus", STRONGSWAN: "charon"}
_SHORT = {ISTHMUS: ISTHMUS, STRONGSWAN: "strongSwan"}
_COST_UNIT = "ms of processor"
_KB_A_KIB = 1.024


def _pairs(ways: Sequence[Way]) -> list[tuple[str, str]]:
    """Initiators and responders. With strongSwan first, for a table's first line of Isthmus to be
    that with the same partner as strongSwan's."""
    kinds = [name for name in (STRONGSWAN, ISTHMUS) if name in {way.name for way in ways}]
    return [(initiator, responder) for responder in kinds for initiator in kinds]


def handshake_trials(ways: Sequence[Way], count: int, *, whole: bool) -> list[Trial]:
    """Every pair of daemons: `count` handshakes with pre-shared keys; `whole`: ECDSA too."""

    def trial(initiator: str, responder: str, auth: str) -> Trial:
        def run(directory: Path) -> Iterator[Figure]:
            found = handshakes.measure(
                f"{_KINDS[initiator]}-{_KINDS[responder]}",
                auth,
                count=count,
                rounds=1,
                directory=directory,
            )
            (only,) = found.rounds
            towards, of = f"to {_SHORT[responder]}", f"of {_SHORT[initiator]}"
            name = _AUTHS[auth]
            yield Figure(HANDSHAKES, towards, f"{name}, a second", only.per_s, "handshakes/s")
            yield Figure(
                HANDSHAKES, towards, f"{name}, as initiator", only.initiator_ms, _COST_UNIT
            )
            yield Figure(
                HANDSHAKES, of, f"{name}, as responder", only.responder_ms, _COST_UNIT, responder
            )

        return Trial(initiator, run)

    auths = _AUTHS if whole else ("psk",)
    return [trial(*pair, auth) for auth in auths for pair in _pairs(ways)]


def memory_trials(ways: Sequence[Way], count: int) -> list[Trial]:
    """What each tunnel that comes up adds to the resident sets of a daemon's processes."""

    def trial(name: str) -> Trial:
        def run(directory: Path) -> Iterator[Figure]:
            kind = _KINDS[name]
            found = handshakes.measure(f"{kind}-{kind}", count=count, rounds=1, directory=directory)
            for side, kib in (
                ("initiator", found.initiator_kib),
                ("responder", found.responder_kib),
            ):
                each = sum(kib.values()) * _KB_A_KIB
                yield Figure(MEMORY, "", f"each of {count} tunnels, {side}", each, "kB")

        return Trial(name, run)

    return [trial(name) for name in _KINDS if name in {way.name for way in ways}]
