"""Each rule holds after honest work, and is found broken when somebody tampers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from fleetsight.apps.cooler.session.tables import SESSIONS
from fleetsight.billing.tables import BALANCES, POSTINGS
from fleetsight.clock import SECOND_NS
from fleetsight.fleet.invariants import HOLD_GONE_S, LATE_S, RULES, broken_rules
from fleetsight.store.blobs import Digest
from fleetsight.store.chain import CHAIN
from tests.fleet.settled import Settled


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Settled]:
    made = Settled.make(tmp_path)
    yield made
    made.parts.close()


def broken(shop: Settled) -> set[str]:
    found = broken_rules(shop.parts.rows, shop.parts.blobs, now_ns=shop.clock.now_ns())
    assert all(one.detail and one.rule in RULES for one in found)
    return {one.rule for one in found}


def tamper(shop: Settled, change: sa.Update | sa.Delete) -> None:
    with shop.parts.rows.transaction() as connection:
        assert connection.execute(change).rowcount


def test_everything_holds_at_every_step_of_a_purchase(shop: Settled) -> None:
    session = shop.redeem()
    assert broken(shop) == set()
    shop.visit(session)
    assert broken(shop) == set()
    shop.upload(session)
    assert broken(shop) == set()
    shop.clock.advance(SECOND_NS)


def test_everything_holds_after_many_purchases(shop: Settled) -> None:
    for _ in range(3):
        shop.buy()
    assert broken(shop) == set()


def test_a_session_that_says_another_charge_than_the_books_is_found(shop: Settled) -> None:
    session = shop.buy()
    charged = SESSIONS.c.charged_minor
    tamper(shop, sa.update(SESSIONS).where(SESSIONS.c.id == session.id).values(charged_minor=charged + 1))
    assert broken(shop) == {"money", "amount"}


def test_books_whose_balances_were_edited_are_found(shop: Settled) -> None:
    shop.buy()
    tamper(shop, sa.update(BALANCES).values(amount_minor=BALANCES.c.amount_minor + 1))
    assert broken(shop) == {"books"}


def test_an_entry_that_was_deleted_is_found(shop: Settled) -> None:
    session = shop.buy()
    capture = sa.and_(POSTINGS.c.book == "wallet", POSTINGS.c.entry_key == session.payment.charges[0].key)
    tamper(shop, sa.delete(POSTINGS).where(capture))
    assert broken(shop) == {"books", "money"}


def test_an_edited_history_is_found(shop: Settled) -> None:
    session = shop.buy()
    link = sa.update(CHAIN).where(CHAIN.c.scope == f"session:{session.id}", CHAIN.c.position == 2)
    tamper(shop, link.values(record=CHAIN.c.record + " "))
    assert broken(shop) == {"history"}


def test_a_lost_upload_is_found(shop: Settled) -> None:
    session = shop.buy()
    (segment,) = session.evidence.segments
    shop.parts.blobs.delete(Digest(f"sha256:{segment.sha256}"))
    assert broken(shop) == {"uploads"}


def test_a_session_that_nobody_moves_on_is_found(shop: Settled) -> None:
    session = shop.redeem()
    late_ns = session.due_ns + (LATE_S + 1) * SECOND_NS - shop.clock.now_ns() if session.due_ns else 0
    assert late_ns > 0
    shop.clock.advance(late_ns)
    assert broken(shop) == {"deadlines"}


def test_a_hold_that_lingers_after_the_end_is_found(shop: Settled) -> None:
    session = shop.redeem()
    ended = {"state": "aborted", "deadline_ns": None}
    tamper(shop, sa.update(SESSIONS).where(SESSIONS.c.id == session.id).values(**ended))
    assert broken(shop) == set()
    shop.clock.advance((HOLD_GONE_S + 1) * SECOND_NS)
    assert broken(shop) == {"holds"}


def test_two_sessions_with_one_door_are_found(shop: Settled) -> None:
    first, second = shop.buy(), shop.buy()
    assert first.door.closed_ns is not None
    early_ns = first.door.closed_ns - 1
    tamper(shop, sa.update(SESSIONS).where(SESSIONS.c.id == second.id).values(opened_ns=early_ns))
    assert broken(shop) == {"doors"}


def test_older_sessions_are_left_out_when_asked(shop: Settled) -> None:
    session = shop.buy()
    tamper(shop, sa.update(SESSIONS).where(SESSIONS.c.id == session.id).values(charged_minor=1))
    now_ns = shop.clock.now_ns()
    assert broken_rules(shop.parts.rows, shop.parts.blobs, now_ns=now_ns, since_ns=now_ns) == []
