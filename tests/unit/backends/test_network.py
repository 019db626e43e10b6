"""The machine's network is brought to a wished state, in a namespace of the test's own."""

import ctypes
import fcntl
import os
import select
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from tests.needs import need, no_network

from isthmus.backends import tun
from isthmus.backends.wishes import (
    MAIN_TABLE,
    TABLE,
    WISHES_MAX,
    InterfaceWish,
    NetworkWish,
    RouteWish,
    RuleWish,
)
from isthmus.values.errors import LocalFault

CLONE_NEWNET = 0x4000_0000
TUNSETCARRIER = 0x4004_54E2
PATIENCE_S = 10.0
MARK = 0x77
FORWARDING = ("/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding")

WISH = NetworkWish(
    (InterfaceWish("isthmus0", 1400, ("169.254.9.1/30", "fd09::1/64")),),
    (
        RouteWish("10.2.0.0/24", TABLE, 100, "isthmus0", ("10.1.0.0/24",)),
        RouteWish("10.2.0.0/24", TABLE, 4_000_000),
        RouteWish("fd02::/64", TABLE, 100, "isthmus0", ("fd01::/64",)),
        RouteWish("fd02::/64", TABLE, 4_000_000),
        RouteWish("10.3.0.0/24", MAIN_TABLE, 100, "isthmus0"),
    ),
    (
        RuleWish(priority=4500, version=4, action="goto", target=4504, mark=MARK),
        RuleWish(
            priority=4502, version=4, table=TABLE, source="10.1.0.0/24", destination="10.2.0.0/24"
        ),
        RuleWish(
            priority=4502,
            version=4,
            table=TABLE,
            destination="10.2.0.0/24",
            input_interface="lo",
            needs_address_within=("10.1.0.0/24",),
        ),
        RuleWish(
            priority=4503,
            version=4,
            action="blackhole",
            source="10.2.0.0/24",
            destination="10.1.0.0/24",
        ),
        RuleWish(
            priority=4503,
            version=4,
            action="blackhole",
            destination="10.2.0.9/32",
            protocol=6,
            source_ports=(1024, 65534),
            destination_ports=(25, 25),
        ),
        RuleWish(priority=4504, version=4, action="nop"),
        RuleWish(
            priority=4502, version=6, table=TABLE, source="fd01::/64", destination="fd02::/64"
        ),
    ),
)


@pytest.fixture
def network() -> Iterator[ModuleType]:
    """The module under test, with this thread in a fresh namespace that has a LAN."""
    need(no_network())
    from isthmus.backends import network as module

    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        assert libc.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        for words in (
            "link set lo up",
            "link add lan type veth peer name far",
            # Link-local addresses bring routes a second or two later, whenever the kernel likes.
            "link set lan addrgenmode none",
            "link set far addrgenmode none",
            "addr add 10.1.0.1/24 dev lan",
            "-6 addr add fd01::1/64 dev lan nodad",
            "link set lan up",
            "link set far up",
        ):
            ip(*words.split())
        for path in FORWARDING:
            Path(path).write_text("1")
        yield module
    finally:
        assert libc.setns(home, CLONE_NEWNET) == 0
        os.close(home)


def ip(*words: str) -> str:
    """What the ip command says."""
    done = subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
    return done.stdout


def everything() -> str:
    """Whatever of ours the machine has."""
    commands = ("rule", "-6 rule", "route show table all", "-6 route show table all")
    lines = "".join(ip(*command.split()) for command in commands).splitlines()
    ours = [line for line in lines if "proto 145" in line]
    return "\n".join([*ours, *ip("-o", "link", "show", "type", "tun").splitlines()])


@pytest.mark.root
def test_a_wish_is_met_and_taken_back(network: ModuleType) -> None:
    before = ip("rule") + ip("-6", "rule") + ip("route", "show", "table", "all")
    ours = network.Network()
    assert ours.apply(WISH) == ()
    assert "dev isthmus0 table 4500 src 10.1.0.1" in ip("route", "get", "10.2.0.9")
    assert "src fd01::1" in ip("-6", "route", "get", "fd02::9", "from", "fd01::1")
    assert "dev isthmus0 src" in ip("route", "get", "10.3.0.9")
    shown = ip("-d", "link", "show", "isthmus0")
    assert "mtu 1400" in shown and "multi_queue" in shown and "persist on" in shown
    assert "169.254.9.1/30" in ip("addr", "show", "isthmus0")
    assert Path("/proc/sys/net/ipv4/conf/isthmus0/rp_filter").read_text().strip() == "2"
    ours.remove()
    assert everything() == ""
    assert before == ip("rule") + ip("-6", "rule") + ip("route", "show", "table", "all")
    ours.close()


@pytest.mark.root
def test_an_address_on_our_device_is_what_this_machine_speaks_from(network: ModuleType) -> None:
    """Mode Config: the one address that a tunnel carries comes and goes with its phase 1."""
    far, lent = "10.7.0.9", "10.99.0.7"
    ip("addr", "add", "203.0.113.5/24", "dev", "lan")
    ip("route", "add", "default", "via", "203.0.113.1")
    lead = RuleWish(
        priority=4502,
        version=4,
        table=TABLE,
        destination="10.7.0.0/16",
        input_interface="lo",
        needs_address_within=("10.99.0.0/24",),
    )
    routes = (
        RouteWish("10.7.0.0/16", TABLE, 100, "isthmus0", (f"{lent}/32",)),
        RouteWish("10.7.0.0/16", TABLE, 4_000_000),
        RouteWish("10.8.0.0/16", MAIN_TABLE, 100, "isthmus0", (f"{lent}/32",)),
    )
    without = NetworkWish((InterfaceWish("isthmus0", 1400),), routes, (lead,))
    with_it = NetworkWish((InterfaceWish("isthmus0", 1400, (f"{lent}/32",)),), routes, (lead,))
    ours = network.Network()
    for _ in range(2):
        ours.apply(without)
        assert "dev lan src 203.0.113.5" in ip("route", "get", far)
        ours.apply(with_it)
        assert f"dev isthmus0 table {TABLE} src {lent}" in ip("route", "get", far)
        assert f"dev isthmus0 src {lent}" in ip("route", "get", "10.8.0.1")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 9))
            assert probe.getsockname()[0] == lent
        assert lent not in ours.local_addresses()
    # An earlier run that was killed has left it: the next start takes it away.
    ours.close()
    later = network.Network()
    later.apply(without)
    assert lent not in ip("addr") and lent not in ip("route", "show", "table", "all")
    assert "dev isthmus0" in ip("route", "get", "10.8.0.1")
    later.apply(with_it)
    later.remove()
    assert everything() == "" and lent not in ip("addr")
    later.close()


def wait_for(probe: Callable[[], bool]) -> None:
    """The kernel looks after changed carriers once a second."""
    deadline = time.monotonic() + PATIENCE_S
    while not probe():
        assert time.monotonic() < deadline, everything()
        time.sleep(0.02)


def set_carrier(name: str, up: bool) -> int:
    """Hold a device open with this carrier; returns the descriptor."""
    held = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    flags = tun.IFF_TUN | tun.IFF_NO_PI | tun.IFF_MULTI_QUEUE | tun.IFF_VNET_HDR
    fcntl.ioctl(held, tun.TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    fcntl.ioctl(held, TUNSETCARRIER, struct.pack("i", up))
    return held


def leads(address: str, family: str) -> str:
    """Which device the kernel sends a packet to, or why none."""
    done = subprocess.run(["ip", family, "route", "get", address], capture_output=True, text=True)
    words = (done.stdout + done.stderr).split()
    return words[words.index("dev") + 1] if done.returncode == 0 else " ".join(words)


@pytest.mark.root
@pytest.mark.parametrize(
    ("family", "net", "host"), [("-4", "10.8.0.0/16", "10.8.0.9"), ("-6", "fd08::/64", "fd08::9")]
)
def test_a_route_without_carrier_gives_way_and_the_last_one_is_never_clear(
    network: ModuleType, family: str, net: str, host: str
) -> None:
    ours = network.Network()
    wish = NetworkWish(
        tuple(InterfaceWish(name, 1400, (), True) for name in ("one", "two")),
        (
            RouteWish(net, MAIN_TABLE, 100, "one"),
            RouteWish(net, MAIN_TABLE, 110, "two"),
            RouteWish(net, MAIN_TABLE, 0xFF00_0000),
        ),
    )
    ours.apply(wish)
    ip(family, "route", "add", "default", "dev", "lan")
    held = [set_carrier("one", True), set_carrier("two", True)]
    wait_for(lambda: leads(host, family) == "one")
    held.append(set_carrier("one", False))
    wait_for(lambda: leads(host, family) == "two")
    held.append(set_carrier("two", False))
    wait_for(lambda: "nreachable" in leads(host, family) or "No route" in leads(host, family))
    held.append(set_carrier("one", True))
    wait_for(lambda: leads(host, family) == "one")
    for descriptor in held:
        os.close(descriptor)
    ours.remove()
    assert everything() == ""
    ours.close()


@pytest.mark.root
@pytest.mark.parametrize(
    ("family", "net", "prefix"), [("-4", "10.8.0.0/16", "10.8.0."), ("-6", "fd08::/64", "fd08::")]
)
def test_shared_routes_share_and_fail_over(
    network: ModuleType, family: str, net: str, prefix: str
) -> None:
    ours = network.Network()
    wish = NetworkWish(
        tuple(InterfaceWish(name, 1400, (), True) for name in ("one", "two")),
        (RouteWish(net, MAIN_TABLE, 100, "one", others=("two",)),),
    )
    ours.apply(wish)
    shown = everything()
    ours.apply(wish)
    assert everything() == shown, "what is there already is left alone"
    held = [set_carrier("one", True), set_carrier("two", True)]
    hosts = [f"{prefix}{n}" for n in range(1, 40)]
    wait_for(lambda: {leads(host, family) for host in hosts} == {"one", "two"})
    held.append(set_carrier("two", False))
    wait_for(lambda: {leads(host, family) for host in hosts} == {"one"})
    for descriptor in held:
        os.close(descriptor)
    ours.apply(NetworkWish(wish.interfaces, (RouteWish(net, MAIN_TABLE, 100, "one"),)))
    assert "two" not in "".join(line for line in everything().splitlines() if "proto" in line)
    ours.remove()
    assert everything() == ""
    ours.close()


@pytest.mark.root
def test_marked_packets_jump_over_the_rules(network: ModuleType) -> None:
    ours = network.Network()
    ours.apply(WISH)
    ip("route", "add", "default", "via", "10.1.0.254")
    assert "dev isthmus0" in ip("route", "get", "10.2.0.9")
    assert "via 10.1.0.254" in ip("route", "get", "10.2.0.9", "mark", str(MARK))
    ours.close()


@pytest.mark.root
def test_nothing_leaks_when_the_device_is_gone(network: ModuleType) -> None:
    ours = network.Network()
    ours.apply(WISH)
    ip("route", "add", "default", "via", "10.1.0.254")
    ip("link", "del", "isthmus0")
    asked = subprocess.run(
        ["ip", "route", "get", "10.2.0.9", "from", "10.1.0.1"], capture_output=True, text=True
    )
    assert "No route to host" in asked.stderr  # EHOSTUNREACH of the fallback route
    ours.apply(WISH)
    assert "dev isthmus0" in ip("route", "get", "10.2.0.9", "from", "10.1.0.1")
    ours.close()


@pytest.mark.root
def test_doing_it_twice_changes_nothing(network: ModuleType) -> None:
    ours = network.Network()
    ours.apply(WISH)
    first = everything()
    watched = subprocess.Popen(
        ["ip", "monitor", "route", "rule", "link", "address"], stdout=subprocess.PIPE, text=True
    )
    assert watched.stdout is not None
    # What it says of something else, before and after, shows that it listens.
    deadline = time.monotonic() + 30.0
    while not select.select([watched.stdout], [], [], 0.05)[0]:
        assert time.monotonic() < deadline, "ip monitor says nothing"
        for action in ("add", "del"):
            ip("address", action, "192.0.2.77/32", "dev", "lo")
    ours.apply(WISH)
    ip("address", "add", "192.0.2.78/32", "dev", "lo")
    said = ""
    while "192.0.2.78" not in said:
        said += watched.stdout.readline()
    ip("address", "del", "192.0.2.78/32", "dev", "lo")
    watched.terminate()
    watched.communicate(timeout=30)
    assert "4500" not in said and "isthmus0" not in said
    assert everything() == first
    ours.close()


@pytest.mark.root
def test_a_rule_for_everywhere_is_known_again(network: ModuleType) -> None:
    rule = RuleWish(
        priority=4502, version=4, table=TABLE, source="0.0.0.0/0", destination="10.2.0.0/24"
    )
    ours = network.Network()
    for _ in range(2):
        assert ours.apply(NetworkWish(rules=(rule,))) == ()
    assert ip("rule").count("proto 145") == 1
    ours.close()


@pytest.mark.root
def test_thousands_of_routes_and_rules_are_met_changed_and_taken_back(network: ModuleType) -> None:
    """More than one datagram of requests holds, and more than one of answers."""
    device = WISH.interfaces
    networks = [f"10.{128 + n // 256}.{n % 256}.0/24" for n in range(1500)]
    routes = tuple(RouteWish(n, TABLE, 100, "isthmus0", ("10.1.0.0/24",)) for n in networks)
    rules = tuple(
        RuleWish(priority=4502, version=4, table=TABLE, source="10.1.0.0/24", destination=n)
        for n in networks
    )
    ours = network.Network()
    for some in (slice(None), slice(1000), slice(500, None)):
        wish = NetworkWish(device, routes[some], rules[some])
        assert ours.apply(wish) == ()
        assert ip("route", "show", "table", str(TABLE)).count("src 10.1.0.1") == len(routes[some])
        assert ip("rule").count("from 10.1.0.0/24") == len(rules[some])
    ours.remove()
    assert everything() == ""
    ours.close()


@pytest.mark.root
def test_a_later_run_finds_what_an_earlier_one_left(network: ModuleType) -> None:
    first = network.Network()
    first.apply(WISH)
    first.close()
    second = network.Network()
    less = NetworkWish(
        (InterfaceWish("office", 1300),),
        (RouteWish("10.2.0.0/24", MAIN_TABLE, 100, "office"),),
    )
    second.apply(less)
    shown = everything()
    assert "isthmus0" not in shown and "4502" not in shown and "office" in shown
    second.remove()
    assert everything() == ""
    second.close()


@pytest.mark.root
def test_strangers_are_left_alone(network: ModuleType) -> None:
    ip("tuntap", "add", "mode", "tun", "isthmus0")
    ip("rule", "add", "from", "10.9.0.0/24", "lookup", "4500", "prio", "4502")
    ip("route", "add", "10.9.0.0/24", "dev", "lan", "table", "4500")
    ours = network.Network()
    with pytest.raises(LocalFault, match="is not ours"):
        ours.apply(WISH)
    ours.remove()
    assert "isthmus0" in ip("link")
    assert "10.9.0.0/24" in ip("rule") and "10.9.0.0/24" in ip("route", "show", "table", "4500")
    ours.close()


@pytest.mark.root
def test_a_hint_follows_the_machines_addresses(network: ModuleType) -> None:
    """Without an address inside the local networks there is no source to suggest."""
    ip("addr", "del", "10.1.0.1/24", "dev", "lan")
    ours = network.Network()
    ours.apply(WISH)
    assert "iif lo" not in ip("rule")
    ip("addr", "add", "10.1.0.77/24", "dev", "lan")
    ours.apply(WISH)
    assert "src 10.1.0.77" in ip("route", "get", "10.2.0.9")
    ours.close()


@pytest.mark.root
@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        (NetworkWish((InterfaceWish("../../etc", 1400),)), "cannot be the name"),
        (NetworkWish((InterfaceWish("x" * 16, 1400),)), "cannot be the name"),
        (NetworkWish((InterfaceWish("isthmus0", 10),)), "no MTU"),
        (NetworkWish((InterfaceWish("isthmus0", 1400, ("10.1.0.1/99",)),)), "cannot be read"),
        (NetworkWish((), (RouteWish("10.0.0.0/8", MAIN_TABLE, 1, "lan"),)), "not ours"),
        (NetworkWish((), (RouteWish("10.0.0.0/8", 255, 1),)), "not ours"),
        (NetworkWish((), (RouteWish("10.0.0.1/8", TABLE, 1),)), "cannot be read"),
        (NetworkWish((), (), (RuleWish(priority=1, version=5),)), "no action"),
        (NetworkWish((), (), (RuleWish(priority=1, version=4, source="x"),)), "cannot be read"),
        (NetworkWish((), (RouteWish("10.0.0.0/8", TABLE, 1),) * (WISHES_MAX + 1)), "more than"),
    ],
)
def test_a_bad_wish_is_refused_whole(network: ModuleType, wish: NetworkWish, reason: str) -> None:
    """The IKE process asks; the supervisor does not believe it."""
    ours = network.Network()
    with pytest.raises(LocalFault, match=reason):
        ours.apply(wish)
    assert everything() == ""
    ours.close()


@pytest.mark.root
def test_forwarding_that_is_off_and_needed_is_told(network: ModuleType) -> None:
    ours = network.Network()
    assert ours.apply(WISH) == ()
    for path in FORWARDING:
        Path(path).write_text("0")
    warnings = ours.apply(WISH)
    assert ["IPv4" in warnings[0], "IPv6" in warnings[1], len(warnings)] == [True, True, 2]
    alone = RouteWish("192.0.2.2/32", TABLE, 100, "isthmus0", ("10.1.0.1/32",))
    assert ours.apply(NetworkWish(WISH.interfaces, (alone,))) == ()
    ours.close()
