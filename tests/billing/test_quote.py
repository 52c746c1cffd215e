"""A quote is exact: lines sum to the total, taxes to the tax, in every currency and under both rules."""

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetsight.billing.prices import PriceEntry, PriceList
from fleetsight.billing.quote import Quote, QuoteError, TaxRounding, quote, tax_inside, taxes_of
from fleetsight.money import Money
from tests.billing.price_lists import price_list, price_list_of

rates = st.sampled_from([0, 500, 700, 1000, 1900, 2500, 2700, 10_000])
entries = st.builds(lambda minor, rate: (minor, rate), st.integers(0, 5_000), rates)
skus = st.sampled_from([f"sku-{n}" for n in range(12)])


@st.composite
def baskets(draw: st.DrawFn) -> tuple[dict[str, int], PriceList]:
    prices = draw(st.dictionaries(skus, entries, max_size=12))
    basket = draw(st.dictionaries(skus, st.integers(0, 30), max_size=12))
    return basket, price_list_of(prices, currency=draw(st.sampled_from(["EUR", "JPY", "KWD"])))


@given(baskets(), st.sampled_from(TaxRounding))
def test_the_parts_sum_to_the_whole(drawn: tuple[dict[str, int], PriceList], rounding: TaxRounding) -> None:
    basket, prices = drawn
    made = quote(basket, prices, tax=rounding)
    zero = Money(0, prices.currency)
    assert sum((line.gross for line in made.lines), start=zero) == made.total
    assert sum((share.gross for share in made.tax), start=zero) == made.total
    for share in made.tax:
        lines = [line for line in made.lines if line.tax_rate_bp == share.rate_bp]
        assert sum((line.tax for line in lines), start=zero) == share.tax
        assert share.net + share.tax == share.gross
    assert {line.sku: line.count for line in made.lines} == {
        sku: count for sku, count in basket.items() if count and sku in prices.entries
    }
    assert set(made.missing) == {sku for sku, count in basket.items() if count and sku not in prices.entries}
    assert Quote.from_json(json.loads(json.dumps(made.as_json()))) == made


@given(baskets())
def test_no_line_is_more_than_one_unit_away_from_its_exact_tax(drawn: tuple[dict[str, int], PriceList]) -> None:
    basket, prices = drawn
    for line in quote(basket, prices, tax=TaxRounding.TOTAL).lines:
        exact = Fraction(line.gross.minor * line.tax_rate_bp, 10_000 + line.tax_rate_bp)
        assert abs(line.tax.minor - exact) < 1
        assert 0 <= line.tax.minor <= line.gross.minor


@given(st.integers(0, 10**9), rates)
def test_tax_is_rounded_half_up(gross: int, rate: int) -> None:
    exact = Fraction(gross * rate, 10_000 + rate)
    assert tax_inside(gross, rate) == int(exact + Fraction(1, 2))


@pytest.mark.bad_input(56)
def test_tax_per_line_and_per_total_differ_and_say_so() -> None:
    prices = price_list(cola=(99, 1900), soda=(99, 1900), mate=(99, 1900))
    basket = {"cola": 1, "soda": 1, "mate": 1}
    by_line, by_total = (quote(basket, prices, tax=rule) for rule in (TaxRounding.LINE, TaxRounding.TOTAL))
    assert [line.tax.minor for line in by_line.lines] == [16, 16, 16]
    assert (by_line.tax[0].tax, by_total.tax[0].tax) == (Money(48, "EUR"), Money(47, "EUR"))
    assert [line.tax.minor for line in by_total.lines] == [16, 16, 15]
    assert (by_line.rounding, by_total.rounding) == (TaxRounding.LINE, TaxRounding.TOTAL)
    assert by_line.total == by_total.total == Money(297, "EUR")


def test_largest_remainders_are_served_first() -> None:
    assert taxes_of({"a": 10, "b": 14, "c": 10}, 1900, rounding=TaxRounding.TOTAL) == {"a": 2, "b": 2, "c": 1}


@pytest.mark.parametrize(
    ("currency", "total", "tax"),
    [("EUR", "5.00 EUR", "0.80 EUR"), ("JPY", "500 JPY", "80 JPY"), ("KWD", "0.500 KWD", "0.080 KWD")],
)
@pytest.mark.bad_input(53)
def test_minor_units_are_those_of_the_currency(currency: str, total: str, tax: str) -> None:
    made = quote({"cola": 2}, price_list(currency, cola=(250, 1900)))
    assert (str(made.total), str(made.tax[0].tax)) == (total, tax)


def test_an_empty_basket_and_a_free_one_cost_nothing() -> None:
    prices = price_list(water=(0, 700))
    assert quote({}, prices).total == Money(0, "EUR")
    assert quote({"water": 0}, prices).lines == ()
    free = quote({"water": 3}, prices)
    assert free.total == free.tax[0].tax == Money(0, "EUR")
    assert free.lines[0].count == 3


@pytest.mark.bad_input(53)
def test_the_smallest_total_has_no_tax_in_it() -> None:
    assert quote({"gum": 1}, price_list(gum=(1, 1900))).tax[0].tax == Money(0, "EUR")


def test_a_sku_without_price_is_named_and_not_charged() -> None:
    made = quote({"cola": 1, "secret": 2, "novel": 1}, price_list(cola=(250, 1900)))
    assert made.missing == ("novel", "secret")
    assert made.total == Money(250, "EUR")


@pytest.mark.parametrize("count", [-1, 1_001, 1.0, True, "1"])
def test_a_count_that_is_none_is_refused(count: object) -> None:
    with pytest.raises(QuoteError, match="units of"):
        quote({"cola": count}, price_list(cola=(250, 1900)))  # type: ignore[dict-item]


def test_a_basket_beyond_reason_is_refused() -> None:
    dear = PriceList("p", "t1", "s", "EUR", 0, None, {f"sku-{n}": PriceEntry(Money(10**9, "EUR"), 0) for n in range(2)})
    with pytest.raises(QuoteError, match="ask a person"):
        quote({"sku-0": 1_000, "sku-1": 1}, dear)
    with pytest.raises(QuoteError, match="ask a person"):
        quote({f"sku-{n}": 1 for n in range(1_001)}, dear)
