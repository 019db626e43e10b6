"""The extension module: its stub, MODP, single SAs, and a plane inside the test's own process."""

import ast
import ctypes
import inspect
import itertools
import os
import signal
import threading
import time
from pathlib import Path
from typing import Literal

import pytest

import isthmus

dataplane = pytest.importorskip("isthmus._dataplane", reason="the extension is not built")

STUB = Path(isthmus.__file__).with_name("_dataplane.pyi")
MODP = {2: 128, 5: 192, 14: 256, 15: 384, 16: 512, 17: 768, 18: 1024}
IPV4 = bytes.fromhex("4500002c00010000401100000a4d01010a4d0201") + bytes(range(24))
IPV6 = bytes.fromhex("60000000000c3b40") + bytes(31) + b"\1" + bytes(31) + b"\2" + bytes(12)
IPV6 = IPV6[:52]

# encr, key_bits, octets of key and salt, integ, octets of its key
SUITES = [
    (3, 0, 24, 1, 16),
    (3, 0, 24, 2, 20),
    (12, 128, 16, 2, 20),
    (12, 256, 32, 12, 32),
    (12, 256, 32, 13, 48),
    (12, 256, 32, 14, 64),
    (13, 256, 36, 12, 32),
    (16, 128, 19, 0, 0),
    (18, 128, 20, 0, 0),
    (19, 192, 28, 0, 0),
    (20, 256, 36, 0, 0),
    (28, 256, 36, 0, 0),
]


def pair_of_sas(
    suite: tuple[int, int, int, int, int], *, esn: bool = False, replay_window: int = 1024
) -> tuple["dataplane.EspSa", "dataplane.EspSa"]:
    encr, key_bits, encr_octets, integ, integ_octets = suite
    directions: tuple[Literal["out"], Literal["in"]] = ("out", "in")
    sas = [
        dataplane.EspSa(
            direction,
            0x1001,
            encr,
            key_bits,
            integ,
            bytes(range(encr_octets)),
            bytes(range(integ_octets)),
            esn=esn,
            replay_window=replay_window,
        )
        for direction in directions
    ]
    return sas[0], sas[1]


def names_of(body: list[ast.stmt]) -> dict[str, list[str]]:
    """Functions and methods of a stub with the names of their parameters."""
    found: dict[str, list[str]] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef):
            a = node.args
            found[node.name] = [p.arg for p in (*a.posonlyargs, *a.args, *a.kwonlyargs)]
        elif isinstance(node, ast.ClassDef):
            for name, parameters in names_of(node.body).items():
                found[f"{node.name}.{name}"] = parameters
    return found


def test_the_stub_names_what_the_module_has_and_nothing_else() -> None:
    tree = ast.parse(STUB.read_text())
    stated = names_of(tree.body)
    public = {n for n in vars(dataplane) if not n.startswith("_")}
    assert public == {name.split(".")[0] for name in stated}
    for name, parameters in stated.items():
        owner, _, member = name.partition(".")
        real = getattr(dataplane, owner)
        if member == "__new__":
            real_names = ["cls", *inspect.signature(real).parameters]
        elif member:
            attribute = inspect.getattr_static(real, member)
            if not callable(getattr(real, member)):
                assert inspect.isdatadescriptor(attribute)
                continue
            real_names = list(inspect.signature(getattr(real, member)).parameters)
        else:
            real_names = list(inspect.signature(real).parameters)
        assert real_names == parameters, name
    for owner in (dataplane.EspSa, dataplane.Plane):
        members = {n for n in vars(owner) if not n.startswith("_")}
        prefix = f"{owner.__name__}."
        assert members == {n.removeprefix(prefix) for n in stated if n.startswith(prefix)} - {
            "__new__"
        }


@pytest.mark.parametrize(("group", "octets"), MODP.items())
def test_modp_agrees_with_plain_arithmetic(group: int, octets: int) -> None:
    private = bytes(range(1, 41))
    p = prime(group, octets)
    public = dataplane.modp_public(group, private)
    assert public == pow(2, int.from_bytes(private, "big"), p).to_bytes(octets, "big")
    peer = pow(3, 12345678901234567890, p)
    shared = dataplane.modp_shared(group, private, peer.to_bytes(octets, "big"))
    assert shared == pow(peer, int.from_bytes(private, "big"), p).to_bytes(octets, "big")


def prime(group: int, octets: int) -> int:
    """The prime by its definition in RFC 2409 and RFC 3526, with pi by Machin's formula."""
    k = {2: 129093, 5: 741804, 14: 124476, 15: 1690314, 16: 240904, 17: 929484, 18: 4743158}
    bits = octets * 8
    one = 1 << (bits + 64)

    def arctan_of_one_over(x: int) -> int:
        term = total = one // x
        for n in itertools.count(3, 2):
            term //= -x * x
            if term in (0, -1):
                return total
            total += term // n
        raise AssertionError

    pi = 4 * (4 * arctan_of_one_over(5) - arctan_of_one_over(239))
    floor = pi >> (64 + 130)
    return 2**bits - 2 ** (bits - 64) - 1 + 2**64 * (floor + k[group])


def test_a_shared_value_keeps_its_leading_zeros() -> None:
    """RFC 7296 §2.14: the secret is as long as the modulus, in one of 256 cases with a zero."""
    lengths = set()
    zero_led = 0
    for n in range(600):
        private = (n + 1).to_bytes(32, "big")
        public = dataplane.modp_public(14, private)
        lengths.add(len(public))
        zero_led += public[0] == 0
    assert lengths == {256} and zero_led > 0


@pytest.mark.parametrize("value", ["zero", "one", "p - 1", "p", "p + 1", "short", "long"])
def test_bad_public_values_are_refused(value: str) -> None:
    """RFC 6989 §2.1."""
    p = prime(14, 256)
    octets = {
        "zero": bytes(256),
        "one": (1).to_bytes(256, "big"),
        "p - 1": (p - 1).to_bytes(256, "big"),
        "p": p.to_bytes(256, "big"),
        "p + 1": (p + 1).to_bytes(256, "big"),
        "short": bytes([3] * 255),
        "long": bytes([0] + [3] * 256),
    }
    with pytest.raises(ValueError, match="public value"):
        dataplane.modp_shared(14, bytes(range(1, 33)), octets[value])


def test_modp_lets_other_threads_run() -> None:
    """DEPENDENCIES finding 2: a group-18 exponentiation must not hold the event loop."""
    progress = 0
    done = threading.Event()

    def count() -> None:
        nonlocal progress
        while not done.is_set():
            progress += 1

    thread = threading.Thread(target=count)
    thread.start()
    try:
        time.sleep(0.05)
        before = progress
        dataplane.modp_public(18, b"\x7f" * 1024)
        during = progress - before
    finally:
        done.set()
        thread.join()
    # Held by the lock, the counter could not move more than once around the call.
    assert during > 100


@pytest.mark.parametrize("esn", [False, True])
@pytest.mark.parametrize("suite", SUITES)
def test_what_one_sa_seals_its_twin_opens_once(
    suite: tuple[int, int, int, int, int], esn: bool
) -> None:
    sender, receiver = pair_of_sas(suite, esn=esn)
    for number, inner in enumerate((IPV4, IPV6, IPV4), start=1):
        esp = sender.seal(inner)
        assert esp[:8] == (0x1001).to_bytes(4, "big") + number.to_bytes(4, "big")
        assert receiver.open(esp) == inner
        with pytest.raises(ValueError, match="drop_replay_duplicate"):
            receiver.open(esp)
    assert sender.sequence == receiver.sequence == 3


@pytest.mark.parametrize("suite", SUITES)
def test_every_changed_octet_is_noticed(suite: tuple[int, int, int, int, int]) -> None:
    sender, receiver = pair_of_sas(suite)
    esp = sender.seal(IPV4)
    for at in range(8, len(esp)):
        forged = esp[:at] + bytes([esp[at] ^ 1]) + esp[at + 1 :]
        with pytest.raises(ValueError, match="drop_icv"):
            receiver.open(forged)
    assert receiver.sequence == 0
    assert receiver.open(esp) == IPV4


def test_errors_never_hold_key_octets() -> None:
    with pytest.raises(ValueError) as refused:
        dataplane.EspSa("out", 0x1001, 20, 256, 0, b"secret-key-octets")
    assert "secret" not in str(refused.value)
    sender, _ = pair_of_sas(SUITES[8])
    assert "secret" not in repr(sender) and "0x1001" not in repr(sender)


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("encap", [False, True])
def test_inner_mtu_is_what_really_fits(
    suite: tuple[int, int, int, int, int], version: int, encap: bool
) -> None:
    encr, key_bits, _, integ, _ = suite
    mtu = dataplane.inner_mtu(1500, version, encap, encr, key_bits, integ)
    sender, _ = pair_of_sas(suite)
    outer = (20 if version == 4 else 40) + (8 if encap else 0)

    def packet(length: int) -> bytes:
        return IPV4[:2] + length.to_bytes(2, "big") + IPV4[4:20] + bytes(length - 20)

    assert len(sender.seal(packet(mtu))) + outer <= 1500
    assert len(sender.seal(packet(mtu + 1))) + outer > 1500


@pytest.mark.parametrize(
    ("suite", "encryption", "integrity"),
    [
        ((20, 256, 36, 0, 0), "AES-GCM", None),
        ((12, 128, 16, 2, 20), "AES-CBC", "HMAC-SHA1-96"),
        ((12, 128, 16, 1, 16), "AES-CBC", "HMAC-MD5-96"),
        ((3, 0, 24, 1, 16), "3DES", "HMAC-MD5-96"),
        ((3, 0, 24, 2, 20), "3DES", "HMAC-SHA1-96"),
    ],
)
def test_scapy_opens_what_we_seal_and_the_reverse(
    suite: tuple[int, int, int, int, int], encryption: str, integrity: str | None
) -> None:
    scapy_ipsec = pytest.importorskip("scapy.layers.ipsec")
    inet = pytest.importorskip("scapy.layers.inet")
    sender, receiver = pair_of_sas(suite)
    twin = scapy_ipsec.SecurityAssociation(
        scapy_ipsec.ESP,
        spi=0x1001,
        crypt_algo=encryption,
        crypt_key=bytes(range(suite[2])),
        auth_algo=integrity,
        auth_key=bytes(range(suite[4])) or None,
        tunnel_header=inet.IP(src="192.0.2.1", dst="192.0.2.2"),
    )
    inner = bytes(inet.IP(src="10.1.0.1", dst="10.2.0.1") / inet.UDP(dport=7) / b"payload")
    outer = inet.IP(src="192.0.2.1", dst="192.0.2.2", proto=50) / sender.seal(inner)
    opened = twin.decrypt(inet.IP(bytes(outer)))
    assert bytes(opened) == inner
    sealed = twin.encrypt(inet.IP(inner), seq_num=9)
    assert receiver.open(bytes(sealed[scapy_ipsec.ESP])) == inner
    assert receiver.sequence == 9


def test_a_plane_in_this_process_starts_waits_and_stops(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        # A child of its own, because a plane makes its process non-dumpable.
        status = 1
        try:
            path = str(tmp_path / "plane.sock")
            plane = dataplane.Plane()
            plane.start(path, workers=1)
            assert not plane.wait(0.05)
            # PR_GET_DUMPABLE is 3.
            assert ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) == 0
            try:
                plane.start(path)
            except RuntimeError:
                status = 2
            signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(InterruptedError))
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            begun = time.monotonic()
            try:
                plane.wait()
            except InterruptedError:
                status = 3
            assert time.monotonic() - begun < 5
            plane.stop()
            assert plane.wait(0.0) and not os.path.exists(path)
            plane.start(path)
            plane.stop()
            status = 0 if status == 3 else status
        finally:
            os._exit(status)
    _, wait_status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(wait_status) == 0


def test_a_socket_that_lives_is_not_taken_over_but_a_dead_one_is(tmp_path: Path) -> None:
    import socket

    path = str(tmp_path / "plane.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen()
        pid = os.fork()
        if pid == 0:
            try:
                dataplane.Plane().start(path)
            except OSError:
                os._exit(0)
            os._exit(1)
        _, wait_status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(wait_status) == 0
    pid = os.fork()
    if pid == 0:
        plane = dataplane.Plane()
        try:
            plane.start(path)
            plane.stop()
        except OSError:
            os._exit(1)
        os._exit(0)
    _, wait_status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(wait_status) == 0
