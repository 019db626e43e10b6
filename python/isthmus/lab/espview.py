"""Reading the inside of captured ESP with keys that a lab's daemons exported.

Only daemons started by a lab export keys (environment variable ISTHMUS_LAB_KEYS names a directory
of mode 0700): one JSON line for each SA. Decryption here uses the `cryptography` package, not our
data plane, so what it shows was understood by a second implementation. It also checks the ICV.
"""

import hmac
import json
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, ChaCha20Poly1305

from isthmus.lab.packets import Esp, Packet, decode_ip
from isthmus.values.registry.ikev2 import Encr, Integ

KEYS_FILE: Final = "esp-keys.jsonl"
_NEXT_HEADERS_IP: Final = (4, 41)
_GCM_ICV: Final = {Encr.AES_GCM_8: 8, Encr.AES_GCM_12: 12, Encr.AES_GCM_16: 16}
_CCM_ICV: Final = {Encr.AES_CCM_8: 8, Encr.AES_CCM_12: 12, Encr.AES_CCM_16: 16}
_HMAC: Final[dict[int, tuple[str, int]]] = {
    Integ.HMAC_MD5_96: ("md5", 12),
    Integ.HMAC_SHA1_96: ("sha1", 12),
    Integ.HMAC_SHA2_256_128: ("sha256", 16),
    Integ.HMAC_SHA2_384_192: ("sha384", 24),
    Integ.HMAC_SHA2_512_256: ("sha512", 32),
}


class CannotRead(Exception):
    """This packet cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class EspKey:
    """One direction of a Child SA, as a lab daemon exports it."""

    spi: int
    encr: int
    encr_key: bytes = field(repr=False)
    integ: int
    integ_key: bytes = field(repr=False)
    source: str
    destination: str


def read_keys(directories: Iterable[Path]) -> dict[int, EspKey]:
    """All exported keys by SPI; a later SA of the same SPI replaces an earlier one."""
    keys: dict[int, EspKey] = {}
    for directory in directories:
        path = directory / KEYS_FILE
        if not path.exists():
            continue
        for line in path.read_text(encoding="ascii").splitlines():
            entry = json.loads(line)
            keys[entry["spi"]] = EspKey(
                spi=entry["spi"],
                encr=entry["encr"],
                encr_key=bytes.fromhex(entry["encr_key"]),
                integ=entry["integ"],
                integ_key=bytes.fromhex(entry["integ_key"]),
                source=entry["src"],
                destination=entry["dst"],
            )
    return keys


def open_esp(esp: Esp, keys: dict[int, EspKey]) -> Packet:
    """The IP packet inside. Raises CannotRead; never shows octets whose ICV is wrong."""
    key = keys.get(esp.spi)
    if key is None:
        raise CannotRead(f"no key for spi 0x{esp.spi:08x}")
    if len(esp.octets) < esp.length:
        raise CannotRead("captured only in part")
    # Without ESN the associated data is the ESP header; with it, the high half stands between SPI
    # and sequence (RFC 4106 §5) or at the end (RFC 4303 §2.2.1). A lab's SAs are young: it is zero.
    for esn in (False, True):
        plaintext = _decrypt(esp.octets, key, esn)
        if plaintext is not None:
            return _inner(plaintext)
    raise CannotRead("the ICV does not match")


def _decrypt(octets: bytes, key: EspKey, esn: bool) -> bytes | None:
    header = octets[:8]
    aad = header[:4] + bytes(4) + header[4:] if esn else header
    if key.encr in _GCM_ICV:
        size = _GCM_ICV[Encr(key.encr)]
        return _aead(octets, size, lambda iv, body, icv: _gcm(key, aad, iv, body, icv))
    if key.encr in _CCM_ICV:
        size = _CCM_ICV[Encr(key.encr)]
        ccm = AESCCM(key.encr_key[:-3], tag_length=size)
        salt3 = key.encr_key[-3:]
        return _aead(octets, size, lambda iv, body, icv: ccm.decrypt(salt3 + iv, body + icv, aad))
    if key.encr == Encr.CHACHA20_POLY1305:
        chacha = ChaCha20Poly1305(key.encr_key[:-4])
        salt = key.encr_key[-4:]
        return _aead(octets, 16, lambda iv, body, icv: chacha.decrypt(salt + iv, body + icv, aad))
    if key.encr in (Encr.AES_CBC, Encr.AES_CTR, Encr.TRIPLE_DES) and key.integ in _HMAC:
        return _cipher_and_hmac(octets, key, esn)
    raise CannotRead(f"the viewer does not know encryption {key.encr} with integrity {key.integ}")


def _aead(
    octets: bytes, icv_size: int, decrypt: Callable[[bytes, bytes, bytes], bytes]
) -> bytes | None:
    if len(octets) < 16 + icv_size:
        return None
    try:
        return decrypt(octets[8:16], octets[16:-icv_size], octets[-icv_size:])
    except InvalidTag:
        return None


def _gcm(key: EspKey, aad: bytes, iv: bytes, body: bytes, icv: bytes) -> bytes:
    mode = modes.GCM(key.encr_key[-4:] + iv, icv, min_tag_length=len(icv))
    decryptor = Cipher(algorithms.AES(key.encr_key[:-4]), mode).decryptor()
    decryptor.authenticate_additional_data(aad)
    return decryptor.update(body) + decryptor.finalize()


def _cipher_and_hmac(octets: bytes, key: EspKey, esn: bool) -> bytes | None:
    name, icv_size = _HMAC[key.integ]
    signed, icv = octets[:-icv_size], octets[-icv_size:]
    expected = hmac.digest(key.integ_key, signed + (bytes(4) if esn else b""), name)[:icv_size]
    if not hmac.compare_digest(icv, expected):
        return None
    cipher: Cipher[modes.CBC] | Cipher[modes.CTR]
    if key.encr == Encr.AES_CBC:
        cipher = Cipher(algorithms.AES(key.encr_key), modes.CBC(signed[8:24]))
        body = signed[24:]
    elif key.encr == Encr.TRIPLE_DES:
        cipher = Cipher(TripleDES(key.encr_key), modes.CBC(signed[8:16]))
        body = signed[16:]
    else:
        # RFC 3686 §4: nonce, IV, and a block counter that starts at one.
        counter = key.encr_key[-4:] + signed[8:16] + b"\0\0\0\1"
        cipher = Cipher(algorithms.AES(key.encr_key[:-4]), modes.CTR(counter))
        body = signed[16:]
    decryptor = cipher.decryptor()
    return decryptor.update(body) + decryptor.finalize()


def _inner(plaintext: bytes) -> Packet:
    if len(plaintext) < 2:
        raise CannotRead("no room for the ESP trailer")
    padding, next_header = struct.unpack("BB", plaintext[-2:])
    if next_header not in _NEXT_HEADERS_IP:
        raise CannotRead(f"next header {next_header} is not an IP packet")
    packet = decode_ip(plaintext[: len(plaintext) - 2 - padding])
    if packet is None:
        raise CannotRead("the inside is not an IP packet")
    return packet
