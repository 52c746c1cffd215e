"""One visit of one arm: in from outside the picture, some acts, and out again.

A visit is written with verbs in order of time (`take`, `look`, `put_back`, `touch`, `drop`, `leave`); each adds keys to the arm and phases to
the items it moves. `close` freezes the arm and works out the windows of the events, because only then is the whole path known.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fleetsight.sim.cooler.shelf import Item
from fleetsight.sim.shoppers.grasps import GRASP_SHARES, GRASPS, STEEP_RAD, draw_entry, palm_normal, wrap_for
from fleetsight.sim.shoppers.scripts import PEAK_OVER_MEAN, ArmTrack, Event, Fall, Held, Key, Phase, Stay, Thing
from fleetsight.sim.shoppers.sleeves import ArmLook, make_look
from fleetsight.sim.shoppers.stage import Stage
from fleetsight.sim.solids import Pose

SETTLE_S = 0.22
"""After this a product put back is no more drawn with the hand."""
TOUCH_S = 0.1
"""A product is drawn with the hand from so long before the hand arrives."""


@dataclass(frozen=True)
class Manner:
    """How a visit is done; what is None is drawn.

    Attributes:
        peak_m_s: peak speed of reaches.
        side: "bottom", "left", "right" or "top", where the arm comes from.
        look: the arm's looks.
        grasp: one of `GRASPS`.
        thing: own thing in the hand.
    """

    peak_m_s: float | None = None
    side: str | None = None
    look: ArmLook | None = None
    grasp: str | None = None
    thing: Thing | None = None


class Visit:
    """The script of one visit, being written.

    Args:
        stage: the stage; the visit adds to it when closed.
        start_s: when the hand sets out from outside the picture.
        target: facing that the visit is about.
        manner: how.
    """

    def __init__(self, stage: Stage, start_s: float, *, target: int, manner: Manner | None = None) -> None:
        manner = manner or Manner()
        rng, shopper = stage.rng, stage.knobs.shopper
        self.stage, self.at_s, self.arm = stage, start_s, -1
        self.peak_m_s = manner.peak_m_s or shopper.peak_speed_m_s.draw(rng)
        right = bool(rng.random() < 0.7)
        self.look_of_arm = manner.look or make_look(rng, right=right, scale=shopper.hand_scale.draw(rng))
        self.thing = manner.thing
        self.grasp = manner.grasp or str(rng.choice(GRASPS, p=GRASP_SHARES))
        point = self._row_point(target)
        self.entry = draw_entry(stage.camera, point, rng=rng, side=manner.side)
        if self.entry.side == "bottom" and self.grasp == "top" and stage.camera.pitch_rad < STEEP_RAD:
            self.grasp = "side"  # an arm from below cannot bend over the top
        self.outside_mm = self.entry.outside_mm
        self.normal = palm_normal(self.grasp, stage.camera, point=point, right=self.look_of_arm.right)
        self.wrap_mm = (30.0, 25.0)
        self.spin_rad = self.tilt_rad = 0.0
        self.holding: list[Item] = []
        self.held: dict[int, Held] = {}
        self.keys = [Key(start_s, self._tuple(self.outside_mm), 0.55)]
        self.pending: list[tuple[Event, Item, Phase | None]] = []
        self.arm = len(stage.arms)
        stage.arms.append(self._track(two_keys=True))
        if self.thing is not None:
            self.wrap_mm = (min(44.0, self.thing.size_mm[0] / 2), max(8.0, self.thing.size_mm[2] / 2))
            self.keys = [replace(self.keys[0], open_share=0.0)]

    def take(self, facing: int, *, units: int = 1, beside: int | None = None) -> list[Item]:
        """Reach, grasp and lift.

        Args:
            facing: where to take from.
            units: how many of the front ones, in one hand.
            beside: another facing whose front item is grasped together with the first; `units` is 1 then.

        Returns:
            The items now held.
        """
        stage = self.stage
        items = [stage.rows[facing].pop(0) for _ in range(units)]
        if beside is not None:
            items.append(stage.rows[beside].pop(0))
        poses = {item.item_id: self._rest_of(item) for item in items}
        grip = self._grip([(item, poses[item.item_id]) for item in items])
        self._wrap_around(items, poses)
        self._move(grip, open_share=0.7)
        touch_s = self.at_s - TOUCH_S
        dwell = stage.knobs.shopper.dwell_s.draw(stage.rng) * min(1.0, 1.2 / self.peak_m_s)
        self._wait(min(0.14, dwell), open_share=0.0)
        self._wait(max(0.0, dwell - 0.14))
        lift_s = self.at_s
        for item in items:
            pose = poses[item.item_id]
            upright = Pose(0.0, 0.0, 0.0, yaw_rad=pose.yaw_rad)
            offset = upright.rotation.T @ (np.array([pose.x_mm, pose.y_mm, pose.z_mm]) - grip)
            self._end_stay(item, touch_s)
            phases = stage.phases.setdefault(item.item_id, [])
            phases.append(Stay(touch_s, lift_s, pose, arm=self.arm))
            held = Held(lift_s, np.inf, self.arm, self._tuple(offset), pose.yaw_rad - self.spin_rad)
            phases.append(held)
            self.held[item.item_id] = held
        self.holding = items
        row = stage.shelf.facings[facing]
        room = stage.shelf.ceiling_mm(row.shelf) - stage.shelf.boards_y_mm[row.shelf]
        room -= max(stage.designs[item.design].size_mm[1] for item in items)
        lift = min(stage.knobs.shopper.lift_mm.draw(stage.rng), 0.7 * room)
        self._move(np.add(grip, (0.0, lift, -14.0)), bow=False, least_s=0.16)
        for design in dict.fromkeys(item.design for item in items):
            same = [item for item in items if item.design == design]
            known = design < stage.catalog_count
            kind = "take" if known else "unknown"
            ids = tuple(item.item_id for item in same)
            event = Event(kind, design if known else -1, len(same), lift_s, (lift_s, lift_s), ids, facing)
            self.pending.append((event, same[0], None))
        return items

    def look(self) -> None:
        """Hold what is in the hand before the shelf, in the picture, and turn it."""
        stage, shopper = self.stage, self.stage.knobs.shopper
        grip = np.asarray(self.keys[-1].grip_mm)
        out = stage.rng.uniform(0.25, 0.5)
        point = grip + out * (self.outside_mm - grip)
        point[1] = max(point[1], grip[1] - 120.0)
        self._turn_wrist()
        self._move(point)
        self._close_windows()
        spin = self.spin_rad
        self.spin_rad = shopper.spin_rad.draw(stage.rng)
        self._wait(shopper.look_s.draw(stage.rng))
        self.spin_rad = 0.5 * (spin + self.spin_rad)

    def bring(self, item: Item) -> None:
        """Start the visit with an item in the hand, out of sight.

        Args:
            item: what is carried in.
        """
        stage = self.stage
        height = stage.designs[item.design].size_mm[1]
        self._wrap_around([item], {item.item_id: Pose(0.0, 0.0, 0.0)})
        self._turn_wrist()
        self.keys = [replace(self.keys[0], open_share=0.0, spin_rad=self.spin_rad, tilt_rad=self.tilt_rad)]
        share = float(stage.rng.uniform(0.4, 0.65))
        yaw = float(stage.rng.normal(0.0, stage.knobs.shopper.rest_error_rad))
        held = Held(self.at_s, np.inf, self.arm, (0.0, -share * height, 0.0), yaw)
        stage.phases.setdefault(item.item_id, []).append(held)
        self.held[item.item_id] = held
        self.holding = [item]

    def put_back(self, facing: int, slot: int) -> None:
        """Carry the one held item into a slot, let go and draw the hand back a little.

        Args:
            facing: index of the facing.
            slot: index of the slot; nothing may stand in front of it.
        """
        stage = self.stage
        held = self.held[self.holding[0].item_id]
        item = self.holding[0]
        pose = stage.rest_pose(facing, slot, design=item.design)
        turned = replace(pose, yaw_rad=held.yaw_rad + 0.3 * pose.yaw_rad)
        base = np.array([pose.x_mm, pose.y_mm, pose.z_mm])
        grip = base - Pose(0.0, 0.0, 0.0, yaw_rad=turned.yaw_rad).rotation @ np.asarray(held.offset_mm)
        self.spin_rad, self.tilt_rad = 0.3 * pose.yaw_rad, 0.0
        inward_s = self.at_s
        self._move(np.add(grip, (0.0, 16.0, -26.0)))
        self._close_windows(0.5 * (inward_s + self.at_s))  # carried over without a look
        self.holding, self.held = [], {}
        self._move(grip, bow=False, least_s=0.16)
        rest_s = self.at_s
        ended = replace(held, to_s=rest_s)
        phases = stage.phases[item.item_id]
        phases[-1] = ended
        settled_s = rest_s + SETTLE_S
        phases += [Stay(rest_s, settled_s, turned, arm=self.arm), Stay(settled_s, np.inf, turned)]
        moved = replace(item, facing=facing, slot=slot)
        stage.rows[facing].insert(0, moved)
        known = item.design < stage.catalog_count
        kind = "put_back" if known else "foreign_item"
        event = Event(kind, item.design if known else -1, 1, rest_s, (inward_s, rest_s), (item.item_id,), facing)
        self.pending.append((event, item, ended if held.from_s == self.keys[0].at_s else None))
        self._wait(0.12, open_share=0.6)
        self._move(np.add(grip, (0.0, 4.0, -70.0)), bow=False, open_share=0.7, least_s=SETTLE_S)

    def touch(self, facing: int, *, reach_share: float = 1.0) -> None:
        """Reach to a product and leave it where it is.

        Args:
            facing: index of the facing.
            reach_share: 1 touches it, less stays before it.
        """
        row = self.stage.rows[facing]
        if row:
            pose = self._rest_of(row[0])
            width, height, depth = self.stage.designs[row[0].design].size_mm
            point = np.array([pose.x_mm, pose.y_mm + 0.5 * height, pose.z_mm - 0.5 * depth - 34.0])
            point[0] += self.stage.rng.uniform(-0.4, 0.4) * width
        else:
            point = self._row_point(facing)
        point = self.outside_mm + reach_share * (point - self.outside_mm)
        self._move(point, open_share=0.35 if self.thing is None else 0.0)
        self._wait(self.stage.knobs.shopper.dwell_s.draw(self.stage.rng) * 1.5)

    def drop(self) -> None:
        """Let what is held fall, outside the door plane."""
        stage = self.stage
        grip = np.asarray(self.keys[-1].grip_mm)
        point = grip + stage.rng.uniform(0.4, 0.6) * (self.outside_mm - grip)
        point[2] = min(point[2], -150.0)
        self._turn_wrist()
        self._move(point)
        for item in self.holding:
            held = self.held.pop(item.item_id)
            phases = stage.phases[item.item_id]
            phases[-1] = replace(held, to_s=self.at_s)
            base = (
                point + Pose(0.0, 0.0, 0.0, held.yaw_rad + self.spin_rad, 0.0, self.tilt_rad).rotation @ held.offset_mm
            )
            pose = Pose(*self._tuple(base), yaw_rad=held.yaw_rad + self.spin_rad, roll_rad=self.tilt_rad)
            velocity = (float(stage.rng.uniform(-90, 90)), float(stage.rng.uniform(-150, 60)), -60.0)
            fall = Fall(self.at_s, self.at_s + 1.0, pose, velocity, float(stage.rng.uniform(-5.0, 5.0)))
            gone_s = stage.crossing_s(item, fall, leaving=True)
            phases.append(replace(fall, to_s=gone_s + 0.1))
            self._close_windows(gone_s)
        self.holding = []
        self._wait(0.15, open_share=0.9)

    def leave(self) -> float:
        """Go out of the picture with whatever is held, and close the visit.

        Returns:
            When the hand has gone.
        """
        if self.holding:
            self._turn_wrist()
        self._move(self.outside_mm, open_share=0.0 if self.holding or self.thing else 0.5)
        return self.close()

    def close(self) -> float:
        """Freeze the arm's path and the windows of its events.

        Returns:
            When the visit ends.
        """
        stage = self.stage
        stage.arms[self.arm] = self._track(two_keys=False)
        for item in self.holding:
            stage.phases[item.item_id][-1] = replace(self.held[item.item_id], to_s=self.at_s)
        for event, item, came_in in self.pending:
            window = event.window_s
            if event.kind in {"take", "unknown"} and window[1] <= window[0]:
                window = (event.at_s, stage.crossing_s(item, stage.phases[item.item_id][-1], leaving=True))
            elif came_in is not None:
                window = (stage.crossing_s(item, came_in, leaving=False), event.at_s)
            stage.events.append(replace(event, window_s=window))
        stage.occupy(self.at_s)
        return self.at_s

    def _close_windows(self, at_s: float | None = None) -> None:
        """Takes whose item stays in the picture end when it has come to the outside."""
        end = self.at_s if at_s is None else at_s
        held = {item.item_id for item in self.holding}
        self.pending = [
            (replace(event, window_s=(event.at_s, end)), item, came_in)
            if event.window_s[1] <= event.window_s[0] and item.item_id in held
            else (event, item, came_in)
            for event, item, came_in in self.pending
        ]

    def _track(self, *, two_keys: bool) -> ArmTrack:
        keys = (self.keys[0], replace(self.keys[0], at_s=self.at_s + 1.0)) if two_keys else tuple(self.keys)
        return ArmTrack(
            arm=self.arm,
            look=self.look_of_arm,
            keys=keys,
            shoulder_mm=self._tuple(self.entry.shoulder_mm),
            normal=self._tuple(self.normal),
            wrap_mm=self.wrap_mm,
            tremor_mm=self.stage.knobs.shopper.tremor_mm.draw(self.stage.rng),
            tremor_seed=int(self.stage.rng.integers(1 << 31)),
            thing=self.thing,
        )

    def _move(
        self, point: NDArray[np.float64], *, open_share: float | None = None, bow: bool = True, least_s: float = 0.2
    ) -> None:
        last = self.keys[-1]
        way = float(np.linalg.norm(point - np.asarray(last.grip_mm)))
        bend = self._bend(np.asarray(last.grip_mm), point, way) if bow else np.zeros(3)
        longest = max(way, 0.8 * float(np.hypot(way, np.pi * np.linalg.norm(bend))))  # the bend makes the path longer
        pace = min(1.0, 1.0 / self.peak_m_s)
        duration = max(least_s * pace, PEAK_OVER_MEAN * longest / (self.peak_m_s * 1000.0))
        self.at_s += duration
        self._key(point, last.open_share if open_share is None else open_share, bend)

    def _bend(self, start: NDArray[np.float64], end: NDArray[np.float64], way: float) -> NDArray[np.float64]:
        """Sideways at random; between the inside and the outside also forward and up, over the board and not through it."""
        draw, rng = self.stage.knobs.shopper.bow_mm, self.stage.rng
        bend = np.array([draw.draw(rng), 0.3 * abs(draw.draw(rng)), -20.0]) * min(1.0, way / 500.0)
        deepest = max(float(start[2]), float(end[2]))
        if deepest > 0.0 and min(float(start[2]), float(end[2])) < -60.0:
            rise = abs(float(start[1] - end[1]))
            bend += [0.0, 0.26 * rise, -min(200.0, 0.9 * deepest + 50.0)]
        return bend

    def _wait(self, duration_s: float, *, open_share: float | None = None) -> None:
        if duration_s <= 0.0:
            return
        self.at_s += duration_s
        last = self.keys[-1]
        drift = self.stage.rng.normal(0.0, 1.5, 3)
        point = np.asarray(last.grip_mm) + (drift if duration_s > 0.3 and self.holding else 0.0)
        self._key(point, last.open_share if open_share is None else open_share, np.zeros(3))

    def _key(self, point: NDArray[np.float64], open_share: float, bend: NDArray[np.float64]) -> None:
        self.keys.append(
            Key(self.at_s, self._tuple(point), open_share, self.spin_rad, self.tilt_rad, self._tuple(bend))
        )

    def _turn_wrist(self) -> None:
        shopper = self.stage.knobs.shopper
        self.spin_rad = shopper.spin_rad.draw(self.stage.rng)
        self.tilt_rad = shopper.tilt_rad.draw(self.stage.rng)

    def _rest_of(self, item: Item) -> Pose:
        for phase in reversed(self.stage.phases.get(item.item_id, [])):
            if isinstance(phase, Stay):
                return phase.pose
        if item.pose is None:
            message = f"item {item.item_id} stands nowhere"
            raise AssertionError(message)
        return item.pose

    def _end_stay(self, item: Item, at_s: float) -> None:
        phases = self.stage.phases.setdefault(item.item_id, [])
        if phases and isinstance(phases[-1], Stay):
            phases[-1] = replace(phases[-1], to_s=at_s)

    def _grip(self, placed: list[tuple[Item, Pose]]) -> NDArray[np.float64]:
        low, high = (0.78, 0.92) if self.grasp == "top" else (0.4, 0.62)
        share = self.stage.rng.uniform(low, high)
        points = [
            [pose.x_mm, pose.y_mm + share * self.stage.designs[item.design].size_mm[1], pose.z_mm]
            for item, pose in placed
        ]
        return np.asarray(np.mean(points, axis=0))

    def _wrap_around(self, items: list[Item], poses: dict[int, Pose]) -> None:
        sizes = np.array([self.stage.designs[item.design].size_mm for item in items])
        places = np.array([[poses[i.item_id].x_mm, 0.0, poses[i.item_id].z_mm] for i in items])
        self.wrap_mm = wrap_for(
            sizes.max(axis=0) + np.ptp(places, axis=0), self.normal, side=self.entry.side, grasp=self.grasp
        )

    def _row_point(self, facing: int) -> NDArray[np.float64]:
        row = self.stage.shelf.facings[facing]
        height = self.stage.designs[row.design].size_mm[1]
        return np.array([row.x_mm, self.stage.shelf.boards_y_mm[row.shelf] + 0.5 * height, row.slots_z_mm[0]])

    @staticmethod
    def _tuple(vector: NDArray[np.float64]) -> tuple[float, float, float]:
        x, y, z = (float(v) for v in vector)
        return x, y, z
