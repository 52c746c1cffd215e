"""Fits the confidence: the probability that a basket is exact, from what speaks against it.

Logistic regression in which more doubt can only lower the confidence. Sessions that a person sees anyway (degraded, foreign,
unknown) are left out, so that the fit serves the decision it is made for.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from fleetsight.apps.cooler.evaluate.metrics import Outcome
from fleetsight.apps.cooler.evaluate.score import ScoreError, Suite, score_suite

RIDGE = 0.002
"""Weight decay per session (0.02 left one event in two minds as good as sure; chosen by leaving one session out): keeps weights finite when a feature separates the sessions perfectly."""


def calibrate_on(
    suite: Suite, *, workers: int = 0, progress: Callable[[int, Outcome], None] | None = None
) -> dict[str, Any]:
    """Render and settle a suite, then fit the calibration on it.

    Args:
        suite: sessions whose seeds are never scored.
        workers: processes; 0 takes one per core.
        progress: called after each session.
    Returns:
        `weights`, `bias`, and what they were fitted on.
    Raises:
        ScoreError: see `Suite.rows` and `fit`.
    """
    _, outcomes = score_suite(suite, workers=workers, progress=progress)
    fitted = fit([o for o in outcomes if o.gated])
    return fitted | {"suite": suite.name, "seed": suite.seed, "sessions": suite.sessions}


def fit(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Logistic weights that are never positive.

    Args:
        outcomes: scored sessions with their doubt.
    Returns:
        `weights` (7), `bias` (1), `n`, `exact`.
    Raises:
        ScoreError: no session is left to fit on.
    """
    if not outcomes:
        raise ScoreError("a person sees all of these sessions, so nothing can be fitted", hint="take more --sessions")
    features = np.array([o.doubt for o in outcomes], dtype=np.float64)
    exact = np.array([o.exact for o in outcomes], dtype=np.float64)

    def loss(parameters: NDArray[np.float64]) -> float:
        score = features @ parameters[:-1] + parameters[-1]
        nll = np.logaddexp(0.0, score) - exact * score
        return float(nll.mean() + RIDGE * np.square(parameters[:-1]).mean())

    start = np.full(features.shape[1] + 1, -0.1)
    start[-1] = 2.0
    bounds = [(-60.0, 0.0)] * features.shape[1] + [(-10.0, 10.0)]
    best = minimize(loss, start, method="L-BFGS-B", bounds=bounds)
    weights = [round(float(v), 4) for v in best.x[:-1]]
    return {"weights": weights, "bias": [round(float(best.x[-1]), 4)], "n": len(outcomes), "exact": int(exact.sum())}
