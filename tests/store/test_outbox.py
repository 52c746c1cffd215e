"""Letters are posted once, claimed by one worker at a time, and come back when it dies."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from fleetsight.clock import SECOND_NS, VirtualClock
from fleetsight.store.outbox import OUTBOX, Letter, Outbox, Waiting, finish, post
from fleetsight.store.rows import Rows
from tests.store.conftest import NOON_NS


@pytest.fixture
def outbox(rows: Rows, clock: VirtualClock) -> Outbox:
    return Outbox(rows, clock)


def put(rows: Rows, *keys: str, topic: str = "settle", due_ns: int = NOON_NS) -> None:
    with rows.transaction() as connection:
        for key in keys:
            post(connection, topic=topic, key=key, body={"session_id": key}, due_ns=due_ns)


def keys(letters: list[Letter]) -> list[str]:
    return [letter.key for letter in letters]


def test_a_letter_that_is_due_is_claimed(rows: Rows, outbox: Outbox) -> None:
    put(rows, "s1:capture")
    (letter,) = outbox.claim(["settle"], 10, lease_s=30)
    assert letter == Letter(key="s1:capture", topic="settle", body={"session_id": "s1:capture"}, attempts=1)


def test_a_letter_is_not_claimed_before_it_is_due(rows: Rows, outbox: Outbox, clock: VirtualClock) -> None:
    put(rows, "later", due_ns=NOON_NS + SECOND_NS)
    assert outbox.claim(["settle"], 10, lease_s=30) == []
    clock.advance(SECOND_NS)
    assert keys(outbox.claim(["settle"], 10, lease_s=30)) == ["later"]


def test_the_oldest_come_first_and_no_more_than_asked_for(rows: Rows, outbox: Outbox) -> None:
    for age, key in enumerate(["new", "older", "oldest"]):
        put(rows, key, due_ns=NOON_NS - age)
    assert keys(outbox.claim(["settle"], 2, lease_s=30)) == ["oldest", "older"]
    assert keys(outbox.claim(["settle"], 2, lease_s=30)) == ["new"]


def test_a_worker_gets_its_topics_alone(rows: Rows, outbox: Outbox) -> None:
    put(rows, "a", topic="settle")
    put(rows, "b", topic="notify")
    assert keys(outbox.claim(["notify", "other"], 10, lease_s=30)) == ["b"]


def test_posting_twice_is_one_letter(rows: Rows, outbox: Outbox) -> None:
    put(rows, "once")
    put(rows, "once", "once")
    assert keys(outbox.claim(["settle"], 10, lease_s=30)) == ["once"]


def test_posting_again_after_it_was_done_does_not_do_it_again(rows: Rows, outbox: Outbox, clock: VirtualClock) -> None:
    put(rows, "once")
    outbox.claim(["settle"], 10, lease_s=30)
    outbox.finish("once")
    put(rows, "once")
    clock.advance(3600 * SECOND_NS)
    assert outbox.claim(["settle"], 10, lease_s=30) == []


def test_a_letter_of_a_transaction_that_failed_was_never_posted(rows: Rows, outbox: Outbox) -> None:
    def fail() -> None:
        with rows.transaction() as connection:
            post(connection, topic="settle", key="never", body={}, due_ns=NOON_NS)
            raise RuntimeError("unlucky")

    with pytest.raises(RuntimeError, match="unlucky"):
        fail()
    assert outbox.claim(["settle"], 10, lease_s=30) == []


def test_a_claim_runs_out_and_the_letter_comes_back(rows: Rows, outbox: Outbox, clock: VirtualClock) -> None:
    put(rows, "s1")
    outbox.claim(["settle"], 10, lease_s=30)
    clock.advance(30 * SECOND_NS - 1)
    assert outbox.claim(["settle"], 10, lease_s=30) == []
    clock.advance(1)
    assert [letter.attempts for letter in outbox.claim(["settle"], 10, lease_s=30)] == [2]


def test_a_letter_given_back_is_due_later_with_its_error(rows: Rows, outbox: Outbox, clock: VirtualClock) -> None:
    put(rows, "s1")
    outbox.claim(["settle"], 10, lease_s=300)
    outbox.retry_later("s1", 5, error="provider is down")
    assert outbox.claim(["settle"], 10, lease_s=30) == []
    with rows.reading() as connection:
        assert connection.execute(sa.select(OUTBOX.c.error)).scalar_one() == "provider is down"
    clock.advance(5 * SECOND_NS)
    assert [letter.attempts for letter in outbox.claim(["settle"], 10, lease_s=30)] == [2]


def test_finishing_is_final_and_may_be_said_twice(rows: Rows, outbox: Outbox, clock: VirtualClock) -> None:
    put(rows, "s1")
    outbox.claim(["settle"], 10, lease_s=30)
    outbox.finish("s1")
    outbox.finish("s1")
    outbox.retry_later("s1", 0, error="a slower worker")  # whose claim had run out
    clock.advance(3600 * SECOND_NS)
    assert outbox.claim(["settle"], 10, lease_s=30) == []


def test_a_letter_is_finished_with_what_its_effect_brought_or_not_at_all(
    rows: Rows, outbox: Outbox, clock: VirtualClock
) -> None:
    put(rows, "s1")
    outbox.claim(["settle"], 10, lease_s=30)

    def fail() -> None:
        with rows.transaction() as connection:
            finish(connection, "s1", at_ns=clock.now_ns())
            raise RuntimeError("unlucky")

    with pytest.raises(RuntimeError, match="unlucky"):
        fail()
    clock.advance(31 * SECOND_NS)
    assert keys(outbox.claim(["settle"], 10, lease_s=30)) == ["s1"]


def test_no_letter_is_claimed_by_two_workers(rows: Rows, outbox: Outbox) -> None:
    put(rows, *(f"s{number:02}" for number in range(40)))

    def work(_: int) -> list[str]:
        mine: list[str] = []
        while letters := outbox.claim(["settle"], 3, lease_s=3000):
            mine += keys(letters)
        return mine

    with ThreadPoolExecutor(4) as threads:
        claimed = [key for mine in threads.map(work, range(4)) for key in mine]
    assert sorted(claimed) == [f"s{number:02}" for number in range(40)]


def test_what_waits_is_counted_by_topic(rows: Rows, outbox: Outbox) -> None:
    put(rows, "a", "b", topic="settle", due_ns=NOON_NS - 7)
    put(rows, "c", topic="notify", due_ns=NOON_NS + 9)
    put(rows, "d", topic="done")
    outbox.finish("d")
    assert outbox.waiting() == [Waiting("notify", 1, NOON_NS + 9), Waiting("settle", 2, NOON_NS - 7)]


def test_old_letters_that_were_finished_are_deleted_and_others_are_not(
    rows: Rows, outbox: Outbox, clock: VirtualClock
) -> None:
    put(rows, "finished", "waiting")
    outbox.finish("finished")
    assert outbox.delete_finished(clock.now_ns()) == 0
    assert outbox.delete_finished(clock.now_ns() + 1) == 1
    assert keys(outbox.claim(["settle"], 10, lease_s=30)) == ["waiting"]


def test_the_claims_of_a_dead_process_are_ended_and_those_of_others_are_not(rows: Rows, clock: VirtualClock) -> None:
    dead, alive = Outbox(rows, clock, holder="worker-0.1"), Outbox(rows, clock, holder="worker-1.1")
    put(rows, "a", "b")
    for outbox in (dead, alive):
        assert len(outbox.claim(["settle"], 1, lease_s=60)) == 1
    assert alive.holders() == {"worker-0.1", "worker-1.1"}
    assert alive.take_from({"worker-0.1"}) == 1
    assert [letter.key for letter in alive.claim(["settle"], 9, lease_s=60)] == ["a"]
    assert alive.take_from({"worker-0.1"}) == 0
    assert alive.take_from(set()) == 0


def test_a_letter_that_was_given_back_or_finished_has_no_holder(rows: Rows, clock: VirtualClock) -> None:
    outbox = Outbox(rows, clock, holder="worker-0.1")
    put(rows, "a", "b")
    outbox.claim(["settle"], 2, lease_s=60)
    outbox.retry_later("a", 5.0, error="busy")
    outbox.finish("b")
    assert outbox.holders() == set()
