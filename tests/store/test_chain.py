"""A hash chain finds every edit, deletion, insertion and change of order."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from fleetsight.store.canonical import NotJsonError
from fleetsight.store.chain import CHAIN, HEADS, Link, append, records, verify
from fleetsight.store.rows import Rows
from tests.store.tampering import lift_protection

SCOPE = "session:1"
COUNT = 6


@pytest.fixture(autouse=True)
def log(rows: Rows) -> list[Link]:
    with rows.transaction() as connection:
        append(connection, "session:2", record={"other": True})
        return [append(connection, SCOPE, record={"n": n, "text": "Käse"}) for n in range(1, COUNT + 1)]


def broken_at(rows: Rows, *changes: sa.Update | sa.Delete | sa.Insert) -> int | None:
    with rows.transaction() as connection:
        lift_protection(connection, "chain")
        for change in changes:
            connection.execute(change)
        return verify(connection, SCOPE)


def at(position: int) -> sa.ColumnElement[bool]:
    return sa.and_(CHAIN.c.scope == SCOPE, CHAIN.c.position == position)


def test_records_are_read_back_in_their_order(rows: Rows, log: list[Link]) -> None:
    with rows.reading() as connection:
        assert records(connection, SCOPE) == log
        assert [link.position for link in log] == list(range(1, COUNT + 1))
        assert verify(connection, SCOPE) is None


def test_an_empty_log_is_whole(rows: Rows) -> None:
    with rows.reading() as connection:
        assert (verify(connection, "nothing"), records(connection, "nothing")) == (None, [])


def test_the_same_records_in_another_log_have_other_digests(rows: Rows, log: list[Link]) -> None:
    with rows.transaction() as connection:
        other = append(connection, "session:3", record={"n": 1, "text": "Käse"})
    assert other.digest != log[0].digest


@pytest.mark.parametrize("position", range(1, COUNT + 1))
@pytest.mark.parametrize("column", ["record", "digest"])
@pytest.mark.bad_input(64)
def test_every_edit_is_found_at_its_place(rows: Rows, position: int, column: str) -> None:
    changed = {"record": '{"n":99}', "digest": "f" * 64}[column]
    assert broken_at(rows, sa.update(CHAIN).where(at(position)).values({column: changed})) == position


@pytest.mark.parametrize("position", range(1, COUNT + 1))
def test_every_deletion_is_found_even_at_the_end(rows: Rows, position: int) -> None:
    assert broken_at(rows, sa.delete(CHAIN).where(at(position))) == position


@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 5), (5, 6)])
def test_every_change_of_order_is_found(rows: Rows, first: int, second: int) -> None:
    def move(here: int, there: int) -> sa.Update:
        return sa.update(CHAIN).where(at(here)).values(position=there)

    assert broken_at(rows, move(first, 99), move(second, first), move(99, second)) == first


def test_a_gap_that_is_closed_is_found(rows: Rows) -> None:
    closing = [sa.update(CHAIN).where(at(n)).values(position=n - 1) for n in range(4, COUNT + 1)]
    assert broken_at(rows, sa.delete(CHAIN).where(at(3)), *closing) == 3


def test_a_whole_log_that_is_gone_is_found(rows: Rows) -> None:
    assert broken_at(rows, sa.delete(CHAIN).where(CHAIN.c.scope == SCOPE)) == 1


def test_a_record_that_was_slipped_in_at_the_end_is_found(rows: Rows) -> None:
    row = {"scope": SCOPE, "position": COUNT + 1, "record": "{}", "digest": "0" * 64}
    assert broken_at(rows, sa.insert(CHAIN).values(row)) == COUNT + 1


def test_a_head_that_was_turned_back_is_found(rows: Rows, log: list[Link]) -> None:
    back = {"position": log[-2].position, "digest": log[-2].digest}
    assert broken_at(rows, sa.update(HEADS).where(HEADS.c.scope == SCOPE).values(back)) == COUNT + 1


def test_a_head_that_is_gone_is_found(rows: Rows) -> None:
    assert broken_at(rows, sa.delete(HEADS).where(HEADS.c.scope == SCOPE)) == COUNT + 1


def test_one_log_does_not_vouch_for_another(rows: Rows) -> None:
    with rows.transaction() as connection:
        lift_protection(connection, "chain")
        connection.execute(sa.update(CHAIN).where(at(1)).values(record="{}"))
        assert verify(connection, "session:2") is None


def test_what_is_no_json_is_not_appended(rows: Rows) -> None:
    with pytest.raises(NotJsonError), rows.transaction() as connection:
        append(connection, SCOPE, record={"at": float("nan")})


def test_an_append_that_is_rolled_back_leaves_the_chain_whole(rows: Rows, log: list[Link]) -> None:
    def fail() -> None:
        with rows.transaction() as connection:
            append(connection, SCOPE, record={"n": 7})
            raise RuntimeError("unlucky")

    with pytest.raises(RuntimeError, match="unlucky"):
        fail()
    with rows.reading() as connection:
        assert (verify(connection, SCOPE), records(connection, SCOPE)) == (None, log)


@pytest.mark.parametrize("scope", [SCOPE, "new"])
def test_appends_at_once_follow_each_other(rows: Rows, scope: str) -> None:
    def work(worker: int) -> None:
        for number in range(5):
            with rows.transaction() as connection:
                append(connection, scope, record={"worker": worker, "number": number})

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    with rows.reading() as connection:
        assert verify(connection, scope) is None
        assert len(records(connection, scope)) == 20 + (COUNT if scope == SCOPE else 0)
