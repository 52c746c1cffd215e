"""Suites of sessions, and answers held against the truth."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from fleetsight.apps.cooler.basket import fold_basket
from fleetsight.apps.cooler.decide import Decision, Doubt
from fleetsight.apps.cooler.evaluate.score import (
    SEED_STRIDE,
    SESSIONS_MAX,
    ScoreError,
    Suite,
    compare,
    units,
    write_session,
)
from fleetsight.apps.cooler.events import Event, Kind
from fleetsight.apps.cooler.flow import Settlement
from fleetsight.catalog.planogram import Planogram
from fleetsight.catalog.sku import Catalog
from fleetsight.sim.session import SessionPlan, plan_session
from fleetsight.sim.shoppers.scenarios import SCENARIOS
from fleetsight.sim.truth import session_truth
from fleetsight.video.decode import ClipReader, DecodeSummary


@pytest.fixture(scope="module")
def plan() -> SessionPlan:
    return plan_session("basic", 12, size_wh=(64, 36))


@pytest.fixture(scope="module")
def session(plan: SessionPlan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sessions") / "basic-12"
    write_session(plan, folder)
    return folder


@pytest.fixture
def perfect(plan: SessionPlan, session: Path) -> Settlement:
    truth = session_truth(plan)
    events = tuple(
        Event(Kind(e.kind), e.sku, e.count, at_s=e.at_s, window_s=e.window_s, confidence=1.0, rule="truth")
        for e in truth.events
    )
    return Settlement(
        clip=session / "clip.mp4",
        summary=DecodeSummary(frames=plan.frame_count, decoded_fraction=1.0, degraded=()),
        degraded=(),
        events=events,
        basket=fold_basket(events),
        decision=Decision(truth.decision),
        reason="as it was",
        confidence=0.99,
        doubt=Doubt(),
        stages_s={},
        elapsed_s=1.0,
        end_s=10.0,
    )


def test_every_scenario_gets_the_same_number_of_sessions() -> None:
    names = Counter(name for name, _ in Suite("standard", 1, 3 * len(SCENARIOS)).rows())
    assert names == dict.fromkeys(SCENARIOS, 3)


def test_suites_of_different_seeds_share_no_session() -> None:
    one, two = (dict.fromkeys(seed for _, seed in Suite("standard", s, SEED_STRIDE).rows()) for s in (1, 2))
    assert len(one) == len(two) == SEED_STRIDE
    assert not set(one) & set(two)


def test_chosen_scenarios_take_turns() -> None:
    rows = Suite("standard", 0, 3, scenarios=("two_people", "basic")).rows()
    assert rows == [("two_people", 0), ("basic", 1), ("two_people", 2)]


def test_an_unknown_scenario_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ScoreError, match="no scenario dancing") as refused:
        Suite("standard", 1, 5, scenarios=("basic", "dancing")).rows()
    assert "look_alikes" in refused.value.hint


@pytest.mark.parametrize("sessions", [0, -1, SESSIONS_MAX + 1])
def test_a_number_of_sessions_out_of_range_is_refused(sessions: int) -> None:
    with pytest.raises(ScoreError, match="sessions, expected 1 to"):
        Suite("standard", 1, sessions).rows()


def test_a_written_session_is_what_settling_needs(plan: SessionPlan, session: Path) -> None:
    with ClipReader(session / "clip.mp4") as reader:
        assert sum(1 for _ in reader) == plan.frame_count
    assert set(Catalog.load(session / "catalog").skus) == {design.sku for design in plan.catalog}
    assert Planogram.load(session / "planogram.json").facings


def test_the_truth_given_as_the_answer_is_exact(plan: SessionPlan, session: Path, perfect: Settlement) -> None:
    outcome = compare(plan, perfect, catalog=Catalog.load(session / "catalog"))
    assert outcome.exact
    assert outcome.gated
    assert outcome.truth == outcome.found
    assert outcome.decision == outcome.true_decision
    assert outcome.confidence == 0.99
    assert all(outcome.price_minor[sku] > 0 for sku in outcome.true_basket)


def test_an_answer_of_nothing_is_wrong(plan: SessionPlan, session: Path, perfect: Settlement) -> None:
    outcome = compare(plan, replace(perfect, events=(), basket={}), catalog=Catalog.load(session / "catalog"))
    assert not outcome.exact
    assert outcome.found == ()


def test_what_a_person_sees_anyway_has_no_confidence(plan: SessionPlan, session: Path, perfect: Settlement) -> None:
    catalog = Catalog.load(session / "catalog")
    unknown = replace(perfect.events[0], kind=Kind.UNKNOWN, sku=None)
    for answer in (replace(perfect, degraded=("cut",)), replace(perfect, events=(unknown,))):
        outcome = compare(plan, answer, catalog=catalog)
        assert not outcome.gated
        assert outcome.confidence == 0.0


def test_an_event_of_three_units_counts_three_times() -> None:
    event = Event(Kind.TAKE, "a", 3, at_s=1.0, window_s=(0.5, 1.5), confidence=0.9, rule="row_step")
    assert [(u.kind, u.sku, u.at_s) for u in units([event])] == [("take", "a", 1.0)] * 3
