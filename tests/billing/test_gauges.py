"""The figures of the money page."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fleetsight.billing.gauges import gauges
from fleetsight.billing.operations import Debt
from fleetsight.billing.providers.bank import Bank
from fleetsight.billing.reconciliation.reconciler import Reconciler
from fleetsight.clock import SECOND_NS, VirtualClock
from fleetsight.money import Money
from fleetsight.store.rows import Rows
from tests.billing.till import Till, capture, euro, hold, void

MINUTE_NS = 60 * SECOND_NS


@pytest.fixture
def till(rows: Rows, clock: VirtualClock, tmp_path: Path) -> Iterator[Till]:
    with closing(Bank(tmp_path / "bank.db", clock)) as bank:
        yield Till(rows, clock, bank)


def test_gauges_count_what_waits(till: Till) -> None:
    with till.rows.reading() as connection:
        empty = gauges(connection, "t1")
    assert (empty.open_holds, empty.held, empty.oldest_hold_ns, empty.owed, empty.unreconciled) == (0, (), None, (), 0)
    began_ns = till.clock.now_ns()
    till.do(hold())
    till.clock.advance(MINUTE_NS)
    till.do(hold(key="s2:auth:1", session="s2"))
    till.do(hold(key="s3:auth:1", session="s3"))
    till.do(void(key="s3:void", of="s3:auth:1"))
    till.plan(capture(640))
    debts = (Debt("o1", "t1", "s4", "anna", euro(900), ""), Debt("o2", "t1", "s5", "ben", Money(500, "JPY"), ""))
    with till.rows.transaction() as connection:
        for debt in debts:
            till.payments.owe(connection, debt)
    till.bank.void("pi_000002")
    till.clock.advance(2 * MINUTE_NS)
    Reconciler(till.rows, till.clock, payments=till.payments, provider=till.provider).run(0)
    with till.rows.reading() as connection:
        found = gauges(connection, "t1")
        other = gauges(connection, "t2")
    assert (found.open_holds, found.held, found.oldest_hold_ns) == (2, (euro(5000),), began_ns)
    assert found.owed == (euro(900), Money(500, "JPY"))
    assert (found.unsettled, found.frozen, found.unreconciled) == (1, 0, 2)
    assert (other.open_holds, other.held, other.owed, other.unsettled, other.unreconciled) == (0, (), (), 0, 0)
