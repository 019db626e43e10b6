"""`[group.NAME]`: tunnels to one site that stand in for each other; and routes with metrics."""

from pathlib import Path

import pytest

from isthmus.config.errors import ConfigErrors
from isthmus.policy.connection import Group, Liveness, Prefer, Route

from .samples import loaded

TUNNELS = """\
[tunnel.one]
peer = "203.0.113.10"
psk = { file = "office.psk" }
mode = "route"
[tunnel.two]
peer = "203.0.113.11"
psk = { file = "office.psk" }
mode = "route"
"""


def groups(tmp_path: Path, text: str) -> tuple[Group, ...]:
    return loaded(tmp_path, TUNNELS + text).configuration.groups


def test_a_group_has_every_setting(tmp_path: Path) -> None:
    (found,) = groups(
        tmp_path,
        """
[group.site]
tunnels = ["two", "one"]
prefer = "bgp"
asymmetric = true
protect = ["10.20.0.0/16"]
""",
    )
    assert found.name == "site" and found.tunnels == ("two", "one")
    assert found.prefer is Prefer.BGP and found.protect == ("10.20.0.0/16",)


def test_the_first_of_its_tunnels_is_preferred_by_default(tmp_path: Path) -> None:
    (found,) = groups(tmp_path, '[group.site]\ntunnels = ["one", "two"]\nroutes = "10.20.0.0/16"\n')
    assert found.prefer is Prefer.ORDER
    assert found.routes == (Route("10.20.0.0/16", 100),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[group.site]\n", "has no tunnels"),
        ('[group.site]\ntunnels = ["one"]\n', "at least two different tunnels"),
        ('[group.site]\ntunnels = ["one", "one"]\n', "at least two different tunnels"),
        ('[group.site]\ntunnels = ["one", "three"]\n', 'names the tunnel "three"'),
        ('[group.site]\ntunnels = ["one", "two"]\nprefer = "best"\n', "none of its words"),
        ('[group.one]\ntunnels = ["one", "two"]\n', "has the name of a tunnel"),
        ('[group.site]\ntunnels = ["one", "two"]\nasymmetric = false\n', "not in this version"),
        (
            '[group.a]\ntunnels = ["one", "two"]\n[group.b]\ntunnels = ["two", "one"]\n',
            "both have the tunnel",
        ),
        ('[group.site]\ntunnels = ["one", "two"]\nroutes = [{ metric = 5 }]\n', "without its netw"),
        (
            '[group.site]\ntunnels = ["one", "two"]\n'
            'routes = [{ to = "10.0.0.0/8", metric = 0 }]\n',
            "metric",
        ),
        (
            '[group.site]\ntunnels = ["one", "two"]\nroutes = [{ to = "10.0.0.0/8", via = "x" }]\n',
            "no part of a route",
        ),
        (
            '[group.site]\ntunnels = ["one", "two"]\n'
            'routes = ["10.0.0.0/8", { to = "10.0.0.0/8", metric = 3 }]\n',
            "twice",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigErrors, match=message):
        groups(tmp_path, text)


def test_a_tunnel_with_rules_is_no_member(tmp_path: Path) -> None:
    policy = TUNNELS.replace('mode = "route"\n[tunnel.two]', "[tunnel.two]") + (
        '[tunnel.one.rule.net]\nlocal = "10.1.0.0/24"\nremote = "10.2.0.0/24"\n'
        '[group.site]\ntunnels = ["one", "two"]\n'
    )
    with pytest.raises(ConfigErrors, match="which has rules"):
        loaded(tmp_path, policy)


def test_one_route_through_two_tunnels_is_worth_a_word_unless_they_are_a_group(
    tmp_path: Path,
) -> None:
    both = TUNNELS.replace('mode = "route"\n', 'mode = "route"\nroutes = ["10.20.0.0/16"]\n')
    (warning,) = loaded(tmp_path, both).warnings
    assert "they share its traffic" in warning
    group = '[group.site]\ntunnels = ["one", "two"]\nprefer = "ecmp"\n'
    assert loaded(tmp_path, both + group).warnings == ()
    backup = both[::-1].replace('"61/0.0.02.01"', '} 002 = cirtem ,"61/0.0.02.01" = ot {', 1)[::-1]
    assert loaded(tmp_path, backup).warnings == ()


def test_a_dead_peer_may_be_found_within_seconds(tmp_path: Path) -> None:
    text = TUNNELS + '[tunnel.one.dpd]\nevery = "1s"\ntimeout = "2s"\n'
    assert loaded(tmp_path, text).configuration.connections[0].liveness == Liveness(1.0, 2.0)
