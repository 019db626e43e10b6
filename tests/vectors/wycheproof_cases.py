"""Wycheproof files to cases, by the algorithm that a file names."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from vectorfiles import (
    AnyCase,
    Case,
    NotUsed,
    encr,
    integ,
    ke,
    load,
    prf_transform,
    refused,
    same_octets,
)

from isthmus.crypto.aead import Aead, aes_ccm
from isthmus.crypto.aes_mac import cmac
from isthmus.crypto.agreement import BadPublicValue, agree
from isthmus.crypto.cipher import CbcCipher
from isthmus.crypto.integrity import icv, integrity_icv_size, integrity_key_size
from isthmus.crypto.prf import prf
from isthmus.crypto.signature import BadKey, BadSignature, PublicKey, ecdsa_from_raw, verify
from isthmus.crypto.suite import MessageCipher, message_cipher
from isthmus.values.errors import IntegrityFailed
from isthmus.values.proposal import Suite, Transform
from isthmus.values.registry.ikev2 import Encr, Integ, KeMethod, Prf
from isthmus.values.secret import Secret
from isthmus.values.signature import Scheme

Group = dict[str, Any]
Test = dict[str, Any]

LATER = frozenset({"ML-KEM"})
"""Hybrid key exchange is not offered yet, so nothing here may claim it."""

_NO_SECRET = Secret(b"")
_GCM = {16: Encr.AES_GCM_16, 12: Encr.AES_GCM_12, 8: Encr.AES_GCM_8}
_CCM = {16: Encr.AES_CCM_16, 12: Encr.AES_CCM_12, 8: Encr.AES_CCM_8}
_HMACS = {
    "HMACSHA1": (Prf.HMAC_SHA1, Integ.HMAC_SHA1_96),
    "HMACSHA256": (Prf.HMAC_SHA2_256, Integ.HMAC_SHA2_256_128),
    "HMACSHA384": (Prf.HMAC_SHA2_384, Integ.HMAC_SHA2_384_192),
    "HMACSHA512": (Prf.HMAC_SHA2_512, Integ.HMAC_SHA2_512_256),
}
_CURVES = {
    "secp256r1": (KeMethod.ECP_256, 32),
    "secp384r1": (KeMethod.ECP_384, 48),
    "secp521r1": (KeMethod.ECP_521, 66),
}
_MONTGOMERY = {"curve25519": KeMethod.CURVE25519, "curve448": KeMethod.CURVE448}


def cases(path: Path) -> list[AnyCase]:
    """Every test of a file. Raises KeyError for an algorithm that nobody decided about."""
    content = load(path)
    algorithm: str = content["algorithm"]
    if algorithm in LATER:
        tests = (test for group in content["testGroups"] for test in group["tests"])
        return [NotUsed(_name(path, test), f"{algorithm} is not offered yet") for test in tests]
    reader = _READERS[algorithm]
    return [
        case
        for group in content["testGroups"]
        for test in group["tests"]
        for case in reader(group, test, _name(path, test), algorithm)
    ]


def _name(path: Path, test: Test) -> str:
    return f"{path.stem}#{test['tcId']}"


def _octets(test: Test, field: str) -> bytes:
    return bytes.fromhex(test[field])


def _aead_case(
    sealer: MessageCipher | Aead, nonce: bytes, test: Test, tag_size: int, valid: bool
) -> None:
    aad, plaintext = _octets(test, "aad"), _octets(test, "msg")
    sealed = _octets(test, "ct") + _octets(test, "tag")[:tag_size]
    if not valid:
        refused(lambda: sealer.open(nonce, aad, sealed), IntegrityFailed)
        return
    same_octets(sealer.seal(nonce, aad, plaintext), sealed)
    same_octets(sealer.open(nonce, aad, sealed), plaintext)


def _salted(number: Encr, test: Test, salt_size: int, tag_size: int, valid: bool) -> None:
    key, nonce = _octets(test, "key"), _octets(test, "iv")
    bits = 0 if number is Encr.CHACHA20_POLY1305 else 8 * len(key)
    cipher = message_cipher(Suite(number, bits), Secret(key + nonce[:salt_size]), _NO_SECRET)
    _aead_case(cipher, nonce[salt_size:], test, tag_size, valid)


def _gcm(group: Group, test: Test, name: str, algorithm: str) -> Iterator[AnyCase]:
    if group["ivSize"] != 96 or group["tagSize"] != 128:
        yield NotUsed(name, f"{algorithm} with another IV than 96 bits")
        return
    valid = test["result"] == "valid"
    # A tag that is wrong in its last octets only is right once it is cut, so cut the valid ones.
    for tag_size in (16, 12, 8) if valid else (16,):
        covers = (encr(_GCM[tag_size], group["keySize"]),) if valid else ()
        check = partial(_salted, _GCM[tag_size], test, 4, tag_size, valid)
        yield Case(f"{name} tag {tag_size}", check, covers)


def _ccm(group: Group, test: Test, name: str, algorithm: str) -> Iterator[AnyCase]:
    iv_bits, tag_size, valid = group["ivSize"], group["tagSize"] // 8, test["result"] == "valid"
    if iv_bits not in (88, 96):
        yield NotUsed(name, f"{algorithm} with another nonce than 88 or 96 bits")
    elif tag_size not in _CCM:
        yield Case(
            name, lambda: refused(lambda: aes_ccm(_octets(test, "key"), tag_size), ValueError)
        )
    else:
        number = _CCM[tag_size]
        covers = (encr(number, group["keySize"]),) if valid else ()
        if iv_bits == 88:
            yield Case(name, partial(_salted, number, test, 3, tag_size, valid), covers)
        else:
            # Only nonces of 96 bits come with short tags; the cipher below the salt takes them.
            yield Case(name, partial(_ccm_whole_nonce, test, tag_size, valid), covers)


def _ccm_whole_nonce(test: Test, tag_size: int, valid: bool) -> None:
    bare = aes_ccm(_octets(test, "key"), tag_size)
    _aead_case(bare, _octets(test, "iv"), test, tag_size, valid)


def _chacha(group: Group, test: Test, name: str, algorithm: str) -> Iterator[AnyCase]:
    if group["ivSize"] != 96:
        yield NotUsed(name, f"{algorithm} with another nonce than 96 bits")
        return
    valid = test["result"] == "valid"
    covers = (encr(Encr.CHACHA20_POLY1305),) if valid else ()
    check = partial(_salted, Encr.CHACHA20_POLY1305, test, 4, 16, valid)
    yield Case(name, check, covers)


def _cbc(group: Group, test: Test, name: str, algorithm: str) -> Iterator[AnyCase]:
    if test["result"] == "valid":
        yield Case(name, partial(_cbc_valid, test), (encr(Encr.AES_CBC, group["keySize"]),))
    elif len(test["ct"]) % 32:
        cipher = CbcCipher(_octets(test, "key"))
        iv, ciphertext = _octets(test, "iv"), _octets(test, "ct")
        yield Case(name, lambda: refused(lambda: cipher.decrypt(iv, ciphertext), ValueError))
    else:
        yield NotUsed(name, "padding of PKCS #7, which ESP and IKE do not use")


def _cbc_valid(test: Test) -> None:
    cipher = CbcCipher(_octets(test, "key"))
    plaintext = _octets(test, "msg")
    pad = 16 - len(plaintext) % 16
    padded = plaintext + bytes((pad,)) * pad
    same_octets(cipher.encrypt(_octets(test, "iv"), padded), _octets(test, "ct"))
    same_octets(cipher.decrypt(_octets(test, "iv"), _octets(test, "ct")), padded)


def _hmac(group: Group, test: Test, name: str, algorithm: str) -> Iterator[AnyCase]:
    number, integrity = _HMACS[algorithm]
    yield from _mac(test, name, lambda k, m: prf(number, k, m), prf_transform(number), integrity)


def _cmac(group: Group, test: Test, name: str, algorithm: str) -> Iterator[AnyCase]:
    if group["keySize"] != 128:
        key = _octets(test, "key")
        yield Case(name, lambda: refused(lambda: cmac(key, b""), ValueError))
        return
    number = Prf.AES128_CMAC
    yield from _mac(
        test, name, lambda k, m: prf(number, k, m), prf_transform(number), Integ.AES_CMAC_96
    )


def _mac(
    test: Test,
    name: str,
    mac: Callable[[bytes, bytes], bytes],
    transform: Transform,
    integrity: Integ,
) -> Iterator[AnyCase]:
    key, message, tag = _octets(test, "key"), _octets(test, "msg"), _octets(test, "tag")
    if test["result"] != "valid":
        yield Case(
            name, lambda: refused(lambda: _same_front(mac(key, message), tag), AssertionError)
        )
        return
    yield Case(name, lambda: _same_front(mac(key, message), tag), (transform,))
    size = integrity_icv_size(integrity)
    if len(key) == integrity_key_size(integrity) and len(tag) >= size:
        check = partial(_same_icv, integrity, key, message, tag[:size])
        yield Case(f"{name} icv", check, (integ(integrity),))


def _same_front(full: bytes, tag: bytes) -> None:
    same_octets(full[: len(tag)], tag)


def _same_icv(integrity: Integ, key: bytes, message: bytes, expected: bytes) -> None:
    same_octets(icv(integrity, Secret(key), message), expected)


def _ecdh(group: Group, test: Test, name: str, algorithm: str) -> Iterator[AnyCase]:
    method, size = _CURVES[group["curve"]]
    encoded = _octets(test, "public")
    private = Secret(int(test["private"], 16).to_bytes(size, "big"))
    # KE payloads hold x and y with nothing before them (RFC 5903 §7).
    peer = encoded[1:] if encoded[:1] == b"\x04" else encoded
    if test["result"] == "valid":
        yield Case(name, partial(_agreed, method, private, peer, test), (ke(method),))
    else:
        yield Case(name, lambda: refused(lambda: agree(method, private, peer), BadPublicValue))


def _xdh(group: Group, test: Test, name: str, algorithm: str) -> Iterator[AnyCase]:
    method = _MONTGOMERY[group["curve"]]
    private, peer = Secret(_octets(test, "private")), _octets(test, "public")
    if test["result"] == "invalid" or not any(_octets(test, "shared")):
        # "acceptable" all-zero results are refused: RFC 8031 §2 leaves no choice.
        yield Case(name, lambda: refused(lambda: agree(method, private, peer), BadPublicValue))
    else:
        yield Case(name, partial(_agreed, method, private, peer, test), (ke(method),))


def _agreed(method: KeMethod, private: Secret, peer: bytes, test: Test) -> None:
    same_octets(agree(method, private, peer).reveal(), _octets(test, "shared"))


_SIGNATURES = {
    "ECDSA": "ecdsa",
    "RSASSA-PSS": "rsa-pss",
    "RSASSA-PKCS1-v1_5": "rsa-pkcs1",
}


def _signature(group: Group, test: Test, name: str, algorithm: str) -> Iterator[AnyCase]:
    spki = bytes.fromhex(group["publicKeyDer"])
    if group.get("publicKey", {}).get("publicExponent", "010001") != "010001":
        # Small exponents are what most tricks need: such a key is refused itself.
        yield Case(name, lambda: refused(lambda: PublicKey.from_spki(spki), BadKey))
        return
    key = PublicKey.from_spki(spki)
    if algorithm == "EDDSA":
        scheme = Scheme(key.kind.value)
    else:
        scheme = Scheme(f"{_SIGNATURES[algorithm]}-{group['sha'].lower().replace('-', '')}")
    raw = group["type"] == "EcdsaP1363Verify"

    def check() -> None:
        octets, signature = _octets(test, "msg"), _octets(test, "sig")
        verify(key, scheme, octets, ecdsa_from_raw(key.kind, signature) if raw else signature)

    if test["result"] == "valid":
        yield Case(name, check, (scheme,))
    else:
        # "acceptable" are DigestInfos without their NULL: we build and compare (S-16).
        yield Case(name, lambda: refused(check, BadSignature))


_READERS: dict[str, Callable[[Group, Test, str, str], Iterator[AnyCase]]] = {
    "AES-GCM": _gcm,
    "AES-CCM": _ccm,
    "CHACHA20-POLY1305": _chacha,
    "AES-CBC-PKCS5": _cbc,
    "AES-CMAC": _cmac,
    **dict.fromkeys(_HMACS, _hmac),
    "ECDH": _ecdh,
    "XDH": _xdh,
    "EDDSA": _signature,
    **dict.fromkeys(_SIGNATURES, _signature),
}
