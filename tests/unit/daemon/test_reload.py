"""Reloading with its timer: what runs, what is refused, what comes back."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import msgspec
import pytest

from isthmus.backends.wishes import WISHES_MAX, InterfaceWish, NetworkWish, RouteWish
from isthmus.config.errors import ConfigError, ConfigErrors
from isthmus.credentials.store import Credentials
from isthmus.daemon import channel
from isthmus.daemon.reload import Reloader, Terms
from isthmus.daemon.rules import RuleBook
from isthmus.ike.core.records import Happening
from isthmus.policy.changes import Fate
from isthmus.policy.connection import Configuration
from isthmus.values.errors import LocalFault
from isthmus.values.secret import Secret
from isthmus.values.selector import TrafficSelector

from .samples import CONFIGURATION

OLD = Terms(CONFIGURATION, Credentials())
NEW = Terms(Configuration(), Credentials())
WRONG = ConfigErrors((ConfigError("a.toml", 3, 1, "no such key", "unknown", "remove it"),))


class Scene:
    """A reloader whose file and machine the test plays."""

    def __init__(self) -> None:
        self.file: Terms | Exception = NEW
        self.refuse: LocalFault | None = None
        self.applied: list[Terms] = []
        self.said: list[Happening] = []
        self.reloader = Reloader(OLD, self.read, self.apply, self.said.append)

    def read(self) -> Terms:
        if isinstance(self.file, Exception):
            raise self.file
        return self.file

    async def apply(self, wanted: Terms) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.applied.append(wanted)

    def events(self) -> list[str]:
        return [happening.event for happening in self.said]


def play(scene: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        at = Scene()
        try:
            await scene(at)
        finally:
            await at.reloader.close()

    asyncio.run(run())


def test_a_plan_only_looks() -> None:
    async def scene(at: Scene) -> None:
        found = await at.reloader.plan()
        assert {entry.fate for entry in found.entries} == {Fate.REMOVE}
        assert at.applied == [] and at.reloader.running is OLD and at.said == []

    play(scene)


def test_a_reload_changes_what_runs() -> None:
    async def scene(at: Scene) -> None:
        await at.reloader.reload()
        assert at.applied == [NEW] and at.reloader.running is NEW
        assert at.events() == ["config.reloaded"]
        assert not at.reloader.confirm(), "nothing waits"

    play(scene)


def test_secrets_that_changed_are_named() -> None:
    async def scene(at: Scene) -> None:
        name = CONFIGURATION.connections[0].local_auth.name
        at.reloader.running = Terms(CONFIGURATION, Credentials({name: Secret(b"old" * 12)}))
        at.file = Terms(CONFIGURATION, Credentials({name: Secret(b"new" * 12)}))
        found = await at.reloader.reload()
        assert found.secrets == (name,)
        assert "new" not in str(at.said) + repr(found)

    play(scene)


@pytest.mark.parametrize("how", [WRONG, LocalFault("no proposal is left")])
def test_what_cannot_be_read_changes_nothing(how: Exception) -> None:
    async def scene(at: Scene) -> None:
        at.file = how
        with pytest.raises(type(how)):
            await at.reloader.reload(60.0)
        assert at.applied == [] and at.reloader.running is OLD
        assert at.events() == ["config.refused"]
        assert not at.reloader.confirm()

    play(scene)


def test_what_the_machine_refuses_changes_nothing() -> None:
    async def scene(at: Scene) -> None:
        at.refuse = LocalFault("an interface office is there already and is not ours")
        with pytest.raises(LocalFault):
            await at.reloader.reload()
        assert at.reloader.running is OLD
        assert "interface office" in at.said[-1].message

    play(scene)


def test_nobody_confirms() -> None:
    async def scene(at: Scene) -> None:
        await at.reloader.reload(0.01)
        while at.reloader.running is not OLD:
            await asyncio.sleep(0.001)
        assert at.applied == [NEW, OLD]
        while len(at.said) < 2:
            await asyncio.sleep(0.001)
        assert at.events() == ["config.reloaded", "config.rolled_back"]
        assert not at.reloader.confirm()

    play(scene)


def test_somebody_confirms() -> None:
    async def scene(at: Scene) -> None:
        await at.reloader.reload(3600.0)
        assert at.reloader.confirm()
        assert at.reloader.running is NEW
        assert at.events() == ["config.reloaded", "config.confirmed"]

    play(scene)


def test_a_second_reload_goes_back_to_what_was_confirmed_last() -> None:
    async def scene(at: Scene) -> None:
        await at.reloader.reload(3600.0)
        at.file = replace(NEW, configuration=Configuration(listen=("192.0.2.1",)))
        await at.reloader.reload(0.01)
        while at.reloader.running is not OLD:
            await asyncio.sleep(0.001)
        assert len(at.applied) == 3

    play(scene)


def test_a_book_that_follows_keeps_how_rules_are_armed_and_drops_what_it_no_longer_protects() -> (
    None
):
    old = RuleBook(CONFIGURATION)
    first = CONFIGURATION.connections[0]
    rule = first.rules[0]
    assert old.arm(first.name, rule.name, "drop")
    elsewhere = replace(rule, remote=(TrafficSelector.of_network("172.31.99.0/24"),))
    changed = replace(first, rules=(elsewhere, *first.rules[1:]))
    new = RuleBook(Configuration((changed,)), (), ())
    new.follow(old)
    (mine, *_) = [p for p in new.policies() if p.name == f"{first.name}/{rule.name}"]
    assert mine.on_no_sa == "drop"
    dropped = [p for p in new.policies() if p.action == "discard"]
    kept = {(p.selectors, p.interface) for p in new.policies() if p.action == "protect"}
    gone = [p for p in old.policies() if (p.selectors, p.interface) not in kept]
    assert [p.selectors for p in dropped] == [p.selectors for p in gone] and gone
    assert new.policies()[-len(dropped) :] == tuple(dropped), "they come last"
    assert len({p.id for p in (*new.policies(), *old.policies())}) == len(new.policies()) + len(
        [p for p in old.policies() if p.id not in {q.id for q in new.policies()}]
    )
    new.settle()
    assert [p for p in new.policies() if p.action == "discard"] == []


def test_a_large_network_plan_goes_in_parts_and_comes_together_again() -> None:
    routes = tuple(RouteWish(f"10.{n // 256}.{n % 256}.0/24", 4500, 100, "x") for n in range(1500))
    whole = NetworkWish((InterfaceWish("x", 1400),), routes)
    frames = list(channel.parts(whole))
    assert [frame.more for frame in frames] == [True] * (len(frames) - 1) + [False]
    assert all(len(msgspec.json.encode(frame)) <= channel.FRAME_MAX for frame in frames)
    together = NetworkWish()
    for frame in frames:
        together = channel.joined(together, frame.wish)
    assert together == whole
    assert list(channel.parts(NetworkWish())) == [channel.Apply(NetworkWish())]


def test_a_plan_without_end_is_refused() -> None:
    whole = NetworkWish(routes=(RouteWish("10.0.0.0/8", 4500, 100),) * WISHES_MAX)
    with pytest.raises(LocalFault, match="more than"):
        channel.joined(whole, whole)
