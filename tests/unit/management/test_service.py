"""Requests become views and commands; commands are followed to their end."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import msgspec
import pytest

from isthmus.cli.render import status_lines
from isthmus.cli.text import Paint
from isthmus.ike.core.commands import Command, Initiate, Rekey, Terminate
from isthmus.ike.core.views import Failure, Phase1State, RuleState
from isthmus.management import api
from isthmus.management.codec import encode
from isthmus.management.service import Service
from isthmus.management.snapshot import group_status
from isthmus.observe.codes import BY_ID, advice
from isthmus.policy.connection import Group, Prefer

from .fakes import BRANCH, PARTNER, FakeCertificate, FakeDaemon, child

V = api.SCHEMA
NO_SA = (
    *("spi_i", "spi_r", "local", "remote", "local_id", "remote_id", "suite", "initiated"),
    *("nat", "age_s", "rekey_in_s", "heard_s", "peer_vendor", "user", "assigned"),
)


def ask(daemon: FakeDaemon, request: api.AnyRequest) -> list[api.AnyReply]:
    """Everything that answers a request."""
    replies: list[api.AnyReply] = []

    async def send(reply: api.AnyReply) -> None:
        replies.append(reply)

    asyncio.run(Service(daemon, advice).handle(request, send))
    return replies


def one(daemon: FakeDaemon, request: api.AnyRequest) -> api.AnyReply:
    (reply,) = ask(daemon, request)
    return reply


def error(daemon: FakeDaemon, request: api.AnyRequest) -> api.ErrorReply:
    reply = ask(daemon, request)[-1]
    assert isinstance(reply, api.ErrorReply)
    return reply


@pytest.fixture
def daemon() -> FakeDaemon:
    return FakeDaemon()


def test_status_joins_the_planes_counters_onto_the_engines_children(daemon: FakeDaemon) -> None:
    reply = one(daemon, api.Status(schema=V, id=4))
    assert isinstance(reply, api.StatusReply) and reply.id == 4
    (pair,) = reply.tunnels[0].rules[0].children
    assert (pair.spi_in, pair.spi_out) == ("0xc4a1d2e0", "0x09bb71f3")
    assert (pair.packets_in, pair.packets_out) == (120, 118)
    assert (pair.octets_in, pair.octets_out) == (11_000, 9_500)
    assert (pair.last_in_s, pair.last_out_s) == (2.0, 2.5)
    assert pair.drops == {"replay": 2}


def test_status_counts_down_to_idle(daemon: FakeDaemon) -> None:
    def idle_in_s() -> list[float | None]:
        reply = one(daemon, api.Status(schema=V, tunnel="partner"))
        assert isinstance(reply, api.StatusReply)
        return [rule.idle_in_s for rule in reply.tunnels[0].rules]

    assert idle_in_s() == [298.0, None, None]  # of three rules one is up and goes idle
    daemon.silent_ms = 400_000
    assert idle_in_s()[0] == 0.0
    daemon.silent_ms = None
    assert idle_in_s()[0] is None
    daemon.silent_ms = 2000
    daemon.tunnels = tuple(
        replace(view, rules=tuple(replace(rule, children=()) for rule in view.rules))
        for view in daemon.tunnels
    )
    assert idle_in_s()[0] is None


def test_status_as_json_has_the_documented_shape(daemon: FakeDaemon) -> None:
    reply = one(daemon, api.Status(schema=V, tunnel="branch"))
    assert json.loads(encode(reply)) == {
        "type": "status",
        "schema": "isthmus/v1",
        "id": 0,
        "plane": "ok",
        "groups": [],
        "tunnels": [
            {
                "name": "branch",
                "peer": "203.0.113.10",
                "mode": "route",
                "start": "always",
                "healthy": False,
                "held_down": False,
                "weak": [],
                "origin": "",
                "carrier": None,
                "certificates": [],
                "phase1": {
                    "state": "failed",
                    "since_s": 360.0,
                    **dict.fromkeys(NO_SA),
                },
                "rules": [
                    {
                        "name": "branch",
                        "state": "failed",
                        "since_s": 2460.0,
                        "selectors": {"local": ["10.1.10.0/24"], "remote": ["0.0.0.0/0"]},
                        "map_local": {},
                        "trigger": "",
                        "idle_in_s": None,
                        "children": [],
                        "failure": None,
                    }
                ],
                "version": "IKEv2",
                "failure": {
                    "code": "E110",
                    "reason": "The peer accepts none of our proposals.",
                    "fix": BY_ID["E110"].fix,
                    "ago_s": 6.0,
                    "retry_in_s": 8.0,
                },
            }
        ],
    }


def test_status_tells_of_certificates(daemon: FakeDaemon) -> None:
    daemon.held["branch"] = (FakeCertificate("own", "CN=hq", 1_798_891_200, 40),)
    reply = json.loads(encode(one(daemon, api.Status(schema=V))))
    assert [tunnel["certificates"] for tunnel in reply["tunnels"]] == [
        [],
        [{"role": "own", "subject": "CN=hq", "not_after": 1_798_891_200, "days_left": 40}],
    ]


def test_status_answers_without_counters_when_the_plane_is_away(daemon: FakeDaemon) -> None:
    daemon.plane_away = True
    reply = one(daemon, api.Status(schema=V))
    assert isinstance(reply, api.StatusReply)
    assert reply.plane == "the data plane is being restarted"
    assert reply.tunnels[0].rules[0].children[0].packets_in == 0


def test_an_unknown_tunnel_is_answered_with_the_one_that_was_meant(daemon: FakeDaemon) -> None:
    reply = error(daemon, api.Status(schema=V, tunnel="partnr"))
    assert reply.kind == api.Kind.UNKNOWN_NAME
    assert (reply.what, reply.fix) == ("There is no tunnel partnr.", "Did you mean partner?")
    reply = error(daemon, api.Up(schema=V, tunnel="partner", rule="pay"))
    assert (reply.what, reply.fix) == (
        "There is no rule partner/pay.",
        "Did you mean payroll?",
    )
    assert error(daemon, api.Log(schema=V, tunnel="zzz")).fix == "Known here: partner, branch."
    assert daemon.issued == []


def bring_up(daemon: FakeDaemon, rule: str = "voice") -> Callable[[Command, int], None]:
    """An engine that brings a rule of `partner` up at once."""

    def engine(command: Command, ticket: int) -> None:
        daemon.record("command.accepted", ticket=ticket)
        daemon.record("exchange.sent", "branch", message="about another tunnel")
        daemon.record("exchange.sent", message="CREATE_CHILD_SA request")
        rules = tuple(
            replace(r, state=RuleState.UP, children=(child(),)) if r.name == rule else r
            for r in PARTNER.rules
        )
        daemon.tunnels = (replace(PARTNER, rules=rules), BRANCH)
        daemon.record("phase2.up", rule=rule, ticket=ticket)

    return engine


def test_up_tells_what_happens_and_ends_when_the_rule_is_up(daemon: FakeDaemon) -> None:
    daemon.on_issue = bring_up(daemon)
    replies = ask(daemon, api.Up(schema=V, id=9, tunnel="partner", rule="voice"))
    assert daemon.issued == [Initiate("partner", "voice")]
    events = [r.event["event"] for r in replies if isinstance(r, api.EventReply)]
    assert events == ["command.accepted", "exchange.sent", "phase2.up"]
    end = replies[-1]
    assert isinstance(end, api.DoneReply) and end.message == "partner/voice is up"
    assert {reply.id for reply in replies} == {9}


def test_up_is_done_at_once_when_the_rule_is_up_already(daemon: FakeDaemon) -> None:
    (reply,) = ask(daemon, api.Up(schema=V, tunnel="partner", rule="payroll"))
    assert isinstance(reply, api.DoneReply)


def test_up_ends_with_the_code_the_reason_and_the_fix(daemon: FakeDaemon) -> None:
    reason = "The peer refused our pre-shared key."

    def engine(command: Command, ticket: int) -> None:
        daemon.record("phase1.failed", "branch", code="E120", message=reason)
        daemon.record("command.failed", "branch", code="E120", message=reason, ticket=ticket)

    daemon.on_issue = engine
    replies = ask(daemon, api.Up(schema=V, tunnel="branch"))
    assert [r.event["event"] for r in replies if isinstance(r, api.EventReply)] == [
        "phase1.failed",
        "command.failed",
    ]
    end = replies[-1]
    assert isinstance(end, api.ErrorReply)
    assert (end.kind, end.code) == (api.Kind.NEGOTIATION_FAILED, "E120")
    assert (end.why, end.fix) == (reason, BY_ID["E120"].fix)


def test_the_failure_of_a_strangers_attempt_does_not_end_ours(daemon: FakeDaemon) -> None:
    def engine(command: Command, ticket: int) -> None:
        daemon.record("phase1.failed", code="E110")
        daemon.record("phase2.failed", rule="voice", code="E203")
        bring_up(daemon)(command, ticket)

    daemon.on_issue = engine
    replies = ask(daemon, api.Up(schema=V, tunnel="partner", rule="voice"))
    assert isinstance(replies[-1], api.DoneReply)


def test_up_of_a_tunnel_waits_for_each_of_its_rules(daemon: FakeDaemon) -> None:
    def engine(command: Command, ticket: int) -> None:
        for rule in ("payroll", "voice"):
            daemon.record("command.done", rule=rule, ticket=ticket)
        asyncio.get_running_loop().call_later(
            0.01, lambda: daemon.record("command.done", rule="shared", ticket=ticket)
        )

    daemon.on_issue = engine
    replies = ask(daemon, api.Up(schema=V, tunnel="partner", timeout_s=10))
    events = [r.event["rule"] for r in replies if isinstance(r, api.EventReply)]
    assert events == ["payroll", "voice", "shared"]
    assert isinstance(replies[-1], api.DoneReply)


def test_the_fix_of_the_engine_comes_before_that_of_the_catalogue(daemon: FakeDaemon) -> None:
    def engine(command: Command, ticket: int) -> None:
        failure = Failure("E203", "They have /23.", 'Set remote = ["10.2.0.0/23"].', 0.0)
        rules = tuple(replace(r, state=RuleState.FAILED, failure=failure) for r in BRANCH.rules)
        daemon.tunnels = (replace(BRANCH, rules=rules),)
        daemon.record("command.failed", "", code="E203", message="They have /23.", ticket=ticket)

    daemon.on_issue = engine
    assert error(daemon, api.Up(schema=V, tunnel="branch")).fix == 'Set remote = ["10.2.0.0/23"].'


def test_the_failure_of_somebody_elses_command_does_not_end_ours(daemon: FakeDaemon) -> None:
    def engine(command: Command, ticket: int) -> None:
        daemon.record("phase2.failed", rule="voice", ticket=ticket + 1)
        daemon.record("phase2.failed", rule="shared")
        bring_up(daemon)(command, ticket)

    daemon.on_issue = engine
    replies = ask(daemon, api.Up(schema=V, tunnel="partner", rule="voice"))
    assert isinstance(replies[-1], api.DoneReply)


def test_up_that_nobody_answers_ends_in_time_and_says_so(daemon: FakeDaemon) -> None:
    def engine(command: Command, ticket: int) -> None:
        daemon.record("exchange.sent", "branch", message="IKE_SA_INIT request")

    daemon.on_issue = engine
    reply = error(daemon, api.Up(schema=V, tunnel="branch", timeout_s=0.05))
    assert (reply.kind, reply.code) == (api.Kind.TIMEOUT, "E101")
    assert reply.what == "branch: up did not end within 0.05 s."
    assert reply.why.startswith("No message was answered (sent: 1).")
    assert reply.fix == BY_ID["E101"].fix


def test_down_is_done_when_no_sa_is_left(daemon: FakeDaemon) -> None:
    def engine(command: Command, ticket: int) -> None:
        rules = tuple(replace(r, state=RuleState.OFF, children=()) for r in PARTNER.rules)
        daemon.tunnels = (
            replace(PARTNER, state=Phase1State.DOWN, phase1=None, rules=rules, held_down=True),
        )
        daemon.record("phase1.down", ticket=ticket)

    daemon.on_issue = engine
    replies = ask(daemon, api.Down(schema=V, tunnel="partner", hold=True))
    assert daemon.issued == [Terminate("partner", None, True)]
    assert isinstance(replies[-1], api.DoneReply) and replies[-1].message == "partner is down"
    assert daemon.listeners == 0


def test_rekey_is_done_when_every_rule_that_is_up_has_new_keys(daemon: FakeDaemon) -> None:
    def engine(command: Command, ticket: int) -> None:
        # The engine says that it has begun; that is not the end.
        daemon.record("command.done", message="the renewal has begun", ticket=ticket)
        asyncio.get_running_loop().call_later(
            0.01, lambda: daemon.record("phase2.rekeyed", rule="payroll")
        )

    daemon.on_issue = engine
    replies = ask(daemon, api.Rekey(schema=V, tunnel="partner"))
    assert [r.event["event"] for r in replies if isinstance(r, api.EventReply)] == [
        "command.done",
        "phase2.rekeyed",
    ]
    assert daemon.issued == [Rekey("partner", None, 2)]
    assert isinstance(replies[-1], api.DoneReply)


@pytest.mark.parametrize(
    ("phase", "event", "rule"),
    [(1, "phase1.rekey_failed", ""), (1, "phase1.down", ""), (2, "phase2.failed", "payroll")],
)
def test_rekey_fails_when_the_renewal_does(
    daemon: FakeDaemon, phase: Literal[1, 2], event: str, rule: str
) -> None:
    detail = (("fix", "Compare the groups."),)
    daemon.on_issue = lambda command, ticket: daemon.record(
        event, rule=rule, code="E201", message="No group fits.", detail=detail
    )
    reply = error(daemon, api.Rekey(schema=V, tunnel="partner", phase=phase))
    assert (reply.kind, reply.code) == (api.Kind.NEGOTIATION_FAILED, "E201")
    assert (reply.why, reply.fix) == ("No group fits.", "Compare the groups.")


def test_rekey_of_phase_1_does_not_take_a_phase_2_for_it(daemon: FakeDaemon) -> None:
    daemon.on_issue = lambda command, ticket: daemon.record("phase2.rekeyed", rule="payroll")
    reply = error(daemon, api.Rekey(schema=V, tunnel="partner", phase=1, timeout_s=0.02))
    assert reply.kind == api.Kind.TIMEOUT


@pytest.mark.parametrize(
    "request_",
    [
        api.Rekey(schema=V, tunnel="partner", rule="voice"),
        api.Rekey(schema=V, tunnel="branch", phase=1),
        api.Rekey(schema=V, tunnel="branch"),
    ],
)
def test_what_is_not_up_cannot_be_rekeyed(daemon: FakeDaemon, request_: api.Rekey) -> None:
    assert error(daemon, request_).why == f"Its phase {request_.phase} is not up."
    assert daemon.issued == []


def test_sa_names_the_suite_only_of_its_own_tunnel(daemon: FakeDaemon) -> None:
    reply = one(daemon, api.Sa(schema=V))
    assert isinstance(reply, api.SaReply)
    assert [(sa.tunnel, sa.direction, sa.suite) for sa in reply.sas] == [
        ("partner", "in", "aes256gcm16"),
        ("partner", "out", "aes256gcm16"),
        ("other", "out", ""),
    ]
    assert [sa.tunnel for sa in reply.phase1] == ["partner"]
    narrowed = one(daemon, api.Sa(schema=V, tunnel="partner"))
    assert isinstance(narrowed, api.SaReply) and len(narrowed.sas) == 2


def test_a_fault_of_the_plane_is_an_answer(daemon: FakeDaemon) -> None:
    daemon.plane_away = True
    reply = error(daemon, api.Sa(schema=V, id=5))
    assert (reply.id, reply.why) == (5, "the data plane is being restarted")


def test_policies_come_in_order_of_match(daemon: FakeDaemon) -> None:
    reply = one(daemon, api.Policy(schema=V))
    assert isinstance(reply, api.PolicyReply)
    (policy,) = reply.policies
    assert policy.remote == ("172.16.5.0/24[tcp/1433]",)
    assert policy.outbound_spis == ("0x09bb71f3",)


def test_log_gives_the_last_events_of_one_tunnel(daemon: FakeDaemon) -> None:
    for number in range(5):
        daemon.record("phase2.up", rule=f"r{number}")
        daemon.record("phase1.up", "branch")
    replies = ask(daemon, api.Log(schema=V, tunnel="partner", limit=2))
    events = [r.event for r in replies if isinstance(r, api.EventReply)]
    assert [event["rule"] for event in events] == ["r3", "r4"]
    assert events[0]["ts"] == "2026-11-23T12:01:07.031Z"
    assert isinstance(replies[-1], api.DoneReply)
    (end,) = ask(daemon, api.Log(schema=V, limit=0))
    assert isinstance(end, api.DoneReply)


def test_log_follows_and_tells_a_slow_reader_what_it_missed(daemon: FakeDaemon) -> None:
    seen: list[dict[str, api.Fact]] = []

    async def scenario() -> None:
        gate = asyncio.Event()

        async def send(reply: api.AnyReply) -> None:
            assert isinstance(reply, api.EventReply)
            seen.append(reply.event)
            await gate.wait()

        daemon.record("phase1.up")
        following = asyncio.create_task(
            Service(daemon).handle(api.Log(schema=V, follow=True), send)
        )
        while not seen:
            await asyncio.sleep(0)
        for _ in range(1005):
            daemon.record("phase2.up")
        gate.set()
        while len(seen) < 1002:
            await asyncio.sleep(0)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    asyncio.run(scenario())
    assert seen[1] == {
        "v": 1,
        "ts": "2026-11-23T12:01:07.031Z",
        "event": "log.lost",
        "message": "5 events were dropped because they were read too slowly",
        "count": 5,
    }
    assert len(seen) == 1002
    assert daemon.listeners == 0


def test_a_group_says_how_many_are_up_and_since_when_not_all_are() -> None:
    group = Group("site", ("one", "two"), Prefer.BGP)
    by_name = {name: replace(BRANCH, name=name, carrier=True) for name in group.tunnels}
    both = group_status(group, by_name)
    assert (both.up, both.redundant, both.since_s) == (("one", "two"), True, None)
    by_name["two"] = replace(BRANCH, name="two", carrier=False, carrier_since_s=60.0)
    half = group_status(group, by_name)
    assert (half.up, half.redundant, half.since_s) == (("one",), False, 60.0)
    # The site went with the last of them.
    by_name["one"] = replace(BRANCH, name="one", carrier=False, carrier_since_s=5.0)
    assert group_status(group, by_name).since_s == 5.0


def test_the_status_shows_groups_by_the_time_of_day() -> None:
    noon_s = time.mktime((2026, 11, 23, 12, 0, 0, 0, 0, -1))
    lost = api.GroupStatus(
        name="aws-prod",
        prefer="bgp",
        tunnels=("aws-1", "aws-2"),
        up=("aws-1",),
        redundant=False,
        since_s=2 * 3600 + 19 * 60.0,
    )
    daemon = FakeDaemon()
    reply = one(daemon, api.Status(schema=V))
    assert isinstance(reply, api.StatusReply)
    *_, line, total = status_lines(reply.tunnels, Paint(False), (lost,), noon_s)
    assert line == ("aws-prod (pair): 1 of 2 up, redundancy lost since 09:41 (aws-2), prefer bgp")
    assert "tunnels" in total
    whole = msgspec.structs.replace(lost, up=lost.tunnels, redundant=True, since_s=None)
    assert status_lines(reply.tunnels, Paint(False), (whole,), noon_s)[-2] == (
        "aws-prod (pair): 2 of 2 up, prefer bgp"
    )
    old = msgspec.structs.replace(lost, up=(), since_s=86_400.0)
    assert (
        "0 of 2 up, down since 2026-11-22 12:00 (aws-1, aws-2)"
        in (status_lines(reply.tunnels, Paint(False), (old,), noon_s)[-2])
    )
