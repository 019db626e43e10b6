"""The control socket: greeting, replacement, garbage, and a plane that does not need its client."""

import contextlib
import os
import signal
import socket
import stat
import sys
import time
from pathlib import Path

import msgspec
import pytest
from tests.plane.client import PlaneClient, Refused, endpoint, ts
from tests.plane.support import Pair, eventually, mirrored, outbound_sa, policy

pytestmark = pytest.mark.root

CLIENT_TO_KILL = """
import sys, time
from tests.plane.client import PlaneClient
client = PlaneClient(sys.argv[1])
print("connected", flush=True)
time.sleep(60)
"""


def test_a_greeting_comes_first_and_names_the_version(pair: Pair) -> None:
    assert pair.left.client.greeting["version"] == 1
    pair.left.client.close()
    client = PlaneClient(pair.left.socket_path, hello=False)
    with pytest.raises(Refused, match="hello"):
        client.ask("flush")
    with pytest.raises(Refused, match="version 1"):
        client.ask("hello", version=2)
    assert client.ask("hello", version=1)["type"] == "hello"
    client.close()


def test_the_socket_is_private_and_goes_with_the_plane(pair: Pair) -> None:
    path = Path(pair.left.socket_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert pair.left.stop_plane() == 0
    assert not path.exists()


def test_another_user_is_not_let_in(pair: Pair) -> None:
    path = Path(pair.left.socket_path)
    pid = os.fork()
    if pid == 0:
        # In the child: give everybody the file, become nobody, and see whether the plane talks.
        status = 1
        try:
            path.parent.chmod(0o755)
            os.chdir(path.parent)
            path.chmod(0o666)
            os.setgid(65534)
            os.setuid(65534)
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
                probe.settimeout(5)
                probe.connect(path.name)
                probe.send(msgspec.msgpack.encode({"type": "hello", "ticket": 1, "version": 1}))
                status = 0 if probe.recv(100) == b"" else 2
        except (ConnectionResetError, BrokenPipeError):
            status = 0
        finally:
            os._exit(status)
    _, wait_status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(wait_status) == 0
    assert pair.left.client.counters()["connections_refused"] == 1


def test_packets_go_on_when_the_client_is_killed_and_the_next_one_finds_everything(
    pair: Pair,
) -> None:
    pair.ready()
    before = pair.left.client.query("sas")
    pair.left.client.close()
    root = str(Path(__file__).parents[2])
    # In the root namespace: the control socket is a file.
    client = pair.left.popen(
        sys.executable,
        "-c",
        CLIENT_TO_KILL,
        pair.left.socket_path,
        env=os.environ | {"PYTHONPATH": root},
    )
    assert client.stdout is not None and client.stdout.readline() == "connected\n"
    ping = pair.left.popen("ping", "-c", "300", "-i", "0.005", "-W", "2", pair.right.inner_v4)
    time.sleep(0.3)
    client.send_signal(signal.SIGKILL)
    client.wait(timeout=10)
    output, _ = ping.communicate(timeout=60)
    assert "300 packets transmitted, 300 received" in output
    pair.left.client = pair.left.connect()
    after = pair.left.client.query("sas")
    key = ("direction", "spi", "policy", "tag", "name")
    assert [[sa[k] for k in key] for sa in after] == [[sa[k] for k in key] for sa in before]
    assert all(sa["packets"] >= 300 for sa in after)


def test_a_second_client_replaces_the_first(pair: Pair) -> None:
    first = pair.left.client
    second = pair.left.connect()
    with pytest.raises((ConnectionError, BrokenPipeError)):
        first.ask("query", what="counters")
    assert second.counters()["frames_refused"] == 0
    pair.left.client = second


def test_garbage_is_refused_and_the_plane_goes_on(pair: Pair) -> None:
    client = pair.left.client
    good = msgspec.msgpack.encode({"type": "query", "ticket": 1, "what": "counters"})
    garbage = [b"\xc1", b"\x80", b"\x93\x01\x02\x03", good[:-3], b"\x81\xa4type\xdf" + b"\xff" * 8]
    garbage += [msgspec.msgpack.encode({"type": "no such thing", "ticket": 1})]
    garbage += [msgspec.msgpack.encode({"type": "query", "ticket": 1, "what": 5})]
    garbage += [b"\xdc\xff\xff" * 40_000, b"\x91" * 100_000]
    for frame in garbage:
        client.send_raw(frame)
        assert client.receive()["type"] == "refused"
    assert client.counters()["frames_refused"] == len(garbage)


def test_a_refusal_never_repeats_key_octets(pair: Pair) -> None:
    key = b"do-not-show-this-key-octets-0123"
    sa = outbound_sa(pair.left, pair.right, 0x1234, encr_key=key)
    for bad in (sa, sa | {"encr_key": key.decode()}, sa | {"esn": key.decode()}, sa | {"spi": key}):
        with pytest.raises(Refused) as refusal:
            pair.left.client.ask("install_sa", sa=bad)
        assert "show" not in str(refusal.value)


def test_commands_that_cannot_be_are_refused_with_a_sentence(pair: Pair) -> None:
    client = pair.left.client
    pair.listen()
    sa = outbound_sa(pair.left, pair.right, 0x1234)
    client.ask("install_sa", sa=sa)
    client.ask("install_sa", sa=mirrored(sa))
    bad = [
        ("install_sa", {"sa": sa}, "installed already"),
        ("install_sa", {"sa": sa | {"spi": 255}}, "reserved"),
        ("install_sa", {"sa": sa | {"encr": 999}}, "encr|transform|cipher|algorithm"),
        ("install_sa", {"sa": sa | {"local": endpoint("elsewhere", 1)}}, "address"),
        ("remove_sa", {"direction": "out", "spi": 0x9999}, "no SA"),
        ("update_sa", {"direction": "in", "spi": 0x9999, "standby": True}, "no SA"),
        ("detach_interface", {"interface": 9}, "no interface"),
        ("attach_interface", {"interface": 1, "name": "a/b", "mtu": 1, "bypass_mark": 0}, "TUN"),
        (
            "listen",
            {"ports": [{"address": "203.0.113.9", "port": 1, "nat_t": True}], "mark": 0},
            "UDP",
        ),
        ("resolve_local", {"remote": "nowhere"}, "address"),
    ]
    for kind, fields, text in bad:
        with pytest.raises(Refused, match=text):
            client.ask(kind, **fields)
    assert len(client.query("sas")) == 2


def test_half_an_spd_is_never_in_force(pair: Pair) -> None:
    ask = pair.left.client.ask

    def part(number: int, first: int, more: bool) -> None:
        policies = [policy(pair.left, pair.right, id=n) for n in range(first, first + 3)]
        ask("set_policies", policies=policies, part=number, more=more)

    def in_force() -> list[int]:
        return [p["id"] for p in pair.left.client.query("policies")]

    part(0, 1, more=True)
    part(1, 4, more=True)
    assert in_force() == []
    part(2, 7, more=False)
    whole = list(range(1, 10))
    assert in_force() == whole
    # A part that never came, one that was refused, and a client that died in between.
    part(0, 20, more=True)
    with pytest.raises(Refused, match="missing"):
        part(2, 23, more=False)
    with pytest.raises(Refused, match="missing"):
        part(1, 23, more=False)
    part(0, 20, more=True)
    with pytest.raises(Refused, match="address"):
        bad = policy(pair.left, pair.right, id=9)
        bad["selectors"] = {"local": [ts("nowhere", "nowhere")], "remote": []}
        ask("set_policies", policies=[bad], part=1, more=True)
    with pytest.raises(Refused, match="missing"):
        part(2, 23, more=False)
    part(0, 20, more=True)
    pair.left.client.close()
    pair.left.client = pair.left.connect()
    ask = pair.left.client.ask
    with pytest.raises(Refused, match="missing"):
        part(1, 23, more=False)
    assert in_force() == whole


def test_a_device_has_the_carrier_that_was_asked_for(pair: Pair) -> None:
    pair.left.attach()

    def flags() -> str:
        return pair.left.sh("ip", "-o", "link", "show", "tun0")

    assert "NO-CARRIER" not in flags()
    pair.left.client.ask("set_carrier", interface=1, up=False)
    assert "NO-CARRIER" in flags()
    pair.left.client.ask("set_carrier", interface=1, up=True)
    assert "NO-CARRIER" not in flags()
    with pytest.raises(Refused, match="no interface"):
        pair.left.client.ask("set_carrier", interface=2, up=True)


def test_listen_is_idempotent_and_closes_what_is_not_named(pair: Pair) -> None:
    client = pair.left.client
    pair.listen()
    pair.listen()
    first = pair.left.sh("ss", "-lunH")
    assert first.count(":500 ") == 4 and first.count(":4500 ") == 4
    client.ask("listen", ports=[{"address": "0.0.0.0", "port": 4500, "nat_t": True}], mark=0x1234)
    after = pair.left.sh("ss", "-lunH")
    assert after.count(":500 ") == 0 and after.count(":4500 ") == 2


def test_a_port_moves_from_every_address_to_one(pair: Pair) -> None:
    pair.ready()
    for address in (pair.left.outer_v4, "0.0.0.0"):
        ports = [{"address": address, "port": 4500, "nat_t": True}]
        pair.left.client.ask("listen", ports=ports, mark=0x1234)
        listening = pair.left.sh("ss", "-lunH")
        assert listening.count(f"{address}:4500 ") == 2 == listening.count(":4500 ")
        assert pair.left.ping(pair.right.inner_v4)


def test_the_kernel_is_asked_for_the_source_address(pair: Pair) -> None:
    pair.listen()
    ask = pair.left.client.ask
    assert ask("resolve_local", remote=pair.right.outer_v4)["address"] == pair.left.outer_v4
    assert ask("resolve_local", remote=pair.right.outer_v6)["address"] == pair.left.outer_v6
    assert ask("resolve_local", remote="203.0.113.1")["address"] is None


def test_ike_datagrams_pass_both_ways_with_and_without_the_marker(pair: Pair) -> None:
    pair.listen()
    message = bytes(range(1, 61))
    for port in (500, 4500):
        for address, remote in (
            (pair.left.outer_v4, pair.right.outer_v4),
            ("0.0.0.0", pair.right.outer_v4),
            ("::", pair.right.outer_v6),
        ):
            local = endpoint(address, port)
            peer = endpoint(remote, port)
            pair.left.client.send("datagram", local=local, remote=peer, octets=message, df=False)
            got = pair.right.client.wait_notice("datagram")
            source = pair.left.outer_v6 if ":" in address else pair.left.outer_v4
            assert got["octets"] == message
            assert got["local"] == peer and got["remote"] == endpoint(source, port)
    pair.left.client.send(
        "datagram",
        local=endpoint("0.0.0.0", 500),
        remote=endpoint("203.0.113.1", 500),
        octets=message,
        df=False,
    )
    assert pair.left.client.wait_notice("send_failed")["errno"] == 101


def test_keepalives_are_sent_while_asked_for_and_swallowed(pair: Pair) -> None:
    pair.listen()
    ends = {
        "local": endpoint(pair.left.outer_v4, 4500),
        "remote": endpoint(pair.right.outer_v4, 4500),
    }

    def came() -> int:
        return pair.right.client.counters()["keepalives_received"]

    begun = time.monotonic()
    pair.left.client.ask("keepalive", every_ms=1000, **ends)
    eventually("two have come", lambda: came() >= 2)
    pair.left.client.ask("keepalive", every_ms=0, **ends)
    sent = pair.left.client.counters()["keepalives_sent"]
    assert 2 <= sent <= time.monotonic() - begun
    time.sleep(1.5)
    assert pair.left.client.counters()["keepalives_sent"] == came() == sent
    assert not pair.right.client.drain_notices()


def test_datagrams_for_an_absent_client_are_kept_to_a_bound(pair: Pair) -> None:
    pair.listen()
    pair.right.client.close()
    time.sleep(0.5)
    ends = {
        "local": endpoint(pair.left.outer_v4, 500),
        "remote": endpoint(pair.right.outer_v4, 500),
    }
    for number in range(300):
        octets = number.to_bytes(2, "big") + bytes(30)
        pair.left.client.send("datagram", octets=octets, df=False, **ends)
    pair.left.client.counters()
    time.sleep(1.0)
    pair.right.client = pair.right.connect()
    notices = pair.right.client.drain_notices()
    kept = [int.from_bytes(n["octets"][:2], "big") for n in notices if n["type"] == "datagram"]
    assert kept == list(range(256))
    assert [n["count"] for n in notices if n["type"] == "notices_lost"] == [44]
    assert pair.right.client.counters()["drop_ike_queue_full"] == 44


def test_an_idle_plane_uses_no_cpu(pair: Pair) -> None:
    pair.ready()
    assert pair.left.ping(pair.right.inner_v4)
    # The kernel's own neighbour and router messages need a moment to end.
    time.sleep(1.0)

    def wakeups() -> int:
        tasks = Path(f"/proc/{pair.left.plane.pid}/task")
        lines = [line for t in tasks.iterdir() for line in (t / "status").read_text().splitlines()]
        return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)

    before = wakeups()
    time.sleep(2.0)
    assert wakeups() - before < 40


def test_core_files_are_off(pair: Pair) -> None:
    limits = Path(f"/proc/{pair.left.plane.pid}/limits").read_text()
    core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]


def memory(pid: int) -> bytes:
    """All writable memory of a process."""
    parts = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as mem:
        for line in maps:
            span, permissions, *_ = line.split()
            if not permissions.startswith("rw"):
                continue
            start, end = (int(text, 16) for text in span.split("-"))
            mem.seek(start)
            # A mapping may go away between the list and the look.
            with contextlib.suppress(OSError):
                parts.append(mem.read(end - start))
    return b"".join(parts)


@pytest.mark.parametrize("how", ["remove_sa", "flush"])
def test_keys_are_in_memory_while_installed_and_nowhere_after(pair: Pair, how: str) -> None:
    pair.listen()
    aead = bytes(range(100, 136))
    cbc, hmac = bytes(range(40, 72)), bytes(range(160, 192))
    sas = [
        outbound_sa(pair.left, pair.right, 0x5001, encr_key=aead),
        outbound_sa(pair.left, pair.right, 0x5002, encr=12, encr_key=cbc, integ=12, integ_key=hmac),
    ]
    for sa in sas:
        pair.left.client.ask("install_sa", sa=sa)
        pair.left.client.ask("install_sa", sa=mirrored(sa))
    pid = pair.left.plane.pid
    assert memory(pid).count(aead[:32]) > 0
    for direction in ("in", "out"):
        for sa in sas:
            if how == "remove_sa":
                pair.left.client.ask("remove_sa", direction=direction, spi=sa["spi"])
    if how == "flush":
        pair.left.client.ask("flush")
    after = memory(pid)
    for key in (aead[:32], cbc, hmac):
        assert after.count(key) == 0
