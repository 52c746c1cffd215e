"""What Prometheus scrapes from the inference service. The model is a label, never part of a name; durations are histograms.

Counters move as requests pass; depths, ages and prices are read from the deployments when somebody scrapes.
"""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fleetsight.serve.queueing.deployment import Deployment
from fleetsight.serve.queueing.request import SECOND_NS, Answer, Outcome, Reason, Request, Times
from fleetsight.serve.tier.recent import Recent

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
RATIOS = (0.25, 0.5, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 5.0)
"""Of actual and predicted time: 1 is a prediction that holds."""


class Meter:
    """The figures of one API tier.

    Args:
        is_on: False counts nothing: to measure what counting costs (reference N10).

    Attributes:
        recent: the last minute.
    """

    def __init__(self, *, is_on: bool = True) -> None:
        self.recent = Recent()
        self.registry = CollectorRegistry(auto_describe=False)
        self._is_on = is_on
        self._children: dict[tuple[str, ...], tuple[Counter, Histogram]] = {}
        self._batches: dict[tuple[str, str], tuple[Histogram, Histogram, Histogram, Histogram]] = {}
        make = self._histogram
        self._outcomes = self._counter("requests", "Requests by what became of them.", "model", "variant", "priority")
        self._seconds = make("request_duration_seconds", "From the whole request to its outcome.", "model", "priority")
        self._refused = self._counter("refused", "Requests without an answer, by reason.", "model", "reason")
        self._batch = make(
            "batch_frames", "Frames of the batch an answer came from.", "model", "variant", buckets=BATCHES
        )
        self._service = make("service_duration_seconds", "Time of that batch.", "model", "variant")
        self._queued = make("queue_duration_seconds", "Time at the replica before the batch.", "model", "variant")
        self._ratio = make("service_time_ratio", "Actual by predicted time.", "model", "variant", buckets=RATIOS)
        self._retries = self._counter("redispatched", "Requests handed to a second backend.", "model")
        self._deaths = self._counter("backend_deaths", "Backends that died or were ended.", "model", "variant")
        self._scalings = self._counter("scalings", "Decisions about replicas.", "model", "variant", "direction")
        self._wanted = Gauge(
            "fleetsight_serve_replicas_wanted",
            "Replicas that there should be, where they are scaled.",
            ["model", "variant"],
            registry=self.registry,
        )
        self._agreement = Gauge(
            "fleetsight_serve_trial_agreement_ratio",
            "Mean agreement of the candidate.",
            ["model", "candidate"],
            registry=self.registry,
        )

    def watch(self, deployments: Callable[[], Iterable[Deployment]], now_ns: Callable[[], int]) -> None:
        """Read depths, ages and prices of deployments when scraped.

        Args:
            deployments: gives them.
            now_ns: monotonic.
        """
        self.registry.register(_Depths(deployments, now_ns))

    def exposition(self) -> bytes:
        """What a scrape gets: Prometheus' text format."""
        return generate_latest(self.registry)

    def outcome(self, request: Request, outcome: Outcome, *, seconds: float) -> None:
        """Count what became of a request."""
        if not self._is_on:
            return
        is_answer = isinstance(outcome, Answer)
        key = (request.model, outcome.variant if isinstance(outcome, Answer) else "", request.priority.name.lower())
        if (
            isinstance(outcome, Answer) or outcome.reason is not Reason.UNKNOWN_MODEL
        ):  # of which strangers make any number
            found = self._children.get(key)
            if found is None:
                found = (self._outcomes.labels(*key), self._seconds.labels(key[0], key[2]))
                self._children[key] = found
            found[0].inc()
            if is_answer:
                found[1].observe(seconds)
        if isinstance(outcome, Answer):
            self.recent.answered(request.model, outcome.variant, seconds=seconds)
        else:
            self.refused(request.model, outcome.reason)

    def refused(self, model: str, reason: Reason) -> None:
        """Count a refusal, also one before there was a whole request."""
        if self._is_on:
            known = "" if reason is Reason.UNKNOWN_MODEL else model
            self._refused.labels(known, reason.word).inc()
            if known:
                self.recent.refused(known, reason)

    def served(self, model: str, variant: str, *, times: Times, predicted_ms: float) -> None:
        """Note where the time of an answer went."""
        if not self._is_on:
            return
        found = self._batches.get((model, variant))
        if found is None:
            kinds = (self._batch, self._service, self._queued, self._ratio)
            batch, service, queued, ratio = (kind.labels(model, variant) for kind in kinds)
            found = self._batches[model, variant] = (batch, service, queued, ratio)
        found[0].observe(times.batch)
        found[1].observe(times.service / 1000)
        found[2].observe(times.queue / 1000)
        found[3].observe(times.service / max(predicted_ms, 1e-6))

    def redispatched(self, model: str, count: int = 1) -> None:
        """Count requests that wait for another try."""
        self._retries.labels(model).inc(count)

    def died(self, model: str, variant: str) -> None:
        """Count a death."""
        self._deaths.labels(model, variant).inc()

    def scaled(self, model: str, variant: str, *, wanted: int, before: int) -> None:
        """Note how many replicas there should be."""
        self._wanted.labels(model, variant).set(wanted)
        if wanted != before:
            self._scalings.labels(model, variant, "up" if wanted > before else "down").inc()

    def compared(self, model: str, candidate: str, *, mean: float) -> None:
        """Note how far a candidate agrees."""
        self._agreement.labels(model, candidate).set(mean)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"fleetsight_serve_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str, buckets: tuple[float, ...] = SECONDS) -> Histogram:
        return Histogram(f"fleetsight_serve_{name}", text, labels, buckets=buckets, registry=self.registry)


class _Depths(Collector):
    """Reads deployments when scraped."""

    def __init__(self, deployments: Callable[[], Iterable[Deployment]], now_ns: Callable[[], int]) -> None:
        self._deployments = deployments
        self._now_ns = now_ns

    def collect(self) -> Iterable[Metric]:
        now_ns = self._now_ns()
        names = {
            "queue_frames": "Frames that no backend holds.",
            "queue_age_seconds": "Age of the oldest of them.",
            "held_frames": "Frames that backends hold.",
            "backends_up": "Backends that can be asked.",
            "usd_per_hour": "What the backends cost.",
            "usd_per_million_frames": "What a million frames cost when they are kept busy.",
        }
        families = {
            name: GaugeMetricFamily(f"fleetsight_serve_{name}", text, labels=["model", "variant"])
            for name, text in names.items()
        }
        for deployment in self._deployments():
            for lane in deployment.lanes.values():
                oldest_ns = lane.line.oldest_ns()
                values = {
                    "queue_frames": len(lane.line),
                    "queue_age_seconds": 0.0 if oldest_ns is None else (now_ns - oldest_ns) / SECOND_NS,
                    "held_frames": sum(len(seat.running) for seat in lane.seats.values()),
                    "backends_up": sum(seat.is_usable(now_ns) for seat in lane.seats.values()),
                    "usd_per_hour": lane.usd_per_hour * len(lane.seats),
                    "usd_per_million_frames": lane.usd_per_frame() * 1e6,
                }
                for name, value in values.items():
                    families[name].add_metric([deployment.model, lane.variant], value)
        return families.values()
