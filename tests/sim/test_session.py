"""Sessions follow from scenario and seed alone, and every scenario can be drawn."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from fleetsight.sim.cooler.optics import Lens
from fleetsight.sim.knobs import SUITES
from fleetsight.sim.session import (
    SCORE_DESIGN_SEED,
    SESSIONS_PER_CATALOG,
    Renderer,
    plan_session,
    plan_training_session,
    render,
)
from fleetsight.sim.shoppers.scenarios import SCENARIOS


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_plans_and_draws_its_first_frame(scenario: str) -> None:
    plan = plan_session(scenario, 2)
    frame = next(render(plan))
    assert frame.image.shape == (360, 640, 3)
    assert frame.image.dtype == np.uint8
    assert frame.pts_ns == 0
    assert len(frame.truth.item_ids) > 10
    assert 2.5 < plan.script.end_s < 30.0


def test_the_same_arguments_give_the_same_frames() -> None:
    a, b = (Renderer(plan_session("basic", 7)).frame(30) for _ in range(2))
    assert np.array_equal(a.image, b.image)
    assert np.array_equal(a.owner, b.owner)


def test_other_seeds_give_other_worlds() -> None:
    assert plan_session("basic", 1).shelf != plan_session("basic", 2).shelf


def test_suites_and_training_never_share_a_world_or_an_sku() -> None:
    standard, shifted, training = (
        plan_session("basic", 5),
        plan_session("basic", 5, suite="shifted"),
        plan_training_session(5),
    )
    names = [{design.sku for design in plan.designs} for plan in (standard, shifted, training)]
    assert len(standard.catalog) >= 40
    assert not (names[0] & names[2])
    assert not (names[1] & names[2])
    assert 1_000_000 // SESSIONS_PER_CATALOG < SCORE_DESIGN_SEED


def test_catalogs_have_six_look_alike_groups() -> None:
    families = [design.family for design in plan_session("look_alikes", 1).catalog]
    assert sum(families.count(name) >= 2 for name in set(families)) >= 6


def test_rates_and_quality_stay_within_the_knobs() -> None:
    for seed in range(6):
        plan = plan_session("basic", seed)
        assert plan.rate_hz in SUITES["standard"].encoding.rates_hz
        assert 23 <= plan.crf <= 32


def test_presentation_times_do_not_drift_at_29_97() -> None:
    plan = replace(plan_session("basic", 1), rate_hz=Fraction(30000, 1001))
    assert plan.pts_ns(30000) == 1001 * 1_000_000_000


def test_a_larger_picture_shows_the_same_session() -> None:
    small, large = plan_session("basic", 3), plan_session("basic", 3, size_wh=(1280, 720))
    assert large.script.events[0].items == small.script.events[0].items
    truth = Renderer(large).frame(0).truth
    assert Renderer(large).frame(0).image.shape == (720, 1280, 3)
    assert truth.boxes_xyxy_px.max() > 640


def test_a_covered_camera_shows_nothing_and_then_the_shelf_again() -> None:
    plan = plan_session("covered", 2)
    cover = plan.script.lens[0]
    renderer = Renderer(plan)
    hidden = renderer.frame(int((cover.from_s + cover.to_s) / 2 * plan.rate_hz))
    later = renderer.frame(plan.frame_count - 1)
    assert len(hidden.truth.item_ids) == 0
    assert (hidden.owner == -1).all()
    assert len(later.truth.item_ids) > 10


def test_a_closed_door_dims_the_picture() -> None:
    plan = plan_session("reopened", 4)
    door = next(lens for lens in plan.script.lens if lens.kind == "door")
    renderer = Renderer(plan)
    shut = renderer.frame(int((door.from_s + door.to_s) / 2 * plan.rate_hz)).image.mean()
    assert shut < 0.75 * renderer.frame(0).image.mean()


def test_a_shake_dies_down() -> None:
    plan = plan_session("shake", 1)
    renderer = Renderer(plan)
    shake = next(lens for lens in plan.script.lens if lens.kind == "shake")
    steps = [
        np.abs(renderer._optics._shift(shake, float(at_s))).max() for at_s in np.linspace(shake.from_s, shake.to_s, 40)
    ]
    assert max(steps[:15]) > 2 * max(steps[-10:])
    assert isinstance(shake, Lens)


def test_the_shifted_suite_is_drawn_too() -> None:
    frame = next(render(plan_session("basic", 1, suite="shifted")))
    assert len(frame.truth.item_ids) > 10


def test_an_unknown_scenario_is_refused() -> None:
    with pytest.raises(KeyError):
        plan_session("picnic", 1)
