"""What could not be charged is owed: paid later, or written off, once."""

from fleetsight.billing.operations import Debt
from fleetsight.billing.provider import Captured, Refunded, Refused
from tests.billing.till import HOUR_NS, Till, charge, euro, refund

DAY_NS = 24 * HOUR_NS


def test_what_cannot_be_charged_is_owed_and_paid_later(till: Till) -> None:
    debt = Debt("s1:owe:1", "t1", "s1", "anna", euro(900), "the hold expired")
    for _ in range(2):
        with till.rows.transaction() as connection:
            assert till.payments.owe(connection, debt) is None
    with till.rows.reading() as connection:
        assert till.payments.arrears(connection, "t1", shopper_id="anna") == (euro(900),)
        assert till.payments.arrears(connection, "t1", shopper_id="ann") == ()
        assert till.payments.arrears(connection, "t2", shopper_id="anna") == ()
    assert till.plan(charge(901, key="s1:retry:0", debt_key=debt.key)) == Refused("owed")
    assert till.plan(charge(1, key="s1:retry:0", debt_key="nothing")) == Refused("owed")
    assert isinstance(till.do(charge(600, key="s1:retry:1", debt_key=debt.key)), Captured)
    assert till.plan(charge(301, key="s1:retry:2", debt_key=debt.key)) == Refused("owed")
    till.do(charge(300, key="s1:retry:2", debt_key=debt.key))
    with till.rows.reading() as connection:
        assert till.payments.arrears(connection, "t1", shopper_id="anna") == ()
    assert (till.money.owed, till.money.paid_later) == (euro(0), euro(900))
    till.agrees(taken=900)
    assert isinstance(till.do(refund(600, of="s1:retry:1")), Refunded)


def test_charges_for_a_debt_that_are_on_their_way_count(till: Till) -> None:
    debt = Debt("s1:owe:1", "t1", "s1", "anna", euro(900), "")
    with till.rows.transaction() as connection:
        till.payments.owe(connection, debt)
    till.plan(charge(600, key="s1:retry:1", debt_key=debt.key))
    assert till.plan(charge(301, key="s1:retry:2", debt_key=debt.key)) == Refused("owed")
    with till.rows.transaction() as connection:
        assert till.payments.write_off(connection, debt, key="s1:writeoff") == Refused("owed")


def test_what_is_not_paid_is_written_off_once(till: Till) -> None:
    debt = Debt("s1:owe:1", "t1", "s1", "anna", euro(900), "")
    with till.rows.transaction() as connection:
        assert till.payments.owe(connection, Debt("s1:owe:0", "t1", "s1", "anna", euro(0), "")) == Refused("zero")
        assert till.payments.write_off(connection, debt, key="s1:writeoff") == Refused("owed")
        till.payments.owe(connection, debt)
    till.do(charge(600, key="s1:retry:1", debt_key=debt.key))
    for _ in range(2):
        with till.rows.transaction() as connection:
            assert till.payments.write_off(connection, debt, key="s1:writeoff") == euro(300)
    with till.rows.reading() as connection:
        assert till.payments.arrears(connection, "t1", shopper_id="anna") == ()
        assert till.book.balance(connection, "writeoff", currency="EUR") == euro(300)
        assert till.book.verify(connection) == ()
    assert (till.money.written_off, till.money.owed) == (euro(300), euro(0))
