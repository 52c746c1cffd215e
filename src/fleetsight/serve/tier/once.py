"""Idempotency keys: the same frame asked twice is answered once, and both get the answer.

Kept in this process for a minute: long enough for a caller's retries, short enough that memory has an end. What a key protects is work, not
money; exactly-once charging has its own, durable keys (`fleetsight.store.idempotency`).
"""

import asyncio
import zlib
from collections import OrderedDict
from dataclasses import dataclass

from fleetsight.serve.queueing.request import SECOND_NS, Answer, Outcome, Request

KEPT_NS = 60 * SECOND_NS
KEPT_MAX = 1024
RESULT_BYTES_MAX = 100_000
"""Longer results are not kept; with `KEPT_MAX` keys the memory ends at 100 MB, and is 10 MB with answers as detectors give them."""


@dataclass(slots=True)
class _Seen:
    """What a key stands for."""

    digest: tuple[int, int]
    since_ns: int
    outcome: "asyncio.Future[Outcome]"


class Once:
    """Remembers keys."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], _Seen] = OrderedDict()

    def find(self, request: Request, now_ns: int) -> "asyncio.Future[Outcome] | bool":
        """Look a key up, and note it when it is new.

        Args:
            request: with a key.
            now_ns: monotonic.
        Returns:
            the outcome of the first one, done or not; False when the key is new; True when it was used for another frame.
        """
        while self._seen:
            _, oldest = next(iter(self._seen.items()))
            if now_ns - oldest.since_ns < KEPT_NS and len(self._seen) <= KEPT_MAX:
                break
            self._seen.popitem(last=False)
        name = (request.model, request.key)
        digest = (len(request.body), zlib.crc32(request.body))
        seen = self._seen.get(name)
        if seen is not None:
            return seen.outcome if seen.digest == digest else True
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._seen[name] = _Seen(digest, now_ns, future)
        return False

    def settle(self, request: Request, outcome: Outcome | None) -> None:
        """Note what became of the first one; a refusal is forgotten, so that asking again is worth it.

        Args:
            request: with a key that `find` noted.
            outcome: None when its caller left.
        """
        name = (request.model, request.key)
        seen = self._seen.get(name)
        if seen is None:
            return
        if not isinstance(outcome, Answer) or len(outcome.result) > RESULT_BYTES_MAX:
            del self._seen[name]
        if not seen.outcome.done():
            if outcome is None:
                seen.outcome.cancel()
            else:
                seen.outcome.set_result(outcome)
