"""Effects are carried out in order on a data plane."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from isthmus.backends.frames import PacketWantedNotice
from isthmus.backends.simulated import SimulatedPlane
from isthmus.backends.specs import EndpointSpec, OnNoSa, PolicySpec
from isthmus.crypto.entropy import SeededEntropy
from isthmus.daemon.labkeys import FILE_NAME, LabKeys
from isthmus.daemon.perform import Performer
from isthmus.daemon.rules import RuleBook
from isthmus.daemon.workers import Workers
from isthmus.ike.core.effects import (
    ArmPolicy,
    Compute,
    ExpectSa,
    Keepalive,
    MakeKey,
    Record,
    RemoveSa,
    SendDatagram,
    UpdateSa,
)
from isthmus.ike.core.events import ComputeFinished, Event, InstallFailed
from isthmus.ike.core.records import Happening
from isthmus.policy.connection import Configuration
from isthmus.values.address import Endpoint
from isthmus.values.errors import LocalFault
from isthmus.values.registry.ikev2 import KeMethod
from isthmus.values.spi import Spi

from .samples import CONFIGURATION, Records, install, rule, tunnel

LOCAL, REMOTE = Endpoint("192.0.2.1", 500), Endpoint("192.0.2.2", 500)


class Stage:
    """A performer with a simulated plane."""

    def __init__(self, lab_keys: LabKeys | None = None) -> None:
        self.records = Records()
        self.events: list[Event] = []
        self.plane = SimulatedPlane(lambda notice: None)
        self.workers = Workers(SeededEntropy(1), self.events.append, self.plane.resolve_local)
        self.performer = Performer(self.records.append, self.events.append, self.workers, lab_keys)
        self.performer.plane = self.plane
        self.rules = RuleBook(CONFIGURATION)
        self.performer.rules = self.rules


def stage(scene: Callable[[Stage], Awaitable[None]], lab_keys: LabKeys | None = None) -> None:
    """Run one scene."""

    async def run() -> None:
        made = Stage(lab_keys)
        await made.plane.set_policies(made.rules.policies())
        try:
            await scene(made)
        finally:
            made.workers.close()

    asyncio.run(run())


async def settle() -> None:
    """Let callbacks run."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_an_sa_stands_before_the_datagram_that_announces_it() -> None:
    async def scene(at: Stage) -> None:
        stood: list[bool] = []
        send = at.plane.send_datagram

        def watched(local: EndpointSpec, remote: EndpointSpec, octets: bytes) -> None:
            stood.append(at.plane.installed("in", 300) is not None)
            send(local, remote, octets)

        at.plane.send_datagram = watched  # type: ignore[method-assign]
        at.performer.perform((install(300, True), SendDatagram(LOCAL, REMOTE, b"reply")))
        assert stood == [True]
        assert at.plane.sent == [
            (EndpointSpec("192.0.2.1", 500), EndpointSpec("192.0.2.2", 500), b"reply")
        ]

    stage(scene)


def test_an_sa_lives_and_goes() -> None:
    async def scene(at: Stage) -> None:
        at.performer.perform((install(300, True), install(400, False, standby=True)))
        at.performer.perform((UpdateSa(Spi(400), False, standby=False, remote=LOCAL),))
        found = at.plane.installed("out", 400)
        assert found is not None and not found.standby
        assert found.remote == EndpointSpec("192.0.2.1", 500)
        at.performer.perform((RemoveSa(Spi(300), True), RemoveSa(Spi(400), False)))
        await settle()
        assert await at.plane.sas() == ()
        assert at.performer.installed == set() and at.events == [] and at.records == []

    stage(scene)


def test_a_refused_installation_comes_back_as_an_event() -> None:
    async def scene(at: Stage) -> None:
        at.performer.perform((install(300, True), install(300, True)))
        await settle()
        (failed,) = at.events
        assert failed == InstallFailed(Spi(300), True, "SPI 0x0000012c is taken")
        assert at.performer.counters["install_sa_failed"] == 1

    stage(scene)


def test_without_a_plane_sas_fail_later_and_datagrams_are_counted() -> None:
    async def scene(at: Stage) -> None:
        at.performer.plane = None
        at.performer.perform((install(300, True), SendDatagram(LOCAL, REMOTE, b"x")))
        assert at.events == []  # never while the engine is still answering
        await settle()
        assert at.events == [InstallFailed(Spi(300), True, "there is no data plane")]
        assert at.performer.counters["datagram_no_plane"] == 1

    stage(scene)


def test_an_sa_of_a_rule_that_is_gone_fails() -> None:
    async def scene(at: Stage) -> None:
        at.performer.perform((install(300, True, rule="gone"),))
        await settle()
        assert at.events == [InstallFailed(Spi(300), True, "the rule is gone")]

    stage(scene)


def test_arming_reaches_the_plane_rule_by_rule_and_only_the_outcome() -> None:
    async def scene(at: Stage) -> None:
        calls = watch_policies(at)
        at.performer.perform((ArmPolicy("office", "net", "hold"),))
        assert calls == []  # it was so already
        (policy,) = at.rules.policies()
        at.performer.perform(
            (ArmPolicy("office", "net", "drop"), ArmPolicy("office", "net", "hold_quiet"))
        )
        assert calls == [(policy.id, "hold_quiet")]
        wanted = PacketWantedNotice(policy.id, "10.1.0.1", "10.2.0.1", 1, 0, 0, 1)
        at.plane.packet(policy.id, wanted, b"packet")
        assert (await at.plane.policies())[0].held_packets == 1

    stage(scene)


def test_many_rules_are_armed_by_one_list() -> None:
    rules = tuple(rule(f"net{n}", f"10.{n}.0.0/24", "10.200.0.0/24") for n in range(100))

    async def scene(at: Stage) -> None:
        at.rules = at.performer.rules = RuleBook(Configuration((tunnel("office", *rules),)))
        await at.plane.set_policies(at.rules.policies())
        calls = watch_policies(at)
        at.performer.perform(tuple(ArmPolicy("office", r.name, "drop") for r in rules))
        assert calls == [100]
        at.performer.perform(tuple(ArmPolicy("office", r.name, "hold") for r in rules[:64]))
        assert len(calls) == 65

    stage(scene)


def watch_policies(at: Stage) -> list[object]:
    """What the plane is told of policies from now on: a number and its treatment, or how many."""
    calls: list[object] = []
    set_policies, arm_policy = at.plane.set_policies, at.plane.arm_policy

    def set_all(policies: Sequence[PolicySpec]) -> Awaitable[None]:
        calls.append(len(policies))
        return set_policies(policies)

    def arm(policy: int, on_no_sa: OnNoSa) -> Awaitable[None]:
        calls.append((policy, on_no_sa))
        return arm_policy(policy, on_no_sa)

    at.plane.set_policies = set_all  # type: ignore[method-assign]
    at.plane.arm_policy = arm  # type: ignore[method-assign]
    return calls


def test_removing_what_is_not_there_is_no_news() -> None:
    async def scene(at: Stage) -> None:
        at.performer.perform((RemoveSa(Spi(300), True),))
        await settle()
        assert at.records == []

    stage(scene)


def test_a_refusal_nobody_waits_for_is_recorded_and_counted() -> None:
    async def scene(at: Stage) -> None:
        at.performer.perform((UpdateSa(Spi(999), False, standby=True),))
        await settle()
        assert at.records.names() == ["plane.refused"]
        assert at.performer.counters["update_sa_failed"] == 1

    stage(scene)


def test_an_announced_spi_is_expected_until_its_sa_stands_or_is_given_up() -> None:
    async def scene(at: Stage) -> None:
        at.performer.perform((ExpectSa(Spi(300)), ExpectSa(Spi(301))))
        assert at.plane.expected == {300, 301}
        at.performer.perform((install(300, True), RemoveSa(Spi(301), True)))
        await settle()
        assert at.plane.expected == set()
        assert at.plane.installed("in", 300) is not None
        at.performer.perform((RemoveSa(Spi(301), True), RemoveSa(Spi(302), True)))
        await settle()
        assert at.records == [] and at.events == []

    stage(scene)


def test_keepalives_records_and_jobs_go_where_they_belong() -> None:
    async def scene(at: Stage) -> None:
        fact = Happening("phase1.up")
        at.performer.perform(
            (
                Keepalive(LOCAL, REMOTE, 20.0),
                Record(fact),
                Compute(5, MakeKey(KeMethod.CURVE25519)),
            )
        )
        assert list(at.plane.kept_alive.values()) == [20_000]
        assert at.records == [fact]
        await settle()
        (done,) = at.events
        assert isinstance(done, ComputeFinished) and done.ticket == 5 and done.result is not None

    stage(scene)


def test_a_fact_that_would_not_be_written_down_is_not_put_into_words() -> None:
    told: list[str] = []

    def fact(event: str) -> Record:
        def make() -> Happening:
            told.append(event)
            return Happening(event)

        return Record.later(event, make)

    async def scene(at: Stage) -> None:
        asked: list[str] = []

        def admits(event: str) -> bool:
            asked.append(event)
            return event == "exchange.sent"

        performer = Performer(at.records.append, at.events.append, at.workers, None, admits)
        plain = Happening("phase1.up")
        performer.perform((fact("exchange.sent"), fact("exchange.received"), Record(plain)))
        assert asked == ["exchange.sent", "exchange.received"], "a told fact is for the recorder"
        assert told == ["exchange.sent"]
        assert at.records == [Happening("exchange.sent"), plain]

    stage(scene)


def test_lab_keys_are_written_only_when_asked_for(tmp_path: Path) -> None:
    directory = tmp_path / "keys"
    directory.mkdir(mode=0o700)

    async def scene(at: Stage) -> None:
        at.performer.perform((install(300, True), install(400, False)))

    stage(scene)
    assert not (directory / FILE_NAME).exists()
    stage(scene, LabKeys.open(str(directory)))
    written = directory / FILE_NAME
    assert written.stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in written.read_text().splitlines()]
    assert [(line["spi"], line["src"], line["dst"]) for line in lines] == [
        (300, "192.0.2.2", "192.0.2.1"),
        (400, "192.0.2.1", "192.0.2.2"),
    ]
    assert lines[0]["encr_key"] == bytes(range(36)).hex()
    assert lines[0].keys() == {
        *("spi", "encr", "key_bits", "encr_key", "integ", "integ_key", "esn", "src", "dst")
    }


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_lab_keys_are_refused_where_others_may_read(tmp_path: Path, mode: int) -> None:
    directory = tmp_path / "keys"
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(LocalFault, match="0700"):
        LabKeys.open(str(directory))
    assert list(directory.iterdir()) == []


def test_lab_keys_do_not_follow_links(tmp_path: Path) -> None:
    directory = tmp_path / "keys"
    directory.mkdir(mode=0o700)
    (directory / FILE_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LocalFault):
        LabKeys.open(str(directory))
    (tmp_path / "link").symlink_to(directory)
    with pytest.raises(LocalFault):
        LabKeys.open(str(tmp_path / "link"))
    assert not (tmp_path / "elsewhere").exists()
