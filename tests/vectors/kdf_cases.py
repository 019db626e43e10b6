"""kdf/*.json: PRFs, prf+ and the IKEv2 key schedule, to cases."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from vectorfiles import AnyCase, Case, NotUsed, integ, load, prf_transform, same_octets

from isthmus.crypto.integrity import icv
from isthmus.crypto.prf import prf, prf_plus
from isthmus.ike.v2.keys import ike_key_stream, rekey_skeyseed, skeyseed
from isthmus.values.registry.ikev2 import Integ, Prf
from isthmus.values.secret import Secret

_AES_MACS = {Prf.AES128_XCBC: Integ.AES_XCBC_96, Prf.AES128_CMAC: Integ.AES_CMAC_96}
IKEV1 = frozenset({"ikev1_skeyid", "ikev1_expand", "ikev1_keymat"})
"""IKEv1 is not there yet, so nothing here may claim it."""


def cases(path: Path) -> list[AnyCase]:
    """Every test of a file. Raises KeyError for a function that nobody decided about."""
    found: list[AnyCase] = []
    for test in load(path)["tests"]:
        name, function = f"{path.stem}: {test['id']}", test["function"]
        if function in IKEV1:
            found.append(NotUsed(name, f"{function} belongs to IKEv1"))
            continue
        number = Prf(test["args"][0])
        arguments = [_argument(a) for a in test["args"][1:]]
        check = partial(_FUNCTIONS[function], number, arguments, test["result"])
        found.append(Case(name, check, (prf_transform(number),)))
        if function == "prf" and number in _AES_MACS and len(arguments[0]) == 16:
            check = partial(_icv, _AES_MACS[number], arguments, test["result"])
            found.append(Case(f"{name}, as integrity", check, (integ(_AES_MACS[number]),)))
    return found


def _argument(value: Any) -> Any:
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value


def _prf(number: Prf, arguments: list[Any], result: str) -> None:
    key, data = arguments
    same_octets(prf(number, Secret(key), data), bytes.fromhex(result))


def _icv(integrity: Integ, arguments: list[Any], result: str) -> None:
    key, data = arguments
    same_octets(icv(integrity, Secret(key), data), bytes.fromhex(result)[:12])


def _prf_plus(number: Prf, arguments: list[Any], result: str) -> None:
    key, seed, length = arguments
    same_octets(prf_plus(number, Secret(key), seed, length), bytes.fromhex(result))


def _sk(number: Prf, arguments: list[Any], result: list[str]) -> None:
    g_ir, nonce_i, nonce_r, spi_i, spi_r, length = arguments
    seed = skeyseed(number, nonce_i, nonce_r, Secret(g_ir))
    same_octets(seed.reveal(), bytes.fromhex(result[0]))
    stream = ike_key_stream(number, seed, nonce_i, nonce_r, spi_i, spi_r, length)
    same_octets(stream, bytes.fromhex(result[1]))


def _rekey(number: Prf, arguments: list[Any], result: str) -> None:
    sk_d, g_ir_new, nonce_i, nonce_r = arguments
    seed = rekey_skeyseed(number, Secret(sk_d), Secret(g_ir_new), nonce_i, nonce_r)
    same_octets(seed.reveal(), bytes.fromhex(result))


_FUNCTIONS: dict[str, Callable[[Prf, list[Any], Any], None]] = {
    "prf": _prf,
    "prf_plus": _prf_plus,
    "ikev2_sk": _sk,
    "ikev2_rekey_skeyseed": _rekey,
}
