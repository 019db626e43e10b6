"""The service manager's notification protocol (sd_notify(3)): one datagram per message."""

import os
import socket


class ServiceManager:
    """Says how we are to whoever started us; silent when nobody asked (no NOTIFY_SOCKET)."""

    def __init__(self, environment: dict[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # A name that begins with @ is one of the abstract namespace.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
        self.watchdog_s = _watchdog_s(environment)
        """How often the manager wants a sign of life, in seconds; None: it does not."""

    def say(self, *lines: str) -> bool:
        """Send assignments such as `READY=1`; False when nobody listens or it cannot be sent."""
        if self._socket is None:
            return False
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            # A manager that is busy or gone is no reason to stop carrying packets.
            return False
        return True


def _watchdog_s(environment: dict[str, str]) -> float | None:
    period = environment.get("WATCHDOG_USEC", "")
    for_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(period) / 1_000_000 if period.isdigit() and int(period) and for_us else None
