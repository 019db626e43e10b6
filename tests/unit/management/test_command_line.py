"""The commands against a daemon behind a real socket: screens, JSON, exit codes."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from isthmus.cli.main import run
from isthmus.ike.core.commands import Command, Initiate, Terminate
from isthmus.ike.core.views import RuleState

from .fakes import BRANCH, PARTNER, FakeDaemon, child, served

Outcome = tuple[int, str, str]
Isthmus = Callable[..., Outcome]


@pytest.fixture
def daemon() -> FakeDaemon:
    return FakeDaemon()


@pytest.fixture
def isthmus(
    daemon: FakeDaemon,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Isthmus]:
    """Carry out a command line; exit code, standard output, standard error."""
    with served(daemon, tmp_path / "s") as path:
        monkeypatch.setenv("ISTHMUS_SOCKET", str(path))

        def carry_out(*arguments: str) -> Outcome:
            code = run(arguments)
            out, err = capsys.readouterr()
            return code, out, err

        yield carry_out


def test_the_status_table(isthmus: Isthmus) -> None:
    code, out, err = isthmus("status")
    assert (code, err) == (0, "")
    assert out == (
        "TUNNEL   PEER           PHASE 1      PHASE 2     IN     OUT     SINCE\n"
        "partner  198.51.100.77  up 41m       1/3 up      11 kB  9.5 kB  41m    1 armed, 1 idle\n"
        "branch   203.0.113.10   FAILED E110  0/1 failed  -      -       6m00s\n"
        "   └ E110 The peer accepts none of our proposals. (6 s ago, next try in 8 s)\n"
        "     do: Put a proposal into [tunnel.NAME.phase1] `proposals` that the peer accepts too, "
        "or add ours on the peer.\n"
        "2 tunnels: 1 healthy, 1 failing.\n"
    )


def test_the_status_of_one_tunnel(isthmus: Isthmus) -> None:
    code, out, _ = isthmus("status", "partner")
    assert code == 0
    assert out == (
        "partner   198.51.100.77   IKEv2, policy-based, start traffic   phase 1 UP since 41m "
        "(we initiated)\n"
        "          rekey in 7h13m, NAT none, peer heard 4 s ago\n"
        "          aes256-sha256-modp2048   192.0.2.1:500 ⇄ 198.51.100.77:500\n"
        "          ip:192.0.2.1 ⇄ ip:198.51.100.77\n"
        "\n"
        "RULE     STATE  SELECTORS                               CIPHER            PKTS in/out  "
        "LAST  NEXT\n"
        "payroll  up     10.1.10.0/24 ⇄ 172.16.5.0/24[tcp/1433]  aes256gcm16 +PFS  120/118      "
        "2 s   idle in 4m58s, rekey 21m\n"
        "voice    armed  10.1.10.0/24 ⇄ 172.16.6.0/24            -                 -            "
        "-     waits for traffic\n"
        "shared   idle   10.1.10.0/24 ⇄ 172.16.7.0/24            -                 -            "
        "11m   waits for traffic\n"
        "SPI payroll in 0xc4a1d2e0 out 0x09bb71f3   replay 2   "
        "brought up by 10.1.10.9 > 172.16.5.4 tcp/1433\n"
    )


def test_status_as_json_is_of_the_schema(isthmus: Isthmus) -> None:
    code, out, _ = isthmus("status", "--json")
    document = json.loads(out)
    assert code == 0
    assert list(document) == ["schema", "tunnels", "plane", "groups"]
    assert document["schema"] == "isthmus/v1"
    assert [tunnel["name"] for tunnel in document["tunnels"]] == ["partner", "branch"]
    assert document["tunnels"][0]["rules"][0]["children"][0]["packets_in"] == 120
    assert document["tunnels"][1]["failure"]["code"] == "E110"


def test_json_may_stand_before_the_verb_too(isthmus: Isthmus) -> None:
    assert isthmus("--json", "status")[1] == isthmus("status", "--json")[1]


def test_status_says_when_counters_are_missing(isthmus: Isthmus, daemon: FakeDaemon) -> None:
    daemon.plane_away = True
    code, out, _ = isthmus("status")
    assert code == 0
    assert out.endswith("Counters are missing: the data plane is being restarted\n")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("status", "--expect", "healthy"), 8),
        (("status", "partner", "--expect", "healthy"), 0),
        (("status", "partner", "--expect", "up"), 8),
    ],
)
def test_what_a_script_expects_becomes_the_exit_code(
    isthmus: Isthmus, arguments: tuple[str, ...], code: int
) -> None:
    assert isthmus(*arguments)[0] == code


def test_an_unknown_tunnel_is_told_in_three_lines(isthmus: Isthmus) -> None:
    code, out, err = isthmus("status", "partnr")
    assert (code, out) == (2, "")
    assert err == (
        "error: There is no tunnel partnr.\n"
        "why:   The configuration has none.\n"
        "do:    Did you mean partner?\n"
    )


def test_an_error_as_json(isthmus: Isthmus) -> None:
    code, out, err = isthmus("up", "partnr", "--json")
    assert (code, out) == (2, "")
    assert json.loads(err) == {
        "schema": "isthmus/v1",
        "error": {
            "what": "There is no tunnel partnr.",
            "why": "The configuration has none.",
            "fix": "Did you mean partner?",
            "code": "",
            "exit": 2,
        },
    }


def come_up(daemon: FakeDaemon) -> Callable[[Command, int], None]:
    def engine(command: Command, ticket: int) -> None:
        daemon.record("exchange.sent", message="IKE_SA_INIT request", detail=(("octets", 432),))
        daemon.record("phase2.up", rule="voice", message="Phase 2 stands.")
        rules = tuple(
            replace(r, state=RuleState.UP, children=(child(),)) if r.name == "voice" else r
            for r in PARTNER.rules
        )
        daemon.tunnels = (replace(PARTNER, rules=rules), BRANCH)
        daemon.record("command.done", rule="voice", message="up", ticket=ticket)

    return engine


def test_up_prints_the_phases_and_ends_well(isthmus: Isthmus, daemon: FakeDaemon) -> None:
    daemon.on_issue = come_up(daemon)
    code, out, err = isthmus("up", "partner/voice", "--timeout", "5s")
    assert (code, err) == (0, "")
    assert daemon.issued == [Initiate("partner", "voice")]
    lines = [line.partition(" ")[2] for line in out.splitlines()[:-1]]
    assert lines == [
        "exchange.sent       IKE_SA_INIT request octets=432",
        "phase2.up           Phase 2 stands.",
        "command.done        up",
    ]
    assert all(line.startswith("+0.") for line in out.splitlines()[:-1])
    assert out.splitlines()[-1].startswith("partner/voice is up (0.")


def test_up_quietly_says_nothing(isthmus: Isthmus, daemon: FakeDaemon) -> None:
    daemon.on_issue = come_up(daemon)
    assert isthmus("up", "-q", "partner/voice") == (0, "", "")


def test_up_that_fails_has_the_code_on_stderr(isthmus: Isthmus, daemon: FakeDaemon) -> None:
    def engine(command: Command, ticket: int) -> None:
        daemon.record(
            "command.failed",
            "branch",
            code="E203",
            message="TS_UNACCEPTABLE for 10.1.0.0/24.",
            detail=(("fix", "Mirror the rule."),),
            ticket=ticket,
        )

    daemon.on_issue = engine
    code, _, err = isthmus("up", "branch")
    assert code == 6
    assert err == (
        "error: branch: up failed. (E203)\n"
        "why:   TS_UNACCEPTABLE for 10.1.0.0/24.\n"
        "do:    Mirror the rule.\n"
    )


def test_up_that_takes_too_long_is_a_timeout(isthmus: Isthmus) -> None:
    code, _, err = isthmus("up", "branch", "--timeout", "0.05")
    assert code == 7
    assert err.startswith("error: branch: up did not end within 0.05 s.\nwhy:   Phase 1 is failed;")


@pytest.mark.parametrize(
    ("words", "hold"), [((), True), (("--hold",), True), (("--rearm",), False)]
)
def test_down_holds_unless_told_to_rearm(
    isthmus: Isthmus, daemon: FakeDaemon, words: tuple[str, ...], hold: bool
) -> None:
    daemon.on_issue = lambda command, ticket: daemon.record("command.done", ticket=ticket)
    assert isthmus("down", "partner", *words)[0] == 0
    assert daemon.issued == [Terminate("partner", None, hold)]


def test_rekey_of_phase_1_takes_no_rule(isthmus: Isthmus, daemon: FakeDaemon) -> None:
    code, _, err = isthmus("rekey", "partner/voice", "--phase", "1")
    assert (code, daemon.issued) == (2, [])
    assert "isthmus rekey partner --phase 1" in err


def test_which_asks_the_daemon(isthmus: Isthmus) -> None:
    code, out, _ = isthmus("which", "10.1.10.9", "172.16.5.4", "tcp/1433")
    assert code == 0
    assert out == (
        "10.1.10.9 > 172.16.5.4 tcp/1433   takes partner/payroll   up\n"
        "  10.1.10.9 is in 10.1.10.0/24, and 172.16.5.4 is in 172.16.5.0/24[tcp/1433].\n"
        "  not partner/voice: it matches, but partner/payroll is more specific\n"
        "  not branch/branch: 172.16.5.4 is not routed to it "
        "(routes: 10.20.0.0/16, 169.254.10.0/30)\n"
    )
    assert isthmus("which", "10.1.10", "172.16.5.4")[0] == 2


def test_ikev1_is_named_where_it_is_spoken(isthmus: Isthmus, daemon: FakeDaemon) -> None:
    partner, *others = daemon.tunnels
    daemon.tunnels = (replace(partner, version="IKEv1 main"), *others)
    assert "41m    1 armed, 1 idle, IKEv1 main\n" in isthmus("status")[1]
    head = isthmus("status", "partner")[1].splitlines()[0]
    assert head.startswith("partner   198.51.100.77   IKEv1 main, policy-based, ")
    out = isthmus("which", "10.1.10.9", "172.16.5.4", "tcp/1433")[1]
    assert out.splitlines()[0].endswith("takes partner/payroll   up   IKEv1 main")


def test_sa_policy_and_counters(isthmus: Isthmus) -> None:
    assert isthmus("sa", "partner")[1] == (
        "PHASE 1 (IKE SAs)\n"
        "TUNNEL   SPI i             SPI r             LOCAL          REMOTE             SUITE      "
        "             BY  AGE  REKEY\n"
        "partner  0123456789abcdef  fedcba9876543210  192.0.2.1:500  198.51.100.77:500  "
        "aes256-sha256-modp2048  we  41m  7h13m\n"
        "\n"
        "PHASE 2 (Child SAs, one direction a line)\n"
        "RULE             DIR  SPI         LOCAL        REMOTE           VIA  SUITE        PACKETS "
        " OCTETS  AGE  LAST  DROPS\n"
        "partner/payroll  in   0xc4a1d2e0  192.0.2.1:0  198.51.100.77:0  ESP  aes256gcm16  120     "
        " 11 kB   41m  2 s   replay=2\n"
        "partner/payroll  out  0x09bb71f3  192.0.2.1:0  198.51.100.77:0  ESP  aes256gcm16  118     "
        " 9.5 kB  41m  2 s   -\n"
    )
    assert isthmus("policy")[1] == (
        "ID  RULE             ACTION   SELECTORS                               HELD  MATCHED  SPI "
        "OUT\n"
        "3   partner/payroll  protect  10.1.10.0/24 ⇄ 172.16.5.0/24[tcp/1433]  2     118      "
        "0x09bb71f3\n"
    )
    assert isthmus("counters")[1] == "drop_no_sa_inbound  3\n"
    assert json.loads(isthmus("counters", "--json")[1]) == {
        "schema": "isthmus/v1",
        "counters": {"drop_icv": 0, "drop_no_sa_inbound": 3},
    }


def test_log_prints_lines_for_humans_and_for_programs(isthmus: Isthmus, daemon: FakeDaemon) -> None:
    daemon.record("phase2.up", rule="payroll", message="Up.", detail=(("spi_in", "0xc4a1d2e0"),))
    daemon.record("peer.dead", "branch", message="\x1b[2Jgone", code="E602")
    assert isthmus("log")[1] == (
        "12:01:07.031 phase2.up           partner/payroll Up. spi_in=0xc4a1d2e0\n"
        "12:01:07.031 peer.dead           branch E602 \\x1b[2Jgone\n"
    )
    lines = isthmus("log", "partner", "--json")[1].splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["phase2.up"]


def test_log_follows_until_the_daemon_goes(
    daemon: FakeDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    codes: list[int] = []
    with served(daemon, tmp_path / "s") as path:
        follower = threading.Thread(
            target=lambda: codes.append(run(["--socket", str(path), "log", "-f"]))
        )
        follower.start()
        while not daemon.listeners:
            follower.join(0.01)
        daemon.record("phase1.up")
    follower.join(10)
    out, err = capsys.readouterr()
    assert codes == [1]
    assert "it closed the connection" in err
    assert out in ("", "12:01:07.031 phase1.up           partner\n")


def test_version_tells_both(isthmus: Isthmus) -> None:
    assert isthmus("version")[1] == "isthmus   0.1.0\nisthmusd  0.1.0, running for 1m01s\n"
    assert json.loads(isthmus("version", "--json")[1])["isthmusd"] == "0.1.0"


@pytest.mark.parametrize(
    ("words", "position", "found"),
    [
        ("isthmus up par", 2, "plain,partner\n"),
        ("isthmus up partner/p", 2, "plain,partner/payroll\n"),
        ("isthmus status br", 2, "plain,branch\n"),
        ("isthmus rek", 1, "plain,rekey\n"),
        ("isthmus down nothing-like-it", 2, "\n"),
    ],
)
def test_names_of_tunnels_and_rules_complete(
    daemon: FakeDaemon,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    position: int,
    found: str,
) -> None:
    monkeypatch.setenv("_ISTHMUS_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(position))
    with served(daemon, tmp_path / "s") as path:
        monkeypatch.setenv("ISTHMUS_SOCKET", str(path))
        with pytest.raises(SystemExit):
            run([])
    assert capsys.readouterr().out == found


def test_completion_without_a_daemon_offers_nothing_and_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_ISTHMUS_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "isthmus up pa")
    monkeypatch.setenv("COMP_CWORD", "2")
    monkeypatch.setenv("ISTHMUS_SOCKET", str(tmp_path / "none"))
    with pytest.raises(SystemExit):
        run([])
    out, err = capsys.readouterr()
    assert (out, err) == ("\n", "")
