"""Secrets, endpoints, SPIs, instants and registries."""

import copy
import pickle

import pytest

from isthmus.values.address import Endpoint
from isthmus.values.errors import Malformed, UnsupportedCritical
from isthmus.values.registry.ikev2 import (
    FIRST_STATUS_TYPE,
    ExchangeType,
    NotifyType,
    known,
    label,
)
from isthmus.values.secret import Secret
from isthmus.values.spi import Spi, spi_from, spi_octets, spi_text
from isthmus.values.time import Instant, after, between

HIDDEN = b"do not show this"


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{0!r:>40}".format, lambda s: f"{[s]}"])
def test_a_secret_does_not_show_its_octets(show: object) -> None:
    text = show(Secret(HIDDEN))  # type: ignore[operator]
    assert "16 octets" in text
    assert HIDDEN.decode() not in text and HIDDEN.hex() not in text


def test_a_secret_is_compared_by_content_and_with_its_kind_only() -> None:
    assert Secret(HIDDEN) == Secret(bytearray(HIDDEN))
    assert Secret(HIDDEN) != Secret(HIDDEN + b"!")
    assert Secret(HIDDEN) != HIDDEN
    assert Secret(HIDDEN).reveal() == HIDDEN
    assert len(Secret(HIDDEN)) == 16 and Secret(HIDDEN) and not Secret(b"")


def test_a_secret_cannot_be_hashed_or_pickled() -> None:
    with pytest.raises(TypeError):
        hash(Secret(HIDDEN))
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret(HIDDEN))
    with pytest.raises(TypeError):
        copy.copy(Secret(HIDDEN))


def test_endpoints_are_shown_as_users_write_them() -> None:
    assert str(Endpoint("192.0.2.1", 500)) == "192.0.2.1:500"
    assert str(Endpoint("2001:db8::1", 4500)) == "[2001:db8::1]:4500"
    assert Endpoint("::", 500).is_unspecified and Endpoint("0.0.0.0", 500).is_unspecified
    assert not Endpoint("192.0.2.1", 500).is_unspecified


def test_spis_come_back_as_they_went() -> None:
    for number in (256, 0xC0FFEE01, 2**32 - 1):
        assert spi_from(spi_octets(Spi(number))) == number
    assert spi_octets(Spi(256)) == b"\0\0\1\0"
    assert spi_text(Spi(0xC0FFEE)) == "0x00c0ffee"


def test_instants_and_durations_add_up() -> None:
    later = after(Instant(10.0), 2.5)
    assert between(Instant(10.0), later) == 2.5
    assert between(later, Instant(10.0)) == -2.5


def test_open_registries_keep_unknown_numbers() -> None:
    assert known(ExchangeType, 34) is ExchangeType.IKE_SA_INIT
    assert known(ExchangeType, 99) == 99
    assert label(NotifyType, 16390) == "COOKIE"
    assert label(NotifyType, 99) == "NotifyType(99)"


def test_errors_and_status_notifies_are_told_apart_at_16384() -> None:
    """RFC 7296 §3.10.1."""
    assert NotifyType.CHILD_SA_NOT_FOUND.is_error
    assert not NotifyType.INITIAL_CONTACT.is_error
    assert {n for n in NotifyType if n.is_error} == {n for n in NotifyType if n < FIRST_STATUS_TYPE}


def test_malformed_tells_where() -> None:
    assert str(Malformed("odd", at=28)) == "odd (at octet 28)"
    assert str(Malformed("odd")) == "odd"
    assert isinstance(UnsupportedCritical(99), Malformed)
