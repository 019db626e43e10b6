"""Carriers are told once a turn of the loop, when they change, and again to a new plane."""

import asyncio

from isthmus.daemon.carrier import Carriers


def test_only_what_is_left_at_the_end_of_a_turn_is_told() -> None:
    async def run() -> None:
        told: list[tuple[str, bool]] = []
        carriers = Carriers(lambda tunnel, up: told.append((tunnel, up)))
        carriers.wish("a", False)
        carriers.wish("b", True)
        carriers.wish("a", True)
        assert told == []
        await asyncio.sleep(0)
        assert told == [("a", True), ("b", True)]
        carriers.wish("a", True)
        await asyncio.sleep(0)
        assert told == [("a", True), ("b", True)]
        carriers.wish("a", False)
        await asyncio.sleep(0)
        assert told[2:] == [("a", False)]

    asyncio.run(run())


def test_a_new_plane_gives_carrier_to_all_so_only_losses_are_told() -> None:
    async def run() -> None:
        told: list[tuple[str, bool]] = []
        carriers = Carriers(lambda tunnel, up: told.append((tunnel, up)))
        carriers.wish("a", False)
        carriers.wish("b", True)
        await asyncio.sleep(0)
        told.clear()
        carriers.renew()
        assert told == [("a", False)]

    asyncio.run(run())
