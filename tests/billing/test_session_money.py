"""A session's money is a fold over its entries."""

from fleetsight.billing.ledger import Kind, Ledger
from fleetsight.billing.provider import DisputeState
from fleetsight.billing.session_money import money_of
from fleetsight.money import Money
from tests.billing.test_ledger import fact, posted


def euro(minor: int) -> Money:
    return Money(minor, "EUR")


def test_nothing_happened_yet() -> None:
    money = money_of(Ledger(), currency="JPY")
    assert money.held == money.taken == money.kept == money.owed == Money(0, "JPY")
    assert (money.dispute, money.history) == (None, ())


def test_every_kind_of_entry_is_counted_in_its_place() -> None:
    ledger = posted(
        Ledger(),
        fact("h1", Kind.HOLD, 2500),
        fact("h2", Kind.HOLD, 3000),
        fact("v", Kind.VOID, 3000, of="h2"),
        fact("h3", Kind.HOLD, 700),
        fact("c", Kind.CAPTURE, 2000, of="h1", held=2500),
        fact("x", Kind.CHARGE, 300),
        fact("o", Kind.OWE, 900),
        fact("p", Kind.PAID_LATER, 500, of="o"),
        fact("w", Kind.WRITE_OFF, 150, of="o"),
        fact("r", Kind.REFUND, 250, of="c"),
        fact("d", Kind.DISPUTE, 300, of="x"),
    )
    money = money_of(ledger, currency="EUR")
    assert (money.held, money.captured, money.extra, money.paid_later) == (euro(700), euro(2000), euro(300), euro(500))
    assert (money.owed, money.written_off, money.refunded, money.disputed) == (
        euro(250),
        euro(150),
        euro(250),
        euro(300),
    )
    assert (money.taken, money.kept) == (euro(2800), euro(2250))
    assert money.dispute is DisputeState.OPEN
    assert [entry.key for entry in money.history][:3] == ["h1", "h2", "v"]


def test_an_open_dispute_outweighs_a_lost_one_and_that_one_a_won_one() -> None:
    ledger = posted(Ledger(), *(fact(f"c{n}", Kind.CHARGE, 100) for n in range(3)))
    posted(ledger, fact("d0", Kind.DISPUTE, 100, of="c0"), fact("w0", Kind.DISPUTE_WON, 100, of="c0"))
    assert money_of(ledger, currency="EUR").dispute is DisputeState.WON
    posted(ledger, fact("d1", Kind.DISPUTE, 100, of="c1"), fact("l1", Kind.DISPUTE_LOST, 100, of="c1"))
    assert money_of(ledger, currency="EUR").dispute is DisputeState.LOST
    posted(ledger, fact("d2", Kind.DISPUTE, 100, of="c2"))
    money = money_of(ledger, currency="EUR")
    assert (money.dispute, money.disputed) == (DisputeState.OPEN, euro(200))
