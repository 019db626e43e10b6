"""One test for each kind of error: where it is, and what the user is told to do."""

from pathlib import Path

import pytest

from .samples import RULE, TUNNEL, errors, loaded, only_error

HEAD = '[tunnel.office]\npeer = "203.0.113.10"\npsk = { file = "office.psk" }\n'

TUNNEL_LINES = [
    # line, column, words of the message, words of the hint
    ('pear = "192.0.2.1"', 1, 'unknown key "pear"', "peer"),
    ("routez = []", 1, 'unknown key "routez"', "routes"),
    ('remote = ["10.0.0.0/8"]', 1, 'unknown key "remote"', "[tunnel.NAME.rule.RULE]"),
    ('every = "10s"', 1, 'unknown key "every"', "[tunnel.NAME.dpd]"),
    ("zzz = 1", 1, 'unknown key "zzz"', "the keys here are"),
    ('peer_port = "500"', 13, "should be a whole number, not text", "peer_port = 500"),
    ("peer_port = 0", 13, "out of range", "500"),
    ("allow_weak = 1", 14, "should be true or false, not a whole number", "true"),
    ("start = 1", 9, "should be", "traffic"),
    ('start = "trap"', 9, '"trap"', 'start = "traffic"'),
    ('start = "alwys"', 9, '"alwys"', 'start = "always"'),
    ('mode = "vti"', 8, '"vti"', 'mode = "route"'),
    ('nat = "yes"', 7, '"yes"', 'nat = "force"'),
    ("idle = 10", 8, "bare number", 'idle = "10m"'),
    ('idle = "10 minutes"', 8, "no duration", 'idle = "10m"'),
    ('lifetime = "never"', 12, "no duration", 'lifetime = "1h"'),
    ('lifetime = "1s"', 12, "out of range", 'lifetime = "1h"'),
    ('lifetime_octets = "1X"', 19, "no size", 'lifetime_octets = "1G"'),
    ('lifetime_octets = "1K"', 19, "out of range", "1G"),
    ("replay_window = 0", 17, "no size of a window", "1024"),
    ("replay_window = 192", 17, "no size of a window", "1024"),
    ('local_address = "10.0.0.1/24"', 17, "no address", "leave the prefix length out"),
    ('local_address = "0.0.0.0"', 17, "which no interface can have", "leave local_address out"),
    ('local_address = "2001:db8::1"', 17, "is IPv6", "IPv4 address"),
    ('local_id = "fqdn:a b"', 12, "is no identity", "fqdn:"),
    ('remote_id = "fqdn:192.0.2.1"', 13, "is no identity", "ip:"),
    ('remote_id = "dn:X=x"', 13, "is no identity", "dn:O="),
    ('remote_id = "fqdn:*.example.net"', 13, "nobody is called so", 'match = "fqdn:*.example.net"'),
    ('local_id = "fqdn:*.example.net"', 12, "nobody is called so", "in full"),
    ('remote_id = { match = "fqdn:a.*.net" }', 23, "no pattern", "fqdn:*.example.net"),
    ('remote_id = { mach = "fqdn:*.net" }', 13, "without match", "match ="),
    ('inside = "10.0.0.1"', 10, "without a prefix length", "10.0.0.1/30"),
    ('inside = "10.0.0.0/24"', 10, "which no interface can have", "10.0.0.1/24"),
    ('inside = "10.0.0.x/24"', 10, "no address with prefix length", "169.254.10.1/30"),
    ('routes = ["10.0.0.7/8"]', 11, "address bits behind its prefix", "10.0.0.0/8"),
    ('routes = ["10.0.0.0/8", "10.0.0.0/8"]', 25, "names 10.0.0.0/8 twice", "take one"),
    ('routes = ["fe80::%eth0/64"]', 11, "no network", "10.1.0.0/24"),
    ("routes = 7", 10, "should be a network or a list", "["),
    ("mtu = 100", 7, "out of range", "mtu = 1400"),
    ('suite = "modren"', 9, "no suite", 'suite = "modern"'),
    ('suite = "pq"', 9, "ML-KEM", "use one of"),
    ('suite = "legacy"', 9, "weak algorithms", "allow_weak = true"),
    ('proposals = ["aes256gmc16"]', 14, '"aes256gmc16", which names no', 'write "aes256gcm'),
    ('proposals = ["aes256-modp2048"]', 14, "cannot be used", "aes256gcm16-ecp256"),
    ('proposals = ["3des-sha1-modp1024"]', 14, "3des, sha1, modp1024", "allow_weak = true"),
    ('proposals = ["aes128-aes128-sha256"]', 14, "names aes128 twice", "take one"),
    ("proposals = []", 13, "is an empty list", "leave proposals out"),
    ("ike = 3", 7, "should be 1, 2 or", "2"),
    ("ike = true", 7, "should be 1, 2 or", "2"),
    ('auth = "crt"', 8, "none of its words", "cert"),
    ('auth = "eap"', 8, "not in this version yet", "psk"),
    ('auth = { local = "psk" }', 8, "one side only", "remote"),
    ('auth = { local = "psk", remot = "psk" }', 25, 'unknown side "remot"', "remote"),
    ('cert = "x.pem"', 1, 'is not used with auth = "psk", which is the default', 'auth = "cert"'),
    ('remote_key = "x.pub"', 1, 'is not used with auth = "psk"', 'auth = "pubkey"'),
    ('auth = "psk"\nca = "x.pem"', 1, 'is not used with auth = "psk"', 'auth = "cert"'),
    ('phase1 = { signature = ["ecdsa-sha348"] }', 25, "none of its words", "ecdsa-sha384"),
    ('phase1 = { signature = ["rsa-pkcs1-sha1"] }', 25, "is weak", "allow_weak"),
    ('phase1 = { signature = ["ed25519", "ed25519"] }', 24, "names ed25519 twice", "take one"),
    ("bgp = {}", 1, "bgp in [tunnel.office] is not in this version yet", "routes"),
    ('on_no_sa = "drop"', 12, '"drop"', '"hold"'),
    ('dpd = { every = "30s", timeout = "10s" }', 34, "shorter than every", "four times"),
    ('dpd = { evry = "30s" }', 9, 'unknown key "evry"', "every"),
    ('dpd = { action = "restart" }', 18, '"restart"', 'action = "reconnect"'),
    ('dpd = "30s"', 7, "should be a table, not text", "{"),
    ('df = "set"\nclear_df = true', 1, "say different things", "take clear_df out"),
    ('phase1 = { lifetime = "8 h" }', 23, "no duration", "1h"),
    ('phase1 = { suite = "aws", proposals = ["aes256gcm16-prfsha384-ecp256"] }', 12, "both", "one"),
    ('phase1 = { proposals = ["aes256gcm16-ecp256"] }', 25, "cannot be used", "prfsha384"),
    ("rule = 1", 8, "should be a table", "{"),
    ("rule = { x = 1 }", 10, '"x" in [rule] should be a table', "tunnel.office.rule.NAME"),
    ('mode = "policy"', 0, "no rule", "[tunnel.office.rule.NAME]"),
]


@pytest.mark.parametrize(("line", "column", "message", "hint"), TUNNEL_LINES)
def test_a_line_of_a_tunnel_is_refused(
    tmp_path: Path, line: str, column: int, message: str, hint: str
) -> None:
    error = only_error(tmp_path, HEAD + line + "\n")
    assert message in error.message and hint in error.hint and error.why
    if column:
        assert (error.line, error.column) == (3 + len(line.split("\n")), column)


RULE_LINES = [
    ('locl = ["10.0.0.0/8"]', 1, 'unknown key "locl"', "local"),
    ('protocol = "tpc"', 12, "no protocol", 'protocol = "tcp"'),
    ("protocol = 256", 12, "out of range", "tcp"),
    ("protocol = 6\nremote_ports = [70000]", 17, "port out of range", "443"),
    ('protocol = 6\nremote_ports = ["9-1"]', 17, "port out of range", "443"),
    ("protocol = 6\nremote_ports = [true]", 17, "is no port", "443"),
    ("remote_ports = [443]", 16, "needs a protocol that has ports", 'protocol = "tcp"'),
    ('protocol = "icmp"\nlocal_ports = 8', 15, "needs a protocol that has ports", "tcp"),
    ('suite = "compat"\nproposals = ["aes256gcm16-ecp256"]', 1, "both suite and proposals", "one"),
    ('idle = "soon"', 8, "no duration", "10m"),
]


@pytest.mark.parametrize(("line", "column", "message", "hint"), RULE_LINES)
def test_a_line_of_a_rule_is_refused(
    tmp_path: Path, line: str, column: int, message: str, hint: str
) -> None:
    error = only_error(tmp_path, TUNNEL + RULE + line + "\n")
    assert message in error.message and hint in error.hint and error.why
    assert error.column == column and error.line >= 7


NETWORKS = [
    ('local = "10.1.0.0/24"', "has no remote"),
    ('local = "10.1.0.0/24"\nremote = "2001:db8::/64"', "joins IPv4 networks with IPv6 networks"),
    ('local = "10.1.0.0/24"\nremote = "virtual-ip"', "virtual addresses, which is not in this"),
    ('local = "10.1.0.0/24"\nremote = []', "is an empty list"),
    ('local = "10.1.0.0/24"\nremote = ["10.2.0.0/24", 7]', "should be a network, not a whole"),
    (
        'protocol = "tcp"\nremote = "10.2.0.0/24"\nlocal = "10.1.0.0/24"\nlocal_ports = ['
        + ", ".join(map(str, range(1, 513, 2)))
        + "]",
        "makes 256 selectors",
    ),
]


@pytest.mark.parametrize(("lines", "message"), NETWORKS)
def test_networks_of_a_rule_are_refused(tmp_path: Path, lines: str, message: str) -> None:
    error = only_error(tmp_path, f"{TUNNEL}[tunnel.office.rule.net]\n{lines}\n")
    assert message in error.message


FILES = [
    ('[tunel.x]\npeer = "192.0.2.1"\n', 2, 'unknown key "tunel"', "tunnel"),
    ("[hub.retail]\n", 2, "hub in the file is not in this version yet", "spoke"),
    ("tunnel = 1\n", 10, "should be a table", "{"),
    ("[tunnel]\nx = 1\n", 1, '"x" in [tunnel] should be a table', "[tunnel.NAME]"),
    ('[listen]\naddresses = ["192.0.2.1", "192.0.2.1"]\n', 13, "names 192.0.2.1 twice", "one"),
    ('[listen]\naddresses = ["localhost"]\n', 14, "no address", "192.0.2.1"),
    ("[listen]\nports = [500]\n", 1, "ports in [listen] is not in this version yet", "4500"),
    ('[daemon]\nlog_level = "debug"\n', 1, "not in this version yet", "leave it out"),
    ("[daemon]\nx = 1\n", 1, 'unknown key "x" in [daemon]', "take it out"),
    ("[tunnel.office]\npeer = \n", 8, "this is not TOML", "double quotes"),
    ('[listen]\naddresses = ["::"', 18, "this is not TOML", "close"),
]


@pytest.mark.parametrize(("text", "column", "message", "hint"), FILES)
def test_a_file_is_refused(tmp_path: Path, text: str, column: int, message: str, hint: str) -> None:
    error = only_error(tmp_path, text)
    assert message in error.message and hint in error.hint and error.column == column


PEERS = [
    ('peer = "vpn.example.net"', "has its peer by name and no remote_id"),
    ('peer = "vpn..example.net"\nremote_id = "fqdn:a"', "neither an address nor a name"),
    (f'peer = "{"a" * 64}.net"\nremote_id = "fqdn:a"', "neither an address nor a name"),
    ('peer = "203.0.113"', "which is no address"),
    ('peer = "203.0.113.300"', "which is no address"),
    ('peer = "fe80::1%eth0"', "which is no address"),
    ('peer = "0.0.0.0"', "nobody's address"),
    ('peer = "224.0.0.1"', "nobody's address"),
    ("peer = 7", "should be an address, not a whole number"),
    ('peer = "any"\nremote_id = "fqdn:a"\nstart = "always"', "whose address is not known"),
    ('peer = "any"', "and no remote_id"),
    ("", "has no peer"),
]


@pytest.mark.parametrize(("lines", "message"), PEERS)
def test_a_peer_is_refused(tmp_path: Path, lines: str, message: str) -> None:
    error = only_error(tmp_path, f'[tunnel.office]\npsk = {{ file = "office.psk" }}\n{lines}\n')
    assert message in error.message


@pytest.mark.parametrize(
    "name",
    ['"a b"', '"a.b"', '"-a"', '""', '"é"', '"a/b"', "x" * 65],
)
def test_a_name_that_commands_cannot_hold_is_refused(tmp_path: Path, name: str) -> None:
    text = f'[tunnel.{name}]\npeer = "192.0.2.1"\npsk = {{ file = "office.psk" }}\n'
    found = errors(tmp_path, text + f"[tunnel.{name}.rule.r]\nlocal='10.0.0.0/8'\nremote='::/0'\n")
    assert any("cannot be the name of a tunnel" in error.message for error in found)


def test_a_tunnel_interface_name_must_fit_the_kernel(tmp_path: Path) -> None:
    fifteen = TUNNEL.replace("office]", "a23456789012345]")
    assert loaded(tmp_path, fifteen).configuration.connections[0].interface is not None
    error = only_error(tmp_path, TUNNEL.replace("office]", "a234567890123456]"))
    assert "15 characters" in error.why and error.line == 1


def test_a_rule_based_tunnel_may_have_a_longer_name(tmp_path: Path) -> None:
    text = (TUNNEL + RULE).replace("tunnel.office", "tunnel." + "n" * 64)
    assert loaded(tmp_path, text).configuration.connections[0].name == "n" * 64


@pytest.mark.parametrize(
    "key", ['inside = "10.9.0.1/30"', 'routes = ["10.9.0.0/16"]', "mtu = 1400"]
)
def test_settings_of_the_interface_belong_to_route_mode(tmp_path: Path, key: str) -> None:
    error = only_error(tmp_path, TUNNEL + key + "\n" + RULE)
    assert "belongs to route mode" in error.message and error.line == 4


def test_route_mode_has_one_rule_at_most(tmp_path: Path) -> None:
    second = RULE.replace("rule.net", "rule.other").replace("10.1.", "10.3.")
    error = only_error(tmp_path, TUNNEL + 'mode = "route"\n' + RULE + second)
    assert "2 rules" in error.message and (error.line, error.column) == (4, 8)


SECOND = TUNNEL.replace("office]", "branch]")


def test_two_tunnels_that_a_peer_cannot_tell_apart_are_refused(tmp_path: Path) -> None:
    error = only_error(tmp_path, TUNNEL + SECOND)
    assert "same peer and identities as [tunnel.office] at isthmus.toml:1" in error.message
    assert error.line == 4


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('remote_id = "fqdn:A.example"', 'remote_id = "fqdn:a.example"'),
        ('remote_id = "ip:203.0.113.10"', ""),
    ],
)
def test_identities_that_match_are_the_same(tmp_path: Path, one: str, other: str) -> None:
    error = only_error(tmp_path, f"{TUNNEL}{one}\n{SECOND}{other}\n")
    assert "same peer and identities" in error.message


def test_two_tunnels_to_one_peer_with_identities_of_their_own_are_fine(tmp_path: Path) -> None:
    text = f'{TUNNEL}local_id = "fqdn:a"\n{SECOND}local_id = "fqdn:b"\n'
    assert len(loaded(tmp_path, text).configuration.connections) == 2


def test_two_tunnels_cannot_share_an_inside_address(tmp_path: Path) -> None:
    one = TUNNEL + 'inside = "10.9.0.1/30"\n'
    other = SECOND.replace("203.0.113.10", "203.0.113.11") + 'inside = "10.9.0.1/24"\n'
    error = only_error(tmp_path, one + other)
    assert "the inside address 10.9.0.1 of [tunnel.office]" in error.message


def rules(*sides: tuple[str, str]) -> str:
    return TUNNEL + "".join(
        f'[tunnel.office.rule.r{i}]\nlocal = "{local}"\nremote = "{remote}"\n'
        for i, (local, remote) in enumerate(sides)
    )


def test_identical_rules_are_refused(tmp_path: Path) -> None:
    error = only_error(
        tmp_path, rules(("10.1.0.0/24", "10.2.0.0/24"), ("10.1.0.0/24", "10.2.0.0/24"))
    )
    assert "covers the same traffic as [tunnel.office.rule.r0] at isthmus.toml:4" in error.message
    assert error.line == 7


def test_rules_that_cross_are_refused_with_an_example(tmp_path: Path) -> None:
    error = only_error(
        tmp_path, rules(("10.1.0.0/16", "10.2.2.0/24"), ("10.1.1.0/24", "10.2.0.0/16"))
    )
    assert "overlaps [tunnel.office.rule.r0]" in error.message
    assert "10.1.1.0/24 to 10.2.2.0/24" in error.why


def test_rules_of_different_tunnels_cross_too(tmp_path: Path) -> None:
    other = SECOND.replace("203.0.113.10", "203.0.113.11") + RULE.replace("office", "branch")
    error = only_error(tmp_path, TUNNEL + RULE + other)
    assert "[tunnel.branch.rule.net] covers the same traffic as" in error.message


@pytest.mark.parametrize(
    "sides",
    [
        (("10.1.0.0/24", "10.2.0.0/24"), ("10.1.1.0/24", "10.2.0.0/24")),
        (("10.1.0.0/24", "10.2.0.0/24"), ("10.1.0.0/24", "10.2.1.0/24")),
        (("10.1.0.0/24", "10.2.0.0/24"), ("2001:db8:1::/64", "2001:db8:2::/64")),
    ],
)
def test_rules_apart_are_fine(tmp_path: Path, sides: tuple[tuple[str, str], ...]) -> None:
    assert len(loaded(tmp_path, rules(*sides)).configuration.connections[0].rules) == 2


def test_a_more_specific_rule_comes_first(tmp_path: Path) -> None:
    text = rules(
        ("10.1.0.0/16", "10.2.0.0/16"),
        ("10.3.0.0/24", "10.2.0.0/16"),
        ("10.1.1.0/24", "10.2.0.0/16"),
        ("10.1.1.1/32", "10.2.2.0/24"),
    )
    connection = loaded(tmp_path, text).configuration.connections[0]
    assert [rule.name for rule in connection.rules] == ["r1", "r3", "r2", "r0"]


def test_all_errors_of_a_file_come_at_once_in_the_order_of_its_lines(tmp_path: Path) -> None:
    text = (
        '[tunnel.office]\npeer = "203.0.113.300"\npsk = { file = "missing.psk" }\nrout = []\n'
        '[tunnel.branch]\npsk = { env = "NOT_SET" }\nidle = 5\n[listen]\naddress = "::"\n'
    )
    found = errors(tmp_path, text)
    assert [(error.line, error.column) for error in found] == [
        (2, 8),
        (3, 7),
        (4, 1),
        (5, 1),
        (6, 7),
        (7, 8),
        (9, 1),
    ]
