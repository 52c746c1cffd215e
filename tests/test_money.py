"""Money is exact, signed and of one currency."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetsight.money import Money, MoneyError

currencies = st.sampled_from(["EUR", "USD", "JPY", "KWD", "XTS"])
amounts = st.builds(Money, st.integers(-(10**15), 10**15), currencies)


@given(amounts)
def test_parse_reads_what_str_writes(amount: Money) -> None:
    assert Money.parse(str(amount)) == amount


@given(st.integers(), st.integers(), st.integers(), currencies)
def test_sums_obey_the_laws_of_whole_numbers(a: int, b: int, c: int, currency: str) -> None:
    x, y, z = Money(a, currency), Money(b, currency), Money(c, currency)
    assert (x + y) + z == x + (y + z)
    assert x + y == y + x
    assert x - y == x + (-y)
    assert x - x == Money(0, currency)


@given(amounts, st.integers(-50, 50))
def test_a_multiple_is_the_repeated_sum(amount: Money, count: int) -> None:
    repeated = Money(0, amount.currency)
    for _ in range(abs(count)):
        repeated = repeated + amount if count > 0 else repeated - amount
    assert amount * count == repeated


@given(amounts, amounts)
def test_two_currencies_never_mix(a: Money, b: Money) -> None:
    if a.currency == b.currency:
        assert (a + b).currency == a.currency
    else:
        with pytest.raises(MoneyError, match="two currencies"):
            a + b
        with pytest.raises(MoneyError, match="two currencies"):
            a - b


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (Money(250, "EUR"), "2.50 EUR"),
        (Money(-5, "EUR"), "-0.05 EUR"),
        (Money(250, "JPY"), "250 JPY"),
        (Money(1250, "KWD"), "1.250 KWD"),
    ],
)
def test_the_currency_sets_the_number_of_decimals(amount: Money, text: str) -> None:
    assert str(amount) == text
    assert Money.parse(text) == amount


@pytest.mark.parametrize(
    "text", ["", "2.5 EUR", "2.500 EUR", "2,50 EUR", "2.50", "2.50 eur", "250.0 JPY", "٣ EUR", "2.50 EUR\n"]
)
def test_what_is_not_exactly_an_amount_is_refused(text: str) -> None:
    with pytest.raises(MoneyError, match="no amount"):
        Money.parse(text)


def test_floats_and_booleans_are_no_money() -> None:
    with pytest.raises(MoneyError, match="whole number"):
        Money(2.5, "EUR")  # type: ignore[arg-type]
    with pytest.raises(MoneyError, match="whole number"):
        Money(True, "EUR")
    with pytest.raises(MoneyError, match="times"):
        Money(250, "EUR") * 0.5  # type: ignore[operator]


def test_a_currency_is_three_capital_letters() -> None:
    with pytest.raises(MoneyError, match="currency code"):
        Money(1, "euro")
