"""Entries as rows: once, unchangeable, in balance, chained; on SQLite and on Postgres."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from fleetsight.billing.books import Book
from fleetsight.billing.ledger import Entry, Kind, LedgerError, Posting
from fleetsight.billing.provider import Refused
from fleetsight.billing.sales import Fact, entry_of
from fleetsight.billing.tables import BALANCES, ENTRIES, POSTINGS
from fleetsight.money import Money
from fleetsight.store.crashpoint import Crash, SimulatedCrashError, arm, disarm
from fleetsight.store.rows import METADATA, Rows

BOOK = Book("t1", "sales")


def entry(key: str, kind: Kind, minor: int, *, of: str = "", held: int | None = None, session: str = "s1") -> Entry:
    whole = None if held is None else Money(held, "EUR")
    return entry_of(Fact(key, kind, session, "anna", "wallet", Money(minor, "EUR"), 7, of=of, held=whole))


def post(rows: Rows, *entries: Entry, book: Book = BOOK) -> list[Entry | Refused]:
    with rows.transaction() as connection:
        return [book.post(connection, each) for each in entries]


def problems(rows: Rows, book: Book = BOOK) -> tuple[str, ...]:
    with rows.reading() as connection:
        return book.verify(connection)


def unprotected(rows: Rows, statement: sa.Executable) -> None:
    """Change rows behind the database's back, as somebody with its file could."""
    with rows.transaction() as connection:
        if rows.dialect == "sqlite":
            names = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars().all()
            for name in names:
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
        else:
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.execute(statement)


def test_balances_follow_from_the_entries(rows: Rows) -> None:
    post(rows, entry("h", Kind.HOLD, 2500), entry("c", Kind.CAPTURE, 640, of="h", held=2500))
    with rows.reading() as connection:
        assert BOOK.balances(connection) == {
            ("clearing:wallet", "EUR"): Money(640, "EUR"),
            ("revenue", "EUR"): Money(-640, "EUR"),
        }
        assert BOOK.balances(connection, prefix="hold:") == {}
        assert BOOK.balance(connection, "revenue", currency="EUR") == Money(-640, "EUR")
        assert BOOK.balance(connection, "revenue", currency="USD") == Money(0, "USD")
        assert list(BOOK.ledger_of(connection, "s1").entries) == ["h", "c"]
    assert problems(rows) == ()


def test_the_same_fact_twice_is_one_row(rows: Rows) -> None:
    first, second = post(rows, entry("h", Kind.HOLD, 2500)), post(rows, entry("h", Kind.HOLD, 2500))
    assert first == second
    with rows.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(ENTRIES)).scalar() == 1
    assert problems(rows) == ()


def test_a_key_stands_for_one_fact_also_across_sessions(rows: Rows) -> None:
    post(rows, entry("h", Kind.HOLD, 2500))
    with pytest.raises(LedgerError, match="stands for"):
        post(rows, entry("h", Kind.HOLD, 2500, session="s2"))
    with pytest.raises(LedgerError, match="stands for"):
        post(rows, entry("h", Kind.HOLD, 2400))


def test_a_rule_that_is_broken_writes_nothing(rows: Rows) -> None:
    post(rows, entry("h", Kind.HOLD, 2500))
    assert post(rows, entry("c", Kind.CAPTURE, 2501, of="h", held=2500)) == [Refused("above_hold")]
    with rows.reading() as connection:
        assert list(BOOK.ledger_of(connection, "s1").entries) == ["h"]
    assert problems(rows) == ()


def test_tenants_and_books_are_apart(rows: Rows) -> None:
    other, wallet = Book("t2", "sales"), Book("t1", "wallet")
    for book in (BOOK, other, wallet):
        post(rows, entry("h", Kind.HOLD, 2500), book=book)
    with rows.reading() as connection:
        assert BOOK.entry(connection, "h") == other.entry(connection, "h") == wallet.entry(connection, "h")
        assert other.balance(connection, "hold:s1", currency="EUR") == Money(2500, "EUR")
    assert problems(rows) + problems(rows, other) + problems(rows, wallet) == ()


def test_the_second_of_two_at_once_sees_the_first(rows: Rows) -> None:
    post(rows, entry("c", Kind.CHARGE, 1000))

    def refund(number: int) -> Entry | Refused:
        return post(rows, entry(f"r{number}", Kind.REFUND, 300, of="c"))[0]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(refund, range(8)))
    assert [answer for answer in answers if isinstance(answer, Refused)] == [Refused("above_captured")] * 5
    assert problems(rows) == ()


@pytest.mark.parametrize("table", [ENTRIES, POSTINGS])
def test_the_database_refuses_to_change_what_was_written(rows: Rows, table: sa.Table) -> None:
    post(rows, entry("h", Kind.HOLD, 2500))
    for statement in (sa.update(table).values(amount_minor=1), sa.delete(table)):
        with pytest.raises(sa.exc.IntegrityError, match="append-only"), rows.transaction() as connection:
            connection.execute(statement)


def test_a_hold_is_ended_once_even_without_our_rules(rows: Rows) -> None:
    post(rows, entry("h", Kind.HOLD, 2500), entry("v", Kind.VOID, 2500, of="h"))
    with rows.reading() as connection:
        row = connection.execute(sa.select(ENTRIES).filter_by(key="v")).one()._asdict()
    with pytest.raises(sa.exc.IntegrityError), rows.transaction() as connection:
        connection.execute(sa.insert(ENTRIES).values(**{**row, "key": "v2", "position": 9}))


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        (sa.update(ENTRIES).where(ENTRIES.c.key == "c").values(note="nothing to see"), "not those of the chain"),
        (sa.update(ENTRIES).where(ENTRIES.c.key == "c").values(amount_minor=641), "not those of the chain"),
        (sa.update(POSTINGS).where(POSTINGS.c.entry_key == "c").values(account="cash"), "not those of the chain"),
        (sa.delete(POSTINGS).where(POSTINGS.c.entry_key == "c"), "not those of the chain"),
        (sa.update(ENTRIES).where(ENTRIES.c.key == "c").values(position=9), "not those of the chain"),
        (sa.update(BALANCES).where(BALANCES.c.account == "revenue").values(amount_minor=-1), "balances"),
        (sa.update(METADATA.tables["chain"]).where(sa.text("position = 2")).values(record="{}"), "broken at 2"),
        (sa.delete(METADATA.tables["chain"]).where(sa.text("position = 3")), "broken at 3"),
    ],
)
def test_every_kind_of_tampering_is_found(rows: Rows, statement: sa.Executable, found: str) -> None:
    later = entry("h2", Kind.HOLD, 2500, session="s2")
    post(rows, entry("h", Kind.HOLD, 2500), entry("c", Kind.CAPTURE, 640, of="h", held=2500), later)
    assert problems(rows) == ()
    unprotected(rows, statement)
    assert any(found in problem for problem in problems(rows)), problems(rows)


@pytest.mark.parametrize("point", ["books.chained", "books.posted"])
def test_a_crash_in_the_middle_of_an_entry_leaves_nothing_of_it(rows: Rows, point: str) -> None:
    arm(point, how=Crash.RAISE)
    try:
        with pytest.raises(SimulatedCrashError):
            post(rows, entry("h", Kind.HOLD, 2500))
    finally:
        disarm()
    assert problems(rows) == ()
    post(rows, entry("h", Kind.HOLD, 2500))
    with rows.reading() as connection:
        assert BOOK.balance(connection, "hold:s1", currency="EUR") == Money(2500, "EUR")
    assert problems(rows) == ()


def test_entries_since_a_moment_come_oldest_first(rows: Rows) -> None:
    sides = (Posting("cash", Money(5, "EUR")), Posting("wallet:anna", Money(-5, "EUR")))
    post(rows, *(Entry(f"t{at_ns}", Kind.TOP_UP, "", Money(5, "EUR"), sides, at_ns) for at_ns in (10, 20, 30)))
    with rows.reading() as connection:
        assert [found.key for found in BOOK.entries_since(connection, 20)] == ["t20", "t30"]
        assert BOOK.ledger_of(connection, "").entries == {}
    assert problems(rows) == ()


def test_accounts_are_told_apart_by_their_exact_beginning(rows: Rows) -> None:
    post(rows, entry("h", Kind.HOLD, 100, session="a_c"), entry("h2", Kind.HOLD, 200, session="abc"))
    with rows.reading() as connection:
        assert list(BOOK.balances(connection, prefix="hold:a_c")) == [("hold:a_c", "EUR")]
