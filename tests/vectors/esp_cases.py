"""esp/*.json: whole ESP packets, bare AES-CTR and 3DES-CBC, whole IKE messages, to cases."""

from functools import partial
from pathlib import Path
from typing import Any

from vectorfiles import AnyCase, Case, encr, integ, load, same_octets

from isthmus.crypto.cipher import CbcCipher, CtrCipher, PlainCipher, TripleDesCipher
from isthmus.crypto.entropy import SeededEntropy
from isthmus.crypto.suite import block_size, iv_size, message_cipher
from isthmus.ike.v2.keys import IkeKeys
from isthmus.ike.v2.protect import SK_HEADER_END, Protector
from isthmus.values.proposal import AEAD_ENCR, Suite, Transform
from isthmus.values.registry.ikev2 import Encr, Integ
from isthmus.values.secret import Secret
from isthmus.wire.v2.message import decode_message, encode_chain

ESP_HEADER = 8
Test = dict[str, Any]


def cases(path: Path) -> list[AnyCase]:
    """Every test of a file, told apart by what it holds. Raises ValueError for another shape."""
    return [_case(test) for test in load(path)["tests"]]


def _case(test: Test) -> Case:
    number = Encr(test["encr"])
    if "packet" in test:
        return Case(test["id"], partial(_packet, test), _covers(test))
    if "message" in test:
        return Case(test["id"], partial(_message, test), _covers(test))
    if "ciphertext" in test and number == Encr.TRIPLE_DES:
        return Case(test["id"], partial(_bare_3des, test), (encr(number),))
    if "ciphertext" in test:
        bits = 4 * len(test["key"])
        return Case(test["id"], partial(_bare_ctr, test), (encr(number, bits),))
    raise ValueError(f"{test['id']} is neither a packet nor a message nor a bare ciphertext")


def _covers(test: Test) -> tuple[Transform, ...]:
    number, integrity = Encr(test["encr"]), Integ(test["integ"])
    bits = None if number is Encr.CHACHA20_POLY1305 else int(test["keylen"])
    return (encr(number, bits), *((integ(integrity),) if integrity else ()))


def _suite(test: Test) -> Suite:
    return Suite(Encr(test["encr"]), int(test["keylen"]), Integ(test["integ"]))


def _bare_cipher(number: Encr, key: bytes) -> PlainCipher:
    return CbcCipher(key) if number == Encr.AES_CBC else CtrCipher(key[:-4], key[-4:])


def _packet(test: Test) -> None:
    """Opened: payload, padding 1, 2, 3..., pad length, next header. Sealed: the packet again."""
    suite = _suite(test)
    packet, key = bytes.fromhex(test["packet"]), bytes.fromhex(test["ek"])
    header = bytes.fromhex(test["spi"]) + int(test["seq"]).to_bytes(4, "big")
    same_octets(packet[:ESP_HEADER], header)
    end = ESP_HEADER + iv_size(suite.encr)
    iv, rest = packet[ESP_HEADER:end], packet[end:]
    same_octets(iv, bytes.fromhex(test["iv"]))
    payload = bytes.fromhex(test["payload"])
    pad = -(len(payload) + 2) % max(4, block_size(suite.encr))
    plaintext = payload + bytes(range(1, pad + 1)) + bytes((pad, test["next_header"]))
    if suite.encr in AEAD_ENCR or suite.integ:
        sealer = message_cipher(suite, Secret(key), Secret(bytes.fromhex(test["ak"])))
        same_octets(sealer.open(iv, header, rest), plaintext)
        same_octets(sealer.seal(iv, header, plaintext), rest)
    else:
        # The RFC shows encryption alone. No SA ever does that, so the cipher beneath is asked.
        bare = _bare_cipher(suite.encr, key)
        same_octets(bare.decrypt(iv, rest), plaintext)
        same_octets(bare.encrypt(iv, plaintext), rest)


def _bare_ctr(test: Test) -> None:
    octets = {k: bytes.fromhex(v) for k, v in test.items() if k not in ("id", "encr")}
    bare = CtrCipher(octets["key"], octets["nonce"])
    same_octets(bare.encrypt(octets["iv"], octets["plaintext"]), octets["ciphertext"])
    same_octets(bare.decrypt(octets["iv"], octets["ciphertext"]), octets["plaintext"])
    suite = Suite(Encr.AES_CTR, 8 * len(octets["key"]), Integ.HMAC_SHA2_256_128)
    sealer = message_cipher(suite, Secret(octets["key"] + octets["nonce"]), Secret(bytes(32)))
    sealed = sealer.seal(octets["iv"], b"", octets["plaintext"])
    same_octets(sealed[: -sealer.icv_size], octets["ciphertext"])


def _bare_3des(test: Test) -> None:
    octets = {k: bytes.fromhex(v) for k, v in test.items() if k not in ("id", "encr")}
    bare = TripleDesCipher(octets["key"])
    same_octets(bare.encrypt(octets["iv"], octets["plaintext"]), octets["ciphertext"])
    same_octets(bare.decrypt(octets["iv"], octets["ciphertext"]), octets["plaintext"])


def _message(test: Test) -> None:
    """The whole path of a received message, and the same octets when it is sealed again."""
    suite, octets = _suite(test), bytes.fromhex(test["message"])
    encryption = Secret(bytes.fromhex(test["sk_e"]))
    integrity = Secret(bytes.fromhex(test.get("sk_a", "")))
    none = Secret(b"")
    keys = IkeKeys(none, integrity, integrity, encryption, encryption, none, none)
    receiver = Protector(suite, keys, initiator=True, entropy=SeededEntropy(0))
    message = decode_message(octets)
    inner = receiver.open(octets, message)
    assert len(inner) == len(test["inner"])
    for payload, expected in zip(inner, test["inner"], strict=True):
        first, encoded = encode_chain((payload,))
        assert first == expected["type"]
        same_octets(encoded[4:], bytes.fromhex(expected["body"]))
    sealer = message_cipher(suite, encryption, integrity)
    _, plain = encode_chain(inner)
    pad = -(len(plain) + 1) % sealer.block_size
    iv = octets[SK_HEADER_END : SK_HEADER_END + sealer.iv_size]
    sealed = sealer.seal(iv, octets[:SK_HEADER_END], plain + bytes(pad) + bytes((pad,)))
    same_octets(octets[:SK_HEADER_END] + iv + sealed, octets)
