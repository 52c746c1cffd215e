"""A request that is sent again gets the answer it had, and no second effect."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from fleetsight.clock import SECOND_NS
from fleetsight.store.idempotency import (
    ABANDONED_NS,
    KEPT_NS,
    Answer,
    Beginning,
    Conflict,
    InProgress,
    Request,
    Started,
    abandon,
    abandon_all,
    begin,
    delete_old,
    finish,
)
from fleetsight.store.rows import Rows
from tests.store.conftest import NOON_NS

REQUEST = Request("tenant", "shopper:1", "key-1", "a" * 64)
OTHER_BODY = replace(REQUEST, body_sha256="b" * 64)
DONE = Answer(201, {"session_id": "s1", "hold": {"minor": 2500}})


def ask(rows: Rows, request: Request = REQUEST, *, now_ns: int = NOON_NS) -> Beginning:
    with rows.transaction() as connection:
        return begin(connection, request, now_ns=now_ns)


def answer(rows: Rows, request: Request = REQUEST, given: Answer = DONE) -> None:
    with rows.transaction() as connection:
        finish(connection, request, answer=given)


def test_a_new_request_is_started_and_its_repetition_told_to_wait(rows: Rows) -> None:
    assert ask(rows) == Started()
    assert ask(rows) == InProgress(retry_after_s=1)


@pytest.mark.parametrize("given", [DONE, Answer(409, None), Answer(200, [1, "a"])])
def test_a_repetition_gets_the_first_answer(rows: Rows, given: Answer) -> None:
    ask(rows)
    answer(rows, given=given)
    assert [ask(rows), ask(rows)] == [given, given]


def test_another_body_under_the_same_key_is_a_conflict_before_and_after_the_answer(rows: Rows) -> None:
    ask(rows)
    assert ask(rows, OTHER_BODY) == Conflict()
    answer(rows)
    assert ask(rows, OTHER_BODY) == Conflict()
    assert ask(rows) == DONE


@pytest.mark.parametrize("change", [{"tenant_id": "other"}, {"principal": "shopper:2"}, {"key": "key-2"}])
def test_the_same_key_of_someone_else_is_another_request(rows: Rows, change: dict[str, str]) -> None:
    ask(rows)
    answer(rows)
    assert ask(rows, replace(OTHER_BODY, **change)) == Started()


def test_an_answer_that_was_rolled_back_was_not_given(rows: Rows) -> None:
    ask(rows)

    def fail() -> None:
        with rows.transaction() as connection:
            finish(connection, REQUEST, answer=DONE)
            raise RuntimeError("unlucky")

    with pytest.raises(RuntimeError, match="unlucky"):
        fail()
    assert ask(rows) == InProgress()


def test_a_request_whose_process_died_is_started_again(rows: Rows) -> None:
    ask(rows)
    assert ask(rows, now_ns=NOON_NS + ABANDONED_NS - 1) == InProgress()
    assert ask(rows, now_ns=NOON_NS + ABANDONED_NS) == Started()
    assert ask(rows, now_ns=NOON_NS + ABANDONED_NS + 1) == InProgress()


def test_a_dead_request_keeps_its_key_from_another_body(rows: Rows) -> None:
    ask(rows)
    assert ask(rows, OTHER_BODY, now_ns=NOON_NS + 2 * ABANDONED_NS) == Conflict()


def test_a_request_without_effect_may_be_sent_again_at_once(rows: Rows) -> None:
    ask(rows)
    with rows.transaction() as connection:
        abandon(connection, REQUEST)
    assert ask(rows, OTHER_BODY) == Started()


def test_what_a_dead_process_left_may_be_sent_again_at_once_and_answers_stay(rows: Rows) -> None:
    answered = replace(REQUEST, key="key-2")
    ask(rows)
    ask(rows, answered)
    answer(rows, answered)
    with rows.transaction() as connection:
        assert abandon_all(connection) == 1
    assert [ask(rows), ask(rows, answered)] == [Started(), DONE]


def test_an_answer_is_never_abandoned(rows: Rows) -> None:
    ask(rows)
    answer(rows)
    with rows.transaction() as connection:
        abandon(connection, REQUEST)
    assert ask(rows) == DONE


def test_an_answer_is_kept_for_seven_days(rows: Rows) -> None:
    assert KEPT_NS == 7 * 24 * 3600 * SECOND_NS
    ask(rows)
    answer(rows)
    with rows.transaction() as connection:
        assert delete_old(connection, NOON_NS + KEPT_NS - 1) == 0
    assert ask(rows, now_ns=NOON_NS + KEPT_NS - 1) == DONE
    assert ask(rows, OTHER_BODY, now_ns=NOON_NS + KEPT_NS) == Started()
    with rows.transaction() as connection:
        assert delete_old(connection, NOON_NS + 2 * KEPT_NS) == 1


def test_of_many_equal_requests_at_once_one_is_started(rows: Rows) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: ask(rows), range(24)))
    assert found.count(Started()) == 1
    assert found.count(InProgress()) == 23
