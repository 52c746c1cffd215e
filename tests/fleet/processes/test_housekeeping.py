"""Every hour books and provider are compared, rules are checked, and old things are forgotten."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from fleetsight.apps.cooler.session.machine.states import State
from fleetsight.apps.cooler.session.tables import SESSIONS
from fleetsight.billing.provider import Authorize, Authorized
from fleetsight.fleet.processes.housekeeping import LETTERS_KEPT_NS, NOTIFY_TOPIC, Housekeeping
from fleetsight.money import Money
from fleetsight.store.jobs import Jobs, JobState, JobStatus
from fleetsight.store.outbox import OUTBOX, Outbox, post
from tests.fleet.settled import HOLD_MINOR, Settled

DAY_NS = 86_400_000_000_000


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Settled]:
    made = Settled.make(tmp_path)
    yield made
    made.parts.close()


@pytest.fixture
def housekeeping(shop: Settled) -> Iterator[Housekeeping]:
    jobs = Jobs(shop.parts.addresses.jobs_url)
    yield Housekeeping(shop.parts, jobs=jobs, outbox=Outbox(shop.parts.rows, shop.clock))
    jobs.close()


def notices(shop: Settled) -> list[str]:
    with shop.parts.rows.reading() as connection:
        told = sa.select(OUTBOX.c.body).where(OUTBOX.c.topic == NOTIFY_TOPIC).order_by(OUTBOX.c.key)
        kinds = [body["kind"] for body in connection.execute(told).scalars()]
    return [kind for kind in kinds if kind.startswith(("job.", "money.", "rule."))]


def test_nothing_is_said_when_everything_adds_up(shop: Settled, housekeeping: Housekeeping) -> None:
    shop.buy()
    shop.clock.advance(DAY_NS)
    housekeeping.once()
    assert notices(shop) == []


def test_a_hold_that_nothing_of_ours_stands_behind_is_given_back(shop: Settled, housekeeping: Housekeeping) -> None:
    session = shop.redeem()
    asked = Authorize(f"{session.id}:auth:2", session.tenant_id, session.id, session.method_id, Money(500, "EUR"))
    assert isinstance(shop.parts.wallet.authorize(asked), Authorized)
    shop.clock.advance(DAY_NS)
    housekeeping.once()
    balance = shop.parts.wallet.balance(session.tenant_id, session.shopper_id, currency="EUR")
    assert balance.minor == 100_000 - HOLD_MINOR


def test_a_broken_rule_is_told_once_a_day(shop: Settled, housekeeping: Housekeeping) -> None:
    session = shop.buy()
    assert session.state is State.SETTLED
    with shop.parts.rows.transaction() as connection:
        connection.execute(sa.update(SESSIONS).values(charged_minor=SESSIONS.c.charged_minor + 1))
    housekeeping.once()
    once = notices(shop)
    assert "rule.broken" in once
    housekeeping.once()
    assert notices(shop) == once
    shop.clock.advance(DAY_NS)
    housekeeping.once()
    assert len(notices(shop)) > len(once)


def test_a_job_that_does_not_go_on_is_told_once_a_day(
    shop: Settled, housekeeping: Housekeeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned = JobState("run:1", "session.settle", JobStatus.POISONED, {}, None, "killed its worker", "worker-0.3")
    monkeypatch.setattr(housekeeping._jobs, "troubled", lambda: [poisoned])
    for _ in range(2):
        housekeeping.once()
    assert notices(shop) == ["job.troubled"]


def test_finished_letters_are_forgotten_after_a_while(shop: Settled, housekeeping: Housekeeping) -> None:
    outbox = Outbox(shop.parts.rows, shop.clock)
    with shop.parts.rows.transaction() as connection:
        post(connection, topic="t", key="done", body={}, due_ns=0)
        post(connection, topic="t", key="waits", body={}, due_ns=0)
    outbox.finish("done")
    shop.clock.advance(LETTERS_KEPT_NS + 1)
    housekeeping.once()
    with shop.parts.rows.reading() as connection:
        left = connection.execute(sa.select(OUTBOX.c.key).where(OUTBOX.c.topic == "t")).scalars().all()
    assert left == ["waits"]


def test_a_duty_that_fails_keeps_no_other_from_being_done(
    shop: Settled, housekeeping: Housekeeping, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(since_ns: int) -> None:
        raise OSError("the provider's line is down")

    monkeypatch.setattr(shop.parts.wallet, "list_since", broken)
    shop.buy()
    with shop.parts.rows.transaction() as connection:
        connection.execute(sa.update(SESSIONS).values(charged_minor=SESSIONS.c.charged_minor + 1))
    housekeeping.once()
    assert "rule.broken" in notices(shop)
    assert "housekeeping failed duty=reconcile wallet" in caplog.text
