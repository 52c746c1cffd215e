"""Sessions on rows: one transaction for each event, whoever comes, however often."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa

from fleetsight.apps.cooler.session.answers import Applied, Created, Missing, NotCreated, Repeated
from fleetsight.apps.cooler.session.machine import events
from fleetsight.apps.cooler.session.machine.states import Action, PaymentState, State
from fleetsight.apps.cooler.session.machine.transition import Refused
from fleetsight.apps.cooler.session.tables import EVENTS, SESSIONS
from fleetsight.billing.providers.desk import Fault, Scripted
from fleetsight.store import chain
from fleetsight.store.rows import Rows
from tests.apps.cooler.session.shop import HOLD_MINOR, START_NS, Shop

THREADS = 50


def test_a_purchase_is_held_captured_once_and_in_balance(any_shop: Shop) -> None:
    session = any_shop.buy({"cola": 2, "water": 1})
    assert session.state is State.SETTLED
    assert session.payment.kept_minor == 620
    assert any_shop.bank.truth()[session.id].captures == 1
    any_shop.check()


def test_an_empty_basket_gives_the_hold_back(shop: Shop) -> None:
    session = shop.buy({})
    assert (session.state, session.payment.state) == (State.RELEASED, PaymentState.VOIDED)
    assert shop.bank.truth()[session.id].held_minor == 0
    shop.check()


def test_a_basket_above_the_hold_is_held_money_and_one_extra(shop: Shop) -> None:
    session = shop.buy({"cola": 7})
    assert [charge.amount_minor for charge in session.payment.charges] == [HOLD_MINOR, 7 * 250 - HOLD_MINOR]
    assert session.state is State.SETTLED
    shop.check()


def test_what_the_extra_cannot_get_is_owed_and_blocks_the_next_session(shop: Shop) -> None:
    shop.teller.declines = (":extra",)
    session = shop.buy({"cola": 7})
    assert session.state is State.OWED
    assert session.payment.owed_minor == 250
    assert shop.refused() == "arrears"
    shop.check()
    shop.sessions.apply(session.id, events.CollectionRequested())
    assert shop.work.hurry_settlement(session.id).state is State.SETTLED
    assert shop.redeem().state is State.UNLOCKING
    shop.check()


def test_the_same_code_is_one_session_and_another_shopper_gets_none(shop: Shop) -> None:
    first = shop.sessions.create(shop.order(jti="code"))
    again = shop.sessions.create(shop.order(jti="code"))
    assert isinstance(first, Created)
    assert isinstance(again, Created)
    assert (first.session.id, first.fresh, again.fresh) == (again.session.id, True, False)
    assert shop.refused(jti="code", shopper_id="other") == "redeemed"
    assert shop.refused(jti="code", device_id="other") == "redeemed"


def test_fifty_redeem_one_code_at_once_and_one_session_exists(any_shop: Shop) -> None:
    outcomes = at_once(lambda _: any_shop.sessions.create(any_shop.order(jti="code")))
    created = [outcome for outcome in outcomes if isinstance(outcome, Created)]
    assert len(created) == THREADS
    assert sum(outcome.fresh for outcome in created) == 1
    assert len({outcome.session.id for outcome in created}) == 1


def test_fifty_shoppers_at_one_door_and_one_gets_it(any_shop: Shop) -> None:
    outcomes = at_once(lambda n: any_shop.sessions.create(any_shop.order(shopper_id=f"shopper-{n}", jti=f"code-{n}")))
    assert sum(isinstance(outcome, Created) for outcome in outcomes) == 1
    reasons = {outcome.reason.value for outcome in outcomes if isinstance(outcome, NotCreated)}
    assert reasons == {"device_busy"}


def test_fifty_threads_on_one_session_leave_what_one_thread_would(any_shop: Shop) -> None:
    """Every thread says everything; the sequential model says each thing once, in order."""
    model = any_shop.buy({"cola": 1}, jti="model", device_id="model")
    assert model.proposal is not None
    verdict = model.proposal.verdict
    session = any_shop.redeem()
    wait = threading.Barrier(THREADS)

    def everything(_: int) -> None:
        wait.wait()
        any_shop.work.hurry(session.id)
        any_shop.acknowledge(session)
        for seq, kind in enumerate(("door_opened", "door_closed", "locked"), start=1000):
            any_shop.says(session, kind, seq=seq)
        any_shop.upload(session)
        current = any_shop.now(session)
        any_shop.sessions.apply(session.id, events.AnalysisStarted(current.run_id), key="start")
        seen = events.Analysed(current.run_id, verdict, (("cola", 1),), 250, (), 0, 0.97, "seen")
        any_shop.sessions.apply(session.id, seen)
        any_shop.work.hurry_settlement(session.id)

    at_once(everything)
    after = any_shop.now(session)
    assert after.state is model.state is State.SETTLED
    assert [(c.amount_minor, c.refunded_minor) for c in after.payment.charges] == [(250, 0)]
    assert story(any_shop, session.id) == story(any_shop, model.id)
    any_shop.check()


def test_an_event_with_a_known_key_changes_nothing(shop: Shop) -> None:
    session = shop.redeem()
    shop.acknowledge(session)
    first = shop.sessions.apply(session.id, events.DoorOpened("boot"), key="door:1")
    again = shop.sessions.apply(session.id, events.DoorOpened("boot"), key="door:1")
    assert isinstance(first, Applied)
    assert isinstance(again, Repeated)
    assert again.session == first.session


def test_an_event_of_no_session_is_missing(shop: Shop) -> None:
    assert isinstance(shop.sessions.apply("none", events.DoorOpened("boot")), Missing)
    assert shop.sessions.load("none") is None


def test_a_step_on_a_session_that_changed_meanwhile_is_not_kept(shop: Shop) -> None:
    from fleetsight.apps.cooler.session import records
    from fleetsight.apps.cooler.session.machine.apply import apply
    from fleetsight.apps.cooler.session.machine.transition import Transition

    session = shop.redeem()
    step = apply(session, events.DoorOpened("boot"), now_ns=START_NS)
    assert isinstance(step, Transition)
    shop.acknowledge(session)
    with pytest.raises(records.StaleSessionError), shop.rows.transaction() as connection:
        records.update(connection, session, step=step, event=events.DoorOpened("boot"), key="")
    assert shop.now(session).version == session.version + 1


def test_the_row_comes_back_as_it_was_written(shop: Shop) -> None:
    session = shop.buy({"cola": 1})
    outcome = shop.sessions.apply(session.id, events.ContestOpened("c", ("cola",), "not_mine", "I put it back"))
    assert isinstance(outcome, Applied)
    assert shop.now(session) == outcome.session


@pytest.mark.bad_input(64)
def test_events_and_the_log_tell_the_same_story_and_an_edit_is_found(shop: Shop) -> None:
    session = shop.buy({"cola": 1})
    with shop.rows.reading() as connection:
        rows = connection.execute(sa.select(EVENTS).where(EVENTS.c.session_id == session.id).order_by("version")).all()
        links = chain.records(connection, f"session:{session.id}")
    assert [link.record["kind"] for link in links] == ["Created", *(row.kind for row in rows)]
    assert [row.version for row in rows] == list(range(1, session.version + 1))
    with shop.rows.transaction() as connection:
        table = chain.CHAIN
        edited = sa.update(table).where(table.c.scope == f"session:{session.id}", table.c.position == 5)
        connection.execute(edited.values(record=sa.func.replace(table.c.record, "boot", "another")))
        assert chain.verify(connection, f"session:{session.id}") == 5


def test_a_door_that_opens_after_the_end_comes_back_as_a_review(shop: Shop) -> None:
    session = shop.redeem()
    shop.acknowledge(session)
    shop.clock.advance(15 * 10**9)
    shop.sessions.apply(session.id, events.DeadlinePassed())
    assert shop.now(session).state is State.ABORTED
    assert shop.refused(shopper_id="next") == "device_busy"  # the door may still have opened
    assert shop.says(session, "door_opened") == "applied"
    assert shop.now(session).state is State.REVIEW
    assert shop.refused(shopper_id="next") == "door_open"
    shop.work.pay_on(session.id)
    shop.check()


def test_a_locked_door_frees_the_device_of_an_aborted_session(shop: Shop) -> None:
    session = shop.redeem()
    shop.acknowledge(session)
    assert shop.says(session, "locked") == "applied"
    assert shop.now(session).state is State.ABORTED
    shop.work.pay_on(session.id)
    assert shop.redeem(shopper_id="next").state is State.UNLOCKING
    shop.check()


def test_a_door_that_opens_for_nobody_is_an_incident_and_not_the_last_shoppers(shop: Shop) -> None:
    session = shop.buy({"cola": 1})
    assert shop.says(None, "door_opened", seq=77) == "incident"
    assert shop.says(None, "door_opened", seq=77) == "repeated"
    assert shop.says(session, "door_opened") == "incident"
    assert shop.now(session).version == session.version
    assert shop.letters().count("notify") >= 2


def test_a_device_speaks_only_of_its_own_sessions(shop: Shop) -> None:
    session = shop.redeem()
    assert shop.says(replace(session, device_id="other"), "door_opened") == "incident"
    assert shop.now(session).door.opened_ns is None


def test_a_device_event_counts_once_however_often_it_comes(shop: Shop) -> None:
    session = shop.redeem()
    assert [shop.says(session, "door_opened", seq=5) for _ in range(3)] == ["applied", "repeated", "repeated"]


def test_no_unlock_without_a_hold(shop: Shop) -> None:
    shop.teller.declines = (":auth:1",)
    session = shop.redeem()
    assert (session.state, shop.unlocker.orders) == (State.DENIED, [])
    assert isinstance(shop.sessions.issue_unlock(session.id, shop.unlocker), Refused)
    shop.check()


def test_a_lost_answer_leaves_the_session_pending_until_the_provider_is_read(shop_with: Callable[..., Shop]) -> None:
    shop = shop_with(Scripted({"capture": (Fault.LOST_AFTER,), "get": (Fault.LOST_AFTER, Fault.LOST_AFTER)}))
    session = shop.buy({"cola": 1})
    for _ in range(5):
        if session.state is State.SETTLED:
            break
        assert session.payment.state is PaymentState.CAPTURE_PENDING
        session = shop.work.hurry_settlement(session.id)
    assert session.state is State.SETTLED
    assert shop.bank.truth()[session.id].captures == 1
    shop.check()


@pytest.mark.bad_input(19)
def test_the_database_itself_refuses_a_second_session_on_a_device(shop: Shop) -> None:
    session = shop.redeem()
    with shop.rows.reading() as connection:
        row = dict(connection.execute(sa.select(SESSIONS).where(SESSIONS.c.id == session.id)).one()._mapping)
    row |= {"id": "another", "jti": "another"}
    with pytest.raises(sa.exc.IntegrityError), shop.rows.transaction() as connection:
        connection.execute(sa.insert(SESSIONS).values(**row))


@pytest.mark.parametrize(
    "wrong",
    [
        {"captured_minor": 2000},
        {"refunded_minor": 1},
        {"owed_minor": -1},
        {"state": "released", "charged_minor": 5},
        {"state": "settled"},
    ],
)
def test_the_database_itself_refuses_impossible_money(shop: Shop, wrong: dict[str, object]) -> None:
    session = shop.redeem()
    with pytest.raises(sa.exc.IntegrityError), shop.rows.transaction() as connection:
        connection.execute(sa.update(SESSIONS).where(SESSIONS.c.id == session.id).values(**wrong))


def test_a_lost_lease_keeps_everything_from_being_kept(shop: Shop) -> None:
    def lost(_connection: sa.Connection) -> None:
        raise RuntimeError("lease lost")

    session = shop.redeem()
    with pytest.raises(RuntimeError, match="lease lost"):
        shop.sessions.fenced(lost).apply(session.id, events.DoorOpened("boot"))
    assert shop.now(session).version == session.version


def test_a_review_is_decided_by_the_first_and_refused_to_the_others(any_shop: Shop) -> None:
    session = any_shop.upload(any_shop.visit(any_shop.redeem()))
    any_shop.see(session, {"cola": 1}, "review")

    def decide(n: int) -> object:
        event = events.ReviewDecided(f"operator-{n}", Action.CHARGE, (("cola", 1),), 250, "seen")
        return any_shop.sessions.apply(session.id, event)

    outcomes = at_once(decide)
    assert sum(isinstance(outcome, Applied) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Refused) for outcome in outcomes) == THREADS - 1
    any_shop.work.hurry_settlement(session.id)
    any_shop.check()


def at_once(act: Callable[[int], object]) -> list[object]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(act, range(THREADS)))


def story(shop: Shop, session_id: str) -> list[tuple[str, str, str]]:
    """What happened, without the answers that only repeated what was known."""
    with shop.rows.reading() as connection:
        rows = connection.execute(sa.select(EVENTS).where(EVENTS.c.session_id == session_id).order_by("version"))
        return [(row.kind, row.before, row.after) for row in rows]


@pytest.fixture
def shop_with(tmp_path: object) -> Callable[..., Shop]:
    """A shop whose bank fails as told."""
    opened: list[Shop] = []

    def make(faults: Scripted) -> Shop:
        opened.append(Shop.open(Rows.open(f"sqlite:///{tmp_path}/faulty.db"), faults=faults))
        return opened[-1]

    return make
