"""Generators in processes of their own, so that they share no interpreter lock with the server or with each other."""

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import TracebackType
from typing import Self

import numpy as np

from fleetsight.serve.load.arrivals import poisson_times
from fleetsight.serve.load.generator import TIMEOUT_S, Volley, fire
from fleetsight.serve.load.line import Payload, Target
from fleetsight.serve.load.shots import LoadError, Shots, joined

PROCESSES_MAX = 64
"""Most generators of one machine."""

START_S = 0.05
"""From handing the volleys out to the first request; covers the way to the processes."""

_PAYLOADS: list[Payload] = []


def _load(payloads: list[Payload]) -> None:
    _PAYLOADS[:] = payloads


def _fire(volley: Volley) -> Shots:
    return fire(volley, _PAYLOADS)


def _ready(_number: int) -> None:
    time.sleep(0.02)  # each process takes one


class Generators:
    """Generator processes that are kept between runs; a context.

    Args:
        payloads: bodies, sent in turn.
        processes: how many generators.

    Raises:
        LoadError: there are no bodies, or the number of processes makes no sense.
    """

    def __init__(self, payloads: Sequence[Payload], *, processes: int = 1) -> None:
        if not payloads:
            raise LoadError("there are no bodies to send", hint="name a folder of JPEG files with --images")
        if not 1 <= processes <= PROCESSES_MAX:
            raise LoadError(f"{processes} generator processes, expected 1 to {PROCESSES_MAX}")
        self._processes = processes
        self._pool = ProcessPoolExecutor(
            processes, mp_context=get_context("spawn"), initializer=_load, initargs=(list(payloads),)
        )
        list(self._pool.map(_ready, range(processes)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def open_loop(self, target: Target, rate_hz: float, *, duration_s: float, seed: int) -> Shots:
        """Offer a Poisson process.

        Args:
            target: where to.
            rate_hz: mean rate of all generators together.
            duration_s: how long.
            seed: of the arrivals.

        Returns:
            every request that was due.
        """
        share_hz = rate_hz / self._processes  # independent Poisson processes add up to one
        start_s = time.monotonic() + START_S
        volleys = [
            Volley(
                target=target,
                start_s=start_s,
                times_s=poisson_times(share_hz, duration_s, seed=seed * PROCESSES_MAX + number),
                callers=0,
                duration_s=duration_s,
                bodies_from=number * 7,
            )
            for number in range(self._processes)
        ]
        return joined(list(self._pool.map(_fire, volleys)))

    def closed_loop(self, target: Target, callers: int, *, duration_s: float) -> Shots:
        """Let patient callers send one request after the other.

        Args:
            target: where to.
            callers: of all generators together, at least 1.
            duration_s: how long.

        Returns:
            every request that was sent.

        Raises:
            LoadError: there are no callers.
        """
        if callers < 1:
            raise LoadError(f"{callers} callers, expected at least 1")
        busy = min(self._processes, callers)
        start_s = time.monotonic() + START_S
        volleys = [
            Volley(
                target=target,
                start_s=start_s,
                times_s=np.empty(0),
                callers=callers // busy + (number < callers % busy),
                duration_s=duration_s,
                timeout_s=TIMEOUT_S,
                bodies_from=number * 7,
            )
            for number in range(busy)
        ]
        return joined(list(self._pool.map(_fire, volleys)))
