"""When an unanswered request is sent again, and when it is given up (RFC 7296 §2.1, §2.4)."""

from dataclasses import dataclass

from isthmus.values.time import Seconds

CLOCK_GRAIN_S: Seconds = 0.001
"""Sums of fractions are not exact: a timer this close to the end stands for the end."""
PAUSES_OF_PATIENCE = 6
"""A short patience leaves room for repeats too: the first pause is this part of it at most."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Growing pauses with jitter, so that two ends in step fall out of it."""

    first_s: Seconds = 0.5
    factor: float = 1.5
    pause_max_s: Seconds = 2.0
    """Both messages of an exchange pass a road that loses half of what it carries once in four
    tries: with longer pauses a minute is not enough for two exchanges in a row."""
    tries_max: int = 32
    jitter: float = 0.2
    patience_s: Seconds | None = None
    """Given up exactly so long after the first sending, whatever the number of tries."""

    def pause(self, tries: int, chance: float, waited_s: Seconds = 0.0) -> Seconds:
        """Seconds to wait after the `tries`-th sending (from 1), `waited_s` after the first one;
        `chance` is 0..1."""
        plain = min(self.first_s * self.factor ** (tries - 1), self.pause_max_s)
        pause = plain * (1 + self.jitter * (2 * chance - 1))
        if self.patience_s is None:
            return pause
        left = max(0.0, self.patience_s - waited_s)
        # A repeat just before the end could not be answered in time: wait for the end instead.
        return left if pause > left - self.first_s / 2 else pause

    def is_over(self, tries: int, waited_s: Seconds) -> bool:
        """Whether it is time to give up, `waited_s` after the first of `tries` sendings."""
        if self.patience_s is not None:
            return waited_s >= self.patience_s - CLOCK_GRAIN_S
        return tries >= self.tries_max

    def total_s(self) -> Seconds:
        """Seconds from the first sending until giving up, without jitter."""
        if self.patience_s is not None:
            return self.patience_s
        return sum(self.pause(n, 0.5) for n in range(1, self.tries_max + 1))


def patience_left(timeout_s: Seconds, silence_s: Seconds) -> Seconds:
    """How long a probe that is sent because of silence may go unanswered.

    The silence counts: a dead peer is found `timeout_s` after it was heard last, not after it was
    asked. Where silence has used up half of that already, there is all of it left for repeats.
    """
    return timeout_s - silence_s if silence_s < timeout_s / 2 else timeout_s


HANDSHAKE = Backoff()
"""For IKE_SA_INIT and IKE_AUTH: about a minute each."""


def established(timeout_s: Seconds) -> Backoff:
    """For exchanges of a standing IKE SA: given up when `timeout_s` has passed."""
    usual = Backoff()
    return Backoff(first_s=min(usual.first_s, timeout_s / PAUSES_OF_PATIENCE), patience_s=timeout_s)
