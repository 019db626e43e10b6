"""plan, reload and confirm as a client sees them."""

import asyncio
from dataclasses import replace

import pytest

from isthmus.config.diff import Difference, Entry
from isthmus.config.errors import ConfigError, ConfigErrors
from isthmus.ike.core.views import RuleState
from isthmus.management import api
from isthmus.management.api import SCHEMA as V
from isthmus.management.api import AnyReply, AnyRequest
from isthmus.management.service import Service
from isthmus.observe.codes import advice
from isthmus.policy.changes import Fate

from .fakes import FakeDaemon

WRONG = ConfigErrors(
    (
        ConfigError("isthmus.toml", 7, 1, "there is no key pear", "it is unknown", "write peer"),
        ConfigError("isthmus.toml", 3, 8, "7 is no address", "it is a number", "use quotes"),
    )
)


@pytest.fixture
def daemon() -> FakeDaemon:
    return FakeDaemon()


def ask(daemon: FakeDaemon, request: AnyRequest) -> AnyReply:
    """The one reply to a request."""
    replies: list[AnyReply] = []

    async def send(reply: AnyReply) -> None:
        replies.append(reply)

    asyncio.run(Service(daemon, advice).handle(request, send))
    (reply,) = replies
    return reply


def test_a_plan_changes_nothing(daemon: FakeDaemon) -> None:
    reply = ask(daemon, api.Plan(schema=V, id=9))
    assert isinstance(reply, api.PlanReply)
    assert (reply.id, reply.applied, daemon.reloads) == (9, False, [])
    assert [(t.tunnel, t.fate) for t in reply.tunnels] == [("partner", "rekey"), ("branch", "keep")]
    assert reply.secrets == ("partner",)


def test_a_reload_says_what_it_did(daemon: FakeDaemon) -> None:
    reply = ask(daemon, api.Reload(schema=V, rollback_after_s=120.0))
    assert isinstance(reply, api.PlanReply)
    assert reply.applied and reply.elapsed_s is not None
    assert (reply.rollback_after_s, daemon.reloads) == (120.0, [120.0])


@pytest.mark.parametrize("request_", [api.Plan(schema=V, id=4), api.Reload(schema=V, id=4)])
def test_a_wrong_file_is_told_with_every_line(daemon: FakeDaemon, request_: AnyRequest) -> None:
    daemon.refusal = WRONG
    reply = ask(daemon, request_)
    assert isinstance(reply, api.ErrorReply)
    assert (reply.id, reply.kind) == (4, api.Kind.CONFIG_INVALID)
    assert reply.what == "isthmus.toml:3:8: 7 is no address"
    assert [(f.line, f.what) for f in reply.faults] == [
        (3, "7 is no address"),
        (7, "there is no key pear"),
    ]
    assert daemon.reloads == []


def test_confirm_needs_something_to_confirm(daemon: FakeDaemon) -> None:
    ask(daemon, api.Reload(schema=V, rollback_after_s=60.0))
    assert isinstance(ask(daemon, api.Confirm(schema=V)), api.DoneReply)
    refused = ask(daemon, api.Confirm(schema=V))
    assert isinstance(refused, api.ErrorReply) and refused.kind == api.Kind.FAILED


def test_waiting_ends_when_the_changed_tunnels_stand(daemon: FakeDaemon) -> None:
    whole = daemon.tunnels
    partner = whole[0]
    busy = tuple(replace(rule, state=RuleState.NEGOTIATING) for rule in partner.rules)

    def begin() -> None:
        daemon.tunnels = (replace(partner, rules=busy), *whole[1:])
        asyncio.get_running_loop().call_later(0.05, end)

    def end() -> None:
        daemon.tunnels = whole

    daemon.on_reload = begin
    reply = ask(daemon, api.Reload(schema=V, wait_s=5.0))
    assert isinstance(reply, api.PlanReply)
    assert reply.elapsed_s is not None and reply.elapsed_s >= 0.05
    assert daemon.tunnels == whole


def test_a_tunnel_that_does_not_come_back_is_named(daemon: FakeDaemon) -> None:
    daemon.difference = Difference((Entry("branch", Fate.RESTART, "`peer` changed"),), (), ())
    reply = ask(daemon, api.Reload(schema=V, wait_s=0.05))
    assert isinstance(reply, api.ErrorReply)
    assert reply.kind == api.Kind.TIMEOUT and "branch" in reply.why
