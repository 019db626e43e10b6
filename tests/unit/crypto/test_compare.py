"""compare: the one comparison of secret octets."""

import pytest

from isthmus.crypto.compare import same
from isthmus.values.secret import Secret


@pytest.mark.parametrize("a", [b"", b"x", b"abc", b"abd"])
@pytest.mark.parametrize("b", [b"", b"x", b"abc", b"abd"])
def test_agrees_with_plain_equality_for_octets_and_secrets(a: bytes, b: bytes) -> None:
    assert same(a, b) is (a == b)
    assert same(Secret(a), b) is (a == b)
    assert same(Secret(a), Secret(b)) is (a == b)
