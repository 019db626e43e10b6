"""dh/*.json: private values, Key Exchange Data and shared secrets, to cases."""

from functools import partial
from pathlib import Path
from typing import Any

from vectorfiles import AnyCase, Case, ke, load, same_octets

from isthmus.crypto.agreement import agree, public_value
from isthmus.values.registry.ikev2 import KeMethod
from isthmus.values.secret import Secret


def cases(path: Path) -> list[AnyCase]:
    """Every test of a file."""
    return [
        Case(test["id"], partial(_both_sides, test), (ke(KeMethod(test["group"])),))
        for test in load(path)["tests"]
    ]


def _both_sides(test: dict[str, Any]) -> None:
    method = KeMethod(test["group"])
    octets = {k: bytes.fromhex(v) for k, v in test.items() if k not in ("id", "group")}
    private_i, private_r = Secret(octets["private_i"]), Secret(octets["private_r"])
    same_octets(public_value(method, private_i), octets["ke_i"])
    same_octets(public_value(method, private_r), octets["ke_r"])
    same_octets(agree(method, private_i, octets["ke_r"]).reveal(), octets["shared"])
    same_octets(agree(method, private_r, octets["ke_i"]).reveal(), octets["shared"])
