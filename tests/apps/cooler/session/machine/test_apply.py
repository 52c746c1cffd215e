"""The state table of the reliability reference, row by row: what leads on, what ends, and after how long."""

from collections.abc import Callable

import pytest

from fleetsight.apps.cooler.session.machine import commands as c
from fleetsight.apps.cooler.session.machine import events as e
from fleetsight.apps.cooler.session.machine.apply import RULES
from fleetsight.apps.cooler.session.machine.states import GRAPH, Action, Answer, DoorState, PaymentState, State
from fleetsight.apps.cooler.session.machine.transition import Refusal
from tests.apps.cooler.session.machine import steps
from tests.apps.cooler.session.machine.steps import SECOND_NS, Walk


def test_every_kind_of_event_has_one_rule() -> None:
    assert set(RULES) == set(e.Event.__args__)


def test_every_state_stands_in_the_graph_and_leads_to_states() -> None:
    assert set(GRAPH) == set(State)
    assert all(following <= set(State) for following in GRAPH.values())


@pytest.mark.parametrize(
    ("begin", "seconds", "ends"),
    [
        (steps.created, 30, State.ABORTED),
        (steps.authorizing, 20, State.AUTHORIZING),
        (steps.authorized, 5, State.ABORTED),
        (steps.unlocking, 10, State.ABORTED),
        (steps.unlocked, 14, State.ABORTED),
        (steps.opened, 180, State.OPEN),
        (steps.closed, 60, State.WAITING_EVIDENCE),
        (steps.waiting, 900, State.REVIEW),
        (steps.analyzing, 3600, State.ANALYZING),
        (steps.reviewed, 1800, State.REVIEW),
        (steps.decided, 30, State.SETTLING),
        (steps.settling, 5, State.SETTLING),
        (steps.owing, 3600, State.OWED),
        (steps.settled, 72 * 3600, State.SETTLED),
    ],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
def test_a_deadline_comes_exactly_when_the_table_says(begin: Callable[[], Walk], seconds: float, ends: State) -> None:
    walk = begin()
    assert walk.age_s == seconds
    version = walk.session.version
    assert walk.wait(seconds - 0.001).do(e.DeadlinePassed(online=True)).refused is not None
    assert walk.session.version == version
    walk.wait(0.001).do(e.DeadlinePassed(online=True))
    assert walk.refused is None
    assert (walk.state, walk.session.version) == (ends, version + 1)


def test_a_deadline_that_was_handled_is_refused_the_second_time() -> None:
    walk = steps.unlocked().after(14)
    assert walk.do(e.DeadlinePassed()).refused is not None
    assert walk.refused is not None
    assert walk.refused.code is Refusal.NOTHING_DUE


def test_keys_follow_from_the_session_alone() -> None:
    walk = steps.authorizing()
    assert walk.wanted(c.Pay) == ["sid:auth:1"]
    walk.answer(Answer.AUTHORIZED)
    assert walk.wanted(c.Unlock) == ["sid:unlock"]
    assert steps.decided().wanted(c.StartSettlement) == ["sid:settle:1"]
    assert steps.decided().wanted(c.FreezeDecision) == ["sid:decision:1"]
    assert steps.settling().wanted(c.Pay) == ["sid:capture:1"]
    assert steps.settled().wanted(c.MoveStock) == ["sid:stock:1"]
    assert steps.settling(total=2000).answer(Answer.CAPTURED).wanted(c.Pay) == ["sid:extra"]
    assert steps.owing().after(3600).wanted(c.Pay) == ["sid:retry:1"]
    assert steps.unlocked().after(14).wanted(c.Pay) == ["sid:void"]
    refund = e.RefundRequested("r9", "op", 100, "kind")
    assert steps.settled().do(refund).wanted(c.Pay) == ["sid:refund:r9"]


@pytest.mark.parametrize(
    "event",
    [
        e.AuthorizationRequested(),
        e.UnlockIssued(1, steps.START_NS + SECOND_NS),
        e.UnlockAcknowledged("boot", unlocked=True),
        e.DoorOpened("boot"),
        e.DoorLocked("boot"),
        e.CameraChanged("boot", alive=False),
        e.SettlementStarted(1),
        steps.decision(Action.CHARGE),
        e.AnalysisStarted("run"),
        e.AnalysisFailed("run", unusable=True, reason="x"),
        e.CollectionRequested(),
    ],
    ids=lambda event: type(event).__name__,
)
def test_an_ended_session_refuses_what_belongs_to_another_time(event: e.Event) -> None:
    for ended in (steps.settled(), steps.released()):
        before = ended.session
        assert ended.do(event).refused is not None
        assert ended.session == before


def test_nothing_is_asked_of_the_bank_before_the_state_says_so() -> None:
    assert steps.created().session.payment.state is PaymentState.NONE
    assert steps.created().do(e.DeadlinePassed()).refused is not None
    ended = steps.created().after(30)
    assert (ended.state, ended.wanted(c.Pay), ended.session.door.state) == (State.ABORTED, [], DoorState.LOCKED)
