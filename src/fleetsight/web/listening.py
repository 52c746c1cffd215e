"""Devices that wait for commands: one long poll each, and no thread for any of them.

A waiting poll is an event in the loop. It is woken by `ring`, when this process wrote the command, or by one question to the database
for all waiting devices together, each quarter of a second, when another process did.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool

from fleetsight.clock import Clock
from fleetsight.fleet.devices.unlocks import Command, latest_seqs, pending_commands
from fleetsight.store.rows import Rows, RowsUnavailableError

LOOK_S = 0.25
"""How long a command of another process may lie unseen; a shopper waits 300 ms at most for the whole unlock."""
LOG = logging.getLogger(__name__)


@dataclass(eq=False)
class _Ear:
    """One poll that waits."""

    after: int
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    released: bool = False


class Listening:
    """The polls that wait. Belongs to one event loop.

    Args:
        rows: where commands are.
        clock: server time.
    """

    def __init__(self, rows: Rows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock
        self._ears: dict[str, _Ear] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._looking: asyncio.Task[None] | None = None
        self._closed = False

    async def commands(self, device_id: str, *, after: int, wait_s: float) -> list[Command]:
        """Wait for commands.

        Args:
            device_id: the device.
            after: the last number it has seen.
            wait_s: how long at most.
        Returns:
            commands with higher numbers; none when the time is over, or the device polls anew, or the app stops.
        """
        found = await run_in_threadpool(self._pending, device_id, after)
        if found or wait_s <= 0 or self._closed:
            return found
        self._release(device_id)
        ear = self._ears[device_id] = _Ear(after)
        self._loop = asyncio.get_running_loop()
        if self._looking is None or self._looking.done():
            self._looking = self._loop.create_task(self._look())
        try:
            async with asyncio.timeout(wait_s):
                while not found and not ear.released:
                    await ear.woken.wait()
                    ear.woken.clear()
                    found = await run_in_threadpool(self._pending, device_id, after)
        except TimeoutError:
            return []
        finally:
            if self._ears.get(device_id) is ear:
                del self._ears[device_id]
        return found

    def ring(self, device_id: str) -> None:
        """Wake the poll of a device; may be called from any thread.

        Args:
            device_id: a device that has a new command.
        """
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, device_id)

    async def close(self) -> None:
        """Answer every poll that waits, and let none wait any more."""
        self._closed = True
        for device_id in list(self._ears):
            self._release(device_id)
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking

    def __len__(self) -> int:
        return len(self._ears)

    def _pending(self, device_id: str, after: int) -> list[Command]:
        with self._rows.reading() as connection:
            return pending_commands(connection, device_id, after=after, now_ns=self._clock.now_ns())

    def _wake(self, device_id: str) -> None:
        ear = self._ears.get(device_id)
        if ear is not None:
            ear.woken.set()

    def _release(self, device_id: str) -> None:
        ear = self._ears.pop(device_id, None)
        if ear is not None:
            ear.released = True
            ear.woken.set()

    async def _look(self) -> None:
        while self._ears:
            await asyncio.sleep(LOOK_S)
            try:
                latest = await run_in_threadpool(self._latest, sorted(self._ears))
            except RowsUnavailableError as error:
                LOG.warning("cannot look for commands error=%s", error)
                continue
            for device_id, seq in latest.items():
                ear = self._ears.get(device_id)
                if ear is not None and seq > ear.after:
                    ear.woken.set()

    def _latest(self, device_ids: list[str]) -> dict[str, int]:
        with self._rows.reading() as connection:
            return latest_seqs(connection, device_ids, now_ns=self._clock.now_ns())
