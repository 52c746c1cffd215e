"""Scripts: smooth arms, continuous items, possible stock."""

import itertools

import numpy as np
import pytest

from fleetsight.sim.session import SessionPlan, plan_session
from fleetsight.sim.shoppers.scenarios import SCENARIOS
from fleetsight.sim.shoppers.scripts import PEAK_OVER_MEAN, Fall, Held, Stay, pose_at


@pytest.fixture(scope="module", params=SCENARIOS)
def plan(request: pytest.FixtureRequest) -> SessionPlan:
    return plan_session(str(request.param), 3)


def test_phases_of_an_item_follow_each_other_in_time(plan: SessionPlan) -> None:
    for phases in plan.script.phases:
        for before, after in itertools.pairwise(phases):
            assert before.from_s <= before.to_s <= after.from_s + 1e-9


def test_items_never_jump_between_phases_that_touch(plan: SessionPlan) -> None:
    arms = plan.script.arms
    for phases in plan.script.phases:
        for before, after in itertools.pairwise(phases):
            if after.from_s - before.to_s < 1e-9:
                a, b = pose_at(before, before.to_s, arms=arms), pose_at(after, after.from_s, arms=arms)
                step = np.hypot(np.hypot(a.x_mm - b.x_mm, a.y_mm - b.y_mm), a.z_mm - b.z_mm)
                assert step < 12.0, (before, after)
                assert abs(a.yaw_rad - b.yaw_rad) < 0.05


def test_sessions_begin_and_end_without_hands(plan: SessionPlan) -> None:
    assert min(arm.keys[0].at_s for arm in plan.script.arms) >= 0.6
    assert max(arm.keys[-1].at_s for arm in plan.script.arms) <= plan.script.end_s - 0.4


def test_items_come_and_go_out_of_sight(plan: SessionPlan) -> None:
    """Nothing vanishes or appears inside the picture."""
    for item, phases in zip(plan.script.items, plan.script.phases, strict=True):
        for phase in phases:
            if isinstance(phase, Held) and not _covered(plan, phase.to_s):
                follows = any(abs(other.from_s - phase.to_s) < 1e-9 for other in phases)
                if not follows:
                    pose = pose_at(phase, phase.to_s, arms=plan.script.arms)
                    height = plan.designs[item.design].size_mm[1]
                    u, v = plan.camera.project([(pose.x_mm, pose.y_mm + height / 2, pose.z_mm)])[0]
                    assert not (0 <= u < plan.size_wh[0] and 0 <= v < plan.size_wh[1])


def _covered(plan: SessionPlan, at_s: float) -> bool:
    return any(lens.kind == "cover" and lens.share(at_s) > 0.5 for lens in plan.script.lens)


def test_no_two_items_stand_in_one_place(plan: SessionPlan) -> None:
    for at_s in np.linspace(0.0, plan.script.end_s - 0.01, 6):
        standing = [
            (phase.pose.x_mm, phase.pose.y_mm, phase.pose.z_mm)
            for item in plan.script.items
            if isinstance(phase := plan.script.phase(item.item_id, float(at_s)), Stay)
        ]
        points = np.array(standing)
        distance = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e3 * np.eye(len(points))
        assert distance.min() > 18.0


def test_stock_is_what_was_there_less_takes_plus_put_backs(plan: SessionPlan) -> None:
    script = plan.script
    before = sum(item.pose is not None for item in script.items)
    after = sum(isinstance(script.phase(item.item_id, script.end_s), Stay) for item in script.items)
    moved = {"take": -1, "unknown": -1, "put_back": 1, "foreign_item": 1}
    assert after == before + sum(moved[event.kind] * event.count for event in script.events)


def test_windows_hold_the_moment_of_their_event(plan: SessionPlan) -> None:
    for event in plan.script.events:
        assert event.window_s[0] <= event.at_s <= event.window_s[1]
        assert event.window_s[1] - event.window_s[0] > 0.05


def test_hands_keep_to_the_speeds_of_people(plan: SessionPlan) -> None:
    for arm in plan.script.arms:
        for a, b in zip(arm.keys, arm.keys[1:], strict=False):
            way = np.linalg.norm(np.subtract(b.grip_mm, a.grip_mm))
            peak = PEAK_OVER_MEAN * way / 1000.0 / max(1e-3, b.at_s - a.at_s)
            assert peak <= 3.01


def test_a_falling_item_accelerates() -> None:
    plan = plan_session("dropped", 4)
    fall = next(phase for phases in plan.script.phases for phase in phases if isinstance(phase, Fall))
    heights = [pose_at(fall, fall.from_s + age, arms=plan.script.arms).y_mm for age in (0.0, 0.1, 0.2)]
    assert heights[1] - heights[2] > heights[0] - heights[1]


def test_an_arm_moves_smoothly(plan: SessionPlan) -> None:
    arm = plan.script.arms[0]
    times = np.arange(arm.keys[0].at_s, arm.keys[-1].at_s, 0.01)
    path = np.array([arm.state(float(at_s))[0] for at_s in times])
    assert np.linalg.norm(np.diff(path, axis=0), axis=1).max() < 0.01 * 5000.0
