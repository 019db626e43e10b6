"""Every data plane, started and ready: simulated, and the plane process in a namespace."""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from isthmus.backends.frames import Notice
from isthmus.backends.interface import DataPlane, PlaneLost
from isthmus.backends.simulated import SimulatedPlane
from isthmus.backends.userspace import UserspacePlane

START_S = 10.0


@asynccontextmanager
async def userspace(notices: list[Notice]) -> AsyncIterator[DataPlane]:
    """The real plane, in a network namespace of its own that ends with it."""
    with tempfile.TemporaryDirectory(prefix="isth-") as directory:
        path = str(Path(directory) / "plane.sock")
        process = subprocess.Popen(
            ["unshare", "--net", "--", sys.executable, "-m", "isthmus.daemon.plane", path]
        )
        try:
            plane = await _connect(path, notices)
            yield plane
            plane.close()
        finally:
            process.terminate()
            process.wait(10)


async def _connect(path: str, notices: list[Notice]) -> UserspacePlane:
    deadline = time.monotonic() + START_S
    while True:
        try:
            return await UserspacePlane.connect(path, notices.append, lambda: None)
        except PlaneLost:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.02)


@asynccontextmanager
async def simulated(notices: list[Notice]) -> AsyncIterator[DataPlane]:
    """The plane in memory."""
    yield SimulatedPlane(notices.append)


Test = Callable[[DataPlane], Coroutine[Any, Any, None]]


@pytest.fixture(params=["simulated", pytest.param("userspace", marks=pytest.mark.root)])
def run(request: pytest.FixtureRequest) -> Callable[[Test], None]:
    """Runs a coroutine function with a fresh plane."""
    kind = userspace if request.param == "userspace" else simulated

    def go(test: Test) -> None:
        async def inside() -> None:
            async with kind([]) as plane:
                await test(plane)

        asyncio.run(inside())

    return go
