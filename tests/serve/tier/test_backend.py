"""An engine in this process that hangs is left behind, so often and no more; and the router's promises around it."""

import asyncio
import threading
import time
from collections.abc import Sequence

from fleetsight.serve.engine.protocol import Frame
from fleetsight.serve.engine.source import Source
from fleetsight.serve.queueing.request import MS_NS, Answer, Outcome, Reason, Refusal, Request
from fleetsight.serve.replica.replica import Facts
from fleetsight.serve.tier.backend import HUNG_MAX, Backend, LocalBackend
from fleetsight.serve.tier.once import KEPT_NS, RESULT_BYTES_MAX, Once

GATE = threading.Event()


def stuck(frames: Sequence[Frame]) -> list[int]:
    if bytes(frames[0].jpeg) == b"hang":
        GATE.wait(20)
    return [1] * len(frames)


class Ears:
    def __init__(self) -> None:
        self.ups = 0
        self.downs: list[str] = []
        self.outcomes: dict[int, Outcome] = {}

    def up(self, backend: Backend, facts: Facts) -> None:
        self.ups += 1

    def ended(self, backend: Backend, number: int, *, outcome: Outcome) -> None:
        self.outcomes[number] = outcome

    def down(self, backend: Backend, why: str) -> None:
        self.downs.append(why)


def a_request(number: int, body: bytes = b"frame", *, key: str = "") -> Request:
    now_ns = time.monotonic_ns()
    return Request("m", body, now_ns + 10_000 * MS_NS, key=key, arrived_ns=now_ns, number=number)


async def until(ears: Ears, number: int) -> Outcome:
    end_s = time.monotonic() + 10
    while number not in ears.outcomes:
        assert time.monotonic() < end_s
        await asyncio.sleep(0.005)
    return ears.outcomes[number]


async def ups(ears: Ears, count: int) -> None:
    end_s = time.monotonic() + 10
    while ears.ups < count:
        assert time.monotonic() < end_s
        await asyncio.sleep(0.005)


def test_engines_that_hang_are_replaced_until_too_many_hang() -> None:
    async def run() -> None:
        ears = Ears()
        backend = LocalBackend("b", Source(f"{__name__}:stuck"))
        await backend.start(ears)
        for life in range(HUNG_MAX + 1):
            await ups(ears, life + 1)
            backend.send(a_request(life, b"hang"))
            await asyncio.sleep(0.05)
            backend.restart("it hangs")
        await asyncio.sleep(0.1)
        assert (ears.ups, len(ears.downs)) == (HUNG_MAX + 1, HUNG_MAX + 1)
        GATE.set()
        await asyncio.sleep(0.05)
        backend.restart("again")
        await ups(ears, HUNG_MAX + 2)
        backend.send(a_request(99))
        assert isinstance(await until(ears, 99), Answer)
        assert set(ears.outcomes) == {99}  # what hung engines say later is heard by nobody
        await backend.stop()

    GATE.clear()
    asyncio.run(run())


def test_a_request_that_is_cancelled_before_it_starts_gives_its_place_back() -> None:
    async def run() -> None:
        ears = Ears()
        backend = LocalBackend("b", Source(f"{__name__}:stuck"))
        await backend.start(ears)
        backend.send(a_request(1, b"hang"))
        await asyncio.sleep(0.05)
        backend.send(a_request(2))
        backend.cancel(2)
        outcome = await until(ears, 2)
        assert isinstance(outcome, Refusal)
        assert outcome.reason is Reason.ABANDONED
        GATE.set()
        assert isinstance(await until(ears, 1), Answer)
        await backend.stop()

    GATE.clear()
    asyncio.run(run())


def test_keys_end_after_a_minute_and_with_a_refusal_and_large_results_are_not_kept() -> None:
    async def run() -> None:
        once = Once()
        request = a_request(1, key="k")
        assert once.find(request, 0) is False
        once.settle(request, Refusal(Reason.WOULD_BE_LATE))
        assert once.find(request, 0) is False
        once.settle(request, Answer(b"1"))
        found = once.find(request, KEPT_NS - 1)
        assert isinstance(found, asyncio.Future)
        assert await found == Answer(b"1")
        assert once.find(request, KEPT_NS) is False
        once.settle(request, Answer(bytes(RESULT_BYTES_MAX + 1)))
        assert once.find(request, KEPT_NS) is False

    asyncio.run(run())
