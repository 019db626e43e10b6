"""The data plane's ESP against published packets, and against the crypto that IKE uses.

The two share no code: one is AWS-LC and RustCrypto, the other OpenSSL.
"""

from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import ip_address
from typing import Any, Literal

import pytest
from vectorfiles import AnyCase, Case, NotUsed, files, load, run, same_octets

from isthmus._dataplane import EspSa
from isthmus.crypto.integrity import INTEGS, icv, integrity_key_size
from isthmus.crypto.suite import (
    ENCRS,
    block_size,
    encryption_key_size,
    iv_size,
    key_lengths,
    message_cipher,
)
from isthmus.values.proposal import AEAD_ENCR, Suite
from isthmus.values.registry.ikev2 import Encr, Integ
from isthmus.values.secret import Secret

IP_IN_IP = 4
IPV6_IN_IP = 41
SPI = 0x01020304
INNER_SIZES = (0, 1, 2, 3, 17, 1400)
"""Octets of UDP data: every residue of the padding, and a full packet."""
SUITES = [
    Suite(encr, bits, integ, esn=esn)
    for encr in sorted(ENCRS)
    for bits in key_lengths(encr) or (0,)
    for integ in ((Integ.NONE,) if encr in AEAD_ENCR else sorted(INTEGS))
    for esn in (False, True)
]


def published_cases() -> Iterator[AnyCase]:
    """The packets of esp/*.json, as an inbound SA sees them."""
    for path in files("esp"):
        for test in load(path)["tests"]:
            if "packet" not in test:
                continue
            if Encr(test["encr"]) not in AEAD_ENCR and not test["integ"]:
                yield Case(test["id"], partial(_no_such_sa, test))
            elif test["next_header"] in (IP_IN_IP, IPV6_IN_IP):
                yield Case(test["id"], partial(_opens, test))
            else:
                yield NotUsed(test["id"], "transport mode, which the plane does not have")


def _sa(test: dict[str, Any]) -> EspSa:
    keys = bytes.fromhex(test["ek"]), bytes.fromhex(test["ak"])
    spi = int(test["spi"], 16)
    return EspSa("in", spi, test["encr"], test["keylen"], test["integ"], *keys)


def _opens(test: dict[str, Any]) -> None:
    same_octets(_sa(test).open(bytes.fromhex(test["packet"])), bytes.fromhex(test["payload"]))


def _no_such_sa(test: dict[str, Any]) -> None:
    """S-28: the RFC's example encrypts without integrity, so no such SA can be made."""
    with pytest.raises(ValueError):
        _sa(test)


def test_agrees_with_published_esp_packets(
    record_property: Callable[[str, object], None],
) -> None:
    assert run(published_cases(), record_property)["run"] > 0


def inner_packet(size: int) -> bytes:
    """An IPv4 packet of UDP with `size` octets of data and a right header checksum."""
    total = 28 + size
    header = b"\x45\0" + total.to_bytes(2, "big") + b"\x12\x34\0\0\x40\x11\0\0"
    header += ip_address("192.0.2.1").packed + ip_address("198.51.100.2").packed
    words = sum(int.from_bytes(header[i : i + 2], "big") for i in range(0, 20, 2))
    words = (words & 0xFFFF) + (words >> 16)
    checksum = (~((words & 0xFFFF) + (words >> 16)) & 0xFFFF).to_bytes(2, "big")
    udp = b"\x10\x00\x20\x00" + (8 + size).to_bytes(2, "big") + b"\0\0"
    return header[:10] + checksum + header[12:] + udp + bytes(i % 251 for i in range(size))


def keys(suite: Suite) -> tuple[bytes, bytes]:
    encryption = encryption_key_size(suite.encr, suite.key_bits)
    return bytes(range(encryption)), bytes(range(100, 100 + integrity_key_size(suite.integ)))


def plane_sa(direction: Literal["in", "out"], suite: Suite) -> EspSa:
    arguments = int(suite.encr), suite.key_bits, int(suite.integ)
    return EspSa(direction, SPI, *arguments, *keys(suite), esn=suite.esn)


def associated(suite: Suite, sequence: int) -> tuple[bytes, bytes]:
    """What is authenticated before the IV, and what is after the ciphertext (RFC 4303 §3.3.2).

    An AEAD takes the 64-bit number in front (RFC 4106 §5); a separate MAC takes the high half
    of it behind the ciphertext, where it is not sent.
    """
    high = (sequence >> 32).to_bytes(4, "big") if suite.esn else b""
    low = (sequence & 0xFFFFFFFF).to_bytes(4, "big")
    spi = SPI.to_bytes(4, "big")
    return (spi + high + low, b"") if suite.is_aead else (spi + low, high)


def seal(suite: Suite, sequence: int, inner: bytes) -> bytes:
    """An ESP packet by the crypto that IKE uses."""
    encryption, integrity = keys(suite)
    cipher = message_cipher(suite, Secret(encryption), Secret(integrity))
    pad = -(len(inner) + 2) % max(4, block_size(suite.encr))
    plaintext = inner + bytes(range(1, pad + 1)) + bytes((pad, IP_IN_IP))
    iv = bytes(range(50, 50 + iv_size(suite.encr)))
    aad, behind = associated(suite, sequence)
    sealed = cipher.seal(iv, aad, plaintext)
    if behind:
        sealed = _with_icv(suite, aad + iv + sealed[: -cipher.icv_size], behind)[len(aad + iv) :]
    return SPI.to_bytes(4, "big") + (sequence & 0xFFFFFFFF).to_bytes(4, "big") + iv + sealed


def _with_icv(suite: Suite, covered: bytes, behind: bytes) -> bytes:
    return covered + icv(suite.integ, Secret(keys(suite)[1]), covered + behind)


def open_(suite: Suite, sequence: int, packet: bytes) -> bytes:
    """The plaintext of an ESP packet, trailer included, by the crypto that IKE uses."""
    encryption, integrity = keys(suite)
    cipher = message_cipher(suite, Secret(encryption), Secret(integrity))
    end = 8 + iv_size(suite.encr)
    iv, rest = packet[8:end], packet[end:]
    aad, behind = associated(suite, sequence)
    if behind:
        covered = packet[: -cipher.icv_size]
        same_octets(packet, _with_icv(suite, covered, behind))
        rest = _with_icv(suite, covered, b"")[end:]  # the ICV that `open` knows, without ESN
    return cipher.open(iv, aad, rest)


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_the_plane_opens_what_crypto_sealed(suite: Suite) -> None:
    sa = plane_sa("in", suite)
    for sequence, size in enumerate(INNER_SIZES, start=7):
        inner = inner_packet(size)
        same_octets(sa.open(seal(suite, sequence, inner)), inner)


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_crypto_opens_what_the_plane_sealed(suite: Suite) -> None:
    sa = plane_sa("out", suite)
    for sequence, size in enumerate(INNER_SIZES, start=1):
        inner = inner_packet(size)
        plaintext = open_(suite, sequence, sa.seal(inner))
        pad, next_header = plaintext[-2:]
        assert next_header == IP_IN_IP
        assert plaintext[: len(plaintext) - 2 - pad] == inner
        assert plaintext[len(inner) : -2] == bytes(range(1, pad + 1))


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_the_plane_refuses_what_was_changed(suite: Suite) -> None:
    packet = seal(suite, 7, inner_packet(17))
    for at in range(4, len(packet), 5):
        damaged = packet[:at] + bytes((packet[at] ^ 4,)) + packet[at + 1 :]
        with pytest.raises(ValueError):
            plane_sa("in", suite).open(damaged)
