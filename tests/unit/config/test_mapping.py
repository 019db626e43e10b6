"""`map_local`: networks that the peer sees under other addresses."""

from pathlib import Path

import pytest

from isthmus.management.which import Packet, which
from isthmus.values.selector import selectors_text

from .samples import RULE, TUNNEL, loaded, only_error

ROUTED = TUNNEL + 'inside = ["169.254.1.1/30"]\nroutes = ["10.2.0.0/16"]\n'
TABLE = 'map_local = { "10.1.0.0/24" = "172.16.5.0/24" }\n'


@pytest.mark.parametrize(
    "text",
    [TUNNEL + RULE + 'map_local = "172.16.5.0/24"\n', TUNNEL + RULE + TABLE, TUNNEL + TABLE + RULE],
    ids=["network", "table", "tunnel's"],
)
def test_the_peer_sees_the_mapped_network_and_rules_match_the_real_one(
    tmp_path: Path, text: str
) -> None:
    (connection,) = loaded(tmp_path, text).configuration.connections
    (rule,) = connection.rules
    assert selectors_text(rule.local) == "10.1.0.0/24"
    assert selectors_text(rule.seen_local) == "172.16.5.0/24"


def test_ports_and_parts_of_a_mapped_network_keep_their_place(tmp_path: Path) -> None:
    rule = """[tunnel.office.rule.web]
local = ["10.1.0.128/25", "10.9.0.0/24"]
remote = ["10.2.0.0/24"]
protocol = "tcp"
local_ports = [443]
map_local = { "10.1.0.0/24" = "172.16.5.0/24" }
"""
    (connection,) = loaded(tmp_path, TUNNEL + rule).configuration.connections
    seen = selectors_text(connection.rules[0].seen_local)
    assert seen == "172.16.5.128/25[tcp/443], 10.9.0.0/24[tcp/443]"


def test_in_route_mode_all_is_negotiated_and_the_pairs_are_mapped(tmp_path: Path) -> None:
    text = ROUTED + 'map_local = { "10.1.0.0/24" = "172.16.5.0/24", "fd01::/64" = "fd77::/64" }\n'
    (connection,) = loaded(tmp_path, text).configuration.connections
    (rule,) = connection.rules
    assert selectors_text(rule.seen_local) == "0.0.0.0/0, ::/0"
    assert [str(m) for m in rule.map_local] == [
        "10.1.0.0/24 as 172.16.5.0/24",
        "fd01::/64 as fd77::/64",
    ]


def test_which_tells_what_the_peer_sees(tmp_path: Path) -> None:
    configuration = loaded(tmp_path, TUNNEL + RULE + TABLE).configuration
    reply = which(configuration, Packet.parse("10.1.0.9", "10.2.0.7", 6, 80))
    assert reply.why.endswith(" The peer sees it come from 172.16.5.9 (map_local).")


REFUSED = [
    (RULE + "map_local = 7\n", "a network or a table", "="),
    (RULE + "map_local = {}\n", "a network or a table", "="),
    (RULE + 'map_local = "172.16.5.0/25"\n', "maps 10.1.0.0/24 to 172.16.5.0/25", "length 24"),
    (RULE + 'map_local = "fd00::/24"\n', "maps 10.1.0.0/24 to fd00::/24", "IPv4"),
    (RULE + 'map_local = { "10.1.0.1/24" = "172.16.5.0/24" }\n', "behind its prefix", "host"),
    (RULE + 'map_local = { "here" = "172.16.5.0/24" }\n', "is no network", "10.1.0.0/24"),
    (
        RULE + 'map_local = { "10.1.0.0/25" = "172.16.5.0/25" }\n',
        "10.1.0.0/24 is only in part within 10.1.0.0/25",
        "apart",
    ),
    (
        RULE + 'map_local = { "10.8.0.0/24" = "10.1.0.0/24" }\n',
        "10.1.0.0/24 overlaps 10.1.0.0/24, which 10.8.0.0/24 is mapped to",
        "apart",
    ),
    (
        RULE + 'map_local = { "10.1.0.0/24" = "172.16.5.0/24", "10.8.0.0/24" = "172.16.5.0/24" }\n',
        "overlaps 10.1.0.0/24 as 172.16.5.0/24",
        "apart",
    ),
    (
        RULE.replace('"10.1.0.0/24"]', '"10.1.0.0/24", "10.3.0.0/24"]')
        + 'map_local = "172.16.5.0/24"\n',
        "does not say which network",
        "with each network",
    ),
]


@pytest.mark.parametrize(("text", "message", "hint"), REFUSED)
def test_what_would_make_an_address_ambiguous_is_refused(
    tmp_path: Path, text: str, message: str, hint: str
) -> None:
    error = only_error(tmp_path, TUNNEL + text)
    assert message in error.message and hint in error.hint and error.why
