"""Requests that arrive while others are served: one lane, first come first served, as many at once as a batch holds.

The loop takes its time from a `Ticker`. With `SteadyTicker` it is a measurement: requests really wait. With `VirtualTicker`
it is arithmetic over service times that were measured before; the search for the largest load uses that, and one real run
confirms what it found. Both are the same loop, so they cannot disagree about what waiting means.
"""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from fleetsight.accel.measure.latency import MeasureError


class Ticker(Protocol):
    """A clock that never steps backwards and that one can wait for."""

    def now_s(self) -> float:
        """Seconds since some moment."""
        ...

    def wait_until(self, moment_s: float) -> None:
        """Wait for a moment; at once when it has passed."""
        ...


class SteadyTicker:
    """The machine's monotonic clock."""

    def now_s(self) -> float:
        return time.perf_counter()

    def wait_until(self, moment_s: float) -> None:
        left_s = moment_s - time.perf_counter()
        if left_s > 0.0:
            time.sleep(left_s)


class VirtualTicker:
    """A clock that costs no time: waiting moves it, and so does `advance`."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def now_s(self) -> float:
        return self._now_s

    def wait_until(self, moment_s: float) -> None:
        self._now_s = max(self._now_s, moment_s)

    def advance(self, by_s: float) -> None:
        """Let time pass.

        Args:
            by_s: seconds, >= 0.
        """
        self._now_s += by_s


def serve_in_turn(arrivals_s: Sequence[float], serve: Callable[[], None], *, batch: int, ticker: Ticker) -> list[float]:
    """Serve requests in the order of their arrival.

    The server takes what waits, at most a batch, and never waits for a batch to fill: the frame that is there decides.

    Args:
        arrivals_s: seconds after the start at which requests come, ascending.
        serve: serves one batch, full or not, and returns when it is done.
        batch: most requests that are served at once, >= 1.
        ticker: the time.

    Returns:
        seconds from arrival to answer for each request, in order.

    Raises:
        MeasureError: a batch below 1.
    """
    if batch < 1:
        raise MeasureError(f"a batch holds at least one request, got {batch}")
    start_s = ticker.now_s()
    latencies: list[float] = []
    first = 0
    while first < len(arrivals_s):
        ticker.wait_until(start_s + arrivals_s[first])
        since_s = ticker.now_s() - start_s
        last = first + 1
        while last < len(arrivals_s) and last - first < batch and arrivals_s[last] <= since_s:
            last += 1
        serve()
        done_s = ticker.now_s() - start_s
        latencies += [done_s - arrived_s for arrived_s in arrivals_s[first:last]]
        first = last
    return latencies


def simulated(arrivals_s: Sequence[float], service_s: Sequence[float], *, batch: int) -> list[float]:
    """What `serve_in_turn` would measure if serving took the given times, in turn.

    Args:
        arrivals_s: seconds after the start at which requests come, ascending.
        service_s: measured times of serving one batch; used again from the first when there are fewer than needed.
        batch: most requests that are served at once.

    Returns:
        seconds from arrival to answer for each request, in order.

    Raises:
        MeasureError: no service times, or a batch below 1.
    """
    if not service_s:
        raise MeasureError("there are no service times to simulate with")
    ticker = VirtualTicker()
    served = 0

    def serve() -> None:
        nonlocal served
        ticker.advance(service_s[served % len(service_s)])
        served += 1

    return serve_in_turn(arrivals_s, serve, batch=batch, ticker=ticker)


def poisson_arrivals(rate_hz: float, count: int, *, seed: int) -> list[float]:
    """Requests of many independent callers.

    Args:
        rate_hz: requests a second on average, above 0.
        count: how many.
        seed: chooses them.

    Returns:
        seconds at which they come, ascending.
    """
    gaps = np.random.default_rng(seed).exponential(1.0 / rate_hz, size=count)
    return [float(moment) for moment in np.cumsum(gaps)]


def camera_arrivals(cameras: int, rate_hz: float, *, seconds: float, seed: int) -> list[float]:
    """Frames of cameras that each keep their own beat; they do not start together.

    Args:
        cameras: how many, >= 1.
        rate_hz: frames a second of each, above 0.
        seconds: how long they send; each sends at least one frame.
        seed: chooses when each begins, within its first period.

    Returns:
        seconds at which frames come, ascending.
    """
    starts = np.random.default_rng(seed).uniform(0.0, 1.0 / rate_hz, size=cameras)
    beats = np.arange(max(1, round(seconds * rate_hz))) / rate_hz
    return [float(moment) for moment in np.sort((starts[:, None] + beats[None, :]).ravel())]


def largest(fits: Callable[[int], bool], *, most: int) -> int:
    """The largest number that fits, where all below it fit too.

    Args:
        fits: whether a number fits.
        most: no larger number is tried.

    Returns:
        0 to `most`.
    """
    low, high = 0, most + 1  # low fits (nothing always does), high does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
