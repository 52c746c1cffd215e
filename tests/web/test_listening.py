"""Polls wait without threads, wake at once, and end when their time, their device or the app does."""

import asyncio
import threading
from pathlib import Path

import pytest

from fleetsight.apps.cooler.session.answers import UnlockOrder
from fleetsight.clock import SECOND_NS, VirtualClock
from fleetsight.fleet.devices.server_key import ServerKey
from fleetsight.fleet.devices.unlocks import FleetUnlocker
from fleetsight.store.rows import Rows
from fleetsight.web.listening import Listening
from tests.fleet.machine import Machine, enrolled

LONG_S = 60.0  # no test waits for it; each one fails by its own timeout instead
PATIENCE_S = 30.0


@pytest.fixture
def unlocker(tmp_path: Path, clock: VirtualClock) -> FleetUnlocker:
    return FleetUnlocker(ServerKey.open(tmp_path / "key.pem"), clock)


def unlock(rows: Rows, unlocker: FleetUnlocker, machine: Machine, session_id: str = "s1") -> None:
    here = machine.device
    expires_ns = machine.clock.now_ns() + 10 * SECOND_NS
    with rows.transaction() as connection:
        unlocker.issue(connection, UnlockOrder(here.tenant_id, here.device_id, session_id, expires_ns))


def test_a_command_that_is_there_is_given_at_once(
    rows: Rows, clock: VirtualClock, machine: Machine, unlocker: FleetUnlocker
) -> None:
    unlock(rows, unlocker, machine)

    async def poll() -> list[int]:
        listening = Listening(rows, clock)
        found = await listening.commands(machine.device.device_id, after=0, wait_s=LONG_S)
        nothing = await listening.commands(machine.device.device_id, after=1, wait_s=0)
        return [command.seq for command in [*found, *nothing]]

    assert asyncio.run(poll()) == [1]


@pytest.mark.parametrize("rings", [True, False], ids=["rung", "seen in the database"])
def test_a_waiting_poll_gets_the_command_when_it_comes(
    rows: Rows, clock: VirtualClock, machine: Machine, unlocker: FleetUnlocker, rings: bool
) -> None:
    async def poll() -> list[int]:
        listening = Listening(rows, clock)
        waiting = asyncio.create_task(listening.commands(machine.device.device_id, after=0, wait_s=LONG_S))
        while not len(listening):
            await asyncio.sleep(0.01)

        def elsewhere() -> None:
            unlock(rows, unlocker, machine)
            if rings:
                listening.ring(machine.device.device_id)

        await asyncio.to_thread(elsewhere)
        async with asyncio.timeout(PATIENCE_S):
            found = await waiting
        await listening.close()
        return [command.seq for command in found]

    assert asyncio.run(poll()) == [1]


def test_five_hundred_polls_wait_without_a_thread_each(
    rows: Rows, clock: VirtualClock, machine: Machine, unlocker: FleetUnlocker
) -> None:
    async def poll() -> tuple[int, int]:
        listening = Listening(rows, clock)
        names = [machine.device.device_id, *(f"device-{number}" for number in range(499))]
        polls = [asyncio.create_task(listening.commands(name, after=0, wait_s=LONG_S)) for name in names]
        while len(listening) < 500:
            await asyncio.sleep(0.01)
        threads = threading.active_count()
        unlock(rows, unlocker, machine)
        async with asyncio.timeout(PATIENCE_S):
            found = await polls[0]
        await listening.close()
        others = await asyncio.gather(*polls[1:])
        assert not any(others)
        return threads, len(found)

    threads, found = asyncio.run(poll())
    assert threads < 100
    assert found == 1


def test_a_second_poll_of_a_device_releases_the_first(rows: Rows, clock: VirtualClock, machine: Machine) -> None:
    async def poll() -> list[object]:
        listening = Listening(rows, clock)
        first = asyncio.create_task(listening.commands("d", after=0, wait_s=LONG_S))
        while not len(listening):
            await asyncio.sleep(0.01)
        second = asyncio.create_task(listening.commands("d", after=0, wait_s=LONG_S))
        async with asyncio.timeout(PATIENCE_S):
            released = await first
        assert not second.done()
        await listening.close()
        return [released, await second, len(listening)]

    assert asyncio.run(poll()) == [[], [], 0]


def test_time_over_is_an_empty_list_and_leaves_nothing_behind(rows: Rows, clock: VirtualClock) -> None:
    async def poll() -> tuple[list[object], int]:
        listening = Listening(rows, clock)
        found = await listening.commands("d", after=0, wait_s=0.02)
        left = len(listening)
        await listening.close()
        assert await listening.commands("d", after=0, wait_s=LONG_S) == []
        return list(found), left

    assert asyncio.run(poll()) == ([], 0)


def test_a_command_that_was_seen_wakes_nobody(
    rows: Rows, clock: VirtualClock, machine: Machine, unlocker: FleetUnlocker
) -> None:
    other = enrolled(rows, clock)
    unlock(rows, unlocker, machine)

    async def poll() -> list[int]:
        listening = Listening(rows, clock)
        waiting = asyncio.create_task(listening.commands(machine.device.device_id, after=1, wait_s=LONG_S))
        while not len(listening):
            await asyncio.sleep(0.01)
        listening.ring(machine.device.device_id)
        listening.ring(other.device.device_id)
        await asyncio.sleep(0.6)
        assert not waiting.done()
        await asyncio.to_thread(unlock, rows, unlocker, machine, "s2")
        async with asyncio.timeout(PATIENCE_S):
            return [command.seq for command in await waiting]

    assert asyncio.run(poll()) == [2]
