"""What the engine wants of each tunnel interface's carrier, and what the plane was told of it."""

import asyncio
from collections.abc import Callable


class Carriers:
    """Gathers the wishes of one turn of the event loop and tells only what changed.

    Within one turn a tunnel may lose and regain its carrier: after a restart the engine hears of
    its configuration first and of the SAs that still carry right after. Routes need not see that.
    """

    def __init__(self, tell: Callable[[str, bool], None]) -> None:
        """`tell` is given a tunnel and whether its interface has carrier."""
        self._tell = tell
        self._wanted: dict[str, bool] = {}
        self._told: dict[str, bool] = {}
        self._is_due = False

    def wish(self, tunnel: str, up: bool) -> None:
        """From the end of this turn of the loop on."""
        self._wanted[tunnel] = up
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def renew(self) -> None:
        """Interfaces were attached anew, and those have carrier: tell of all that should not."""
        self._told = dict.fromkeys(self._wanted, True)
        self._flush()

    def _flush(self) -> None:
        self._is_due = False
        for tunnel, up in self._wanted.items():
            if self._told.get(tunnel) != up:
                self._told[tunnel] = up
                self._tell(tunnel, up)
