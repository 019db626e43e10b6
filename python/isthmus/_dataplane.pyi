"""The data plane in Rust: what the extension module offers (held to it by tests/plane).

Octets in and out are `bytes`; addresses never cross here (the control socket speaks frames, see
`rust/engine/src/frames/`). Every call that can wait or compute for long releases the interpreter
lock. Keys given to it are copied once into memory that Rust wipes.
"""

from typing import Literal, final

__all__ = [
    "EspSa",
    "Plane",
    "inner_mtu",
    "modp_public",
    "modp_shared",
    "serve",
    "version",
]

def version() -> str:
    """The version of the plane, which is that of the whole program."""

def modp_public(group: int, private: bytes) -> bytes:
    """2 to the power of `private` modulo the prime of MODP group 2, 5 or 14 to 18.

    `private` is big-endian, at least 28 octets and at most as long as the modulus; its length, not
    its value, steers the time taken. The result is as long as the modulus. Raises `ValueError`.
    """

def modp_shared(group: int, private: bytes, peer: bytes) -> bytes:
    """`peer` to the power of `private` modulo the prime, as long as the modulus (RFC 7296 §2.14).

    Raises `ValueError` unless `peer` is exactly as long as the modulus and 1 < peer < p - 1
    (RFC 6989 §2.1), and for a bad group or private value.
    """

def inner_mtu(
    outer_mtu: int,
    outer_version: int,
    encap: bool,
    encr: int,
    key_bits: int,
    integ: int,
) -> int:
    """The largest inner packet, in octets, whose outer packet fits `outer_mtu` octets.

    `outer_version` is 4 or 6, `encap` says ESP in UDP, the transforms are IANA's IKEv2 numbers.
    Raises `ValueError`.
    """

def serve(path: str, *, workers: int = 0, tallies: int | None = None) -> None:
    """Run a plane on the control socket `path` until SIGTERM or SIGINT; then end it cleanly.

    `tallies` is the number of an open memfd that cannot shrink: how far each SA has counted lies
    there, for the process that takes over if this one is killed.

    Call it from the main thread: both signals are blocked and taken there while it runs. `workers`
    0 means one outbound worker for each CPU, at most four. Makes the process non-dumpable. Raises
    `OSError`, for instance when another plane listens on `path`.
    """

@final
class Plane:
    """A data plane on threads of this process: `start`, `wait`, `stop`.

    For hosts that handle signals themselves; `serve` is the same in one call.
    """

    def __new__(cls) -> Plane: ...
    def start(self, path: str, *, workers: int = 0) -> None:
        """Listen on the control socket `path` (mode 0600) and start the threads.

        Raises `OSError`, and `RuntimeError` when it runs already.
        """

    def stop(self) -> None:
        """End the threads and wait for them; keys are wiped. Nothing happens if it does not run."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the plane has ended, at most `timeout` seconds. True: it has ended.

        Python's signal handlers run while it waits, and what they raise ends the wait.
        """

@final
class EspSa:
    """One direction of an SA in tunnel mode, without a plane around it.

    For tests against other programs and for simulated worlds. It carries any IPv4 and IPv6 packet.
    """

    def __new__(
        cls,
        direction: Literal["in", "out"],
        spi: int,
        encr: int,
        key_bits: int,
        integ: int,
        encr_key: bytes,
        integ_key: bytes | None = None,
        *,
        esn: bool = False,
        replay_window: int = 1024,
    ) -> EspSa:
        """`encr` and `integ` are IANA's IKEv2 numbers; `encr_key` has its salt at its end.

        Raises `ValueError` with a sentence that never holds key octets.
        """

    def seal(self, inner: bytes) -> bytes:
        """The ESP packet, from SPI to ICV, that carries the IP packet `inner`.

        Raises `ValueError` naming the counter that a plane would raise.
        """

    def open(self, esp: bytes, *, outer_tos: int = 0) -> bytes:
        """The IP packet inside the ESP packet `esp` (from SPI to ICV); moves the replay window.

        `outer_tos` is the outer header's TOS or traffic class, for ECN (RFC 6040). Raises
        `ValueError` naming the counter that a plane would raise, for instance `drop_icv`.
        """

    @property
    def sequence(self) -> int:
        """The sequence number given last (out), or the highest accepted (in); 0 before any."""
