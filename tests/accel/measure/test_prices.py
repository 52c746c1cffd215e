"""Prices are dated, have a source, and a name that is not known is an error that helps."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetsight.accel.measure.prices import PriceError, Prices, usd_per_million

GOOD = """
dated = 2026-11-01
region = "here"
[sources]
page = "a price page"
[instances.small]
chip = "2 cores"
vcpus = 4
on_demand_usd_per_hour = 0.2
source = "page"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "prices.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_shipped_row_has_a_source_and_a_price_below_its_pay_as_you_go_price() -> None:
    prices = Prices.load()
    for row in prices.rows.values():
        assert " " in row.source, row.instance  # a sentence, not a bare key
        cheaper = [row.reserved_3_years_usd_per_hour, *(row.spot_usd_per_hour or ())]
        for usd in cheaper:
            assert usd is None or row.on_demand_usd_per_hour is None or usd < row.on_demand_usd_per_hour
    assert prices.region == "us-east-1"
    assert prices.dated.year >= 2026


def test_shipped_prices_are_those_of_the_published_list() -> None:
    prices = Prices.load()
    assert prices.on_demand("p3.2xlarge") == 3.06
    assert prices.on_demand("inf2.xlarge") == 0.7582
    assert prices.on_demand("inf2.xlarge", region="eu-central-1") == 1.1373
    assert prices.on_demand("inf2.xlarge", region="us-east-1") == 0.7582
    assert prices.reserved("inf2.xlarge") == 0.328


def test_an_unknown_machine_names_the_nearest() -> None:
    with pytest.raises(PriceError) as caught:
        Prices.load().on_demand("inf2xlarge")
    assert "did you mean 'inf2.xlarge'?" in caught.value.hint


def test_a_price_that_is_not_known_is_no_zero() -> None:
    prices = Prices.load()
    with pytest.raises(PriceError, match="on demand"):
        prices.on_demand("trn1.2xlarge")
    with pytest.raises(PriceError, match="three years"):
        prices.reserved("p3.2xlarge")
    with pytest.raises(PriceError) as caught:
        prices.on_demand("inf2.xlarge", region="mars-1")
    assert "eu-west-1" in caught.value.hint


def test_a_file_of_ones_own_takes_the_place_of_the_shipped_one(tmp_path: Path) -> None:
    prices = Prices.load(written(tmp_path, GOOD))
    assert prices.on_demand("small") == 0.2
    assert prices.find("small").source == "a price page"
    assert set(prices.rows) == {"small"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("0.2", '"cheap"'), "expected dollars"),
        (("0.2", "-1"), "expected dollars"),
        (("0.2", "nan"), "expected dollars"),
        (("0.2", "true"), "expected dollars"),
        (("0.2", "20000"), "expected dollars"),
        (("vcpus = 4", ""), "needs 'vcpus'"),
        (("on_demand_usd_per_hour", "on_demand_usd_per_our"), "unknown field"),
        (("on_demand_usd_per_hour = 0.2", ""), "has no price"),
        (("dated = 2026-11-01", ""), "must be a date"),
        (("[instances.small]", "[instances]\nbig = 3\n[instances.small]"), "is no table"),
        (("[instances.small]", "[instance.small]"), "unknown entry"),
        (("source =", "spot_usd_per_hour = [2, 1]\nsource ="), "begins with the higher"),
        (("source =", "spot_usd_per_hour = 2\nsource ="), r"\[lowest, highest\]"),
        (("dated =", "dated = ="), "is not TOML"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(change: tuple[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(PriceError, match=said):
        Prices.load(written(tmp_path, GOOD.replace(*change)))


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(PriceError, match="cannot read prices"):
        Prices.load(tmp_path / "none.toml")


def test_a_million_frames_at_24_a_second_on_a_v100() -> None:
    assert usd_per_million(3.06, 24.0, utilisation=1.0) == pytest.approx(35.4167, abs=1e-4)


@given(usd=st.floats(0.01, 100), rate=st.floats(0.1, 1e5), share=st.floats(0.01, 1.0))
def test_the_price_of_a_frame_times_the_frames_of_an_hour_is_the_price_of_the_hour(
    usd: float, rate: float, share: float
) -> None:
    frames_per_hour = rate * share * 3600
    assert usd_per_million(usd, rate, utilisation=share) * frames_per_hour / 1e6 == pytest.approx(usd)


@pytest.mark.parametrize(
    ("usd", "rate", "share"),
    [(-1, 1, 1), (1, 0, 1), (1, float("nan"), 1), (1, 1, 0), (1, 1, 1.01), (float("inf"), 1, 1)],
)
def test_numbers_outside_their_range_are_refused(usd: float, rate: float, share: float) -> None:
    with pytest.raises(PriceError):
        usd_per_million(usd, rate, utilisation=share)
