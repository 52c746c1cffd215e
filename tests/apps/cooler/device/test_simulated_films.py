"""Films are rendered once, and know when the door opens and what is taken."""

from pathlib import Path

import pytest

from fleetsight.apps.cooler.device.simulated_films import Turn, facts_of, film_of
from fleetsight.money import Money
from fleetsight.sim.session import plan_session
from fleetsight.sim.shoppers.scenarios import SCENARIOS
from fleetsight.sim.truth import session_truth
from fleetsight.video.decode import ClipReader

TINY = Turn("look_and_return", 20_000, (160, 90))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("films")


def test_a_film_is_the_rendered_session_and_its_truth(folder: Path) -> None:
    film = film_of(TINY, folder)
    plan = TINY.plan()
    with ClipReader(film.clip) as reader:
        assert len(list(reader)) == plan.frame_count
    assert film.basket == session_truth(plan).basket
    assert film.expected == Money(0, "EUR")
    assert film.door_open(0.0)
    assert not film.door_open(-0.1)
    assert not film.door_open(film.end_s)


def test_a_film_that_is_kept_is_not_rendered_again(folder: Path) -> None:
    first = film_of(TINY, folder)
    written_ns = first.clip.stat().st_mtime_ns
    assert film_of(TINY, folder) == first
    assert first.clip.stat().st_mtime_ns == written_ns


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_door_is_open_while_a_hand_is_inside_and_shut_in_the_end(scenario: str) -> None:
    plan = plan_session(scenario, 30_001, size_wh=(160, 90))
    facts = facts_of(plan)
    shut = facts["shut_s"]
    assert shut == sorted(shut)
    assert 0 < shut[-1][0] <= facts["end_s"] < shut[-1][1]
    for arm in plan.script.arms:
        for at_s in (arm.keys[0].at_s, arm.keys[-1].at_s):
            assert not any(from_s < at_s < to_s for from_s, to_s in shut), scenario
    priced = session_truth(plan).basket
    assert set(priced) <= set(facts["prices"])


def test_the_price_of_a_basket_is_the_catalogs(folder: Path) -> None:
    plan = plan_session("several_units", 30_002, size_wh=(160, 90))
    facts = facts_of(plan)
    prices = {design.sku: design.price_minor for design in plan.catalog}
    assert facts["prices"] == prices
