"""How many frames go into the next batch.

When the engine is idle the first frame starts at once; while it is busy frames gather, and the next batch takes all that gathered, up
to a limit. The limit is found from the curve: a batch that costs as much per frame as single frames only delays the first of them.
"""

from collections.abc import Callable

from fleetsight.serve.queueing.line import Line
from fleetsight.serve.queueing.request import Request

GAIN_MIN = 1.05
"""A larger batch must serve at least 5 % more frames a second than the next smaller one; below that it buys latency with nothing."""


def take_batch(line: Line, limit: int, *, now_ns: int) -> tuple[list[Request], list[Request]]:
    """Take the next batch out of a line.

    Args:
        line: who waits.
        limit: most frames, >= 1.
        now_ns: monotonic.
    Returns:
        the batch, empty when nobody waits; and those whose deadline had passed: they are not part of it.
    """
    batch: list[Request] = []
    late: list[Request] = []
    while len(batch) < limit:
        request = line.pop()
        if request is None:
            break
        (late if request.is_expired(now_ns) else batch).append(request)
    return batch, late


def useful_batch(service_ms: Callable[[int], float], limit: int) -> int:
    """The largest batch that still gains.

    Args:
        service_ms: what a batch takes.
        limit: most frames the engine takes, >= 1.
    Returns:
        1, 2, 4 ... or the limit itself: the last size whose step paid for itself.
    """
    best = 1
    while best < limit:
        larger = min(2 * best, limit)
        gain = (larger / service_ms(larger)) / (best / service_ms(best))
        if gain < 1 + (GAIN_MIN - 1) * (larger / best - 1):
            break
        best = larger
    return best
