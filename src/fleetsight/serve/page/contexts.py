"""What the status page shows, as values; its JSON twin is the same values."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fleetsight.serve.queueing.deployment import Deployment
from fleetsight.serve.queueing.lane import Lane
from fleetsight.serve.queueing.request import SECOND_NS
from fleetsight.serve.tier.recent import Lately, added, quantile_ms
from fleetsight.serve.tier.router import Goal, Router

HOUR_S = 3600.0
FAULT_STATUS = 500
"""Refusals from this HTTP status on are our fault; those below are full queues and mistakes of callers."""


@dataclass(frozen=True)
class Pool:
    """One variant now, and in the last minute.

    Attributes:
        variant: its name.
        state: working, full (nobody has room), draining or down.
        up: replicas that take work.
        replicas: all of them.
        goal: how many there should be; None where they are not scaled.
        held: frames that replicas hold.
        waiting: frames that no replica holds.
        oldest_s: age of the oldest of those; None when nobody waits.
        hz: answers a second.
        percent: of the answers of the model; None without any.
        wanted_percent: that a switch or split asks for; None by cost.
        p50_ms: median time of answers; None without any.
        p99_ms: time that 99 of 100 answers stay within; None without any.
        usd_per_hour: of all replicas.
        usd_per_thousand: frames when they are kept busy.
        usd_per_thousand_now: frames at the rate of the last minute; None without any.
    """

    variant: str
    state: str
    up: int
    replicas: int
    goal: Goal | None
    held: int
    waiting: int
    oldest_s: float | None
    hz: float
    percent: int | None
    wanted_percent: int | None
    p50_ms: float | None
    p99_ms: float | None
    usd_per_hour: float
    usd_per_thousand: float
    usd_per_thousand_now: float | None


@dataclass(frozen=True)
class ModelStatus:
    """One model; rates, times and shares are of the last minute.

    Attributes:
        model: its name.
        is_by_cost: no switch and no split is in force.
        trial: what a trial says, in words; empty without one.
        hz: answers a second.
        p50_ms: median time of answers; None without any.
        p99_ms: time that 99 of 100 answers stay within; None without any.
        waiting: frames that no replica holds.
        oldest_s: age of the oldest of those; None when nobody waits.
        refused_percent: of all requests, turned away for a full queue or a mistake of the caller; None without requests.
        failed_percent: of all requests, lost through our fault; None without requests.
        reasons: refusals and failures by reason, the most frequent first.
        usd_per_hour: of all replicas.
        usd_per_thousand_now: frames at the rate of the last minute; None without any.
        pools: its variants.
    """

    model: str
    is_by_cost: bool
    trial: str
    hz: float
    p50_ms: float | None
    p99_ms: float | None
    waiting: int
    oldest_s: float | None
    refused_percent: float | None
    failed_percent: float | None
    reasons: Mapping[str, int]
    usd_per_hour: float
    usd_per_thousand_now: float | None
    pools: tuple[Pool, ...]


@dataclass(frozen=True)
class Change:
    """Something that was changed.

    Attributes:
        at_unix_s: when.
        model: whose.
        change: one word.
        said: its values, in words.
    """

    at_unix_s: float
    model: str
    change: str
    said: str


@dataclass(frozen=True)
class StatusPage:
    """The page.

    Attributes:
        at_unix_s: when it was made.
        models: every model.
        changes: by operators, the newest first.
        scalings: decisions about replicas, the newest first.
    """

    at_unix_s: float
    models: tuple[ModelStatus, ...]
    changes: tuple[Change, ...]
    scalings: tuple[Change, ...]


def status_page(router: Router, *, now_ns: int) -> StatusPage:
    """Read off how the service is.

    Args:
        router: of the service.
        now_ns: monotonic.
    Returns:
        values only; nothing refers to the router.
    """
    recent = router.meter.recent
    models = tuple(
        _model(one, recent.read(one.model), router.goals, now_ns=now_ns) for one in router.deployments.values()
    )
    changed, scaled = changes(router.history.entries()), changes(router.scalings.entries())
    return StatusPage(time.time(), models, changed, scaled)


def changes(entries: list[dict[str, Any]]) -> tuple[Change, ...]:
    """Entries of a history for people.

    Args:
        entries: oldest first.
    Returns:
        newest first.
    """
    found = [Change(one["at_unix_s"], one["model"], one["change"], _said(one["asked"])) for one in entries]
    return tuple(reversed(found))


def _said(asked: Mapping[str, Any]) -> str:
    if "shares" in asked:
        shares = asked["shares"]
        return "by cost" if shares is None else ", ".join(f"{name} {share} %" for name, share in shares.items())
    return ", ".join(str(value) if name == "variant" else f"{name} {value}" for name, value in asked.items())


def _model(
    deployment: Deployment, lately: Lately, goals: Mapping[tuple[str, str], Goal], *, now_ns: int
) -> ModelStatus:
    pools = tuple(
        replace(_pool(deployment, lane, lately, now_ns=now_ns), goal=goals.get((deployment.model, lane.variant)))
        for lane in deployment.lanes.values()
    )
    answers, times = sum(lately.answers.values()), added(lately.times.values()) if lately.times else []
    refusals = sorted(lately.refusals.items(), key=lambda pair: -pair[1])
    failed = sum(count for reason, count in refusals if reason.status >= FAULT_STATUS)
    refused = sum(count for _, count in refusals) - failed
    usd_per_hour = sum(pool.usd_per_hour for pool in pools)
    return ModelStatus(
        model=deployment.model,
        is_by_cost=deployment.split is None,
        trial=_trial(deployment),
        hz=answers / lately.span_s,
        p50_ms=quantile_ms(times, 0.5),
        p99_ms=quantile_ms(times, 0.99),
        waiting=deployment.waiting(),
        oldest_s=max((pool.oldest_s for pool in pools if pool.oldest_s is not None), default=None),
        refused_percent=_percent(refused, answers + refused + failed),
        failed_percent=_percent(failed, answers + refused + failed),
        reasons={reason.word: count for reason, count in refusals},
        usd_per_hour=usd_per_hour,
        usd_per_thousand_now=_per_thousand(usd_per_hour, answers / lately.span_s),
        pools=pools,
    )


def _pool(deployment: Deployment, lane: Lane, lately: Lately, *, now_ns: int) -> Pool:
    answers, every = lately.answers.get(lane.variant, 0), sum(lately.answers.values())
    times = lately.times.get(lane.variant, [])
    oldest_ns = lane.line.oldest_ns()
    usd_per_hour = lane.usd_per_hour * len(lane.seats)
    split = deployment.split
    return Pool(
        variant=lane.variant,
        state=_state(lane, now_ns),
        up=sum(seat.is_usable(now_ns) for seat in lane.seats.values()),
        replicas=len(lane.seats),
        goal=None,
        held=sum(len(seat.running) for seat in lane.seats.values()),
        waiting=len(lane.line),
        oldest_s=None if oldest_ns is None else max(0.0, (now_ns - oldest_ns) / SECOND_NS),
        hz=answers / lately.span_s,
        percent=round(100 * answers / every) if every else None,
        wanted_percent=None if split is None else split.shares.get(lane.variant, 0),
        p50_ms=quantile_ms(times, 0.5),
        p99_ms=quantile_ms(times, 0.99),
        usd_per_hour=usd_per_hour,
        usd_per_thousand=lane.usd_per_frame() * 1000,
        usd_per_thousand_now=_per_thousand(usd_per_hour, answers / lately.span_s),
    )


def _state(lane: Lane, now_ns: int) -> str:
    seats = list(lane.seats.values())
    usable = [seat for seat in seats if seat.is_usable(now_ns)]
    if usable:
        return "full" if all(len(seat.running) >= seat.window for seat in usable) else "working"
    return "draining" if any(seat.is_up and seat.is_draining for seat in seats) else "down"


def _trial(deployment: Deployment) -> str:
    trial = deployment.trial
    if trial is None:
        return ""
    head = f"{trial.mode.value}: {trial.candidate} against {trial.incumbent}, {trial.pairs} frames compared"
    return f"{head}, {trial.verdict.value}" + (f" ({trial.why})" if trial.why else "")


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def _per_thousand(usd_per_hour: float, hz: float) -> float | None:
    return usd_per_hour / HOUR_S / hz * 1000 if hz else None
