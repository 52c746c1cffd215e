"""A receipt shows every line, tax and movement of money, to people and to programs."""

import json

from fleetsight.billing.ledger import Kind, Ledger
from fleetsight.billing.quote import TaxRounding, quote
from fleetsight.billing.receipt import Receipt, ReceiptFacts, receipt_of
from fleetsight.billing.sales import Fact, entry_of
from fleetsight.billing.session_money import money_of
from fleetsight.money import Money
from tests.billing.price_lists import price_list

NOON_NS = 1_800_000_000_000_000_000
FACTS = ReceiptFacts(
    number="0198c0de-0000-7000-8000-000000000001",
    seller="Cool Corner GmbH, VAT DE123456789",
    place="Lobby, Main Street 1",
    at_ns=NOON_NS,
    names={"cola": "Cola 0,33 l", "mate": "Club-Mate mit einem sehr langen Namen 0,5 l", "tea": "抹茶ラテ"},
    evidence={"cola": ("take-1.jpg", "take-2.jpg")},
)
PRICES = price_list(cola=(250, 1900), mate=(219, 1900), tea=(180, 700), water=(0, 700))
TEXT = """\
Cool Corner GmbH, VAT DE123456789
Lobby, Main Street 1
2027-01-15 08:00 UTC
0198c0de-0000-7000-8000-000000000001
----------------------------------------
2 x Cola 0,33 l                 5.00 EUR
    2.50 EUR each
1 x Club-Mate mit einem sehr l… 2.19 EUR
1 x 抹茶ラテ                    1.80 EUR
1 x water                       0.00 EUR
----------------------------------------
total                           8.99 EUR
  tax 7 % in it                 0.12 EUR
  tax 19 % in it                1.15 EUR
----------------------------------------
paid                            8.00 EUR
paid beyond the hold            0.99 EUR
refund: too warm               -2.50 EUR
paid in all                     6.49 EUR
"""


def fact(key: str, kind: Kind, minor: int, *, of: str = "", held: int | None = None, note: str = "") -> Fact:
    whole = None if held is None else Money(held, "EUR")
    return Fact(key, kind, "s1", "anna", "wallet", Money(minor, "EUR"), NOON_NS + 10**10, of=of, held=whole, note=note)


def receipt(*facts: Fact, basket: dict[str, int] | None = None) -> Receipt:
    ledger = Ledger.replay(entry_of(each) for each in facts)
    bought = {"cola": 2, "mate": 1, "tea": 1, "water": 1} if basket is None else basket
    return receipt_of(quote(bought, PRICES), FACTS, money=money_of(ledger, currency="EUR"))


BOUGHT = (
    fact("h", Kind.HOLD, 800),
    fact("c", Kind.CAPTURE, 800, of="h", held=800),
    fact("x", Kind.CHARGE, 99),
    fact("r", Kind.REFUND, 250, of="c", note="too warm"),
)


def test_the_text_is_what_the_shopper_reads() -> None:
    assert receipt(*BOUGHT).as_text() == TEXT


def test_no_line_is_wider_than_the_roll() -> None:
    for row in receipt(*BOUGHT).as_text(30).splitlines()[4:]:
        assert len(row) <= 30


def test_the_json_holds_everything_in_minor_units() -> None:
    told = json.loads(json.dumps(receipt(*BOUGHT).as_json()))
    assert told["at"] == "2027-01-15T08:00:00+00:00"
    assert told["lines"][0] == {
        "sku": "cola",
        "name": "Cola 0,33 l",
        "count": 2,
        "unit_minor": 250,
        "gross_minor": 500,
        "tax_rate_bp": 1900,
        "evidence": ["take-1.jpg", "take-2.jpg"],
    }
    assert (told["total_minor"], told["paid_minor"], told["owed_minor"], told["currency"]) == (899, 649, 0, "EUR")
    assert told["tax"][1] == {"rate_bp": 1900, "net_minor": 604, "tax_minor": 115, "gross_minor": 719}
    assert told["rounding"] == TaxRounding.TOTAL
    assert told["payments"][2] == {
        "what": "refund",
        "amount_minor": -250,
        "at": "2027-01-15T08:00:10+00:00",
        "note": "too warm",
    }


def test_a_receipt_of_nothing_says_so() -> None:
    empty = receipt(fact("h", Kind.HOLD, 800), fact("v", Kind.VOID, 800, of="h"), basket={})
    assert "nothing was taken\n" in empty.as_text()
    assert "paid" not in empty.as_text()
    assert (empty.total, empty.payments) == (Money(0, "EUR"), ())


def test_what_is_owed_is_shown_until_it_is_paid() -> None:
    owing = (fact("o", Kind.OWE, 899), fact("p", Kind.PAID_LATER, 400, of="o"))
    made = receipt(*owing)
    assert made.owed == Money(499, "EUR")
    assert "still to pay                    4.99 EUR" in made.as_text()
    assert made.payments[0].what == "paid later"
    assert "still to pay" not in receipt(*owing, fact("p2", Kind.PAID_LATER, 499, of="o")).as_text()


def test_a_rate_with_a_fraction_is_shown_with_it() -> None:
    prices = price_list(bread=(1000, 550))
    made = receipt_of(quote({"bread": 1}, prices), FACTS, money=money_of(Ledger(), currency="EUR"))
    assert "  tax 5.5 % in it" in made.as_text()
