"""Two sides that do not fit: a named failure here, the right notify there, and nothing left."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from isthmus.lab import gateways
from isthmus.lab.namespaces import LabError
from isthmus.lab.vici import ViciError

from .flows import Role
from .support import SUITES, IsthmusGateway, Pair, Terms, eventually, terms

pytestmark = [pytest.mark.root, pytest.mark.interop]


@dataclass(frozen=True, slots=True)
class Misfit:
    """One way of not fitting."""

    name: str
    far: Callable[[Terms], Terms]
    """What strongSwan is told instead of the mirror image."""
    codes: frozenset[str]
    """Finding codes that name it; an initiator may know less than a responder."""
    notify: str
    """The notify on the wire, as charon's log abbreviates or names it."""


MISFITS = (
    Misfit(
        "wrong-psk",
        lambda far: replace(far, psk=gateways.fresh_psk()),
        frozenset({"E120"}),
        "AUTH_FAILED",
    ),
    Misfit(
        "no-common-ike-proposal",
        lambda far: replace(far, ike="aes128-sha256-modp3072"),
        frozenset({"E110"}),
        "NO_PROP",
    ),
    Misfit(
        "no-common-esp-proposal",
        lambda far: replace(far, esp="aes128-sha1"),
        frozenset({"E201"}),
        "NO_PROP",
    ),
    Misfit(
        "unacceptable-selectors",
        lambda far: replace(far, local_ts=("10.77.0.0/24",), remote_ts=("10.78.0.0/24",)),
        frozenset({"E203"}),
        "TS_UNACCEPT",
    ),
    Misfit(
        "wrong-identity",
        lambda far: replace(far, local_id="gw-x"),
        frozenset({"E130", "E120"}),
        "AUTH_FAILED",
    ),
)


@pytest.mark.parametrize("misfit", MISFITS, ids=[misfit.name for misfit in MISFITS])
@pytest.mark.parametrize("role", ["initiator", "responder"])
def test_misfit(pair: Pair, role: Role, misfit: Misfit) -> None:
    """Whoever starts, the failure has a code and a sentence, and no SA stays on either side."""
    agreed = terms(SUITES[0], 4)
    pair.begin(agreed, misfit.far(agreed.mirror()))
    with pytest.raises((LabError, ViciError)):
        (pair.near if role == "initiator" else pair.far).up()
    assert isinstance(pair.near, IsthmusGateway)
    daemon = pair.near.daemon
    failure: dict[str, Any] = eventually(
        "a named failure in the status", lambda: _failure(daemon.tunnel())
    )
    assert failure["code"] in misfit.codes, failure
    assert failure["reason"].endswith(".") or " " in failure["reason"]
    assert failure["fix"]
    shown = daemon.do("status")
    assert failure["code"] in shown
    eventually("no SA is left on either side", pair.quiet)
    assert f"N({misfit.notify}" in pair.far.log()


def test_wrong_identity_is_named_by_the_responder(pair: Pair) -> None:
    """A responder has seen the identity, so its finding says identity, not key."""
    agreed = terms(SUITES[0], 4)
    pair.begin(agreed, replace(agreed.mirror(), local_id="gw-x"))
    with pytest.raises(ViciError):
        pair.far.up()
    assert isinstance(pair.near, IsthmusGateway)
    daemon = pair.near.daemon
    failure = eventually("a named failure in the status", lambda: _failure(daemon.tunnel()))
    assert failure["code"] == "E130"


def _failure(tunnel: dict[str, Any]) -> dict[str, Any] | None:
    found = [tunnel["failure"], *(rule["failure"] for rule in tunnel["rules"])]
    return next((failure for failure in found if failure), None)
