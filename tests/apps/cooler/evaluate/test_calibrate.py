"""The fit of the confidence: more doubt never helps, and nothing runs away."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetsight.apps.cooler.decide import Doubt, confidence_of
from fleetsight.apps.cooler.evaluate.calibrate import fit
from fleetsight.apps.cooler.evaluate.metrics import Outcome
from fleetsight.apps.cooler.evaluate.score import ScoreError

FEATURES = len(Doubt().vector())


def outcome(doubt: tuple[float, ...], *, exact: bool) -> Outcome:
    basket = {"a": 1}
    return Outcome("basic", 0, (), (), basket, basket if exact else {}, "charge", "charge", 0.5, doubt=doubt)


def drawn(count: int, seed: int) -> list[Outcome]:
    rng = np.random.default_rng(seed)
    doubts = rng.random((count, FEATURES))
    return [outcome(tuple(row), exact=bool(rng.random() > row[0])) for row in doubts]


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 40), st.integers(0, 99))
def test_no_weight_is_ever_positive(count: int, seed: int) -> None:
    fitted = fit(drawn(count, seed))
    assert len(fitted["weights"]) == FEATURES
    assert all(weight <= 0.0 for weight in fitted["weights"])


def test_doubt_that_comes_with_exact_baskets_is_ignored_and_not_rewarded() -> None:
    odd = [outcome((v, *[0.0] * (FEATURES - 1)), exact=v > 0.5) for v in np.linspace(0.0, 1.0, 40)]
    assert fit(odd)["weights"][0] == 0.0


def test_sessions_that_one_feature_separates_give_finite_weights() -> None:
    clear = [outcome((v, *[0.0] * (FEATURES - 1)), exact=v < 0.5) for v in np.linspace(0.0, 1.0, 40)]
    fitted = fit(clear)
    assert all(math.isfinite(v) and abs(v) <= 60.0 for v in (*fitted["weights"], *fitted["bias"]))
    sure, doubtful = (confidence_of(Doubt(weakest=weakest), fitted) for weakest in (0.0, 1.0))
    assert sure > 0.9
    assert doubtful < 0.1


def test_the_fit_says_what_it_stands_on() -> None:
    outcomes = drawn(30, 1)
    fitted = fit(outcomes)
    assert (fitted["n"], fitted["exact"]) == (30, sum(o.exact for o in outcomes))


def test_nothing_to_fit_on_is_refused() -> None:
    with pytest.raises(ScoreError, match="nothing can be fitted"):
        fit([])
