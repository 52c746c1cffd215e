"""The sweep does what is due: once, by any number of sweepers, and whatever one session does to it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from fleetsight.apps.cooler.session.duties import sweeper as duty
from fleetsight.apps.cooler.session.duties.sweeper import Sweeper
from fleetsight.apps.cooler.session.machine.states import PaymentState, State
from fleetsight.apps.cooler.session.tables import EVENTS, SESSIONS
from fleetsight.clock import SECOND_NS
from fleetsight.store.lease import LeaseLostError
from tests.apps.cooler.session.shop import Shop


def sweeper(shop: Shop, *, online: bool = True) -> Sweeper:
    return Sweeper(shop.sessions, pay=shop.work.pay, online=lambda *_: online)


def test_nothing_is_swept_before_its_time(shop: Shop) -> None:
    shop.redeem()
    assert sweeper(shop).sweep() == 0


def test_ten_sweepers_at_once_do_each_deadline_once(any_shop: Shop) -> None:
    sessions = [any_shop.redeem(device_id=f"d{number}") for number in range(5)]
    any_shop.clock.advance(11 * SECOND_NS)
    with ThreadPoolExecutor(10) as pool:
        moved = list(pool.map(lambda _: sweeper(any_shop).sweep(), range(10)))
    assert sum(moved) == len(sessions)
    with any_shop.rows.reading() as connection:
        passed = sa.select(sa.func.count()).where(EVENTS.c.kind == "DeadlinePassed")
        assert connection.execute(passed).scalar() == len(sessions)


def test_a_session_that_cannot_be_read_keeps_no_other_from_being_swept(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    broken = shop.redeem(device_id="broken")
    shop.clock.advance(SECOND_NS)
    sound = shop.redeem(device_id="sound")
    with shop.rows.transaction() as connection:
        connection.execute(sa.update(SESSIONS).where(SESSIONS.c.id == broken.id).values(body={"state": "nonsense"}))
    shop.clock.advance(30 * SECOND_NS)
    assert sweeper(shop).sweep() == 1
    assert shop.now(sound).state is State.ABORTED
    assert broken.id in caplog.text


def test_a_payment_that_nobody_answers_is_asked_for_after_half_a_minute(shop: Shop) -> None:
    session = shop.upload(shop.visit(shop.redeem()))
    shop.see(session, {"cola": 1})
    from fleetsight.apps.cooler.session.machine.events import SettlementStarted

    shop.sessions.apply(session.id, SettlementStarted(1))  # and whoever began it died
    assert shop.now(session).payment.state is PaymentState.CAPTURE_PENDING
    shop.clock.advance(31 * SECOND_NS)
    sweeper(shop).sweep()
    assert shop.now(session).state is State.SETTLED
    shop.check()


def test_a_device_that_is_offline_gets_more_time_than_one_that_is_silent(shop: Shop) -> None:
    first, second = shop.visit(shop.redeem(device_id="a")), shop.visit(shop.redeem(device_id="b"))
    for session, online in ((first, True), (second, False)):
        shop.clock.advance(61 * SECOND_NS)
        sweeper(shop, online=online).sweep()
        assert shop.now(session).state is State.WAITING_EVIDENCE
    shop.clock.advance(901 * SECOND_NS)
    sweeper(shop, online=False).sweep()
    assert {shop.now(first).state, shop.now(second).state} == {State.WAITING_EVIDENCE}
    shop.clock.advance(901 * SECOND_NS)
    sweeper(shop, online=True).sweep()
    assert {shop.now(first).state, shop.now(second).state} == {State.REVIEW}


def test_a_sweeper_that_lost_its_lease_stops(shop: Shop) -> None:
    def lost(_connection: sa.Connection) -> None:
        raise LeaseLostError("another holds the name")

    shop.redeem()
    shop.clock.advance(11 * SECOND_NS)
    stop = threading.Event()
    Sweeper(shop.sessions.fenced(lost), pay=shop.work.pay).run(stop)
    assert stop.is_set()


def test_a_sweep_that_met_the_unforeseen_is_followed_by_the_next(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(duty, "PAUSE_S", 0.0)
    stop, sweeps = threading.Event(), [0]

    def sweep() -> int:
        sweeps[0] += 1
        if sweeps[0] == 1:
            raise ZeroDivisionError
        stop.set()
        return 0

    swept = sweeper(shop)
    monkeypatch.setattr(swept, "sweep", sweep)
    swept.run(stop)
    assert sweeps == [2]
    assert "sweep failed" in caplog.text
