"""What tests may need of the machine, and what becomes of them where it is not there."""

import os

import pytest


def need(reason: str | None) -> None:
    """Skip where there is a reason why the test cannot run; with CI set, fail instead.

    A test that silently does not run would turn the pipeline's green into a lie.
    """
    if reason is None:
        return
    if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
        pytest.fail(f"this must run here: {reason}", pytrace=False)
    pytest.skip(reason)


def no_root() -> str | None:
    """Why a test that only root can run cannot run here, if it cannot."""
    return None if os.geteuid() == 0 else "not root"


def no_network() -> str | None:
    """Why a test with network namespaces and TUN devices of its own cannot, if it cannot."""
    if reason := no_root():
        return reason
    return None if os.access("/dev/net/tun", os.W_OK) else "there is no /dev/net/tun"
