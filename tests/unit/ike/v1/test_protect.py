"""protect: a chain of messages under one IV after the other, and what is no message at all."""

import pytest

from isthmus.ike.v1.keys import Phase1Keys
from isthmus.ike.v1.protect import Protector
from isthmus.values.errors import IntegrityFailed, LocalFault
from isthmus.values.proposal import Suite
from isthmus.values.registry.ikev1 import Flag
from isthmus.values.registry.ikev2 import Encr, Integ, KeMethod, Prf
from isthmus.values.secret import Secret
from isthmus.wire.header import HEADER_SIZE, Header

NOTHING = Secret(b"")
AES = Suite(Encr.AES_CBC, 128, Integ.HMAC_SHA2_256_128, Prf.HMAC_SHA2_256, KeMethod.MODP_2048)
TRIPLE_DES = Suite(Encr.TRIPLE_DES, 0, Integ.HMAC_MD5_96, Prf.HMAC_MD5, KeMethod.MODP_1024)
SUITES = [AES, TRIPLE_DES]
HEADER = Header(b"\x11" * 8, b"\x22" * 8, 0, version=0x10, exchange=2, message_id=0)
IDENTIFICATION = 5


def protector(suite: Suite) -> Protector:
    size = 24 if suite.encr == Encr.TRIPLE_DES else suite.key_bits // 8
    key = Secret(bytes(range(size)))
    return Protector(suite, Phase1Keys(NOTHING, NOTHING, NOTHING, NOTHING, key))


@pytest.mark.parametrize("suite", SUITES, ids=str)
@pytest.mark.parametrize("length", [1, 15, 16, 17, 64])
def test_a_chain_comes_back_with_zeros_behind_it(suite: Suite, length: int) -> None:
    ours = protector(suite)
    iv, plain = bytes(range(ours.block_size)), b"\x5a" * length
    datagram, following = ours.seal(HEADER, IDENTIFICATION, plain, iv)
    header = Header.decode(datagram)
    assert (header.next_payload, header.flags, header.version) == (
        IDENTIFICATION,
        Flag.ENCRYPTION,
        0x10,
    )
    opened, after = ours.open(datagram, iv)
    assert opened == plain + bytes(-length % ours.block_size)
    assert following == after == datagram[-ours.block_size :]


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_the_next_message_hangs_on_the_last_block_of_the_one_before(suite: Suite) -> None:
    ours, peer = protector(suite), protector(suite)
    iv = bytes(ours.block_size)
    first, ours_next = ours.seal(HEADER, IDENTIFICATION, b"five", iv)
    _, peer_next = peer.open(first, iv)
    second, _ = peer.seal(HEADER, IDENTIFICATION, b"and the answer", peer_next)
    assert ours.open(second, ours_next)[0].rstrip(b"\0") == b"and the answer"
    assert ours.open(second, iv)[0].rstrip(b"\0") != b"and the answer"


@pytest.mark.parametrize("suite", SUITES, ids=str)
@pytest.mark.parametrize("extra", [-1, 1, None])
def test_what_is_not_whole_blocks_is_not_opened(suite: Suite, extra: int | None) -> None:
    ours = protector(suite)
    iv = bytes(ours.block_size)
    datagram, _ = ours.seal(HEADER, IDENTIFICATION, b"x", iv)
    cut = datagram[:HEADER_SIZE] if extra is None else datagram[: len(datagram) + extra]
    octets = cut + (b"\0" if extra == 1 else b"")
    with pytest.raises(IntegrityFailed, match="not whole blocks"):
        ours.open(octets, iv)


def test_an_aead_is_no_cipher_for_phase_1() -> None:
    suite = Suite(Encr.AES_GCM_16, 128, prf=Prf.HMAC_SHA2_256, ke=KeMethod.MODP_2048)
    keys = Phase1Keys(NOTHING, NOTHING, NOTHING, NOTHING, Secret(bytes(20)))
    with pytest.raises(LocalFault, match="no cipher for phase 1"):
        Protector(suite, keys)
