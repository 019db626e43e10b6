"""Opening captured ESP with exported keys, against another ESP implementation (Scapy)."""

import json
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.ipsec import ESP, SecurityAssociation

from isthmus.lab.espview import KEYS_FILE, CannotRead, open_esp, read_keys
from isthmus.lab.packets import Esp, decode_ip
from isthmus.values.registry.ikev2 import Encr, Integ

SPI = 0xC0FFEE01
CASES = [
    (Encr.AES_GCM_16, 36, Integ.NONE, 0, "AES-GCM", None),
    (Encr.CHACHA20_POLY1305, 36, Integ.NONE, 0, "CHACHA20-POLY1305", None),
    (Encr.AES_CBC, 32, Integ.HMAC_SHA2_256_128, 32, "AES-CBC", "SHA2-256-128"),
    (Encr.AES_CBC, 16, Integ.HMAC_SHA1_96, 20, "AES-CBC", "HMAC-SHA1-96"),
    (Encr.TRIPLE_DES, 24, Integ.HMAC_MD5_96, 16, "3DES", "HMAC-MD5-96"),
    (Encr.AES_CTR, 20, Integ.HMAC_SHA2_512_256, 64, "AES-CTR", "SHA2-512-256"),
    (Encr.AES_CCM_16, 35, Integ.NONE, 0, "AES-CCM", None),
]


def sealed(crypt: str, key: bytes, auth: str | None, auth_key: bytes) -> tuple[bytes, bytes]:
    """A packet and the same inside ESP."""
    sa = SecurityAssociation(  # type: ignore[no-untyped-call]
        ESP,
        spi=SPI,
        crypt_algo=crypt,
        crypt_key=key,
        auth_algo=auth,
        auth_key=auth_key or None,
        tunnel_header=IP(src="192.0.2.1", dst="198.51.100.1"),
    )
    inner = IP(src="10.1.0.10", dst="10.2.0.10") / ICMP() / b"the vault opens at noon"
    return bytes(inner), bytes(sa.encrypt(inner))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("encr", "key_octets", "integ", "integ_octets", "crypt", "auth"),
    CASES,
    ids=[f"{case[0].name}-{case[2].name}-{case[1]}" for case in CASES],
)
def test_opens_what_scapy_sealed(
    tmp_path: Path,
    encr: Encr,
    key_octets: int,
    integ: Integ,
    integ_octets: int,
    crypt: str,
    auth: str | None,
) -> None:
    """The inside comes out octet for octet, and a flipped bit is refused."""
    key, integ_key = bytes(range(key_octets)), bytes(range(integ_octets))
    line = {"spi": SPI, "encr": encr, "key_bits": 0, "encr_key": key.hex(), "integ": integ}
    line |= {"integ_key": integ_key.hex(), "src": "192.0.2.1", "dst": "198.51.100.1"}
    (tmp_path / KEYS_FILE).write_text(json.dumps(line) + "\n")
    keys = read_keys([tmp_path])
    inner, wire = sealed(crypt, key, auth, integ_key)
    packet = decode_ip(wire)
    assert packet is not None and isinstance(packet.content, Esp)
    assert open_esp(packet.content, keys).octets == inner
    octets = bytearray(packet.content.octets)
    octets[20] ^= 1
    broken = Esp(SPI, 1, bytes(octets), len(octets), in_udp=False)
    with pytest.raises(CannotRead, match="ICV"):
        open_esp(broken, keys)


def test_says_why_it_cannot_read() -> None:
    """No key, or only a part of the packet."""
    with pytest.raises(CannotRead, match="no key for spi 0xc0ffee01"):
        open_esp(Esp(SPI, 1, bytes(40), 40, in_udp=False), {})
