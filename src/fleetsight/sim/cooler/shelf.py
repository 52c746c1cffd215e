"""The cooler's furniture and what stands on it.

A shelf set is drawn once per session: boards at heights that fit the products, facings filled with SKUs of the catalog (members of a
look-alike family often side by side), each facing a row of slots from front to back. Taking the front item leaves the next one standing
where it stands: nothing slides forward. Frame: millimetres, x right, y up, z into the cooler, shelf edge at z = 0, x = 0 in the middle.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fleetsight.sim.designs import Design
from fleetsight.sim.knobs import ShelfKnobs
from fleetsight.sim.solids import Pose

BOARD_MM = 16.0
"""Thickness of a shelf board."""
LAYOUT_TRIES = 60
"""Random layouts tried before the fullest one is kept."""
HEAD_CLEARANCE_MM = 14.0
"""Least room above a product: it must be lifted off the shelf."""
ROW_HEIGHT_SHARE = 0.42
"""A product lower than this share of its shelf's clearance stands on another shelf."""


@dataclass(frozen=True)
class ShelfLook:
    """Colours (RGB) and trim of the furniture.

    Attributes:
        wall_rgb: back and side walls.
        board_rgb: top of the boards.
        rail_rgb: price rail.
        frame_rgb: door frame and outside of the cooler.
        room_rgb: what surrounds the cooler.
        rail_mm: height of the price rail below the board's top.
        lip_mm: height of the rail's lip above the board's top.
        texture_seed: seed of tags, stains and surroundings.
    """

    wall_rgb: tuple[int, int, int]
    board_rgb: tuple[int, int, int]
    rail_rgb: tuple[int, int, int]
    frame_rgb: tuple[int, int, int]
    room_rgb: tuple[int, int, int]
    rail_mm: float
    lip_mm: float
    texture_seed: int


@dataclass(frozen=True)
class Facing:
    """One row of equal products.

    Attributes:
        facing_id: shelf from the bottom and place from the left, such as "2-05".
        shelf: index of the board it stands on, 0 at the bottom.
        design: index of the SKU that the planogram lists for this place.
        x_mm: middle of the row.
        slots_z_mm: middle of each slot, front first.
    """

    facing_id: str
    shelf: int
    design: int
    x_mm: float
    slots_z_mm: tuple[float, ...]


@dataclass(frozen=True)
class Item:
    """One physical thing of the session.

    Attributes:
        item_id: index in the session, also its number in owner maps.
        design: index in the session's designs.
        facing: index of the facing it stands in at the start, -1 when it is not in the cooler then.
        slot: index of its slot, front 0; -1 when it is not in the cooler at the start.
        pose: where it stands at the start; None when it is not in the cooler then.
    """

    item_id: int
    design: int
    facing: int
    slot: int
    pose: Pose | None


@dataclass(frozen=True)
class Shelf:
    """Furniture and facings of one cooler.

    Attributes:
        width_mm: inner width.
        depth_mm: depth of every board.
        boards_y_mm: top of each board, bottom first.
        top_y_mm: ceiling above the highest board.
        facings: the rows.
        look: colours.
    """

    width_mm: float
    depth_mm: float
    boards_y_mm: tuple[float, ...]
    top_y_mm: float
    facings: tuple[Facing, ...]
    look: ShelfLook

    def ceiling_mm(self, shelf: int) -> float:
        """Height of the underside above a board.

        Args:
            shelf: index of the board, 0 at the bottom.

        Returns:
            y of the next board's underside, or of the ceiling.
        """
        above = shelf + 1
        return self.boards_y_mm[above] - BOARD_MM if above < len(self.boards_y_mm) else self.top_y_mm

    def slot_pose(self, facing: int, slot: int) -> Pose:
        """Where an item of a slot stands when it is placed without error.

        Args:
            facing: index in `facings`.
            slot: index in the facing's slots.

        Returns:
            The upright pose.
        """
        row = self.facings[facing]
        return Pose(x_mm=row.x_mm, y_mm=self.boards_y_mm[row.shelf], z_mm=row.slots_z_mm[slot])


def scaled(designs: Sequence[Design], factor: float) -> tuple[Design, ...]:
    """The same products in another physical size.

    Args:
        designs: the products.
        factor: on every length, > 0.

    Returns:
        Copies; the same objects when the factor is 1.
    """
    if factor == 1.0:
        return tuple(designs)
    return tuple(
        replace(
            d,
            size_mm=(d.size_mm[0] * factor, d.size_mm[1] * factor, d.size_mm[2] * factor),
            profile_mm=tuple((height * factor, radius * factor) for height, radius in d.profile_mm),
        )
        for d in designs
    )


def make_shelf(designs: Sequence[Design], knobs: ShelfKnobs, *, rng: np.random.Generator) -> Shelf:
    """Draw furniture and a planogram.

    Args:
        designs: SKUs of the catalog.
        knobs: ranges to draw from.
        rng: the session's generator.

    Returns:
        A shelf with a facing for each place; items are drawn by `stock`.
    """
    best: tuple[list[list[tuple[int, float]]], list[float], float] | None = None
    wanted = knobs.shelves.draw_int(rng)
    for attempt in range(LAYOUT_TRIES):
        width = knobs.width_mm.draw(rng) + 4.0 * attempt
        budget = knobs.height_budget_mm.draw(rng)
        if attempt >= LAYOUT_TRIES // 2:  # perhaps the products are too tall for that many shelves
            wanted = knobs.shelves.draw_int(rng)
        anchors = _anchors(designs, wanted, rng)
        clearances = [designs[i].size_mm[1] + knobs.headroom_mm.draw(rng) for i in anchors]
        if sum(clearances) + BOARD_MM * len(clearances) > budget:
            continue
        rows = _fill(designs, [int(i) for i in anchors], (width, clearances), knobs, rng)
        count = sum(len(row) for row in rows)
        if best is None or abs(count - 21) < abs(sum(len(row) for row in best[0]) - 21):
            best = (rows, clearances, width)
        if knobs.facings.low <= count <= knobs.facings.high:
            best = (rows, clearances, width)
            break
    if best is None:
        raise AssertionError("no layout fits the height budget: the products are taller than the knobs allow")
    rows, clearances, width = best
    depth = knobs.shelf_depth_mm.draw(rng)
    boards = [0.0]
    for clearance in clearances[:-1]:
        boards.append(boards[-1] + clearance + BOARD_MM)
    facings = [
        Facing(f"{s + 1}-{i + 1:02d}", s, design, x, _slots(designs[design].size_mm[2], depth, knobs, rng))
        for s, row in enumerate(rows)
        for i, (design, x) in enumerate(row)
    ]
    return Shelf(width, depth, tuple(boards), boards[-1] + clearances[-1], tuple(facings), _look(rng))


def stock(shelf: Shelf, designs: Sequence[Design], *, knobs: ShelfKnobs, rng: np.random.Generator) -> list[list[Item]]:
    """Draw which slots are filled at the start.

    Args:
        shelf: furniture and facings.
        designs: the session's designs.
        knobs: ranges to draw from.
        rng: the session's generator.

    Returns:
        For each facing its items from front to back; ids are dense from 0.
    """
    rows: list[list[Item]] = []
    next_id = 0
    for index, facing in enumerate(shelf.facings):
        slots = len(facing.slots_z_mm)
        draw = rng.random()
        if draw < knobs.empty_row_share:
            filled: Sequence[int] = ()
        elif draw < knobs.empty_row_share + knobs.full_row_share:
            filled = range(slots)
        else:
            left = int(rng.integers(1, slots + 1))
            filled = range(left) if rng.random() < 0.5 else range(slots - left, slots)
        row = []
        for slot in filled:
            pose = jittered(shelf.slot_pose(index, slot), designs[facing.design], knobs=knobs, rng=rng)
            row.append(Item(next_id, facing.design, index, slot, pose))
            next_id += 1
        rows.append(row)
    return rows


def jittered(pose: Pose, design: Design, *, knobs: ShelfKnobs, rng: np.random.Generator) -> Pose:
    """A pose as a person leaves it: a little off and a little turned.

    Args:
        pose: the exact pose.
        design: what stands there; round things may be turned any way a little more.
        knobs: sizes of the errors.
        rng: the session's generator.

    Returns:
        The pose with errors, limited to three standard deviations.
    """
    dx, dz, turn = np.clip(rng.standard_normal(3), -3.0, 3.0)
    turned = 2.5 if design.shape in {"can", "bottle"} else 1.0
    return replace(
        pose,
        x_mm=pose.x_mm + float(dx) * knobs.position_jitter_mm * 0.6,
        z_mm=pose.z_mm + float(dz) * knobs.position_jitter_mm * 0.6,
        yaw_rad=float(turn) * knobs.yaw_jitter_rad * turned,
    )


def _anchors(designs: Sequence[Design], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The tallest product of each shelf; with many shelves, low ones more often than not."""
    heights = np.array([design.size_mm[1] for design in designs])
    liking = np.exp(-heights / 60.0 * max(0, count - 2))
    return rng.choice(len(designs), size=count, replace=False, p=liking / liking.sum())


def _slots(item_depth_mm: float, depth_mm: float, knobs: ShelfKnobs, rng: np.random.Generator) -> tuple[float, ...]:
    pitch = item_depth_mm + knobs.row_gap_mm.draw(rng)
    first = knobs.setback_mm.draw(rng) + item_depth_mm / 2
    room = int((depth_mm - first - item_depth_mm / 2) // pitch) + 1
    return tuple(first + pitch * i for i in range(max(2, min(room, knobs.row_depth.draw_int(rng)))))


def _fill(
    designs: Sequence[Design],
    anchors: list[int],
    space_mm: tuple[float, list[float]],
    knobs: ShelfKnobs,
    rng: np.random.Generator,
) -> list[list[tuple[int, float]]]:
    """Rows of (design, x) per shelf; an SKU has one or two neighbouring facings, seldom a second place."""
    width, clearances = space_mm
    unused = set(range(len(designs)))
    rows = []
    for anchor, clearance in zip(anchors, clearances, strict=True):
        fits = [
            i for i in unused if ROW_HEIGHT_SHARE * clearance <= designs[i].size_mm[1] <= clearance - HEAD_CLEARANCE_MM
        ]
        again = [i for i in range(len(designs)) if ROW_HEIGHT_SHARE * clearance <= designs[i].size_mm[1]]
        again = [i for i in again if designs[i].size_mm[1] <= clearance - HEAD_CLEARANCE_MM]
        order = [anchor, *(int(i) for i in rng.permutation(sorted(fits)))]
        order += [int(i) for i in rng.permutation(again)]  # where new SKUs run out, known ones stand a second time
        row: list[tuple[int, float]] = []
        x = -width / 2 + knobs.side_gap_mm.draw(rng)
        tried: set[int] = set()
        for index, first in enumerate(order):
            fresh = first in unused
            if first in tried or not (fresh or index > len(fits)):
                continue
            members = [first]
            if rng.random() < knobs.look_alike_share:
                members += [
                    i for i in fits if i != first and i in unused and designs[i].family == designs[first].family
                ]
            tried.update(members)
            for design in members:
                repeat = 2 if rng.random() < knobs.double_facing_share else 1
                for _ in range(repeat):
                    w = designs[design].size_mm[0]
                    if x + w + 4.0 > width / 2:
                        break
                    row.append((design, x + w / 2))
                    unused.discard(design)
                    x += w + knobs.side_gap_mm.draw(rng)
        spare = max(0.0, width / 2 - x) / max(1, len(row))
        rows.append([(design, at + spare * (i + 0.3)) for i, (design, at) in enumerate(row)])
    return rows


def _look(rng: np.random.Generator) -> ShelfLook:
    def near_grey(low: int, high: int, tint: int) -> tuple[int, int, int]:
        grey = int(rng.integers(low, high))
        r, g, b = (int(np.clip(grey + rng.integers(-tint, tint + 1), 0, 255)) for _ in range(3))
        return r, g, b

    bright = rng.random() < 0.65
    any_colour = tuple(int(v) for v in rng.integers(20, 235, 3))
    return ShelfLook(
        wall_rgb=near_grey(170, 245, 8) if bright else near_grey(28, 110, 10),
        board_rgb=near_grey(150, 235, 10) if rng.random() < 0.7 else near_grey(50, 120, 10),
        rail_rgb=near_grey(200, 250, 6) if rng.random() < 0.6 else (any_colour[0], any_colour[1], any_colour[2]),
        frame_rgb=near_grey(15, 70, 6) if rng.random() < 0.6 else near_grey(140, 235, 8),
        room_rgb=near_grey(40, 210, 26),
        rail_mm=float(rng.uniform(16.0, 34.0)),
        lip_mm=float(rng.uniform(0.0, 12.0)),
        texture_seed=int(rng.integers(1 << 31)),
    )
