"""The published savings, recomputed from prices and the ratio of speeds."""

import pytest

from fleetsight.accel.measure.claims import BASELINES, CLAIMS, compare, examine
from fleetsight.accel.measure.prices import PriceError, Prices

PUBLISHED = {  # saving at 5x in %, candidate reserved, ratio for 83 %, for 20 %, price alone in %
    "p3.2xlarge": (95.04, 97.9, 1.46, 0.31, 75.2),
    "g5.2xlarge": (87.5, 94.6, 3.68, 0.78, 37.4),
    "g5.xlarge": (84.9, 93.5, 4.43, 0.94, 24.6),
    "g4dn.2xlarge": (79.8, 91.3, 5.93, 1.26, -0.8),
    "g4dn.xlarge": (71.2, 87.5, 8.48, 1.80, -44.1),
}


def test_the_table_of_baselines_is_the_one_recomputed_by_hand() -> None:
    rows = compare(Prices.load())
    assert tuple(row.baseline for row in rows) == BASELINES
    for row in rows:
        saved, reserved, for_83, for_20, alone = PUBLISHED[row.baseline]
        assert 100 * row.saving == pytest.approx(saved, abs=0.051)
        assert row.saving_reserved is not None
        assert 100 * row.saving_reserved == pytest.approx(reserved, abs=0.051)
        assert (row.needed[83], row.needed[20]) == pytest.approx((for_83, for_20), abs=0.0051)
        assert 100 * row.price_alone == pytest.approx(alone, abs=0.051)


def test_95_percent_is_true_against_a_v100_alone() -> None:
    verdicts = {verdict.claim.saving: verdict for verdict in examine(compare(Prices.load()))}
    assert verdicts[0.95].holds_against == ("p3.2xlarge",)
    assert verdicts[0.83].holds_against == ("p3.2xlarge", "g5.2xlarge", "g5.xlarge")
    assert set(verdicts[0.20].fails_against) == set()
    assert "g5.xlarge (from 0.94x, though slower)" in verdicts[0.20].words
    assert "not against g5.2xlarge (from 12.51x)" in verdicts[0.95].words


def test_at_another_speed_other_claims_are_true() -> None:
    slow = examine(compare(Prices.load(), ratio=1.0), ratio=1.0)
    assert [len(verdict.holds_against) for verdict in slow] == [0, 0, 3]


def test_a_candidate_without_a_reserved_price_has_none_in_the_table() -> None:
    assert all(row.saving_reserved is None for row in compare(Prices.load(), "g6.xlarge", ratio=2.0))


def test_a_ratio_of_nothing_is_refused() -> None:
    with pytest.raises(PriceError):
        compare(Prices.load(), ratio=0.0)


def test_every_claim_says_what_it_stands_on() -> None:
    assert [round(100 * claim.saving) for claim in CLAIMS] == [95, 83, 20]
    assert CLAIMS[0].ratio == 120 / 24
