"""What the router knows of a backend: something that takes requests and tells a listener what becomes of them.

Two kinds: `LocalBackend` keeps the engine in this process, `RemoteBackend` (`fleetsight.serve.tier.remote`) speaks with another process or
machine. The router does not know which is which.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from fleetsight.errors import Error
from fleetsight.serve.engine.source import Source, open_engine
from fleetsight.serve.queueing.request import Outcome, Reason, Refusal, Request
from fleetsight.serve.replica.replica import Facts, Replica, ReplicaError

HUNG_MAX = 3
"""Engines that hang in threads of this process at the same time; a fourth would be a leak, not a repair."""
LOG = logging.getLogger(__name__)


class Listener(Protocol):
    """Who is told; always in the event loop."""

    def up(self, backend: "Backend", facts: Facts) -> None:
        """A backend is warm."""
        ...

    def ended(self, backend: "Backend", number: int, *, outcome: Outcome) -> None:
        """A backend is through with a request."""
        ...

    def down(self, backend: "Backend", why: str) -> None:
        """A backend died; all that it held is lost."""
        ...


class Backend(Protocol):
    """Answers requests.

    Attributes:
        name: unique in this process.
    """

    name: str

    async def start(self, listener: Listener) -> None:
        """Come up, and come up again after every death until `stop`; the listener hears of it.

        Args:
            listener: who is told.

        Raises:
            Error: the first start failed.
        """
        ...

    def send(self, request: Request) -> None:
        """Hand a request over."""
        ...

    def cancel(self, number: int) -> None:
        """Nobody waits for a request any more."""
        ...

    async def reload(self, text: str, version: str) -> str:
        """Load another model beside this one and let it take over.

        Args:
            text: source of the engine; empty: the same again.
            version: of the new model.
        Returns:
            the version that runs now.

        Raises:
            ReplicaError: it could not be loaded; the old one works on.
        """
        ...

    def restart(self, why: str) -> None:
        """It hangs: end it and start anew."""
        ...

    async def stop(self) -> None:
        """End."""
        ...


class LocalBackend:
    """An engine in this process.

    Args:
        name: unique in this process.
        source: of the engine.
        batch_max: most frames of one batch.
        streams: batches at once.
        version: of the model.
    """

    def __init__(self, name: str, source: Source, *, batch_max: int = 1, streams: int = 1, version: str = "1") -> None:
        self.name = name
        self._source = source
        self._shape = (batch_max, streams)
        self._version = version
        self._listener: Listener | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._replica: Replica | None = None
        self._held: dict[int, Request] = {}
        self._hung: list[Replica] = []
        self._restarting: asyncio.Task[None] | None = None

    async def start(self, listener: Listener) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        await self._begin()

    def send(self, request: Request) -> None:
        self._held[request.number] = request
        replica = self._replica
        refusal = replica.submit(request) if replica is not None else None
        if refusal is not None:
            self._ended([(request, refusal)], replica)

    def cancel(self, number: int) -> None:
        request = self._held.get(number)
        if request is not None and self._replica is not None and self._replica.cancel(request):
            self._ended([(request, Refusal(Reason.ABANDONED, "the caller left"))], self._replica)

    async def reload(self, text: str, version: str) -> str:
        source = replace(self._source, text=text or self._source.text)
        replica = self._replica
        if replica is None:
            raise ReplicaError(f"backend {self.name} is not up", hint="wait until it is, then reload")
        try:
            facts = await asyncio.to_thread(replica.reload, lambda: open_engine(source), version)
        except Error as error:
            raise ReplicaError(f"backend {self.name} keeps its model: {error}") from error
        self._source, self._version = source, version
        return facts.version

    def restart(self, why: str) -> None:
        hung, self._replica = self._replica, None
        self._held.clear()
        if self._listener is not None:
            self._listener.down(self, why)
        if hung is not None:
            hung.close(wait_s=0.0)
            self._hung.append(hung)
        self._hung = [one for one in self._hung if one.is_working()]
        if len(self._hung) > HUNG_MAX:
            LOG.error("backend stays down name=%s hung=%d", self.name, len(self._hung))
        elif self._loop is not None:
            self._restarting = self._loop.create_task(self._begin_again())

    async def stop(self) -> None:
        replica, self._replica = self._replica, None
        if self._restarting is not None:
            self._restarting.cancel()
        if replica is not None:
            await asyncio.to_thread(replica.close)

    async def _begin(self) -> None:
        batch_max, streams = self._shape
        replica = Replica(lambda ended: self._told(ended, replica), batch_max=batch_max, streams=streams)
        facts = await asyncio.to_thread(replica.start, lambda: open_engine(self._source), self._version)
        self._replica = replica
        if self._listener is not None:
            self._listener.up(self, facts)

    async def _begin_again(self) -> None:
        try:
            await self._begin()
        except Error as error:
            LOG.error("backend stays down name=%s reason=%s", self.name, error)

    def _told(self, ended: Sequence[tuple[Request, Outcome]], replica: Replica) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ended, ended, replica)

    def _ended(self, ended: Sequence[tuple[Request, Outcome]], replica: Replica | None) -> None:
        if replica is not self._replica or self._listener is None:
            return  # of an engine that was given up
        for request, outcome in ended:
            if self._held.pop(request.number, None) is not None:
                self._listener.ended(self, request.number, outcome=outcome)
