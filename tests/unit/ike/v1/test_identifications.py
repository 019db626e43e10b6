"""ID payloads of both phases against identities and selectors, by octets made by hand."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.ike.v1.identifications import (
    identification_for,
    identification_of,
    identity_of,
    selector_of,
)
from isthmus.values.errors import Malformed
from isthmus.values.identity import Identity
from isthmus.values.registry.ikev1 import IdType
from isthmus.values.selector import TrafficSelector
from isthmus.wire.v1 import Identification

V4 = b"\x0a\x01\x02\x03"


@pytest.mark.parametrize(
    ("text", "kind", "octets"),
    [
        ("ip:10.1.2.3", 1, V4),
        ("fqdn:gw.example.net", 2, b"gw.example.net"),
        ("email:bob@example.net", 3, b"bob@example.net"),
        ("ip:fd00::1", 5, b"\xfd" + bytes(14) + b"\1"),
        ("dn:CN=gw", 9, bytes.fromhex("300d310b300906035504030c026777")),
        ("keyid:0x0102", 11, b"\1\2"),
    ],
)
def test_an_identity_goes_and_comes(text: str, kind: int, octets: bytes) -> None:
    identity = Identity.parse(text)
    payload = identification_for(identity)
    assert payload == Identification(kind, 0, 0, octets)
    assert identity_of(payload) == identity


@pytest.mark.parametrize(("protocol", "port"), [(17, 500), (17, 0), (17, 4500), (0, 0)])
def test_the_protocol_and_port_of_ike_may_stand_beside_an_identity(
    protocol: int, port: int
) -> None:
    assert str(identity_of(Identification(1, protocol, port, V4))) == "ip:10.1.2.3"


@pytest.mark.parametrize(
    "payload",
    [
        Identification(1, 6, 500, V4),
        Identification(1, 17, 501, V4),
        Identification(4, 0, 0, V4 * 2),
        Identification(7, 0, 0, V4 * 2),
        Identification(0, 0, 0, V4),
        Identification(13, 0, 0, V4),
        Identification(2, 0, 0, b""),
    ],
)
def test_an_id_payload_that_names_nobody_is_malformed(payload: Identification) -> None:
    with pytest.raises(Malformed):
        identity_of(payload)


def test_an_identity_that_ikev1_has_no_type_for_is_refused() -> None:
    with pytest.raises(ValueError, match="IKEv1 has no identity of the type"):
        identification_for(Identity(13, b""))


@pytest.mark.parametrize(
    ("text", "protocol", "port", "kind", "octets"),
    [
        ("10.1.2.3/32", 0, 0, IdType.IPV4_ADDR, V4),
        ("10.1.0.0/16", 0, 0, IdType.IPV4_ADDR_SUBNET, b"\x0a\1\0\0\xff\xff\0\0"),
        ("0.0.0.0/0", 17, 1701, IdType.IPV4_ADDR_SUBNET, bytes(8)),
        ("fd00::1/128", 58, 0, IdType.IPV6_ADDR, b"\xfd" + bytes(14) + b"\1"),
        (
            "fd00::/8",
            6,
            65535,
            IdType.IPV6_ADDR_SUBNET,
            b"\xfd" + bytes(15) + b"\xff" + bytes(15),
        ),
    ],
)
def test_a_network_goes_and_comes(
    text: str, protocol: int, port: int, kind: int, octets: bytes
) -> None:
    ports = (port, port) if port else (0, 65535)
    selector = TrafficSelector.of_network(text, protocol, *ports)
    payload = identification_of(selector)
    assert payload == Identification(kind, protocol, port, octets)
    assert selector_of(payload) == selector


def test_what_is_no_network_is_a_range() -> None:
    selector = TrafficSelector(IPv4Address("10.1.2.3"), IPv4Address("10.1.2.9"))
    payload = identification_of(selector)
    assert payload == Identification(7, 0, 0, V4 + b"\x0a\1\2\x09")
    assert selector_of(payload) == selector
    wide = TrafficSelector(IPv6Address("fd00::1"), IPv6Address("fd00::4"))
    assert identification_of(wide).kind == IdType.IPV6_ADDR_RANGE
    assert selector_of(identification_of(wide)) == wide


def test_an_address_may_be_said_as_a_subnet_or_a_range() -> None:
    alone = TrafficSelector.of_network("10.1.2.3/32")
    assert selector_of(Identification(4, 0, 0, V4 + b"\xff" * 4)) == alone
    assert selector_of(Identification(7, 0, 0, V4 + V4)) == alone


def test_host_bits_below_a_mask_mean_nothing() -> None:
    payload = Identification(4, 0, 0, V4 + b"\xff\xff\xff\0")
    assert str(selector_of(payload)) == "10.1.2.0/24"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (Identification(4, 0, 0, V4 + b"\xff\0\xff\0"), "has holes"),
        (Identification(4, 0, 0, V4 + b"\0\0\0\1"), "has holes"),
        (Identification(6, 0, 0, bytes(16) + b"\x7f" + bytes(15)), "has holes"),
        (Identification(7, 0, 0, b"\x0a\1\2\4" + V4), "above its last"),
        (Identification(1, 0, 80, V4), "port 80 of no protocol"),
        (Identification(2, 0, 0, b"gw"), "FQDN of 2 octets is no network"),
        (Identification(11, 0, 0, V4), "KEY_ID of 4 octets is no network"),
        (Identification(4, 0, 0, V4), "of 4 octets is no network"),
        (Identification(99, 0, 0, V4), "is no network"),
    ],
)
def test_an_id_payload_that_is_no_traffic_is_malformed(
    payload: Identification, reason: str
) -> None:
    with pytest.raises(Malformed, match=reason):
        selector_of(payload)


@pytest.mark.parametrize(("first", "last"), [(80, 81), (0, 0), (65535, 0), (1, 65535)])
def test_ports_that_are_neither_all_nor_one_cannot_be_said(first: int, last: int) -> None:
    selector = TrafficSelector.of_network("10.0.0.0/8", 6, first, last)
    with pytest.raises(ValueError, match="IKEv1 cannot say the ports"):
        identification_of(selector)


@settings(deadline=None, derandomize=True)
@given(
    st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(1, 255), st.integers(0, 65535)
)
def test_any_range_goes_and_comes(one: int, other: int, protocol: int, port: int) -> None:
    low, high = sorted((one, other))
    ports = (port, port) if port else (0, 65535)
    selector = TrafficSelector(IPv4Address(low), IPv4Address(high), protocol, *ports)
    assert selector_of(identification_of(selector)) == selector


@settings(deadline=None, derandomize=True)
@given(st.integers(0, 12), st.integers(0, 255), st.integers(0, 65535), st.binary(max_size=33))
def test_any_id_payload_gives_a_value_or_malformed(
    kind: int, protocol: int, port: int, octets: bytes
) -> None:
    payload = Identification(kind, protocol, port, octets)
    for read in (identity_of, selector_of):
        try:
            str(read(payload))
        except Malformed:
            continue
