"""How fast a session is, in the words of MLPerf Inference, and how many cameras it holds.

`SingleStream` (one sample after the other, p90), `MultiStream` (eight samples a query, p99), `Server` (Poisson arrivals, p99
within a bound) and `Offline` (all samples at once, samples a second) follow the definitions of mlcommons/inference
(mlperf.conf). `Fleet` is ours: cameras that each keep a beat, and a deadline for each frame. Runs here are shorter than the
600 s that a submission needs, so a figure is a measurement by these definitions and not a submission; `n` says how long it was.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fleetsight.accel.measure.latency import Latency, MeasureError, percentile
from fleetsight.accel.measure.waiting import (
    SteadyTicker,
    Ticker,
    camera_arrivals,
    largest,
    poisson_arrivals,
    serve_in_turn,
    simulated,
)
from fleetsight.accel.session import Arrays, Session

MULTI_STREAM_SAMPLES = 8
"""Samples in a query of MultiStream (mlperf.conf: samples_per_query)."""

SERVER_SHARE = 0.99
"""Share of requests that must be answered within the bound; also of frames within their deadline."""

SEARCH_QUERIES = 2000
"""Requests in each simulated try: the 99th percentile of them rests on twenty."""

SEARCH_STEPS = 100
"""Rates are searched in hundredths of what back-to-back batches would give."""

SEARCH_S = 5.0
"""Seconds that a simulated fleet sends; cameras keep their beat, so nothing changes later but for queues that grow."""

SEARCH_FRAMES, SEARCH_BEATS = 20_000, 3
"""A simulated fleet of thousands sends for less long, so that a try stays below a tenth of a second, but for some beats."""

CONFIRM_TRIES = 8
"""Real runs after a search. One that does not hold gives better service times, and the search starts from those."""

STEP_DOWN = 0.95
"""A load that did not hold is not tried again: the next is at most this share of it."""

CAMERAS_MAX = 10_000


@dataclass(frozen=True)
class Subject:
    """An open session and what is fed to it.

    Attributes:
        session: what is measured.
        batches: full batches as the session takes them; used in turn, again from the first.
        size: samples in a batch.
    """

    session: Session
    batches: tuple[Arrays, ...]
    size: int

    def __post_init__(self) -> None:
        if not self.batches or self.size < 1:
            raise MeasureError(f"nothing to measure with: {len(self.batches)} batches of {self.size}")

    def endless(self) -> Iterator[Arrays]:
        """The batches, again and again."""
        return itertools.cycle(self.batches)


@dataclass(frozen=True)
class Throughput:
    """Many samples at once.

    Attributes:
        images_per_s: samples a second.
        samples: how many.
        seconds: from the first request to the last answer.
    """

    images_per_s: float
    samples: int
    seconds: float


@dataclass(frozen=True)
class Served:
    """Independent callers served within a bound.

    Attributes:
        rate_hz: requests a second that were held; 0 when not even a few were.
        bound_ms: 99 of a hundred had to be answered within this.
        latency: of the run that held; None when none did.
    """

    rate_hz: float
    bound_ms: float
    latency: Latency | None


@dataclass(frozen=True)
class Fleet:
    """Cameras that one session holds.

    Attributes:
        cameras: how many; 0 when not even one.
        rate_hz: frames a second of each.
        deadline_ms: 99 of a hundred frames had to be answered within this.
        latency: of the run that held; None when none did.
    """

    cameras: int
    rate_hz: float
    deadline_ms: float
    latency: Latency | None


def warm_up(subject: Subject, *, seconds: float, ticker: Ticker | None = None) -> int:
    """Run until compiling, paging and clocks have settled.

    Args:
        subject: what to warm.
        seconds: at least this long, and at least one batch by each way in (`run` and `map`).
        ticker: the time.

    Returns:
        batches that were run.
    """
    time = ticker or SteadyTicker()
    until_s = time.now_s() + seconds
    ran = len(list(subject.session.map(subject.batches[:1])))
    for batch in subject.endless():
        subject.session.run(*batch)
        ran += 1
        if time.now_s() >= until_s:
            break
    return ran


def service_times(subject: Subject, *, queries: int, ticker: Ticker | None = None) -> list[float]:
    """Time of each of many batches, one after the other.

    Args:
        subject: what is measured.
        queries: how many batches, >= 1.
        ticker: the time.

    Returns:
        seconds of each.
    """
    time = ticker or SteadyTicker()
    seconds = []
    for batch in itertools.islice(subject.endless(), queries):
        began_s = time.now_s()
        subject.session.run(*batch)
        seconds.append(time.now_s() - began_s)
    return seconds


def single_stream(subject: Subject, *, queries: int = 1024, ticker: Ticker | None = None) -> Latency:
    """SingleStream: the next sample is sent when the answer came; the figure is the 90th percentile.

    Args:
        subject: a session of batch 1.
        queries: how many samples; MLPerf asks for 1,024.
        ticker: the time.

    Returns:
        times of one sample.

    Raises:
        MeasureError: the session takes more than one sample at once.
    """
    if subject.size != 1:
        raise MeasureError(
            f"SingleStream sends one sample at a time, this session takes {subject.size}", hint="open it with batch 1"
        )
    return Latency.of(service_times(subject, queries=queries, ticker=ticker))


def multi_stream(subject: Subject, *, queries: int = 256, ticker: Ticker | None = None) -> Latency:
    """MultiStream: queries of eight samples one after the other; the figure is the 99th percentile of a query.

    Args:
        subject: a session of any batch; a last batch that is not full is sent full.
        queries: how many.
        ticker: the time.

    Returns:
        times of a query of eight samples.
    """
    time = ticker or SteadyTicker()
    count = -(-MULTI_STREAM_SAMPLES // subject.size)
    batches = subject.endless()
    seconds = []
    for _ in range(queries):
        query = list(itertools.islice(batches, count))
        began_s = time.now_s()
        for _answer in subject.session.map(query):
            pass
        seconds.append(time.now_s() - began_s)
    return Latency.of(seconds)


def offline(subject: Subject, *, samples: int = 24_576, ticker: Ticker | None = None) -> Throughput:
    """Offline: all samples are there from the start; the figure is samples a second.

    Args:
        subject: a session of any batch and any number of streams.
        samples: at least this many, rounded up to full batches; MLPerf asks for 24,576.
        ticker: the time.

    Returns:
        samples a second.

    Raises:
        MeasureError: no samples, or they took no time at all.
    """
    time = ticker or SteadyTicker()
    count = -(-samples // subject.size)
    began_s = time.now_s()
    answered = sum(1 for _ in subject.session.map(itertools.islice(subject.endless(), max(0, count))))
    seconds = time.now_s() - began_s
    if answered < 1 or seconds <= 0.0:
        raise MeasureError(f"{answered} batches in {seconds:g} s are no measurement", hint="ask for more samples")
    return Throughput(images_per_s=answered * subject.size / seconds, samples=answered * subject.size, seconds=seconds)


def server(
    subject: Subject, *, bound_ms: float, queries: int = 1000, seed: int = 0, ticker: Ticker | None = None
) -> Served:
    """Server: the largest rate of Poisson arrivals of which 99 of a hundred are answered within a bound.

    Args:
        subject: a session; it is used as one lane, a batch at a time.
        bound_ms: MLPerf's bound is 15 ms for ResNet-50 and 100 ms for detectors.
        queries: requests of the run that confirms; a hundredth of them may be late.
        seed: chooses the arrivals.
        ticker: the time.

    Returns:
        the rate that a real run held.
    """
    time = ticker or SteadyTicker()
    service_s = service_times(subject, queries=min(queries, 200), ticker=time)
    rate_hz = math.inf
    for _ in range(CONFIRM_TRIES):
        rate_hz = min(rate_hz * STEP_DOWN, _rate_held(service_s, subject.size, bound_ms=bound_ms, seed=seed))
        if rate_hz <= 0.0:
            break
        latency, service_s = _real_run(poisson_arrivals(rate_hz, queries, seed=seed + 1), subject, time)
        if latency.p99_ms <= bound_ms:
            return Served(rate_hz=rate_hz, bound_ms=bound_ms, latency=latency)
    return Served(rate_hz=0.0, bound_ms=bound_ms, latency=None)


def _rate_held(service_s: Sequence[float], size: int, *, bound_ms: float, seed: int) -> float:
    """The largest rate that holds by simulation, in hundredths of what back-to-back batches would give."""
    full_hz = size / percentile(service_s, 0.5)

    def is_held(step: int) -> bool:
        arrivals_s = poisson_arrivals(full_hz * step / SEARCH_STEPS, SEARCH_QUERIES, seed=seed)
        return percentile(simulated(arrivals_s, service_s, batch=size), SERVER_SHARE) * 1000.0 <= bound_ms

    return full_hz * largest(is_held, most=SEARCH_STEPS) / SEARCH_STEPS


@dataclass(frozen=True)
class Beat:
    """What each camera of a fleet asks for.

    Attributes:
        rate_hz: frames a second.
        deadline_ms: a frame is worth nothing later than this after it was taken.
    """

    rate_hz: float = 5.0
    deadline_ms: float = 200.0


def fleet(subject: Subject, beat: Beat, *, seconds: float = 10.0, seed: int = 0, ticker: Ticker | None = None) -> Fleet:
    """Fleet: how many cameras a session holds when 99 of a hundred frames have to be answered by their deadline.

    Args:
        subject: a session; it is used as one lane, a batch at a time.
        beat: frames a second of each camera, and their deadline.
        seconds: length of the run that confirms.
        seed: chooses when each camera begins.
        ticker: the time.

    Returns:
        cameras that a real run held.
    """
    time = ticker or SteadyTicker()
    service_s = service_times(subject, queries=100, ticker=time)
    cameras = CAMERAS_MAX
    for _ in range(CONFIRM_TRIES):
        cameras = min(int(cameras * STEP_DOWN), _cameras_held(service_s, subject.size, beat=beat, seed=seed))
        if cameras < 1:
            break
        arrivals_s = camera_arrivals(cameras, beat.rate_hz, seconds=seconds, seed=seed + 1)
        latency, service_s = _real_run(arrivals_s, subject, time)
        if latency.p99_ms <= beat.deadline_ms:
            return Fleet(cameras=cameras, rate_hz=beat.rate_hz, deadline_ms=beat.deadline_ms, latency=latency)
    return Fleet(cameras=0, rate_hz=beat.rate_hz, deadline_ms=beat.deadline_ms, latency=None)


def _cameras_held(service_s: Sequence[float], size: int, *, beat: Beat, seed: int) -> int:
    """The largest fleet that holds by simulation."""
    full = int(size / percentile(service_s, 0.5) / beat.rate_hz)

    def is_held(cameras: int) -> bool:
        seconds = min(SEARCH_S, max(SEARCH_BEATS / beat.rate_hz, SEARCH_FRAMES / (cameras * beat.rate_hz)))
        arrivals_s = camera_arrivals(cameras, beat.rate_hz, seconds=seconds, seed=seed)
        return percentile(simulated(arrivals_s, service_s, batch=size), SERVER_SHARE) * 1000.0 <= beat.deadline_ms

    return largest(is_held, most=min(full + 1, CAMERAS_MAX))


def _real_run(arrivals_s: Sequence[float], subject: Subject, ticker: Ticker) -> tuple[Latency, list[float]]:
    """Serve requests for real: how long they took, and what serving each batch took."""
    batches = subject.endless()
    service_s: list[float] = []

    def serve() -> None:
        began_s = ticker.now_s()
        subject.session.run(*next(batches))
        service_s.append(ticker.now_s() - began_s)

    return Latency.of(serve_in_turn(arrivals_s, serve, batch=subject.size, ticker=ticker)), service_s
