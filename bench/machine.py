"""Facts of the machine that figures come from."""

import os
import platform
import subprocess
from pathlib import Path


def facts() -> dict[str, str]:
    """What to say beside figures: processor, memory, kernel, load, when."""
    return {
        "processor": f"{os.cpu_count()} x {_processor()}",
        "memory": f"{_memory_gib():.0f} GiB",
        "kernel": f"Linux {platform.release()}",
        "python": platform.python_version(),
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def version(argv: list[str]) -> str:
    """The first line that a program says of its version, or "" when it says none."""
    return next(iter(lines(argv)), "")


def lines(argv: list[str]) -> list[str]:
    """What a program says, or nothing when it is not there."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _memory_gib() -> float:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) / (1 << 20)
    return 0.0
