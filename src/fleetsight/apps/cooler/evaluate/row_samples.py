"""Pairs of views with the true number of steps between them, and the fit of `steps` to them.

settled rendered session -> its rows -> pairs of views that differ -> (features, true steps) -> conditional logit
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from fleetsight.apps.cooler.audit import STEP_NUMBERS, Lens, unmoved
from fleetsight.apps.cooler.changes import extent_of, likeness_of, see
from fleetsight.apps.cooler.evaluate.score import (
    ScoreError,
    Suite,
    bundled_engine,
    each_session,
    settle_written,
    write_session,
)
from fleetsight.apps.cooler.flow import NATIVE_IOU, lens_of
from fleetsight.apps.cooler.identify import Identifier
from fleetsight.apps.cooler.shelf import Place
from fleetsight.apps.cooler.steps import FEATURES, step_features
from fleetsight.catalog.planogram import Planogram
from fleetsight.sim.session import plan_session
from fleetsight.sim.truth import Truth, TruthEvent, session_truth
from fleetsight.vision.box import iou

RIDGE = 1.0
"""Weight decay on standardised features, chosen by cross-validation over sessions."""
EARLY_S = 0.05
LATE_S = 0.15
"""An act may lie this far outside of the gap that shows it: views end and begin with the frame."""


@dataclass(frozen=True)
class RowSample:
    """Two views of one row that differ.

    Attributes:
        features: (9, k) float64, see `steps.step_features`.
        steps: true net number of products that left between the views.
    """

    features: NDArray[np.float64]
    steps: int


def row_samples(
    places: Sequence[Place], truth: Truth, *, planogram: Planogram, lens: Lens, identifier: Identifier
) -> list[RowSample]:
    """Collect the pairs of views of a session; those whose truth is not clear are left out.

    Args:
        places: as read, in pixels of a picture as large as the lens says.
        truth: of the session.
        planogram: of the session.
        lens: the camera.
        identifier: names products.
    Returns:
        The samples.
    """
    samples: list[RowSample] = []
    boxes = planogram.boxes_for(lens.width_px, lens.height_px)
    for place in places:
        overlap = iou(place.first_box_xyxy_px[None], boxes)[0]
        if len(place.runs) < 2 or overlap.max() < NATIVE_IOU:
            continue
        facing = planogram.facings[int(overlap.argmax())].facing_id
        mine = [event for event in truth.events if event.facing == facing]
        seen = see(place, identifier)
        for chain in seen.chains(seen.pairs()):
            likeness = likeness_of([seen.readings[k] for k in chain])
            extent = extent_of(seen.anchor(chain[0]), identifier)
            for near, far in [(i, j) for i in range(len(chain)) for j in range(i + 1, min(i + 3, len(chain)))]:
                first, second = chain[near], chain[far]
                before, after = seen.views[first], seen.views[second]
                assert before is not None, "a chain has products"
                assert after is not None, "a chain has products"
                touched = any(gap.touched for gap in place.gaps[first:second])
                window_s = place.runs[first].end_s - EARLY_S, place.runs[second].start_s + LATE_S
                steps = _true_steps(mine, window_s)
                if not touched or steps is None or unmoved(before, after):
                    continue
                alike = 1.0 if likeness is None else float(likeness[near, far])
                features = step_features(before, after, lens=lens, extent=extent, likeness=alike)
                samples.append(RowSample(features, steps))
    return samples


def session_samples(suite: Suite, row: tuple[str, int]) -> list[RowSample]:
    """Render and settle one session, and collect its pairs of views.

    Args:
        suite: its name and picture size are used.
        row: scenario and seed.
    Returns:
        The samples.
    """
    plan = plan_session(row[0], row[1], suite=suite.name, size_wh=suite.size_wh)
    with tempfile.TemporaryDirectory(prefix="fleetsight-rows-") as name:
        folder = Path(name)
        write_session(plan, folder)
        engine = bundled_engine(folder / "catalog")
        settlement = settle_written(plan, folder, engine=engine)
        planogram = Planogram.load(folder / "planogram.json")
    lens = lens_of(planogram, size=plan.size_wh)
    truth = session_truth(plan)
    return row_samples(settlement.places, truth, planogram=planogram, lens=lens, identifier=engine.identifier)


def fit_rows_on(
    suite: Suite, *, workers: int = 0, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Render and settle a suite, then fit the steps of rows on it.

    Args:
        suite: sessions whose seeds are never scored.
        workers: processes; 0 takes one per core.
        progress: called after each session with the number of sessions and of samples so far.
    Returns:
        See `fit_steps`, and what it was fitted on.
    Raises:
        ScoreError: see `Suite.rows` and `fit_steps`.
    """
    samples: list[RowSample] = []
    for number, found in enumerate(each_session(session_samples, suite, workers=workers), start=1):
        samples += found
        if progress is not None:
            progress(number, len(samples))
    return fit_steps(samples) | {"suite": suite.name, "seed": suite.seed, "sessions": suite.sessions}


def _true_steps(events: Sequence[TruthEvent], window_s: tuple[float, float]) -> int | None:
    """Products that left the row within a window, less those that came; None when an act lies partly inside."""
    steps = 0
    for event in events:
        inside = window_s[0] <= event.at_s <= window_s[1]
        overlaps = event.window_s[0] < window_s[1] and event.window_s[1] > window_s[0]
        if inside and event.kind in ("take", "put_back"):
            steps += event.count if event.kind == "take" else -event.count
        elif inside or overlaps:
            return None
    return steps if abs(steps) <= int(STEP_NUMBERS[-1]) else None


def fit_steps(samples: Sequence[RowSample]) -> dict[str, Any]:
    """Fit the conditional logit.

    Args:
        samples: of sessions that are never scored.
    Returns:
        `weights` by feature name, and `n`, the number of samples.
    Raises:
        ScoreError: no samples.
    """
    if not samples:
        raise ScoreError("no row changed in these sessions, so nothing can be fitted", hint="take more --sessions")
    features = np.stack([sample.features for sample in samples])
    right = np.array([sample.steps + len(STEP_NUMBERS) // 2 for sample in samples])
    scale = features.reshape(-1, len(FEATURES)).std(axis=0) + 1e-6
    scaled, rows = features / scale, np.arange(len(right))

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scores = scaled @ weights
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        chances = odds / odds.sum(axis=1, keepdims=True)
        slope = ((chances[..., None] * scaled).sum(axis=1) - scaled[rows, right]).sum(axis=0)
        value = -np.log(chances[rows, right] + 1e-12).sum() + RIDGE * np.square(weights).sum()
        return float(value), np.asarray(slope + 2 * RIDGE * weights)

    best = minimize(loss, np.zeros(len(FEATURES)), jac=True, method="L-BFGS-B", options={"maxiter": 1000})
    weights = {name: round(float(w), 4) for name, w in zip(FEATURES, best.x / scale, strict=True)}
    return {"weights": weights, "n": len(samples)}
