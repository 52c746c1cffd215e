"""Rendered truth agrees with rendered pixels."""

import numpy as np
import pytest

from fleetsight.sim.scene import THING_OWNER, moved_truth, visible_masks
from fleetsight.sim.session import RenderedFrame, Renderer, SessionPlan, plan_session
from fleetsight.sim.shoppers.arms import ARM_OWNER, HAND_OWNER


@pytest.fixture(scope="module", params=[("basic", 0), ("two_people", 1), ("several_units", 2)])
def drawn(request: pytest.FixtureRequest) -> tuple[SessionPlan, list[RenderedFrame]]:
    plan = plan_session(*request.param)
    renderer = Renderer(plan)
    event = plan.script.events[0]
    times = [0.0, event.at_s - 0.05, event.at_s + 0.15, sum(event.window_s) / 2, plan.script.end_s - 0.1]
    return plan, [renderer.frame(int(at_s * plan.rate_hz)) for at_s in times]


def test_boxes_are_tight_around_the_visible_pixels(drawn: tuple[SessionPlan, list[RenderedFrame]]) -> None:
    for frame in drawn[1]:
        masks = visible_masks(frame.owner, frame.truth.item_ids)
        for box, mask in zip(frame.truth.boxes_xyxy_px, masks, strict=True):
            rows, columns = np.nonzero(mask)
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_every_item_of_the_owner_map_has_a_box(drawn: tuple[SessionPlan, list[RenderedFrame]]) -> None:
    plan, frames = drawn
    for frame in frames:
        seen = np.unique(frame.owner[(frame.owner >= 0) & (frame.owner < HAND_OWNER)])
        assert sorted(frame.truth.item_ids.tolist()) == seen.tolist()
        assert seen.max() < len(plan.script.items)


def test_hand_boxes_are_those_of_the_owner_map(drawn: tuple[SessionPlan, list[RenderedFrame]]) -> None:
    for frame in drawn[1]:
        for arm, box, pixels in zip(
            frame.truth.hand_ids, frame.truth.hand_boxes_xyxy_px, frame.truth.hand_pixels, strict=True
        ):
            rows, columns = np.nonzero(frame.owner == HAND_OWNER + arm)
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert pixels == len(rows)


def test_hands_are_there_when_something_is_taken_and_not_at_the_ends(
    drawn: tuple[SessionPlan, list[RenderedFrame]],
) -> None:
    counts = [len(frame.truth.hand_ids) for frame in drawn[1]]
    assert counts[0] == counts[-1] == 0
    assert counts[1] >= 1
    assert counts[2] >= 1


def test_visible_fractions_lie_between_none_and_all(drawn: tuple[SessionPlan, list[RenderedFrame]]) -> None:
    for frame in drawn[1]:
        assert (frame.truth.visible_fraction > 0).all()
        assert (frame.truth.visible_fraction <= 1).all()
    assert drawn[1][0].truth.visible_fraction.max() == 1.0


def test_front_products_are_mostly_visible_from_both_viewpoints() -> None:
    views = set()
    for seed in range(8):
        plan = plan_session("basic", seed)
        views.add(plan.view)
        truth = Renderer(plan).frame(0).truth
        front = [item.item_id for item in plan.script.items if item.slot == 0]
        shown = [truth.visible_fraction[truth.item_ids == item] for item in front]
        assert all(len(fraction) == 1 and fraction[0] >= 0.5 for fraction in shown)
    assert views == {"front", "above"}


def test_a_taken_item_is_gone_at_the_end(drawn: tuple[SessionPlan, list[RenderedFrame]]) -> None:
    plan, frames = drawn
    for item in plan.script.events[0].items:
        assert item not in frames[-1].truth.item_ids


def test_frames_drawn_in_any_order_are_the_same() -> None:
    plan = plan_session("look_and_return", 6)
    forward, backward = Renderer(plan), Renderer(plan)
    event = plan.script.events[0]
    indices = [0, int((event.at_s + 0.2) * plan.rate_hz), plan.frame_count - 1]
    first = [forward.frame(index) for index in indices]
    second = [backward.frame(index) for index in reversed(indices)][::-1]
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.owner, b.owner)
        assert np.array_equal(a.image, b.image)


def test_a_shaken_picture_moves_its_boxes_along() -> None:
    plan = plan_session("basic", 0)
    frame = Renderer(plan).frame(0)
    moved = moved_truth(frame.truth, (3, -2), image=frame.image)
    inside = frame.truth.boxes_xyxy_px[:, 1] >= 2
    kept = np.isin(frame.truth.item_ids, moved.item_ids) & inside
    pairs = np.isin(moved.item_ids, frame.truth.item_ids[kept])
    expected = frame.truth.boxes_xyxy_px[kept] + [3, -2, 3, -2]
    assert moved.boxes_xyxy_px[pairs][:, 1].tolist() == expected[:, 1].tolist()


def test_owner_numbers_do_not_collide() -> None:
    assert 0 < HAND_OWNER < ARM_OWNER < THING_OWNER < np.iinfo(np.int16).max
