"""Truth: a fold over what was done, and files that can be read back."""

import json
from collections import Counter
from pathlib import Path

import pytest

from fleetsight.catalog.planogram import Planogram
from fleetsight.catalog.sku import Catalog
from fleetsight.sim.session import plan_session
from fleetsight.sim.shoppers.scenarios import SCENARIOS
from fleetsight.sim.truth import planogram_rows, session_truth, truth_rows, write_side_files


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_basket_is_takes_less_put_backs(scenario: str) -> None:
    for seed in (8, 9):
        truth = session_truth(plan_session(scenario, seed))
        net = Counter[str]()
        for event in truth.events:
            if event.sku is not None:
                net[event.sku] += {"take": 1, "put_back": -1}[event.kind] * event.count
        if truth.role == "restock":
            assert truth.basket == {}
            assert all(count < 0 for count in net.values())
        else:
            assert all(count >= 0 for count in net.values())
            assert truth.basket == {sku: count for sku, count in net.items() if count}


@pytest.mark.parametrize(
    ("scenario", "seed", "kinds", "decision"),
    [
        ("look_and_return", 1, ["take", "put_back"], "release"),
        ("misplaced", 1, ["take", "put_back"], "release"),
        ("take_again", 2, ["take", "put_back", "take"], "charge"),
        ("swap_foreign", 3, ["take", "foreign_item"], "review"),
        ("reach_only", 4, [], "release"),
        ("reopened", 5, ["take", "take"], "charge"),
        ("covered", 5, ["take"], "review"),
    ],
)
def test_scenarios_do_what_their_name_says(scenario: str, seed: int, kinds: list[str], decision: str) -> None:
    truth = session_truth(plan_session(scenario, seed))
    assert [event.kind for event in truth.events] == kinds
    assert truth.decision == decision


def test_an_unplanned_sku_is_charged_and_a_product_of_no_catalog_is_not() -> None:
    plan = plan_session("unplanned", 4)
    listed = {row["sku"] for row in planogram_rows(plan)["facings"]}
    even, odd = session_truth(plan), session_truth(plan_session("unplanned", 5))
    assert even.decision == "charge"
    assert set(even.basket) - listed
    assert odd.decision == "review"
    assert [event.sku for event in odd.events if event.kind == "unknown"] == [None]


def test_two_units_in_one_hand_are_one_event() -> None:
    counts = [max(e.count for e in session_truth(plan_session("several_units", s)).events) for s in range(3)]
    assert counts == [2, 2, 2]


def test_both_hands_take_the_same_sku_in_two_events() -> None:
    events = session_truth(plan_session("both_hands", 1)).events
    assert events[0].sku == events[1].sku
    assert events[0].items != events[1].items


def test_side_files_can_be_read_back_by_the_catalog(tmp_path: Path) -> None:
    plan = plan_session("basic", 1)
    truth = session_truth(plan)
    write_side_files(plan, truth, folder=tmp_path)
    written = json.loads((tmp_path / "truth.json").read_text(encoding="utf-8"))
    assert written == truth_rows(plan, truth)
    catalog = Catalog.load(tmp_path / "catalog")
    assert set(truth.basket) <= set(catalog.skus)
    assert all(picture.is_file() for sku in catalog.skus.values() for picture in sku.pictures)
    planogram = Planogram.load(tmp_path / "planogram.json")
    assert len(planogram.facings) == len(plan.shelf.facings)
    assert {facing.sku for facing in planogram.facings} <= set(catalog.skus)
