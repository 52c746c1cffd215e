"""The evaluator's figures on cases one can count by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetsight.apps.cooler.evaluate.metrics import (
    Outcome,
    TimedSku,
    event_f1,
    match_count,
    money_error,
    risk_coverage,
    summarise,
    wilson,
)


def outcome(
    *, basket: dict[str, int], true: dict[str, int], decision: str = "charge", confidence: float = 0.9, seed: int = 0
) -> Outcome:
    return Outcome(
        scenario="basic",
        seed=seed,
        truth=tuple(TimedSku("take", sku, 1.0) for sku, n in true.items() for _ in range(n)),
        found=tuple(TimedSku("take", sku, 1.5) for sku, n in basket.items() for _ in range(n)),
        true_basket=true,
        basket=basket,
        true_decision="charge",
        decision=decision,
        confidence=confidence,
        price_minor={"a": 100, "b": 300},
    )


def test_wilson_gives_the_published_interval_of_18_in_30() -> None:
    low, high = wilson(18, 30)
    assert (round(low, 2), round(high, 2)) == (0.42, 0.75)


@given(st.integers(0, 500), st.integers(0, 500))
def test_wilson_holds_the_share_and_stays_within_0_and_1(hits: int, misses: int) -> None:
    low, high = wilson(hits, hits + misses)
    share = hits / max(hits + misses, 1)
    assert 0.0 <= low <= high <= 1.0
    if hits + misses:
        assert low - 1e-9 <= share <= high + 1e-9


def test_events_match_one_to_one_by_sku_and_time() -> None:
    truth = [TimedSku("take", "a", 1.0), TimedSku("take", "a", 2.5), TimedSku("take", "b", 1.0)]
    found = [TimedSku("take", "a", 1.9), TimedSku("take", "b", 3.0), TimedSku("put_back", "a", 1.0)]
    assert match_count(truth, found, kind="take", tolerance_s=1.0) == 1
    assert match_count(truth, found, kind="take", tolerance_s=2.0) == 2
    assert match_count(truth, found, kind="put_back", tolerance_s=1.0) == 0


def test_two_predictions_for_one_true_event_count_as_one_hit_and_one_false_alarm() -> None:
    scored = outcome(basket={"a": 2}, true={"a": 1})
    figures = event_f1([scored], "take")
    assert figures["precision"] == 0.5
    assert figures["recall"] == 1.0


def test_money_counts_too_much_and_too_little_apart() -> None:
    over, under = money_error([outcome(basket={"a": 2}, true={"a": 1, "b": 1})])
    assert over == pytest.approx(100 / 400)
    assert under == pytest.approx(300 / 400)


def test_the_risk_coverage_curve_starts_with_the_most_confident() -> None:
    sure = outcome(basket={"a": 1}, true={"a": 1}, confidence=0.99)
    wrong = outcome(basket={"a": 1}, true={"b": 1}, confidence=0.2)
    assert risk_coverage([wrong, sure]) == [[0.5, 1.0], [1.0, 0.5]]


def test_the_summary_counts_reviewed_sessions_out_of_the_automatic_ones() -> None:
    wrong = outcome(basket={"a": 1}, true={"b": 1}, decision="review")
    figures = summarise([outcome(basket={"a": 1}, true={"a": 1}), wrong])
    assert figures["basket_exact"] == 0.5
    assert figures["auto_charged"] == 0.5
    assert figures["auto_exact"] == 1.0
