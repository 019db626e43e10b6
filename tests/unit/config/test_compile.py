"""What a configuration means: the policy values that it becomes."""

from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from isthmus.config.suites import SUITES
from isthmus.policy.authentication import AuthKind, LocalAuth, RemoteAuth
from isthmus.policy.connection import (
    PHASE1_LIFETIMES,
    PHASE2_LIFETIMES,
    ChildPolicy,
    Connection,
    DpdAction,
    Interface,
    Lifetimes,
    Liveness,
    Mode,
    Nat,
    Route,
    Start,
)
from isthmus.values.identity import Identity
from isthmus.values.proposal import WEAK_WORDS, parse_proposal
from isthmus.values.registry.ikev2 import SecurityProtocol, TransformType
from isthmus.values.selector import TrafficSelector

from .samples import RULE, TUNNEL, loaded


def connection(directory: Path, text: str) -> Connection:
    (found,) = loaded(directory, text).configuration.connections
    return found


def test_the_smallest_file_has_every_default_of_policy(tmp_path: Path) -> None:
    """PRODUCT-GUIDE c.1: everything that is not said has the policy's own default."""
    everything = (TrafficSelector.everything(4), TrafficSelector.everything(6))
    rule = ChildPolicy(
        name="office",
        local=everything,
        remote=everything,
        proposals=(parse_proposal("aes256gcm16-ecp256-ecp384-x25519", SecurityProtocol.ESP),),
    )
    wanted = Connection(
        name="office",
        peer="203.0.113.10",
        local_id=None,
        remote_id=None,
        phase1_proposals=(
            parse_proposal("aes256gcm16-prfsha384-ecp256-ecp384-x25519", SecurityProtocol.IKE),
        ),
        rules=(rule,),
        local_auth=LocalAuth(AuthKind.PSK, "office"),
        remote_auth=RemoteAuth(AuthKind.PSK, "office"),
        mode=Mode.ROUTE,
        interface=Interface("office"),
    )
    found = connection(tmp_path, TUNNEL)
    assert found.origin == f"{tmp_path}/isthmus.toml:1" == found.rules[0].origin
    found = replace(found, origin="", rules=(replace(found.rules[0], origin=""),))
    assert found == wanted
    assert loaded(tmp_path, TUNNEL).warnings == ()
    assert loaded(tmp_path, TUNNEL).configuration.listen == ("0.0.0.0", "::")


def test_every_setting_of_a_tunnel(tmp_path: Path) -> None:
    text = """
[tunnel.office]
peer = "2001:DB8::10"
peer_port = 1500
local_address = "2001:db8::1"
psk = { file = "office.psk" }
auth = "psk"
ike = 2
mode = "route"
inside = ["169.254.10.1/30", "fd00::1/126"]
routes = ["10.20.0.0/16", { to = "fd20::/48", metric = 200 }]
protect = ["10.0.0.0/8"]
mtu = 1380
start = "always"
idle = "10m"
phase1_idle = "1h"
local_id = "fqdn:hq.example.net"
remote_id = "email:gw@example.net"
suite = "compat"
proposals = ["chacha20poly1305-x25519", "aes128gcm16-ecp256-noesn"]
lifetime = "30m"
lifetime_octets = "1G"
lifetime_packets = 1000000
dpd = { every = "20s", timeout = "1m", action = "reconnect" }
nat = "force"
replay_window = 4096
clamp_mss = false
clear_df = true
on_no_sa = "hold"
[tunnel.office.phase1]
proposals = ["aes128-sha256-modp2048"]
lifetime = "1h30m"
[listen]
addresses = ["2001:db8::1"]
"""
    found = connection(tmp_path, text)
    (rule,) = found.rules
    assert (found.peer, found.peer_port) == ("2001:db8::10", 1500)
    assert found.local_address == "2001:db8::1"
    assert found.interface == Interface(
        "office",
        ("169.254.10.1/30", "fd00::1/126"),
        (Route("10.20.0.0/16"), Route("fd20::/48", 200)),
        1380,
        ("10.0.0.0/8",),
    )
    assert found.local_id == Identity.parse("fqdn:hq.example.net")
    assert found.remote_id == Identity.parse("email:gw@example.net")
    assert found.liveness == Liveness(20, 60, DpdAction.RECONNECT)
    assert found.nat is Nat.FORCE and found.phase1_idle_s == 3600
    assert [str(p) for p in found.phase1_proposals] == ["aes128-sha256-prfsha256-modp2048"]
    assert found.phase1_lifetimes == Lifetimes(5400, 540)
    assert [str(p) for p in rule.proposals] == [
        "chacha20poly1305-x25519-esn-noesn",
        "aes128gcm16-ecp256-noesn",
    ]
    assert [p.number for p in rule.proposals] == [1, 2]
    assert rule.lifetimes == Lifetimes(1800, 180, 1.0, 1 << 30, 1_000_000)
    assert (rule.start, rule.idle_s, rule.replay_window) == (Start.ALWAYS, 600, 4096)
    assert (rule.df, rule.clamp_mss) == ("clear", False)


def test_rules_inherit_from_their_tunnel_and_may_differ(tmp_path: Path) -> None:
    """PRODUCT-GUIDE c.3."""
    text = (
        TUNNEL
        + """\
idle = "5m"
lifetime = "20m"
start = "always"
df = "set"
[tunnel.office.rule.payroll]
local = ["10.1.10.0/24", "2001:db8:1::/64"]
remote = "172.16.5.0/24"
protocol = "tcp"
remote_ports = [1433, "8000-8080"]
proposals = ["aes256gcm16-modp2048"]
lifetime = "30m"
start = "listen"
[tunnel.office.rule.voice]
local = ["10.1.20.0/24"]
remote = ["172.16.6.5"]
suite = "aws"
idle = "never"
replay_window = 64
clamp_mss = false
df = "copy"
lifetime_octets = "10G"
"""
    )
    found = connection(tmp_path, text)
    assert found.mode is Mode.POLICY and found.interface is None
    payroll, voice = found.rules
    assert [str(s) for s in payroll.local] == ["10.1.10.0/24[tcp]", "2001:db8:1::/64[tcp]"]
    assert [str(s) for s in payroll.remote] == [
        "172.16.5.0/24[tcp/1433]",
        "172.16.5.0/24[tcp/8000-8080]",
    ]
    assert [str(p) for p in payroll.proposals] == ["aes256gcm16-modp2048-esn-noesn"]
    assert (payroll.start, payroll.idle_s, payroll.df) == (Start.LISTEN, 300, "set")
    assert payroll.lifetimes == Lifetimes(1800, 180)
    assert (voice.start, voice.idle_s, voice.df) == (Start.ALWAYS, None, "copy")
    assert voice.lifetimes == Lifetimes(1200, 120, 1.0, 10 << 30)
    assert (voice.replay_window, voice.clamp_mss) == (64, False)
    assert len(voice.proposals) == len(SUITES["aws"].phase2)
    assert voice.remote == (TrafficSelector.of_network("172.16.6.5/32"),)
    assert payroll.origin == f"{tmp_path}/isthmus.toml:8"


def test_one_rule_in_route_mode_narrows_what_is_negotiated(tmp_path: Path) -> None:
    found = connection(tmp_path, TUNNEL + 'mode = "route"\n' + RULE)
    assert found.interface is not None and found.rules[0].name == "net"
    assert found.rules[0].local == (TrafficSelector.of_network(ip_network("10.1.0.0/24")),)


def test_any_peer_is_listened_for(tmp_path: Path) -> None:
    found = connection(
        tmp_path, TUNNEL.replace("203.0.113.10", "any") + 'remote_id = "keyid:store"\n'
    )
    assert found.peer is None and found.rules[0].start is Start.LISTEN


@pytest.mark.parametrize("life_s", [10, 60, 3600, 86400])
def test_renewal_always_starts_within_a_lifetime(tmp_path: Path, life_s: int) -> None:
    text = f'{TUNNEL}lifetime = "{life_s}s"\nphase1.lifetime = "{life_s}s"\n'
    found = connection(tmp_path, text)
    for lifetimes, usual in (
        (found.rules[0].lifetimes, PHASE2_LIFETIMES),
        (found.phase1_lifetimes, PHASE1_LIFETIMES),
    ):
        assert lifetimes.lifetime_s == life_s
        assert 0 < lifetimes.margin_s * (1 + lifetimes.fuzz) <= life_s / 5
        assert lifetimes.margin_s <= usual.margin_s


def test_asking_seldom_lengthens_the_patience(tmp_path: Path) -> None:
    assert connection(tmp_path, TUNNEL + 'dpd.every = "30s"\n').liveness == Liveness(30, 120)


@pytest.mark.parametrize("name", SUITES)
def test_suites_are_proposals_of_both_phases_with_pfs(name: str) -> None:
    """R-08: only `legacy` has algorithms that RFC 8221 and RFC 8247 advise against."""
    suite = SUITES[name]
    words = set()
    for texts, protocol in (
        (suite.phase1, SecurityProtocol.IKE),
        (suite.phase2, SecurityProtocol.ESP),
    ):
        assert texts
        for text in texts:
            proposal = parse_proposal(text, protocol)
            assert proposal.of_kind(TransformType.KE)
            words |= {str(transform) for transform in proposal.transforms}
    assert bool(words & WEAK_WORDS) is suite.is_weak


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_is_used_for_both_phases(tmp_path: Path, name: str) -> None:
    found = connection(tmp_path, f'{TUNNEL}suite = "{name}"\nallow_weak = true\n')
    assert len(found.phase1_proposals) == len(SUITES[name].phase1)
    assert [p.number for p in found.rules[0].proposals] == [
        n + 1 for n in range(len(SUITES[name].phase2))
    ]


WARNINGS = [
    (
        'suite = "legacy"\nallow_weak = true\n',
        "4: [tunnel.office] uses weak algorithms: 3des, sha1, modp1536, modp1024"
        " (allow_weak is set)",
    ),
    (
        'proposals = ["aes128-sha1-modp2048"]\nallow_weak = true\n',
        "4: [tunnel.office] uses weak algorithms: sha1 (allow_weak is set)",
    ),
    ('proposals = ["aes256gcm16"]\n', "4: [tunnel.office] has a proposal without PFS group"),
    ('routes = "203.0.113.0/24"\n', "4: [tunnel.office]: the route 203.0.113.0/24 covers the peer"),
    ('lifetime = "9h"\n', "1: [tunnel.office]: phase 2 may live longer than phase 1"),
    ('suite = "aws"\nlifetime = "2h"\n', "1: [tunnel.office]: AWS takes phase 2 lifetimes of up"),
    (
        'rule.r = { local = "10.1.0.0/16", remote = "10.1.2.0/24" }\n',
        "4: [tunnel.office.rule.r]: the remote network 10.1.2.0/24 lies in the local network",
    ),
    (
        'rule.r = { local = "10.1.0.0/16", remote = "0.0.0.0/0" }\n',
        "4: [tunnel.office]: the remote networks of rule r hold the peer 203.0.113.10 itself",
    ),
    (
        'rule.r = { local = ["10.1.0.0/16", "fd01::/48"], remote = "10.2.0.0/16" }\n',
        "4: [tunnel.office.rule.r] has IPv6 networks on one side only",
    ),
    (
        'suite = "aws"\nrule.a = { local = "10.1.0.0/24", remote = "10.2.0.0/24" }\n'
        'rule.b = { local = "10.1.0.0/24", remote = "10.3.0.0/24" }\n',
        "1: [tunnel.office]: AWS keeps one phase 2 for each tunnel; of 2 rules only the last",
    ),
    ('[listen]\naddresses = "::"\n', "1: [tunnel.office] needs IPv4, which [listen] leaves out"),
    (
        'local_address = "192.0.2.1"\n[listen]\naddresses = "192.0.2.2"\n',
        '1: [tunnel.office] has local_address "192.0.2.1", which [listen] leaves out',
    ),
]


@pytest.mark.parametrize(("lines", "warning"), WARNINGS)
def test_what_is_doubtful_is_said_once(tmp_path: Path, lines: str, warning: str) -> None:
    found = loaded(tmp_path, TUNNEL + lines)
    assert found.warnings == found.configuration.warnings
    (only,) = [w for w in found.warnings if "AWS takes letters" not in w]
    assert only.startswith(f"{tmp_path}/isthmus.toml:{warning}"), only
