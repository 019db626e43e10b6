"""What every data plane promises to the host."""

from collections.abc import Callable
from typing import get_args

import msgspec
import pytest

from isthmus.backends.interface import DataPlane, PlaneRefused
from isthmus.backends.specs import (
    EndpointSpec,
    OnNoSa,
    PolicySpec,
    PortSpec,
    RangeSpec,
    SaSpec,
    SelectorsSpec,
)
from isthmus.values.registry.ikev2 import Encr

from .conftest import Test

Run = Callable[[Test], None]

OURS = EndpointSpec("127.0.0.1", 500)
PEER = EndpointSpec("127.0.0.2", 500)
SELECTORS = SelectorsSpec(
    (RangeSpec("10.1.0.0", "10.1.0.255"),), (RangeSpec("10.2.0.0", "10.2.0.255"),)
)
POLICY = PolicySpec(7, "office/net", 1, "protect", SELECTORS)
OTHER = msgspec.structs.replace(POLICY, id=8, name="office/other")
OUTBOUND = SaSpec(
    direction="out",
    spi=0xC0FFEE01,
    policy=7,
    name="office/net",
    encr=Encr.AES_GCM_16,
    key_bits=256,
    integ=0,
    encr_key=bytes(range(36)),
    integ_key=b"",
    esn=True,
    replay_window=1024,
    local=OURS,
    remote=PEER,
    encap=False,
    selectors=SELECTORS,
    tag=b"opaque",
)
INBOUND = msgspec.structs.replace(OUTBOUND, direction="in", spi=0xC0FFEE02)


async def ready(plane: DataPlane) -> None:
    """Ports, an interface and two policies, as the host sets a plane up."""
    await plane.listen((PortSpec("127.0.0.1", 500, False), PortSpec("127.0.0.1", 4500, True)), 1)
    await plane.attach_interface(1, "isthmus0", 1400, 1)
    await plane.set_policies((POLICY, OTHER))


def test_what_was_set_up_can_be_asked_for(run: Run) -> None:
    async def test(plane: DataPlane) -> None:
        await ready(plane)
        policies = await plane.policies()
        assert [(p.id, p.name, p.interface, p.action) for p in policies] == [
            (7, "office/net", 1, "protect"),
            (8, "office/other", 1, "protect"),
        ]
        assert policies[0].selectors == SELECTORS
        (interface,) = await plane.interfaces()
        assert (interface.interface, interface.name, interface.mtu) == (1, "isthmus0", 1400)
        assert await plane.sas() == ()

    run(test)


def test_set_up_can_be_repeated_and_replaces(run: Run) -> None:
    async def test(plane: DataPlane) -> None:
        await ready(plane)
        await plane.listen((PortSpec("127.0.0.1", 500, False),), 1)
        await plane.listen((PortSpec("127.0.0.1", 500, False),), 1)
        await plane.set_policies((OTHER,))
        assert [p.id for p in await plane.policies()] == [8]
        await plane.detach_interface(1)
        assert await plane.interfaces() == ()

    run(test)


def test_an_installed_sa_is_told_without_its_key(run: Run) -> None:
    async def test(plane: DataPlane) -> None:
        await ready(plane)
        await plane.install_sa(OUTBOUND)
        await plane.install_sa(INBOUND)
        states = {(s.direction, s.spi): s for s in await plane.sas()}
        assert states.keys() == {("out", 0xC0FFEE01), ("in", 0xC0FFEE02)}
        state = states["out", 0xC0FFEE01]
        assert (state.name, state.policy, state.tag, state.esn) == (
            "office/net",
            7,
            b"opaque",
            True,
        )
        assert (state.local.address, state.remote.address) == ("127.0.0.1", "127.0.0.2")
        assert (state.packets, state.octets, state.idle_ms, state.standby) == (0, 0, None, False)
        assert (await plane.policies())[0].outbound_spis == (0xC0FFEE01,)

    run(test)


def test_an_sa_changes_without_being_made_anew(run: Run) -> None:
    async def test(plane: DataPlane) -> None:
        await ready(plane)
        await plane.install_sa(OUTBOUND)
        moved = EndpointSpec("127.0.0.3", 4500)
        await plane.update_sa("out", OUTBOUND.spi, standby=True, remote=moved, encap=True)
        (state,) = await plane.sas()
        assert (state.standby, state.remote, state.encap) == (True, moved, True)

    run(test)


def test_the_same_spi_may_stand_in_both_directions(run: Run) -> None:
    async def test(plane: DataPlane) -> None:
        await ready(plane)
        await plane.install_sa(OUTBOUND)
        await plane.install_sa(msgspec.structs.replace(INBOUND, spi=OUTBOUND.spi))
        await plane.remove_sa("out", OUTBOUND.spi)
        assert [s.direction for s in await plane.sas()] == ["in"]

    run(test)


def test_a_taken_spi_is_refused(run: Run) -> None:
    async def test(plane: DataPlane) -> None:
        await ready(plane)
        await plane.install_sa(INBOUND)
        with pytest.raises(PlaneRefused):
            await plane.install_sa(INBOUND)
        assert len(await plane.sas()) == 1

    run(test)


def test_an_expected_sa_is_installed_or_given_up(run: Run) -> None:
    async def test(plane: DataPlane) -> None:
        await ready(plane)
        await plane.expect_sa(INBOUND.spi)
        await plane.expect_sa(INBOUND.spi)
        await plane.remove_sa("in", INBOUND.spi)
        with pytest.raises(PlaneRefused):
            await plane.remove_sa("in", INBOUND.spi)
        await plane.expect_sa(INBOUND.spi)
        await plane.install_sa(INBOUND)
        with pytest.raises(PlaneRefused):
            await plane.expect_sa(INBOUND.spi)
        await plane.remove_sa("in", INBOUND.spi)
        assert await plane.sas() == ()

    run(test)


def test_what_is_unknown_is_refused(run: Run) -> None:
    async def test(plane: DataPlane) -> None:
        await ready(plane)
        with pytest.raises(PlaneRefused):
            await plane.remove_sa("in", 0x1234)
        with pytest.raises(PlaneRefused):
            await plane.update_sa("out", 0x1234, standby=True)
        with pytest.raises(PlaneRefused):
            await plane.detach_interface(99)
        with pytest.raises(PlaneRefused):
            await plane.set_policies((POLICY, msgspec.structs.replace(OTHER, id=7)))
        assert [p.id for p in await plane.policies()] == [7, 8]

    run(test)


@pytest.mark.parametrize("count", [2_000, 10_000])
def test_an_spd_of_any_size_is_set_as_one(run: Run, count: int) -> None:
    many = tuple(
        msgspec.structs.replace(POLICY, id=n, name=f"office/net{n}") for n in range(1, count + 1)
    )

    async def test(plane: DataPlane) -> None:
        await ready(plane)
        await plane.set_policies(many)
        assert [p.id for p in await plane.policies()] == [p.id for p in many]
        with pytest.raises(PlaneRefused):
            await plane.set_policies((*many, many[0]))
        assert len(await plane.policies()) == count
        await plane.arm_policy(count, "drop")
        await plane.set_policies((POLICY,))
        assert [p.id for p in await plane.policies()] == [7]

    run(test)


def test_one_policy_is_armed_alone(run: Run) -> None:
    async def test(plane: DataPlane) -> None:
        await ready(plane)
        for on_no_sa in get_args(OnNoSa):
            await plane.arm_policy(7, on_no_sa)
        with pytest.raises(PlaneRefused):
            await plane.arm_policy(99, "hold")

    run(test)


def test_silence_is_measured_while_there_is_an_sa(run: Run) -> None:
    async def test(plane: DataPlane) -> None:
        await ready(plane)
        assert [p.idle_for_ms for p in await plane.policies()] == [None, None]
        await plane.install_sa(INBOUND)
        silent, other = [p.idle_for_ms for p in await plane.policies()]
        assert silent is not None and 0 <= silent < 60_000 and other is None
        await plane.remove_sa("in", INBOUND.spi)
        assert (await plane.policies())[0].idle_for_ms is None

    run(test)


def test_a_carrier_is_given_and_taken(run: Run) -> None:
    async def test(plane: DataPlane) -> None:
        await ready(plane)
        await plane.set_carrier(1, False)
        await plane.set_carrier(1, True)
        with pytest.raises(PlaneRefused):
            await plane.set_carrier(99, True)

    run(test)


def test_two_peers_may_choose_one_spi(run: Run) -> None:
    async def test(plane: DataPlane) -> None:
        await ready(plane)
        twin = msgspec.structs.replace(OUTBOUND, policy=8, name="office/other")
        await plane.install_sa(OUTBOUND)
        await plane.install_sa(twin)
        with pytest.raises(PlaneRefused):
            await plane.install_sa(twin)
        with pytest.raises(PlaneRefused):
            await plane.update_sa("out", OUTBOUND.spi, standby=True)
        with pytest.raises(PlaneRefused):
            await plane.remove_sa("out", OUTBOUND.spi)
        with pytest.raises(PlaneRefused):
            await plane.remove_sa("out", OUTBOUND.spi, policy=9)
        await plane.update_sa("out", OUTBOUND.spi, standby=True, policy=8)
        assert {s.policy: s.standby for s in await plane.sas()} == {7: False, 8: True}
        await plane.remove_sa("out", OUTBOUND.spi, policy=7)
        assert [s.policy for s in await plane.sas()] == [8]
        await plane.install_sa(INBOUND)
        with pytest.raises(PlaneRefused):
            await plane.remove_sa("in", INBOUND.spi, policy=8)
        await plane.remove_sa("in", INBOUND.spi, policy=7)

    run(test)


def test_flush_forgets_sas_and_keeps_policies(run: Run) -> None:
    async def test(plane: DataPlane) -> None:
        await ready(plane)
        await plane.install_sa(OUTBOUND)
        await plane.flush()
        assert await plane.sas() == ()
        assert len(await plane.policies()) == 2

    run(test)


def test_commands_keep_their_order_without_waiting(run: Run) -> None:
    """The host writes an install and what depends on it in one go."""

    async def test(plane: DataPlane) -> None:
        await ready(plane)
        outcomes = [
            plane.install_sa(OUTBOUND),
            plane.update_sa("out", OUTBOUND.spi, standby=True),
            plane.remove_sa("out", OUTBOUND.spi),
            plane.install_sa(OUTBOUND),
        ]
        for outcome in outcomes:
            await outcome
        (state,) = await plane.sas()
        assert not state.standby

    run(test)


def test_keepalives_begin_and_end(run: Run) -> None:
    async def test(plane: DataPlane) -> None:
        await ready(plane)
        local, remote = EndpointSpec("127.0.0.1", 4500), EndpointSpec("127.0.0.2", 4500)
        await plane.keepalive(local, remote, 20_000)
        await plane.keepalive(local, remote, 0)
        await plane.keepalive(local, remote, 0)

    run(test)


def test_counters_are_numbers_by_name(run: Run) -> None:
    async def test(plane: DataPlane) -> None:
        await ready(plane)
        counters = await plane.counters()
        assert all(isinstance(v, int) and v >= 0 and k for k, v in counters.items())

    run(test)


def test_no_route_is_no_address(run: Run) -> None:
    async def test(plane: DataPlane) -> None:
        await ready(plane)
        assert await plane.resolve_local("192.0.2.99") is None

    run(test)
