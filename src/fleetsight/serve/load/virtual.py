"""A batching server in virtual time: what a profile says would happen, without a machine.

The discipline is the data plane's: a free replica takes what waits, up to the largest batch, and never waits for more; a request whose
predicted finish lies beyond its deadline is refused when it arrives. Used by plans to predict a knee and by tests of the search for it.
"""

import heapq
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fleetsight.serve.load.arrivals import poisson_times
from fleetsight.serve.load.curve import CurvePoint, summarise
from fleetsight.serve.load.knee import find_knee
from fleetsight.serve.load.shots import Outcome, Shots
from fleetsight.serve.profile import Profile

Z99 = 2.326347874
"""The 99 % quantile of the standard normal distribution: turns p99 / p50 into the spread of a log-normal service time."""

REQUESTS = 6000
"""Requests of one virtual run: a share of 0.99 then has a standard error of 0.13 %."""


@dataclass(frozen=True)
class VirtualServer:
    """A server made of a profile.

    Attributes:
        profile: service times, replicas and deadline.
        refuses: refuse what would be late, instead of letting it wait.
        overhead_ms: what HTTP and scheduling add to each request, outside of the replica.
    """

    profile: Profile
    refuses: bool = True
    overhead_ms: float = 0.5

    @property
    def batch_max(self) -> int:
        """The largest measured batch of which two in a row still meet the deadline; the smallest batch when none does."""
        batches = [point.batch for point in self.profile.service if 2 * point.p99_ms <= self.profile.slo_ms]
        return max(batches, default=1)

    def run(self, arrivals_s: NDArray[np.float64], *, seed: int) -> Shots:
        """Serve arrivals in virtual time.

        Args:
            arrivals_s: (n,) rising.
            seed: of the service times.

        Returns:
            what a generator would have seen.
        """
        rng = np.random.default_rng([seed, 1])
        count = len(arrivals_s)
        draws = rng.standard_normal(count).tolist()
        median_ms, spread = self._tables()
        batch_max, overhead_ms = self.batch_max, self.overhead_ms
        done_s = np.array(arrivals_s)
        outcome = np.full(count, Outcome.REJECTED, dtype=np.uint8)
        batch_of = np.zeros(count, dtype=np.int32)
        took_ms = np.full(count, np.nan)
        free_s = [0.0] * self.profile.replicas
        heapq.heapify(free_s)
        waiting: list[int] = []
        due_s: list[float] = arrivals_s.tolist()
        launched = 0

        def launch_until(now_s: float) -> None:
            nonlocal launched
            while waiting and max(free_s[0], due_s[waiting[0]]) <= now_s:
                start_s = max(heapq.heappop(free_s), due_s[waiting[0]])
                ready = [index for index in waiting[:batch_max] if due_s[index] <= start_s]
                del waiting[: len(ready)]
                service_ms = median_ms[len(ready)] * math.exp(spread[len(ready)] * draws[launched])
                launched += 1
                heapq.heappush(free_s, start_s + service_ms / 1000)
                done_s[ready] = start_s + (service_ms + overhead_ms) / 1000
                outcome[ready], batch_of[ready], took_ms[ready] = Outcome.ANSWERED, len(ready), service_ms

        def finish_ms(now_s: float) -> float:
            """From now to the answer of one more request, by the medians of the profile."""
            full, rest = divmod(len(waiting) + 1, batch_max)
            rounds_ms = full / self.profile.replicas * median_ms[batch_max]
            return max(0.0, free_s[0] - now_s) * 1000 + rounds_ms + median_ms[rest] + overhead_ms

        for index, now_s in enumerate(due_s):
            launch_until(now_s)
            if not self.refuses or finish_ms(now_s) <= self.profile.slo_ms:
                waiting.append(index)
        launch_until(math.inf)
        return Shots(
            scheduled_s=arrivals_s,
            latency_ms=(done_s - arrivals_s) * 1000,
            outcome=outcome,
            lag_ms=np.zeros(count),
            batch=batch_of,
            service_ms=took_ms,
            cpu_s=0.0,
            wall_s=float(done_s.max(initial=0.0)),
        )

    def _tables(self) -> tuple[list[float], list[float]]:
        """Median and spread of the log-normal service time of each batch up to the largest; that of an empty one is 0."""
        batches = range(1, self.batch_max + 1)
        median_ms = [self.profile.service_ms(batch) for batch in batches]
        p99_ms = [self.profile.service_ms(batch, quantile="p99") for batch in batches]
        spread = [math.log(max(1.0, high / low)) / Z99 for low, high in zip(median_ms, p99_ms, strict=True)]
        return [0.0, *median_ms], [0.0, *spread]


@lru_cache(maxsize=256)  # pure, and a second long; plans ask again for the same profile
def predicted_knee_hz(server: VirtualServer, *, seed: int = 0, requests: int = REQUESTS) -> float:
    """Predict the knee that a load test would find, from the service times alone.

    Args:
        server: the server.
        seed: of arrivals and service times.
        requests: requests of one virtual run.

    Returns:
        frames a second.
    """
    profile = server.profile
    best_hz = max(1000 * point.batch / point.p50_ms for point in profile.service) * profile.replicas

    def measure(rate_hz: float) -> CurvePoint:
        duration_s = requests / rate_hz
        shots = server.run(poisson_times(rate_hz, duration_s, seed=seed), seed=seed)
        return summarise(shots, slo_ms=profile.slo_ms, window_s=duration_s)

    return find_knee(measure, best_hz * 0.7, tolerance=0.01).knee_hz
