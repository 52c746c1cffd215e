"""How many products a row lost or gained between calm views of its place.

Every number of steps from -4 to 4 predicts where the front product's edges and its print should lie (`audit`). What is
measured against each prediction are its features; a conditional logit over the nine numbers, fitted on rendered sessions
that are never scored, turns them into probabilities. (Hand-set losses were tried first: of the pairs of views that differ
they explained 88 % right, the fitted ones 95 %; docs/adr/0005.) Views of one row are judged together, so that a product that was
looked at and returned is seen to leave and to come back.

    views -> features (9, 28) of each pair -> weights in row_steps.json -> probabilities -> most probable path -> RowStep per gap
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from fleetsight.apps.cooler.audit import (
    LEVEL_RAD,
    PRINT_NOISE,
    ROW_STEPS,
    STEP_NUMBERS,
    STEP_SLACK,
    Extent,
    Lens,
    View,
    print_votes,
    row_boxes,
    unmoved,
)

EDGE_SIGMA_PX = 0.9
"""Error of a mean detection edge in a picture 640 px wide."""
EDGE_SIGMA_SHARE = 0.01
OUTWARD_MAX = 4.0
"""Sigmas by which an edge may lie further out than predicted before more of it says no more."""
INWARD_MAX = 3.0
"""A rail, a board or a neighbour hides edges: an edge further in says less."""
STAY_SIGMA_PX = 0.4
"""Mean edges of a product that nobody touched repeat this well in a picture 640 px wide."""
STAY_MAX = 5.0
UNLIKE_MIN = 1e-3
ALIKE_DOUBT = 0.05
"""Probability left for any step between two views that are alike to the pixel."""
SECOND_SHARE = 0.3
"""Weight of comparing a view with the one after the next: both comparisons share an error of the view between."""
COST_MAX = 14.0
"""Minus the log of the least probability that a single comparison may claim."""
WRONG_WAY_LOSS = 3.0
"""Minus the log of the odds that a row gained what nobody held: a product of its SKU from another row, or a take that was missed."""
BOOKS_LOSS = 3.2
"""Minus the log of the share of booked stocks that are wrong, 4 in 100."""
BEHIND_LOSS_MAX = 6.0
BEHIND_LOSS_STEP = 1.5
"""A visit mostly takes one: each product more has to explain the edges this much better, in sigmas."""
GROUPS = ("sides_out", "sides_in", "top_out", "top_in", "foot_out", "foot_in", "print_loss", "print_unlike")
STAYS = ("stay_edges", "stay_unlike", "stay_other", "stay_best")
PRIORS = ("none", "one_back", "two", "two_back", "more")
FEATURES = tuple(f"{view}{name}" for names in (GROUPS, STAYS, PRIORS) for view in ("", "above_") for name in names)
"""Names of the features: each group for every camera, and once more for cameras that look from above."""


@dataclass(frozen=True)
class RowStep:
    """How many row pitches the front of a row went back.

    Attributes:
        steps: whole pitches, away from the shopper positive.
        probability: of that number among all numbers tried.
        aside: movement to the right in widths of the product.
    """

    steps: int
    probability: float
    aside: float


def step_features(
    before: View, after: View, *, lens: Lens, extent: Extent, likeness: float = 1.0
) -> NDArray[np.float64]:
    """Measure two views of one place against each number of steps.

    A product that is w pixels wide stands at 1/w * (x, y, f) in units of its width (its height tells w); one pitch further
    it lies on the line of the row, which the camera's tilt gives.

    Args:
        before: the earlier view.
        after: the later view of the same window.
        lens: the camera; of several tilts the one that fits best is taken.
        extent: proportions of the product.
        likeness: cosine of the two views' embeddings, 1 when there are none.
    Returns:
        (9, 34) float64, a row for each of STEP_NUMBERS, a column for each of FEATURES.
    """
    was, now = before.box_xyxy_px, after.box_xyxy_px
    zoom = lens.width_px / 640
    sigma = EDGE_SIGMA_PX * zoom + EDGE_SIGMA_SHARE * float(was[2] - was[0])
    fits = []
    for tilt_rad in lens.tilts_rad:
        predicted = row_boxes(was, lens, tilt_rad=tilt_rad, extent=extent)
        outward = (now.astype(np.float64) - predicted) * np.array([-1.0, -1.0, 1.0, 1.0]) / sigma
        loss = np.minimum(np.abs(outward), OUTWARD_MAX).sum(axis=1)
        near = [np.abs(ROW_STEPS - n) <= (STEP_SLACK if n else 0.0) + 1e-9 for n in STEP_NUMBERS]
        rows = [int(np.flatnonzero(close)[loss[close].argmin()]) for close in near]
        fits.append((float(loss[rows].min()), tilt_rad, predicted, outward[rows]))
    _, tilt_rad, predicted, outward = min(fits, key=lambda fit: fit[0])
    unlike = PRINT_NOISE + 1.0 - print_votes(before, after, predicted=predicted)
    here = print_votes(before, after, predicted=np.repeat(was[None].astype(np.float64), len(ROW_STEPS), axis=0))
    out, inside = np.clip(outward, 0.0, OUTWARD_MAX), np.clip(-outward, 0.0, INWARD_MAX)
    groups = [
        *(side.take([0, 2], axis=1).mean(axis=1) for side in (out, inside)),
        *(side[:, edge] for edge in (1, 3) for side in (out, inside)),
        np.log(unlike / unlike.min()),
        np.log(unlike),
    ]
    stay = (STEP_NUMBERS == 0).astype(np.float64)
    stays = [
        stay * np.minimum(np.abs(now - was) / (STAY_SIGMA_PX * zoom), STAY_MAX).sum(),
        stay * np.log(max(UNLIKE_MIN, PRINT_NOISE + 1.0 - float(here[len(here) // 2]))),
        stay * 4.0 * (1.0 - likeness),
        stay * np.log(unlike.min()),
    ]
    far = np.abs(STEP_NUMBERS)
    priors = [stay, STEP_NUMBERS == -1, STEP_NUMBERS == 2, STEP_NUMBERS == -2, far >= 3]
    above = float(tilt_rad > LEVEL_RAD)
    columns = [
        c for names in (groups, stays, priors) for gain in (1.0, above) for c in (gain * np.asarray(n) for n in names)
    ]
    features: NDArray[np.float64] = np.stack(columns, axis=1).astype(np.float64)
    return features


@cache
def load_weights() -> NDArray[np.float64]:
    """The shipped weights, fitted by `fleetsight cooler calibrate --part steps`.

    Returns:
        (34,) float64 in the order of FEATURES.
    """
    text = files("fleetsight.apps.cooler").joinpath("row_steps.json").read_text(encoding="utf-8")
    weights = json.loads(text)["weights"]
    return np.array([weights[name] for name in FEATURES], dtype=np.float64)


def step_probabilities(features: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The conditional logit.

    Args:
        features: (..., 9, k) float64.
        weights: (k,) float64.
    Returns:
        (..., 9) float64, sums to 1.
    """
    scores = features @ weights
    odds = np.exp(scores - scores.max(axis=-1, keepdims=True))
    probabilities: NDArray[np.float64] = odds / odds.sum(axis=-1, keepdims=True)
    return probabilities


def bookkeeping(gaps: int, *, stock: int | None, restock: bool) -> NDArray[np.float64]:
    """What is known of a row's steps before anything is measured.

    Nobody puts back what was not taken, and who restocks takes nothing: of the first gap the other direction is unlikely.
    As many as the books show cannot be gone while one still stands there.

    Args:
        gaps: number of gaps between the views.
        stock: units booked for the row when the door opened; None when nobody counts.
        restock: whether the door was opened to fill up.
    Returns:
        (gaps, 9) float64 losses, in the order of STEP_NUMBERS.
    """
    losses = np.zeros((gaps, len(STEP_NUMBERS)))
    if gaps:
        losses[0] += WRONG_WAY_LOSS * ((STEP_NUMBERS > 0) if restock else (STEP_NUMBERS < 0))
    if stock is not None:
        losses += BOOKS_LOSS * ((STEP_NUMBERS > 0) & (stock <= STEP_NUMBERS))
    return losses


def row_steps(
    views: Sequence[View],
    *,
    lens: Lens,
    extent: Extent,
    likeness: NDArray[np.float32] | None = None,
    losses: NDArray[np.float64] | None = None,
) -> list[RowStep]:
    """Explain successive views of one row together: neighbours are compared, and each view with the one after the next.

    Args:
        views: n >= 2 views of one place that show the same SKU, in order of time.
        lens: the camera.
        extent: proportions of the product.
        likeness: (n, n) cosines between the views' embeddings, None when there are none.
        losses: (n - 1, 9) known before, see `bookkeeping`; None when nothing is.
    Returns:
        n - 1 steps; their probabilities are max-marginals of the whole.
    """
    alike = np.ones((len(views), len(views))) if likeness is None else likeness

    def cost(first: int, second: int) -> NDArray[np.float64]:
        pair = views[first], views[second]
        if unmoved(*pair):
            chances = np.full(len(STEP_NUMBERS), ALIKE_DOUBT / (len(STEP_NUMBERS) - 1))
            chances[STEP_NUMBERS == 0] = 1.0 - ALIKE_DOUBT
        else:
            features = step_features(*pair, lens=lens, extent=extent, likeness=float(alike[first, second]))
            chances = step_probabilities(features, load_weights())
        return np.asarray(-np.log(np.maximum(chances, np.exp(-COST_MAX))))

    count = len(views)
    known = np.zeros((count - 1, len(STEP_NUMBERS))) if losses is None else losses
    near = [cost(k, k + 1) + known[k] for k in range(count - 1)]
    chances = _together(near, [cost(k, k + 2) for k in range(count - 2)])
    result = []
    for before, after, chance in zip(views, views[1:], chances, strict=False):
        was, now = before.box_xyxy_px, after.box_xyxy_px
        aside = float(now[0] + now[2] - was[0] - was[2]) / 2 / max(1.0, float(was[2] - was[0]))
        choice = int(chance.argmax())
        result.append(RowStep(int(STEP_NUMBERS[choice]), float(chance[choice]), aside))
    return result


def steps_behind(
    front_xyxy_px: NDArray[np.float32], behind_xyxy_px: NDArray[np.float32], *, lens: Lens, extent: Extent
) -> int:
    """Count the steps of its row by which a product stands behind another; its top may be cut off.

    Args:
        front_xyxy_px: (4,) the product in front.
        behind_xyxy_px: (4,) the next one in sight.
        lens: the camera.
        extent: proportions of the product.
    Returns:
        At least 1; more only where it explains the sides and the foot clearly better.
    """
    sigma = EDGE_SIGMA_PX * lens.width_px / 640 + EDGE_SIGMA_SHARE * float(front_xyxy_px[2] - front_xyxy_px[0])
    numbers = STEP_NUMBERS[STEP_NUMBERS > 0]
    losses = np.full(len(numbers), np.inf)
    for tilt_rad in lens.tilts_rad:
        predicted = row_boxes(front_xyxy_px, lens, tilt_rad=tilt_rad, extent=extent)
        off = np.abs(behind_xyxy_px.astype(np.float64) - predicted)[:, [0, 2, 3]] / sigma
        loss = np.minimum(off, BEHIND_LOSS_MAX).sum(axis=1)
        each = [loss[np.abs(ROW_STEPS - n) <= STEP_SLACK + 1e-9].min() for n in numbers]
        losses = np.minimum(losses, np.array(each) + BEHIND_LOSS_STEP * (numbers - 1))
    return int(numbers[losses.argmin()])


def _together(near: Sequence[NDArray[np.float64]], far: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Max-marginals of the steps of n gaps, each (9,), from the costs of each gap and of each two gaps in turn."""
    reach = len(STEP_NUMBERS) // 2
    total = STEP_NUMBERS[:, None] + STEP_NUMBERS[None, :]
    inside = np.abs(total) <= reach
    both = [np.where(inside, SECOND_SHARE * cost[np.clip(total, -reach, reach) + reach], COST_MAX) for cost in far]
    forward, backward = [near[0]], [np.zeros(len(STEP_NUMBERS))]
    for table, cost in zip(both, near[1:], strict=True):
        forward.append((forward[-1][:, None] + table).min(axis=0) + cost)
    for table, cost in zip(both[::-1], near[:0:-1], strict=True):
        backward.insert(0, (table + (cost + backward[0])[None, :]).min(axis=1))
    chances = []
    for first, second in zip(forward, backward, strict=True):
        odds = np.exp((first + second).min() - first - second)
        chances.append(odds / odds.sum())
    return chances
