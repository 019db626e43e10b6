"""Which rule a packet takes, and why the others do not."""

from dataclasses import replace

import pytest

from isthmus.management.which import Packet, which
from isthmus.policy.connection import IkeVersion, V1Terms

from .fakes import BRANCH, CONFIGURATION, PARTNER


def reasons(source: str, destination: str, protocol: int = 0, port: int = 0) -> dict[str, str]:
    """The rule that is taken (as "takes"), and each other rule's reason."""
    reply = which(CONFIGURATION, Packet.parse(source, destination, protocol, port))
    found = {f"{other.tunnel}/{other.rule}": other.why_not for other in reply.others}
    return {"takes": f"{reply.tunnel}/{reply.rule}", **found}


def test_the_most_specific_rule_wins_and_the_others_say_why_not() -> None:
    assert reasons("10.1.10.9", "172.16.5.4", 6, 1433) == {
        "takes": "partner/payroll",
        "partner/voice": "it matches, but partner/payroll is more specific",
        "branch/branch": "172.16.5.4 is not routed to it (routes: 10.20.0.0/16, 169.254.10.0/30)",
    }


def test_a_rule_for_one_port_does_not_take_another() -> None:
    found = reasons("10.1.10.9", "172.16.5.4", 6, 443)
    assert found["takes"] == "partner/voice"
    assert found["partner/payroll"] == "destination port 443 is not 1433"


def test_a_rule_for_one_protocol_does_not_take_another() -> None:
    found = reasons("10.1.10.9", "172.16.5.4", 17, 1433)
    assert found["partner/payroll"] == "it takes tcp, not udp"


def test_without_a_protocol_the_user_is_told_to_name_one() -> None:
    found = reasons("10.1.10.9", "172.16.5.4")
    assert found["partner/payroll"] == "it takes tcp only; name the protocol, such as tcp/443"
    found = reasons("10.1.10.9", "172.16.5.4", 6)
    assert (
        found["partner/payroll"]
        == "it takes destination port 1433 only; name the port, such as tcp/443"
    )


def test_a_route_based_tunnel_takes_what_is_routed_to_it() -> None:
    found = reasons("10.1.10.9", "10.20.3.4")
    assert found["takes"] == "branch/branch"
    assert found["partner/voice"] == "destination 10.20.3.4 is not in 172.16.0.0/16"


def test_a_packet_that_no_rule_matches_is_left_to_the_routing_table() -> None:
    reply = which(CONFIGURATION, Packet.parse("10.9.0.1", "192.0.2.9", 0, 0))
    assert (reply.verdict, reply.tunnel) == ("none", "")
    assert [other.why_not for other in reply.others][:2] == [
        "source 10.9.0.1 is not in 10.1.10.0/24",
        "source 10.9.0.1 is not in 10.1.0.0/16",
    ]


@pytest.mark.parametrize(
    ("source", "destination", "why"),
    [
        ("10.1.1", "10.2.0.1", "10.1.1 is not an IP address"),
        ("10.1.1.1", "fd00::1", "10.1.1.1 and fd00::1 are of different address families"),
    ],
)
def test_what_is_no_packet_is_refused(source: str, destination: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Packet.parse(source, destination, 0, 0)


@pytest.mark.parametrize(
    ("ike", "terms", "version"),
    [
        (IkeVersion.V1, V1Terms(), "IKEv1 main"),
        (IkeVersion.V1, V1Terms(aggressive=True), "IKEv1 aggressive"),
        (IkeVersion.AUTO, V1Terms(aggressive=True), "IKEv2"),
    ],
)
def test_where_ikev1_is_spoken_the_pair_is_told(
    ike: IkeVersion, terms: V1Terms, version: str
) -> None:
    old = tuple(replace(c, ike=ike, v1=terms) for c in CONFIGURATION.connections)
    configuration = replace(CONFIGURATION, connections=old)
    reply = which(configuration, Packet.parse("10.1.10.9", "172.16.5.4", 6, 1433))
    assert reply.version == version
    assert reply.why.endswith(
        " The pair of 10.1.10.0/24 and 172.16.5.0/24[tcp/1433] has a phase 2 of its own, as IKEv1"
        " wants it."
    )
    routed = which(configuration, Packet.parse("10.1.10.9", "10.20.3.4", 0, 0))
    assert routed.version == version and "IKEv1" not in routed.why


def test_a_running_phase_1_says_its_own_version() -> None:
    packet = Packet.parse("10.1.10.9", "172.16.5.4", 6, 1433)
    views = (BRANCH, replace(PARTNER, version="IKEv1 main"))
    assert which(CONFIGURATION, packet, views=views).version == "IKEv1 main"
    assert which(CONFIGURATION, packet).version == "IKEv2"
    assert which(CONFIGURATION, Packet.parse("10.9.0.1", "192.0.2.9", 0, 0)).version == ""
