"""Memory that outlives the plane: how far each SA has counted.

The supervisor holds it and hands it to each plane that it starts. A plane that takes over from one
that was killed knows from it which sequence numbers were used, so that none is used twice under one
key, and which were seen. There are no keys in it, and nobody but these two has it.
"""

import fcntl
import os
from typing import BinaryIO

OCTETS = 4 * 1024 * 1024
"""64 for each SA. Pages that are never touched take no memory."""


class Tallies:
    """One memfd, which can neither grow nor shrink."""

    def __init__(self) -> None:
        self._descriptor = os.memfd_create("isthmus-tallies", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self._descriptor, OCTETS)
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(self._descriptor, fcntl.F_ADD_SEALS, seals)

    def copy(self) -> BinaryIO:
        """The same memory under a descriptor of its own, for a child."""
        return os.fdopen(os.dup(self._descriptor), "rb")

    def close(self) -> None:
        """Let go of it; it ends with the last who has it."""
        os.close(self._descriptor)
