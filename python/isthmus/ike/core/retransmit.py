"""When an unanswered request is sent again, and when it is given up (RFC 7296 §2.1, §2.4)."""

from dataclasses import dataclass

from isthmus.values.time import Seconds


@dataclass(frozen=True, slots=True)
class Backoff:
    """Growing pauses with jitter, so that two ends in step fall out of it."""

    first_s: Seconds = 0.7
    factor: float = 1.8
    pause_max_s: Seconds = 20.0
    tries_max: int = 8
    jitter: float = 0.2

    def pause(self, tries: int, chance: float) -> Seconds:
        """Seconds to wait after the `tries`-th sending (from 1); `chance` is 0..1."""
        plain = min(self.first_s * self.factor ** (tries - 1), self.pause_max_s)
        return plain * (1 + self.jitter * (2 * chance - 1))

    def total_s(self) -> Seconds:
        """Seconds from the first sending until giving up, without jitter."""
        return sum(self.pause(n, 0.5) for n in range(1, self.tries_max + 1))


HANDSHAKE = Backoff()
"""For IKE_SA_INIT and IKE_AUTH: a little over a minute."""


def established(timeout_s: Seconds) -> Backoff:
    """For exchanges of a standing IKE SA: given up when `timeout_s` has passed."""
    tries, spent = 0, 0.0
    schedule = Backoff(tries_max=1_000)
    while spent < timeout_s and tries < 50:
        tries += 1
        spent += schedule.pause(tries, 0.5)
    return Backoff(tries_max=max(tries, 2))
