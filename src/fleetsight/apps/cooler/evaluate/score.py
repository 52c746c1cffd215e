"""Scores the whole pipeline on rendered sessions whose truth is known: render, encode, settle, compare."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from fleetsight.apps.cooler.evaluate.metrics import Outcome, TimedSku, summarise
from fleetsight.apps.cooler.events import Event, Kind, Role
from fleetsight.apps.cooler.flow import Engine, Settlement, settle
from fleetsight.apps.cooler.models import load_detector, load_embedder
from fleetsight.catalog.planogram import Planogram
from fleetsight.catalog.sku import Catalog
from fleetsight.errors import Error
from fleetsight.sim.session import SessionPlan, plan_session, render
from fleetsight.sim.shoppers.scenarios import SCENARIOS
from fleetsight.sim.truth import session_truth, write_side_files
from fleetsight.video.encode import write_clip

Answer = TypeVar("Answer")
CLIP_NAME = "clip.mp4"
SESSIONS_MAX = 100_000
SEED_STRIDE = 10_000
"""Session i of suite seed s has seed s * SEED_STRIDE + i, so suites of different seeds share no session."""


class ScoreError(Error):
    """A suite that cannot be scored as asked."""

    code = "score"


@dataclass(frozen=True)
class Suite:
    """Which sessions are scored.

    Attributes:
        name: `standard` or `shifted`.
        seed: chooses the sessions.
        sessions: how many, spread evenly over the scenarios.
        scenarios: names; all when empty.
        size_wh: picture size.
    """

    name: str
    seed: int
    sessions: int
    scenarios: tuple[str, ...] = ()
    size_wh: tuple[int, int] = (640, 360)

    def rows(self) -> list[tuple[str, int]]:
        """Scenario and seed of each session.

        Returns:
            `sessions` pairs, scenarios in turn.
        Raises:
            ScoreError: unknown scenario, or a number of sessions out of range.
        """
        unknown = set(self.scenarios) - set(SCENARIOS)
        if unknown:
            raise ScoreError(f"no scenario {', '.join(sorted(unknown))}", hint=f"choose from: {', '.join(SCENARIOS)}")
        if not 1 <= self.sessions <= SESSIONS_MAX:
            raise ScoreError(f"{self.sessions} sessions, expected 1 to {SESSIONS_MAX}", hint="see --sessions")
        names = self.scenarios or SCENARIOS
        return [(names[i % len(names)], self.seed * SEED_STRIDE + i) for i in range(self.sessions)]


def score_suite(
    suite: Suite, *, workers: int = 0, progress: Callable[[int, Outcome], None] | None = None
) -> tuple[dict[str, Any], list[Outcome]]:
    """Render, settle and score a suite.

    Args:
        suite: which sessions.
        workers: processes; 0 takes one per core.
        progress: called after each session with the number done and its outcome.
    Returns:
        The figures as `cooler score --json` prints them, and the outcomes.
    Raises:
        ScoreError: see `Suite.rows`.
    """
    outcomes: list[Outcome] = []
    for outcome in each_session(score_session, suite, workers=workers):
        outcomes.append(outcome)
        if progress is not None:
            progress(len(outcomes), outcome)
    head = {"suite": suite.name, "seed": suite.seed}
    return head | summarise(outcomes), outcomes


def each_session(work: Callable[[Suite, tuple[str, int]], Answer], suite: Suite, *, workers: int) -> Iterator[Answer]:
    """Do something with every session of a suite, in processes.

    Args:
        work: picklable; gets the suite, and scenario and seed of a session.
        suite: which sessions.
        workers: processes; 0 takes one per core.
    Yields:
        The answers in the order of the sessions.
    Raises:
        ScoreError: see `Suite.rows`.
    """
    rows = suite.rows()
    count = workers or os.cpu_count() or 1
    # Spawned, not forked: a fork takes the threads' locks of a model that this process has opened, but not the threads.
    with ProcessPoolExecutor(max_workers=min(count, len(rows)), mp_context=get_context("spawn")) as pool:
        yield from pool.map(work, repeat(suite), rows)


def score_session(suite: Suite, row: tuple[str, int]) -> Outcome:
    """Render and settle one session, and hold the answer against the truth.

    Args:
        suite: its name and picture size are used.
        row: scenario and seed.
    Returns:
        The outcome.
    """
    scenario, seed = row
    plan = plan_session(scenario, seed, suite=suite.name, size_wh=suite.size_wh)
    with tempfile.TemporaryDirectory(prefix="fleetsight-score-") as folder:
        settlement = settle_rendered(plan, Path(folder))
        catalog = Catalog.load(Path(folder) / "catalog")
    return compare(plan, settlement, catalog=catalog)


def write_session(plan: SessionPlan, folder: Path) -> Path:
    """Render a session into a folder: clip, truth, planogram, catalog.

    Args:
        plan: the session.
        folder: exists or is made.
    Returns:
        The clip.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clip = folder / CLIP_NAME
    write_clip(clip, (frame.image for frame in render(plan)), rate_hz=plan.rate_hz, crf=plan.crf)
    write_side_files(plan, session_truth(plan), folder=folder)
    return clip


def settle_rendered(plan: SessionPlan, folder: Path) -> Settlement:
    """Render a session into a folder and settle its clip with the bundled models.

    Args:
        plan: the session.
        folder: where its files go.
    Returns:
        The settlement.
    """
    write_session(plan, folder)
    return settle_written(plan, folder, engine=bundled_engine(folder / "catalog"))


def settle_written(plan: SessionPlan, folder: Path, *, engine: Engine) -> Settlement:
    """Settle the clip of a session that was rendered into a folder.

    Args:
        plan: the session.
        folder: see `write_session`.
        engine: the models.
    Returns:
        The settlement.
    """
    role = Role.RESTOCK if session_truth(plan).role == "restock" else Role.SHOPPER
    return settle(folder / CLIP_NAME, engine, planogram=Planogram.load(folder / "planogram.json"), role=role)


def bundled_engine(catalog: Path) -> Engine:
    """The models that ship, for one catalog.

    Args:
        catalog: its folder.
    Returns:
        The engine.
    """
    return Engine.for_catalog(load_detector(), load_embedder(), catalog=Catalog.load(catalog))


def compare(plan: SessionPlan, settlement: Settlement, *, catalog: Catalog) -> Outcome:
    """Hold a settlement against the truth of its session.

    Args:
        plan: the rendered session.
        settlement: the answer.
        catalog: prices.
    Returns:
        The outcome.
    """
    truth = session_truth(plan)
    gated = not settlement.degraded and all(e.kind not in (Kind.FOREIGN_ITEM, Kind.UNKNOWN) for e in settlement.events)
    return Outcome(
        scenario=plan.scenario,
        seed=plan.seed,
        truth=tuple(TimedSku(e.kind, e.sku, e.at_s) for e in truth.events for _ in range(e.count)),
        found=units(settlement.events),
        true_basket=truth.basket,
        basket=settlement.basket,
        true_decision=truth.decision,
        decision=str(settlement.decision),
        confidence=settlement.confidence if gated else 0.0,
        price_minor={name: sku.price_minor for name, sku in catalog.skus.items()},
        note=settlement.reason,
        doubt=tuple(float(v) for v in settlement.doubt.vector()),
        gated=gated,
    )


def units(events: Sequence[Event]) -> tuple[TimedSku, ...]:
    """Events unit by unit, as the evaluator wants them.

    Args:
        events: of one session.
    Returns:
        One entry per unit.
    """
    return tuple(TimedSku(str(e.kind), e.sku, e.at_s) for e in events for _ in range(e.count))
