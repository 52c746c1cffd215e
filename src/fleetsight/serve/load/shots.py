"""What a load generator saw: one row for each request that should have been sent, whether or not it was answered.

Rows are columns of numpy arrays, so that a million requests fit and generators in several processes hand them over cheaply.
Latency runs from the *scheduled* send: a server that stalls, or a generator that is late, cannot hide waiting time
(coordinated omission; Gil Tene, "How NOT to Measure Latency", 2013).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from fleetsight.errors import Error


class LoadError(Error):
    """A load test that cannot be run as asked, or whose server does not answer."""

    code = "load"


class Outcome(IntEnum):
    """How a request ended."""

    ANSWERED = 0
    REJECTED = 1  # 429 or 503: refused, and said so
    FAILED = 2  # any other status, a broken connection, no answer in time


@dataclass(frozen=True)
class Shots:
    """Requests of one run, by scheduled send.

    Attributes:
        scheduled_s: (n,) when each should have been sent, seconds since the run began.
        latency_ms: (n,) from the scheduled send to the last byte of the answer, or to the moment of failure.
        outcome: (n,) an `Outcome` each.
        lag_ms: (n,) how late the generator sent.
        batch: (n,) frames in the batch that the request was answered in, as the server said; 0 where it did not.
        service_ms: (n,) what that batch took, as the server said; nan where it did not.
        cpu_s: processor time of the generators.
        wall_s: time of the run.
    """

    scheduled_s: NDArray[np.float64]
    latency_ms: NDArray[np.float64]
    outcome: NDArray[np.uint8]
    lag_ms: NDArray[np.float64]
    batch: NDArray[np.int32]
    service_ms: NDArray[np.float64]
    cpu_s: float
    wall_s: float

    def __len__(self) -> int:
        return len(self.scheduled_s)

    def after(self, warm_up_s: float) -> "Shots":
        """Leave the first seconds out.

        Args:
            warm_up_s: seconds since the run began.

        Returns:
            the requests that were scheduled later.
        """
        return self.rows(np.flatnonzero(self.scheduled_s >= warm_up_s))

    def rows(self, index: NDArray[np.intp]) -> "Shots":
        """Pick rows.

        Args:
            index: (m,) numbers of rows.

        Returns:
            those rows, in that order.
        """
        return Shots(
            scheduled_s=self.scheduled_s[index],
            latency_ms=self.latency_ms[index],
            outcome=self.outcome[index],
            lag_ms=self.lag_ms[index],
            batch=self.batch[index],
            service_ms=self.service_ms[index],
            cpu_s=self.cpu_s,
            wall_s=self.wall_s,
        )


def joined(parts: Sequence[Shots]) -> Shots:
    """Put what several generators saw together.

    Args:
        parts: one or more runs that went on at the same time.

    Returns:
        all their requests by scheduled send; processor times are added, the longest run counts.

    Raises:
        LoadError: there are no parts.
    """
    if not parts:
        raise LoadError("no generator reported")
    whole = Shots(
        scheduled_s=np.concatenate([part.scheduled_s for part in parts]),
        latency_ms=np.concatenate([part.latency_ms for part in parts]),
        outcome=np.concatenate([part.outcome for part in parts]),
        lag_ms=np.concatenate([part.lag_ms for part in parts]),
        batch=np.concatenate([part.batch for part in parts]),
        service_ms=np.concatenate([part.service_ms for part in parts]),
        cpu_s=sum(part.cpu_s for part in parts),
        wall_s=max(part.wall_s for part in parts),
    )
    return whole.rows(np.argsort(whole.scheduled_s, kind="stable"))


def percentile(values: NDArray[np.float64], percent: float) -> float:
    """The nearest-rank percentile: a value that occurred, with at least `percent` of all at or below it.

    Args:
        values: (n,) numbers in any order.
        percent: above 0, at most 100.

    Returns:
        the value; nan when there are none.
    """
    if len(values) == 0:
        return math.nan
    rank = math.ceil(percent / 100 * len(values) - 1e-9)
    return float(np.partition(values, rank - 1)[rank - 1])
