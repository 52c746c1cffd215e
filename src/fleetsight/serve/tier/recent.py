"""What happened lately: rates, times and refusals of the last minute, for the status page and for scaling.

Prometheus gets counters since the start and does the rest itself; a page that nobody has to install anything for needs the minute at hand.
One slot a second; times fall into classes that grow by a tenth, so that noting an answer is two additions and a quantile is 5 % off at most.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from fleetsight.serve.queueing.request import Reason

SPAN_S = 60
"""How far back one looks."""
LEAST_S = 1e-4
GROWTH = math.log(1.1)
CLASSES = 140
"""From 0.1 ms to 60 s, the longest deadline: 1e-4 * 1.1 ** 140 = 62 s."""
NOT_LOAD = frozenset(
    {
        Reason.UNKNOWN_MODEL,
        Reason.BAD_REQUEST,
        Reason.TOO_LARGE,
        Reason.NOT_AN_IMAGE,
        Reason.KEY_REUSED,
        Reason.SLOW_BODY,
    }
)
"""Mistakes of callers: more replicas would not answer them either."""


@dataclass(frozen=True)
class Lately:
    """The last minute of one model.

    Attributes:
        span_s: how long was really looked at.
        answers: how many, by variant.
        times: of answers, by class, by variant; see `quantile_ms`.
        refusals: how many, by reason.
    """

    span_s: float
    answers: Mapping[str, int]
    times: Mapping[str, list[int]]
    refusals: Mapping[Reason, int]


@dataclass
class _Slot:
    second: int
    times: dict[str, list[int]] = field(default_factory=dict)
    refusals: dict[Reason, int] = field(default_factory=dict)


class Recent:
    """Remembers a minute of each model.

    Args:
        now_s: monotonic.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._began_s = now_s()
        self._slots: dict[str, deque[_Slot]] = {}
        self._asked: dict[str, int] = {}

    def answered(self, model: str, variant: str, *, seconds: float) -> None:
        """Note an answer and what it took."""
        times = self._slot(model).times
        found = times.get(variant)
        if found is None:
            found = times[variant] = [0] * CLASSES
        found[min(CLASSES - 1, int(math.log(max(seconds, LEAST_S) / LEAST_S) / GROWTH))] += 1
        self._asked[model] = self._asked.get(model, 0) + 1

    def refused(self, model: str, reason: Reason) -> None:
        """Note a request without an answer."""
        refusals = self._slot(model).refusals
        refusals[reason] = refusals.get(reason, 0) + 1
        if reason not in NOT_LOAD:
            self._asked[model] = self._asked.get(model, 0) + 1

    def asked(self, model: str) -> int:
        """Requests since the start that more replicas could answer, refused ones included."""
        return self._asked.get(model, 0)

    def read(self, model: str) -> Lately:
        """Add up the last minute of a model."""
        now_s = self._now_s()
        times: dict[str, list[int]] = {}
        refusals: dict[Reason, int] = {}
        for slot in self._slots.get(model, ()):
            if slot.second <= int(now_s) - SPAN_S:
                continue
            for variant, classes in slot.times.items():
                times[variant] = added([times[variant], classes]) if variant in times else list(classes)
            for reason, count in slot.refusals.items():
                refusals[reason] = refusals.get(reason, 0) + count
        span_s = max(1.0, min(now_s - self._began_s, now_s - (int(now_s) - SPAN_S + 1)))
        return Lately(span_s, {variant: sum(classes) for variant, classes in times.items()}, times, refusals)

    def _slot(self, model: str) -> _Slot:
        second = int(self._now_s())
        slots = self._slots.get(model)
        if slots is None:
            slots = self._slots[model] = deque(maxlen=SPAN_S)
        if not slots or slots[-1].second != second:
            slots.append(_Slot(second))
        return slots[-1]


def added(many: Iterable[list[int]]) -> list[int]:
    """Times of several variants together.

    Args:
        many: counts by class.
    Returns:
        counts by class.
    """
    return [sum(counts) for counts in zip(*many, strict=True)]


def quantile_ms(classes: list[int], share: float) -> float | None:
    """A quantile of times.

    Args:
        classes: counts by class.
        share: 0-1.
    Returns:
        milliseconds, the geometric middle of its class; None without any.
    """
    wanted, seen = share * sum(classes), 0
    for number, count in enumerate(classes):
        seen += count
        if count and seen >= wanted:
            return LEAST_S * math.exp((number + 0.5) * GROWTH) * 1000
    return None
