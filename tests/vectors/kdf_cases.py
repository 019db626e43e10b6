"""kdf/*.json: PRFs, prf+ and the key schedules of IKEv1 and IKEv2, to cases."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from vectorfiles import AnyCase, Case, integ, load, prf_transform, same_octets

from isthmus.crypto.integrity import icv, integrity_key_size
from isthmus.crypto.prf import prf, prf_plus
from isthmus.ike.v1.keys import keymat, phase1_keys, skeyid_psk, skeyid_signature, stretched
from isthmus.ike.v2.keys import ike_key_stream, rekey_skeyseed, skeyseed
from isthmus.values.proposal import Suite
from isthmus.values.registry.ikev2 import Encr, Integ, Prf
from isthmus.values.secret import Secret
from isthmus.values.spi import IkeSpi

_MACS = {
    Prf.AES128_XCBC: Integ.AES_XCBC_96,
    Prf.AES128_CMAC: Integ.AES_CMAC_96,
    Prf.HMAC_MD5: Integ.HMAC_MD5_96,
    Prf.HMAC_SHA1: Integ.HMAC_SHA1_96,
}
"""All four are cut to 96 bits."""
_IKEV1_HASHES = {2: Prf.HMAC_SHA1, 4: Prf.HMAC_SHA2_256}
"""RFC 2409 appendix A numbers hashes; IKEv1's prf is the HMAC of one (§4)."""


def cases(path: Path) -> list[AnyCase]:
    """Every test of a file. Raises KeyError for a function that nobody decided about."""
    found: list[AnyCase] = []
    for test in load(path)["tests"]:
        name, function = f"{path.stem}: {test['id']}", test["function"]
        first = test["args"][0]
        number = _IKEV1_HASHES[first] if function == "ikev1_skeyid" else Prf(first)
        arguments = [_argument(a) for a in test["args"][1:]]
        check = partial(_FUNCTIONS[function], number, arguments, test["result"])
        found.append(Case(name, check, (prf_transform(number),)))
        integrity = _MACS.get(number) if function == "prf" else None
        if integrity is not None and len(arguments[0]) == integrity_key_size(integrity):
            check = partial(_icv, integrity, arguments, test["result"])
            found.append(Case(f"{name}, as integrity", check, (integ(integrity),)))
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


def _skeyid(number: Prf, arguments: list[Any], result: list[str]) -> None:
    kind, psk, shared, nonce_i, nonce_r, cookie_i, cookie_r = arguments
    if kind == "psk":
        skeyid = skeyid_psk(number, Secret(psk), nonce_i, nonce_r)
    else:
        skeyid = skeyid_signature(number, nonce_i, nonce_r, Secret(shared))
    suite = Suite(Encr.AES_CBC, 128, prf=number)
    keys = phase1_keys(suite, skeyid, Secret(shared), IkeSpi(cookie_i), IkeSpi(cookie_r))
    found = (keys.skeyid, keys.skeyid_d, keys.skeyid_a, keys.skeyid_e)
    for ours, theirs in zip(found, result, strict=True):
        same_octets(ours.reveal(), bytes.fromhex(theirs))


def _expand(number: Prf, arguments: list[Any], result: str) -> None:
    skeyid_e, length = arguments
    same_octets(stretched(number, Secret(skeyid_e), length).reveal(), bytes.fromhex(result))


def _keymat(number: Prf, arguments: list[Any], result: str) -> None:
    skeyid_d, seed, length = arguments
    same_octets(keymat(number, Secret(skeyid_d), seed, length), bytes.fromhex(result))


_FUNCTIONS: dict[str, Callable[[Prf, list[Any], Any], None]] = {
    "prf": _prf,
    "prf_plus": _prf_plus,
    "ikev2_sk": _sk,
    "ikev2_rekey_skeyseed": _rekey,
    "ikev1_skeyid": _skeyid,
    "ikev1_expand": _expand,
    "ikev1_keymat": _keymat,
}
