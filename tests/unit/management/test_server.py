"""The socket: who may do what, and what a client cannot do to the daemon."""

import asyncio
import json
import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from isthmus.management import api
from isthmus.management.client import Client, NotAllowed, NotRunning, Refused, socket_path
from isthmus.management.server import PATH_MAX, Peer, Rights, Server, peer_of
from isthmus.management.service import Service
from isthmus.values.errors import LocalFault

from .fakes import FakeDaemon, served

V = api.SCHEMA
STATUS = b'{"schema":"isthmus/v1","verb":"status","id":%d}\n'
NOBODY = 65534


class Strict(Rights):
    """Rights under which this very process is treated as somebody else would be."""

    def __init__(self, read: bool, write: bool) -> None:
        super().__init__(own_uid=-1, read_group=None, write_group=None)
        object.__setattr__(self, "answers", (read, write))

    def may_read(self, peer: Peer) -> bool:
        return bool(self.answers[0])  # type: ignore[attr-defined]

    def may_write(self, peer: Peer) -> bool:
        return bool(self.answers[1])  # type: ignore[attr-defined]


def raw(path: Path, octets: bytes, *, half_close: bool = False) -> list[dict[str, object]]:
    """Send octets as they are; every reply until the daemon closes or is silent for a while."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(path))
        connection.sendall(octets)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while not half_close and received.count(b"\n") < octets.count(b"\n"):
            received += connection.recv(65536)
        while half_close and (more := connection.recv(65536)):
            received += more
    return [json.loads(line) for line in received.splitlines()]


def test_the_rights_of_users_and_groups() -> None:
    rights = Rights(own_uid=990, read_group=50, write_group=51)
    table = {
        "root": Peer(0, frozenset({0})),
        "daemon": Peer(990, frozenset({990})),
        "reader": Peer(1000, frozenset({1000, 50})),
        "admin": Peer(1000, frozenset({1000, 51})),
        "nobody": Peer(NOBODY, frozenset({NOBODY})),
    }
    can = {who: (rights.may_read(peer), rights.may_write(peer)) for who, peer in table.items()}
    assert can == {
        "root": (True, True),
        "daemon": (True, True),
        "reader": (True, False),
        "admin": (True, True),
        "nobody": (False, False),
    }


def test_a_group_that_the_system_does_not_have_gives_nobody_a_right() -> None:
    rights = Rights(own_uid=990, read_group=None, write_group=None)
    peer = Peer(1000, frozenset({1000}))
    assert not rights.may_read(peer) and not rights.may_write(peer)


def test_the_kernel_tells_who_connected() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = peer_of(ours)
    assert peer.uid == os.getuid()
    assert peer.groups >= {os.getgid(), *os.getgroups()}


def test_the_socket_is_for_its_owner_and_group_only(tmp_path: Path) -> None:
    with served(FakeDaemon(), tmp_path / "control.sock") as path:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    assert not path.exists()


def test_a_client_asks_and_is_answered(tmp_path: Path) -> None:
    with served(FakeDaemon(), tmp_path / "s") as path, Client(path) as client:
        first = client.ask(api.Version(schema=V, id=1), api.VersionReply)
        second = client.ask(api.Version(schema=V, id=2), api.VersionReply)
    assert (first.version, first.id, second.id) == ("0.1.0", 1, 2)


@pytest.mark.parametrize(
    "request_",
    [
        api.Up(schema=V, tunnel="partner"),
        api.Down(schema=V, tunnel="partner"),
        api.Rekey(schema=V, tunnel="partner"),
        api.Plan(schema=V),
        api.Reload(schema=V),
        api.Confirm(schema=V),
    ],
)
def test_a_reader_may_not_write(tmp_path: Path, request_: api.AnyRequest) -> None:
    daemon = FakeDaemon()
    with (
        served(daemon, tmp_path / "s", Strict(read=True, write=False)) as path,
        Client(path) as client,
    ):
        assert client.ask(api.Status(schema=V), api.StatusReply).tunnels
        with pytest.raises(Refused) as caught:
            client.ask(request_, api.DoneReply)
    assert caught.value.reply.kind == api.Kind.NOT_PERMITTED
    assert daemon.issued == []


def test_who_may_not_read_is_told_so_and_cut_off(tmp_path: Path) -> None:
    with (
        served(FakeDaemon(), tmp_path / "s", Strict(read=False, write=False)) as path,
        Client(path) as client,
        pytest.raises(Refused) as caught,
    ):
        client.ask(api.Status(schema=V), api.StatusReply)
    assert caught.value.reply.kind == api.Kind.NOT_PERMITTED


def test_a_bad_line_is_answered_and_the_connection_lives_on(tmp_path: Path) -> None:
    with served(FakeDaemon(), tmp_path / "s") as path:
        replies = raw(path, b"nonsense\n" + STATUS % 8)
    assert [reply["type"] for reply in replies] == ["error", "status"]
    assert replies[1]["id"] == 8


def test_requests_in_one_go_are_answered_in_order(tmp_path: Path) -> None:
    with served(FakeDaemon(), tmp_path / "s") as path:
        replies = raw(path, b"".join(STATUS % number for number in range(20)))
    assert [reply["id"] for reply in replies] == list(range(20))


def test_a_script_that_closes_its_writing_side_still_gets_its_answer(tmp_path: Path) -> None:
    with served(FakeDaemon(), tmp_path / "s") as path:
        (reply,) = raw(path, STATUS % 3, half_close=True)
    assert reply["id"] == 3


def test_a_line_without_an_end_is_refused_and_the_client_cut_off(tmp_path: Path) -> None:
    with served(FakeDaemon(), tmp_path / "s") as path, socket.socket(socket.AF_UNIX) as hostile:
        hostile.settimeout(10)
        hostile.connect(str(path))

        def flood() -> None:
            try:
                for _ in range(64):
                    hostile.sendall(b"x" * 65536)
            except OSError:
                return

        writing = threading.Thread(target=flood)
        writing.start()
        reply = json.loads(hostile.makefile("rb").readline())
        assert reply["why"] == "a line may have 1048576 octets"
        hostile.shutdown(socket.SHUT_RDWR)
        writing.join(10)
        with Client(path) as client:
            assert client.ask(api.Version(schema=V), api.VersionReply)


def test_a_client_that_leaves_ends_what_it_followed(tmp_path: Path) -> None:
    daemon = FakeDaemon()
    with served(daemon, tmp_path / "s") as path:
        with Client(path) as client:
            daemon.record("phase1.up")
            next(iter(client.stream(api.Log(schema=V, follow=True))))
            assert daemon.listeners == 1
        with Client(path) as client:
            # Answered after the daemon has seen the other one leave, or soon after.
            for _ in range(1000):
                client.ask(api.Version(schema=V), api.VersionReply)
                if daemon.listeners == 0:
                    break
        assert daemon.listeners == 0


def test_readers_cannot_take_every_place(tmp_path: Path) -> None:
    with served(FakeDaemon(), tmp_path / "s", Strict(read=True, write=False)) as path:
        held = [Client(path) for _ in range(48)]
        for client in held:
            client.ask(api.Version(schema=V), api.VersionReply)
        with Client(path) as late:
            if os.getuid() == 0:
                # Root is never locked out, whatever else holds.
                assert late.ask(api.Version(schema=V), api.VersionReply)
            else:
                with pytest.raises(Refused, match="too many clients"):
                    late.ask(api.Version(schema=V), api.VersionReply)
        for client in held:
            client.close()


def test_a_mistake_of_ours_ends_one_request_only(tmp_path: Path) -> None:
    daemon = FakeDaemon()
    daemon.tunnels = (None,)  # type: ignore[assignment]
    with served(daemon, tmp_path / "s") as path, Client(path) as client:
        with pytest.raises(Refused) as caught:
            client.ask(api.Status(schema=V), api.StatusReply)
        assert caught.value.reply.what == "The daemon made a mistake."
        assert client.ask(api.Version(schema=V), api.VersionReply)


def start(path: Path) -> None:
    async def scenario() -> None:
        server = Server(Service(FakeDaemon()), path)
        await server.start()
        await server.close()

    asyncio.run(scenario())


def test_a_socket_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    start(path)
    assert not path.exists()


def test_a_daemon_that_answers_is_not_pushed_aside(tmp_path: Path) -> None:
    with served(FakeDaemon(), tmp_path / "s") as path:
        with pytest.raises(LocalFault, match="another isthmusd answers"):
            start(path)
        with Client(path) as client:
            assert client.ask(api.Version(schema=V), api.VersionReply)


def test_a_file_that_is_no_socket_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(LocalFault, match="is no socket"):
        start(path)
    assert path.read_text() == "precious"


def test_a_path_that_linux_would_cut_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match=f"longer than {PATH_MAX} octets"):
        start(tmp_path / ("x" * 120))


def test_nobody_answers_where_no_daemon_is(tmp_path: Path) -> None:
    with pytest.raises(NotRunning) as caught:
        Client(tmp_path / "s")
    assert "No such file" in caught.value.why


@pytest.mark.root
def test_another_user_cannot_open_the_socket(tmp_path: Path) -> None:
    with served(FakeDaemon(), tmp_path / "s") as path:
        os.chmod(path, 0o600)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                # The directories above belong to root: enter first, then give up root.
                os.chdir(tmp_path)
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
                Client(Path("s"))
            except NotAllowed:
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_socket_is_named_by_option_then_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISTHMUS_SOCKET", "/from/environment")
    assert socket_path("/given") == Path("/given")
    assert socket_path() == Path("/from/environment")
    monkeypatch.delenv("ISTHMUS_SOCKET")
    assert socket_path() == Path("/run/isthmus/control.sock")
