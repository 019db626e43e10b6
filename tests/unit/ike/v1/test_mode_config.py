"""What Mode Config's payloads say: both roles, and what a peer may get wrong."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.ike.v1 import mode_config
from isthmus.ike.v1.mode_config import DNS_MAX, NETWORKS_MAX, Asked
from isthmus.policy.assigned import Assigned
from isthmus.policy.connection import AccessRole, ModeConfig
from isthmus.values.errors import NoAgreement, PeerMisbehaved, ProtocolError
from isthmus.values.registry.ikev1 import ConfigAttribute, ConfigType, XauthAttribute
from isthmus.wire.cursor import Reader
from isthmus.wire.v1.attributes import Attribute
from isthmus.wire.v1.configuration import Attributes

C = ConfigAttribute
ADDRESS = IPv4Address("10.9.0.7")
TERMS = ModeConfig(
    AccessRole.SERVER,
    pool=("10.9.0.0/24",),
    dns=("10.1.0.53", "10.1.0.54"),
    domain="hq.example",
    networks=("10.1.0.0/16", "192.0.2.9/32", "0.0.0.0/0"),
)
GIVEN = Assigned(
    ADDRESS,
    (IPv4Address("10.1.0.53"), IPv4Address("10.1.0.54")),
    "hq.example",
    (IPv4Network("10.1.0.0/16"), IPv4Network("192.0.2.9/32"), IPv4Network("0.0.0.0/0")),
)


def told(*attributes: Attribute) -> Attributes:
    """A SET with an address, and these."""
    address = Attribute(C.INTERNAL_IP4_ADDRESS, ADDRESS.packed)
    return Attributes(ConfigType.SET, 5, (address, *attributes))


def over_the_wire(payload: Attributes) -> Attributes:
    return Attributes.decode(Reader(payload.encode()))


@pytest.mark.parametrize("wanted", [None, ADDRESS])
def test_a_client_that_asks_gets_what_the_server_has(wanted: IPv4Address | None) -> None:
    asked = over_the_wire(mode_config.request(9, wanted))
    assert mode_config.read_request(asked) == Asked(wanted)
    answer = over_the_wire(mode_config.reply(asked, TERMS, ADDRESS, netmask=False))
    assert mode_config.read_reply(answer) == GIVEN


def test_a_client_that_is_told_confirms_what_it_has_taken() -> None:
    given = over_the_wire(mode_config.unasked(6, TERMS, ADDRESS))
    assert mode_config.read_unasked(given) == GIVEN
    done = mode_config.confirmation(given)
    assert (done.kind, done.identifier) == (ConfigType.ACK, 6)
    kinds = [C.INTERNAL_IP4_ADDRESS, C.INTERNAL_IP4_DNS, C.UNITY_DEF_DOMAIN]
    kinds += [C.INTERNAL_IP4_SUBNET, C.UNITY_SPLIT_INCLUDE]
    assert done.attributes == tuple(Attribute(kind, b"") for kind in kinds)


def test_a_netmask_is_given_to_those_who_wait_for_one() -> None:
    attributes = (
        Attribute(C.INTERNAL_IP4_ADDRESS, bytes(4)),
        Attribute(C.INTERNAL_IP4_NETMASK, b""),
    )
    asked = Attributes(ConfigType.REQUEST, 1, attributes)
    assert mode_config.read_request(asked) == Asked(None, netmask=True)
    answer = mode_config.reply(asked, ModeConfig(AccessRole.SERVER), ADDRESS, netmask=True)
    assert answer.attributes == (
        Attribute(C.INTERNAL_IP4_ADDRESS, ADDRESS.packed),
        Attribute(C.INTERNAL_IP4_NETMASK, b"\xff\xff\xff\xff"),
    )


def test_what_is_not_known_is_passed_over() -> None:
    others = (
        Attribute(C.INTERNAL_IP4_NBNS, b"\x0a\1\0\1"),
        Attribute(C.UNITY_BANNER, b"Welcome\x1b[2J"),
        Attribute(C.UNITY_SAVE_PASSWORD, 1),
        Attribute(C.INTERNAL_ADDRESS_EXPIRY, b"\0\0\x0e\x10"),
        Attribute(C.INTERNAL_IP6_ADDRESS, bytes(16)),
        Attribute(XauthAttribute.STATUS, 1),
        Attribute(31000, b"?"),
    )
    assert mode_config.read_unasked(told(*others)) == Assigned(ADDRESS)
    asked = Attributes(ConfigType.REQUEST, 1, (*others, Attribute(C.INTERNAL_IP4_ADDRESS, b"")))
    assert mode_config.read_request(asked) == Asked()


def test_there_is_a_bound_on_everything_that_is_kept() -> None:
    subnets = tuple(
        Attribute(C.INTERNAL_IP4_SUBNET, bytes((10, n, 0, 0, 255, 255, 0, 0))) for n in range(30)
    )
    split = b"".join(bytes((11, n, 0, 0, 255, 255, 0, 0)) + bytes(6) for n in range(200))
    servers = tuple(Attribute(C.INTERNAL_IP4_DNS, bytes((10, 1, 0, n))) for n in range(1, 30))
    domain = Attribute(C.UNITY_DEF_DOMAIN, b"\xff" * 60_000)
    given = mode_config.read_unasked(
        told(*subnets, Attribute(C.UNITY_SPLIT_INCLUDE, split), *servers, domain)
    )
    assert (len(given.networks), len(given.dns)) == (NETWORKS_MAX, DNS_MAX)
    assert str(given.dns[0]) == "10.1.0.1" and str(given.networks[30]) == "11.0.0.0/16"
    assert len(given.domain) <= 4 * 256 and given.domain.isprintable()


@pytest.mark.parametrize(
    ("kind", "octets", "networks"),
    [
        (C.INTERNAL_IP4_SUBNET, b"\x0a\1\2\3\xff\xff\0\0", ["10.1.0.0/16"]),
        (C.INTERNAL_IP4_SUBNET, b"\x0a\1\2\3\xff\0\xff\0", []),
        (C.INTERNAL_IP4_SUBNET, b"\x0a\1\2\3", []),
        (C.INTERNAL_IP4_SUBNET, b"", []),
        (C.UNITY_SPLIT_INCLUDE, b"\x0a\1\0\0\xff\xff\0\0" + bytes(6) + b"\x0a\2", ["10.1.0.0/16"]),
        (C.UNITY_SPLIT_INCLUDE, b"\x0a\1\0\0\0\xff\0\0" + bytes(6), []),
        (C.UNITY_SPLIT_INCLUDE, b"", []),
    ],
)
def test_networks_that_are_none_are_left_out(
    kind: ConfigAttribute, octets: bytes, networks: list[str]
) -> None:
    given = mode_config.read_unasked(told(Attribute(kind, octets)))
    assert [str(each) for each in given.networks] == networks


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x0a\1",
        bytes(4),
        b"\x7f\0\0\1",
        b"\xe0\0\0\5",
        b"\xff\xff\xff\xff",
        b"\xf0\0\0\1",
        b"\xa9\xfe\0\1",
    ],
)
def test_an_address_that_no_host_may_have_is_none(octets: bytes) -> None:
    attributes = (Attribute(C.INTERNAL_IP4_ADDRESS, octets),)
    with pytest.raises(NoAgreement) as refused:
        mode_config.read_reply(Attributes(ConfigType.REPLY, 5, attributes))
    assert refused.value.code == "E172"


def test_a_server_with_an_empty_pool_gives_nothing() -> None:
    asked = mode_config.request(5, None)
    with pytest.raises(NoAgreement, match="no address"):
        mode_config.read_reply(mode_config.refusal(asked))


def test_what_is_no_answer_is_none() -> None:
    for kind in (ConfigType.SET, ConfigType.ACK, 77):
        with pytest.raises(PeerMisbehaved):
            mode_config.read_reply(Attributes(kind, 5, told().attributes))
    with pytest.raises(PeerMisbehaved):
        mode_config.read_request(Attributes(ConfigType.REQUEST, 1))


@given(st.binary(max_size=400))
def test_whatever_comes_is_read_or_refused_with_a_reason(octets: bytes) -> None:
    attributes = tuple(
        Attribute(kind, octets[at : at + size])
        for at, (kind, size) in enumerate((kind, size) for kind in C for size in (0, 4, 8, 14, 300))
    )
    for payload in (told(*attributes), Attributes(ConfigType.SET, 1, attributes)):
        try:
            given_ = mode_config.read_unasked(payload)
        except ProtocolError as refused:
            assert refused.reason
        else:
            assert given_.domain.isprintable() and not given_.address.is_multicast
