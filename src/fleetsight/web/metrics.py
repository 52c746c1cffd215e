"""What Prometheus scrapes at ``/metrics``: rates, errors and durations of requests, ages of queues, money that waits.

Requests are counted in this process, as they pass. Everything else is read from rows when it is asked for, so that it is true
after a restart and covers the workers too; a reading is kept for a moment, so that scraping often costs the database little.
"""

import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
READING_KEPT_S = 2.0
"""Shorter than any usual interval of scraping (15 s), longer than a burst of them."""
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""With borders at 0.3 s and 1 s: what an unlock may take at the 99th percentile, in quiet and in overload."""

_OPERATIONS = (  # the first that fits "METHOD PATH" names the operation
    (re.compile(r"POST /v1/shopper/sessions$"), "unlock"),
    (re.compile(r"\w+ /v1/device/uploads(/|$)"), "upload"),
    (re.compile(r"GET /v1/device/commands$"), "wait_for_command"),
    (re.compile(r"\w+ /v1/(device|enrolments)(/|$)"), "device"),
    (re.compile(r"\w+ /v1/shoppers?(/|$)"), "shopper"),
    (re.compile(r"\w+ /v1/operator(/|$)"), "operator"),
    (re.compile(r"\w+ /v1/webhooks(/|$)"), "provider"),
    (re.compile(r"\w+ /(metrics|healthz|readyz)$"), "watching"),
    (re.compile(r"\w+ /(shop|q)(/|$)"), "shopper_page"),
    (re.compile(r"\w+ /operator(/|$)"), "operator_page"),
)


def operation_of(method: str, path: str) -> str:
    """Name the class of a request, so that the number of series does not grow with what strangers ask for.

    Args:
        method: of the request.
        path: of the request.
    Returns:
        one of a closed list of names.
    """
    asked = f"{method} {path}"
    return next((name for pattern, name in _OPERATIONS if pattern.match(asked)), "other")


@dataclass(frozen=True)
class Reading:
    """One figure read from rows.

    Attributes:
        name: of the gauge, unit last, without the prefix ``fleetsight_``.
        text: what it says, for people.
        value: now.
        labels: pairs of name and value; the same names wherever the gauge has the same name.
    """

    name: str
    text: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()


Read = Callable[[], Sequence[Reading]]


class Metrics:
    """The figures of one API process.

    Args:
        read: gives what is known from rows; called at most every `READING_KEPT_S`.
    """

    def __init__(self, read: Read) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._requests = Counter(
            "fleetsight_requests", "Requests answered.", ["operation", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "fleetsight_request_duration_seconds",
            "Time to the end of the answer.",
            ["operation"],
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._under_way = Gauge("fleetsight_requests_under_way", "Requests not answered yet.", registry=self._registry)
        self._registry.register(_FromRows(read))

    def exposition(self) -> bytes:
        """What a scrape gets.

        Returns:
            Prometheus' text format, version 0.0.4.
        """
        return generate_latest(self._registry)

    def observe(self, operation: str, status: int, *, seconds: float) -> None:
        """Count one answered request.

        Args:
            operation: as `operation_of` names it.
            status: of HTTP; kept as its class, such as ``4xx``.
            seconds: from the request to the end of the answer.
        """
        self._requests.labels(operation, f"{status // 100}xx").inc()
        self._seconds.labels(operation).observe(seconds)

    def under_way(self, change: int) -> None:
        """Note that a request began or ended.

        Args:
            change: 1 or -1.
        """
        self._under_way.inc(change)


class _FromRows(Collector):
    """Reads rows when scraped, and not again for a moment."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._kept: list[Metric] = []
        self._until_s = 0.0

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            if time.monotonic() >= self._until_s:
                self._kept = families(self._read())
                self._until_s = time.monotonic() + READING_KEPT_S
            return list(self._kept)


def families(readings: Sequence[Reading]) -> list[Metric]:
    """Put the readings of each gauge together.

    Args:
        readings: in any order.
    Returns:
        one family for each name.
    """
    found: dict[str, GaugeMetricFamily] = {}
    for reading in readings:
        names = [name for name, _ in reading.labels]
        family = found.setdefault(
            reading.name, GaugeMetricFamily(f"fleetsight_{reading.name}", reading.text, labels=names)
        )
        family.add_metric([value for _, value in reading.labels], reading.value)
    return list(found.values())


class Timed:
    """Counts and times every HTTP request that passes.

    Args:
        app: what answers.
        metrics: where to.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500  # what a request ends with that raises, or that its client left
        begin_s = time.perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._metrics.under_way(1)
        try:
            await self._app(scope, receive, noting)
        finally:
            self._metrics.under_way(-1)
            operation = operation_of(scope["method"], scope["path"])
            self._metrics.observe(operation, status, seconds=time.perf_counter() - begin_s)
