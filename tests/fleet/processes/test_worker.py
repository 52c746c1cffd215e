"""People are told until they were told, and not for ever."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from fleetsight.clock import SECOND_NS, VirtualClock
from fleetsight.fleet.processes.housekeeping import NOTIFY_TOPIC
from fleetsight.fleet.processes.worker import RETRIES_S, tell_people
from fleetsight.notify import Delivery, Notice
from fleetsight.store.outbox import OUTBOX, Outbox, post
from fleetsight.store.rows import Rows, upgrade

NOON_NS = 1_800_000_000 * SECOND_NS
BODY = {"kind": "receipt.ready", "at_ns": NOON_NS, "facts": {"session_id": "s1"}}


class Passing(threading.Event):
    """Time passes while somebody waits for the end: the next attempt is due."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.advance(round(max(RETRIES_S) * SECOND_NS))
        return self.is_set()


class Ear:
    """Hears notices, and says when it has heard enough."""

    def __init__(self, *, stop: threading.Event, deaf: int, enough: int) -> None:
        self.heard: list[Notice] = []
        self._stop, self._deaf, self._enough = stop, deaf, enough

    def send(self, notice: Notice, *, now_ns: int) -> Delivery:
        self.heard.append(notice)
        if len(self.heard) >= self._enough:
            self._stop.set()
        return Delivery(delivered=len(self.heard) > self._deaf, reason="deaf")


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    with closing(Rows.open(f"sqlite:///{tmp_path}/rows.db")) as rows:
        upgrade(rows)
        with rows.transaction() as connection:
            post(connection, topic=NOTIFY_TOPIC, key="notify:1", body=BODY, due_ns=NOON_NS)
        yield rows


def told(rows: Rows, *, deaf: int, enough: int) -> tuple[Ear, bool]:
    """Tell an ear; what it heard, and whether the letter is done."""
    clock = VirtualClock(NOON_NS)
    stop = Passing(clock)
    ear = Ear(stop=stop, deaf=deaf, enough=enough)
    tell_people(Outbox(rows, clock), ear, clock=clock, stop=stop)
    with rows.reading() as connection:
        return ear, connection.execute(sa.select(OUTBOX.c.done_ns)).scalar_one() is not None


def test_a_notice_is_delivered_once(rows: Rows) -> None:
    ear, done = told(rows, deaf=0, enough=1)
    assert done
    assert ear.heard == [Notice("notify:1", "receipt.ready", NOON_NS, {"session_id": "s1"})]


def test_a_notice_that_was_not_heard_is_told_again_under_the_same_name(rows: Rows) -> None:
    ear, done = told(rows, deaf=2, enough=3)
    assert done
    assert {notice.notice_id for notice in ear.heard} == {"notify:1"}


def test_a_receiver_that_never_hears_is_given_up(rows: Rows, caplog: pytest.LogCaptureFixture) -> None:
    ear, done = told(rows, deaf=99, enough=len(RETRIES_S) + 1)
    assert done
    assert len(ear.heard) == len(RETRIES_S) + 1
    assert "notice given up" in caplog.text
