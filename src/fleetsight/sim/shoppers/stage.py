"""Writing scripts: a stage knows what stands where and turns wishes ("take from this facing") into keys, phases and events.

Scenarios call `Stage.arm` for each visit of an arm and then its verbs in order of time; `Stage.finish` freezes the result. Stock is followed
act by act, so that nothing is taken that is not there.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fleetsight.sim.camera import Camera
from fleetsight.sim.cooler.optics import Lens
from fleetsight.sim.cooler.shelf import HEAD_CLEARANCE_MM, Item, Shelf, jittered
from fleetsight.sim.designs import Design
from fleetsight.sim.knobs import Knobs
from fleetsight.sim.shoppers.scripts import ArmTrack, Event, Phase, Script, Stay, pose_at
from fleetsight.sim.solids import Pose, product_corners

TRACE_STEP_S = 1 / 60
"""Resolution with which the moment of leaving the picture is found."""


@dataclass
class Stage:
    """A cooler in front of a camera, and the acts written so far.

    Attributes:
        rng: the session's generator.
        knobs: ranges to draw from.
        shelf: furniture and facings.
        designs: catalog first, then products of no catalog.
        catalog_count: how many of `designs` are in the catalog.
        camera: the camera.
        rows: for each facing what stands there now, front first.
        odd: whether the session's seed is odd: some scenarios have two kinds.
        items: every item so far.
    """

    rng: np.random.Generator
    knobs: Knobs
    shelf: Shelf
    designs: tuple[Design, ...]
    catalog_count: int
    camera: Camera
    rows: list[list[Item]]
    odd: bool = False
    items: list[Item] = field(default_factory=list)
    phases: dict[int, list[Phase]] = field(default_factory=dict)
    arms: list[ArmTrack] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    lens: list[Lens] = field(default_factory=list)
    start_s: float = 0.0
    busy_until_s: float = 0.0

    def __post_init__(self) -> None:
        self.items = sorted((item for row in self.rows for item in row), key=lambda item: item.item_id)
        self.start_s = self.busy_until_s = self.knobs.shopper.free_view_s.draw(self.rng)

    def add_item(self, design: int) -> Item:
        """Bring one more thing into the world, nowhere in sight yet.

        Args:
            design: what it is.

        Returns:
            The item.
        """
        item = Item(len(self.items), design, -1, -1, None)
        self.items.append(item)
        return item

    def restock_row(self, facing: int, *, design: int | None, slots: Iterable[int]) -> None:
        """Decide, before anything happens, what stands in a facing.

        Args:
            facing: index of the facing.
            design: what stands there; None for what the planogram lists.
            slots: which slots are filled.
        """
        what = self.shelf.facings[facing].design if design is None else design
        gone = {item.item_id for item in self.rows[facing]}
        keep = [item for item in self.items if item.item_id not in gone]
        row = [
            Item(-1, what, facing, slot, self._jittered(self.shelf.slot_pose(facing, slot), what))
            for slot in sorted(slots)
        ]
        self.items = [replace(item, item_id=index) for index, item in enumerate([*keep, *row])]
        self.rows = [[item for item in self.items if item.facing == index] for index in range(len(self.shelf.facings))]
        for stocked in self.rows:
            stocked.sort(key=lambda item: item.slot)

    def stocked(self, least: int = 1, avoid: Iterable[int] = ()) -> list[int]:
        """Facings with enough in them.

        Args:
            least: items.
            avoid: facings left out.

        Returns:
            Indices.
        """
        left_out = set(avoid)
        return [i for i, row in enumerate(self.rows) if len(row) >= least and i not in left_out]

    def pick(self, facings: Iterable[int]) -> int:
        """Choose one at random.

        Args:
            facings: candidates, at least one.

        Returns:
            One of them.
        """
        candidates = list(facings)
        return candidates[int(self.rng.integers(len(candidates)))]

    def free_slot(self, facing: int) -> int:
        """The slot in front of what stands in a facing.

        Args:
            facing: index of the facing.

        Returns:
            The slot, -1 when the front one is taken.
        """
        row = self.rows[facing]
        if row:
            return row[0].slot - 1
        return min(1, len(self.shelf.facings[facing].slots_z_mm) - 1)

    def fits(self, design: int, facing: int) -> bool:
        """Whether a product can stand in another product's row.

        Args:
            design: the product.
            facing: index of the facing.

        Returns:
            True when width, depth and height allow it.
        """
        width, height, depth = self.designs[design].size_mm
        row = self.shelf.facings[facing]
        own = self.designs[row.design].size_mm
        room = self.shelf.ceiling_mm(row.shelf) - self.shelf.boards_y_mm[row.shelf] - HEAD_CLEARANCE_MM
        return width <= own[0] + 14.0 and depth <= own[2] + 8.0 and height <= room

    def corners_px(self, item: Item, pose: Pose) -> NDArray[np.float64]:
        """The block of an item in the picture.

        Args:
            item: the item.
            pose: where it is.

        Returns:
            (8, 2) px.
        """
        return self.camera.project(product_corners(self.designs[item.design], pose))

    def in_picture(self, item: Item, pose: Pose) -> bool:
        """Whether any of an item's block may be seen.

        Args:
            item: the item.
            pose: where it is.

        Returns:
            False when its block lies outside the picture or behind the camera.
        """
        pixels = self.corners_px(item, pose)
        if not np.isfinite(pixels).all():
            return False
        low, high = pixels.min(axis=0), pixels.max(axis=0)
        return bool(high[0] > 0 and high[1] > 0 and low[0] < self.camera.width_px and low[1] < self.camera.height_px)

    def crossing_s(self, item: Item, phase: Phase, *, leaving: bool) -> float:
        """When a moving item leaves the picture, or comes in.

        Args:
            item: the item.
            phase: its movement.
            leaving: look for the end of being seen; otherwise for its beginning.

        Returns:
            The instant; the phase's own end or beginning when it is seen all the time.
        """
        times = np.arange(phase.from_s, phase.to_s, TRACE_STEP_S)
        arms = tuple(self.arms)
        order = times[::-1] if leaving else times
        for at_s in order:
            if self.in_picture(item, pose_at(phase, float(at_s), arms=arms)):
                return float(at_s)
        return phase.from_s if leaving else phase.to_s

    def occupy(self, until_s: float) -> None:
        """Note that something goes on until an instant.

        Args:
            until_s: the instant.
        """
        self.busy_until_s = max(self.busy_until_s, until_s)

    def gap(self) -> float:
        """Draw a pause between two acts.

        Returns:
            Seconds.
        """
        return self.knobs.shopper.gap_s.draw(self.rng)

    def finish(self, *, role: str = "shopper", end_s: float | None = None) -> Script:
        """Freeze the script.

        Args:
            role: who is at the cooler.
            end_s: length of the session; None: hands-free view after the last act.

        Returns:
            The script; items that never move stand all the time.
        """
        end = end_s if end_s is not None else self.busy_until_s + self.knobs.shopper.free_view_s.draw(self.rng)
        phases: list[tuple[Phase, ...]] = []
        for item in self.items:
            own = self.phases.get(item.item_id, [])
            if item.pose is not None:
                first = own[0].from_s if own else end + 1.0
                own = [Stay(0.0, first, item.pose), *own]
            if own and isinstance(own[-1], Stay):
                own = [*own[:-1], replace(own[-1], to_s=end + 1.0)]
            phases.append(tuple(own))
        return Script(
            items=tuple(self.items),
            phases=tuple(phases),
            arms=tuple(self.arms),
            events=tuple(sorted(self.events, key=lambda event: event.at_s)),
            lens=tuple(self.lens),
            end_s=end,
            role=role,
        )

    def rest_pose(self, facing: int, slot: int, *, design: int) -> Pose:
        """Where a product ends up when someone puts it into a slot.

        Args:
            facing: index of the facing.
            slot: index of the slot.
            design: the product.

        Returns:
            The slot's pose with the errors of a hand.
        """
        shopper = self.knobs.shopper
        dx, dz, turn = np.clip(self.rng.standard_normal(3), -2.0, 2.0)
        pose = self.shelf.slot_pose(facing, slot)
        depth = self.designs[design].size_mm[2]
        return replace(
            pose,
            x_mm=pose.x_mm + float(dx) * shopper.rest_error_mm,
            z_mm=max(depth / 2 + 2.0, pose.z_mm + float(dz) * shopper.rest_error_mm),
            yaw_rad=float(turn) * shopper.rest_error_rad,
        )

    def _jittered(self, pose: Pose, design: int) -> Pose:
        return jittered(pose, self.designs[design], knobs=self.knobs.shelf, rng=self.rng)
