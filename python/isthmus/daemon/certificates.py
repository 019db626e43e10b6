"""Watches certificates while the daemon runs: warns before they end, and closes what rests on a
peer's certificate that has ended or was revoked (F-19).

An SA ends when its peer's certificate does, measured from the moment that it was judged by a clock
that does not jump: a wrong date, or one that is put right, closes nothing (R-20). A revocation that
is known counts at once; that nobody can say any more whether there is one closes nothing either.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from isthmus.credentials.inventory import (
    DAY_S,
    WARNING_DAYS,
    Held,
    Role,
    days_text,
    held,
)
from isthmus.daemon.reload import Terms
from isthmus.daemon.revocation import Revocations
from isthmus.ike.core.commands import Distrust
from isthmus.ike.core.proofs import Judged
from isthmus.ike.core.records import Happening
from isthmus.ike.core.views import TunnelView
from isthmus.policy.connection import Connection
from isthmus.values.time import Seconds
from isthmus.values.trust import RevocationMode
from isthmus.x509.certificate import Certificate
from isthmus.x509.errors import Defect, Untrusted
from isthmus.x509.revocation import judge
from isthmus.x509.rules import VerifiedPath

CHECK_S: Seconds = 15.0
"""How long a revocation that is known, or an end that has come, may go unnoticed."""

REFRESH_S: Seconds = 30.0
"""How often it is asked whether a list has passed its date and has to be fetched again."""

Proof = tuple[str, tuple[Certificate, ...], int]
"""A tunnel, the path that its peer proved itself by, and the Unix time at which."""


@dataclass(slots=True)
class _Resting:
    """What an SA rests on. Instants are those of the clock that does not jump."""

    ends: float
    knowledge: object = None
    """What was known of revocations when it was last looked at."""
    again_at: float = 0.0


@dataclass(frozen=True, slots=True)
class CertificateState:
    """One certificate of a tunnel, as `isthmus status` tells it."""

    role: str
    subject: str
    not_after: int
    """Unix seconds."""
    days_left: int


class CertificateWatch:
    """Looks at everything every `CHECK_S`. Used on the event loop's thread only."""

    def __init__(
        self,
        views: Callable[[], Iterable[TunnelView]],
        terms: Callable[[], Terms],
        revocations: Revocations,
        distrust: Callable[[Distrust], None],
        record: Callable[[Happening], None],
        date: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`date` is Unix time in seconds, `clock` never runs backwards."""
        self._views = views
        self._terms = terms
        self._revocations = revocations
        self._distrust = distrust
        self._record = record
        self._date = date
        self._clock = clock
        self._warned: dict[bytes, int] = {}
        """By fingerprint: the least number of days that was warned of; -1: that it has ended."""
        self._resting: dict[Proof, _Resting] = {}

    async def run(self) -> None:
        """For ever."""
        while True:
            await self.check()
            await asyncio.sleep(CHECK_S)

    async def check(self) -> None:
        """Warn, and close what is no longer to be believed."""
        at = int(self._date())
        for one in self.held():
            self._warn(one, at)
        living: dict[Proof, _Resting] = {}
        for view in tuple(self._views()):
            proof = view.phase1.peer_proof if view.phase1 is not None else None
            if proof is None or proof.path is None:
                continue
            key = view.name, proof.path.certificates, proof.at
            ends = self._clock() + proof.path.not_after - proof.at
            living[key] = resting = self._resting.get(key) or _Resting(ends)
            refusal = self._ended(resting.ends, proof.path)
            if refusal is None:
                refusal = await self._revoked(view.name, proof.path, resting)
            if refusal is not None:
                code, reason = refusal
                self._distrust(Distrust(view.name, proof.path.certificates, code, reason))
        self._resting = living

    def held(self) -> Iterator[Held]:
        """Every certificate that a tunnel was configured with."""
        for connection in self._terms().configuration.connections:
            yield from self._held_by(connection)

    def _held_by(self, connection: Connection) -> Iterator[Held]:
        credentials = self._terms().credentials
        own = credentials.own(connection.local_auth.name)
        trust = credentials.trust(connection.remote_auth.name)
        return held(connection.name, own, trust)

    def states(self, tunnel: str, proof: Judged | None) -> tuple[CertificateState, ...]:
        """What a tunnel has, and what its peer has shown."""
        at = int(self._date())
        connection = self._terms().configuration.connection(tunnel)
        found = [] if connection is None else list(self._held_by(connection))
        if proof is not None and proof.path is not None:
            found.append(Held(tunnel, Role.PEER, proof.path.leaf))
        return tuple(
            CertificateState(
                one.role.value,
                one.certificate.subject_text,
                one.certificate.not_after,
                one.days_left(at),
            )
            for one in found
        )

    def _warn(self, one: Held, at: int) -> None:
        """Once for each threshold that is passed, for one certificate however many use it."""
        left = one.certificate.not_after - at
        ended = at > one.certificate.not_after
        passed = -1 if ended else min((d for d in WARNING_DAYS if left <= d * DAY_S), default=None)
        fingerprint = one.certificate.fingerprint
        if passed is None:
            # A clock that was put right, or a new certificate: it may be warned of again.
            self._warned.pop(fingerprint, None)
            return
        before = self._warned.get(fingerprint)
        if before is not None and before <= passed:
            return
        self._warned[fingerprint] = passed
        message = (
            f"{one.what} expired on {one.ends_on}"
            if ended
            else f"{one.what} ends in {days_text(left // DAY_S)}, on {one.ends_on}: have it renewed"
        )
        self._record(
            Happening(
                "certificate.expired" if ended else "certificate.expires",
                tunnel=one.tunnel,
                message=message,
                code=Defect.EXPIRED.value if ended else "",
                detail=(
                    ("subject", one.certificate.subject_text),
                    ("role", one.role.value),
                    ("not_after", one.certificate.not_after),
                    ("days_left", one.days_left(at)),
                ),
            )
        )

    def _ended(self, ends: float, path: VerifiedPath) -> tuple[str, str] | None:
        if self._clock() <= ends:
            return None
        return Defect.EXPIRED.value, f"the certificate of {path.leaf.subject_text} has expired"

    async def _revoked(
        self, tunnel: str, path: VerifiedPath, resting: _Resting
    ) -> tuple[str, str] | None:
        """The finding and its reason when a certificate of the path is known to be revoked."""
        terms = self._terms()
        connection = terms.configuration.connection(tunnel)
        if connection is None or connection.remote_auth.revocation is RevocationMode.OFF:
            return None
        knowledge = (self._revocations.learnt, terms.credentials)
        if knowledge == resting.knowledge and self._clock() < resting.again_at:
            return None
        resting.again_at = self._clock() + REFRESH_S
        statuses = await self._revocations.look_after(path, terms.credentials.statuses)
        try:
            await asyncio.to_thread(judge, path, statuses, int(self._date()), RevocationMode.SOFT)
        except Untrusted as untrusted:
            return untrusted.code, untrusted.reason
        # Only what let the SA stand is not weighed again: a close that was asked for is repeated.
        resting.knowledge = knowledge
        return None
