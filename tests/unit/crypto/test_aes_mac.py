"""aes_mac: AES-XCBC-MAC and AES-CMAC."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.crypto.aes_mac import BLOCK, cmac, xcbc

KEY = bytes(range(16))


@pytest.mark.parametrize("mac", [cmac, xcbc])
@pytest.mark.parametrize("size", [0, 1, 15, 17, 24, 32])
def test_refuses_keys_that_are_not_128_bits(mac: object, size: int) -> None:
    assert callable(mac)
    with pytest.raises(ValueError, match="16 octets"):
        mac(bytes(size), b"data")


@given(data=st.binary(max_size=80))
def test_padding_does_not_make_two_messages_one(data: bytes) -> None:
    """RFC 3566 §4: the padded and the whole last block use different keys."""
    padded = data + b"\x80" + bytes(-(len(data) + 1) % BLOCK)
    for mac in (cmac, xcbc):
        assert len(mac(KEY, data)) == BLOCK
        assert mac(KEY, data) != mac(KEY, padded)
