"""Drawing one instant of a session: still picture, arms, what they hold, and who is to be seen where.

The still picture is kept until what stands untouched changes. Each instant copies it and draws the arms from far to near: shadow, the parts of
the hand behind what it holds, the held products (behind rails and neighbours where those are nearer), the parts of the hand in front. Fast arms
are smeared along their path over the shutter time. Visibility is read off the owner map.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fleetsight.sim.camera import Camera
from fleetsight.sim.cooler.furniture import Furniture, Still, box_px
from fleetsight.sim.designs import Design
from fleetsight.sim.shoppers.arms import HAND_OWNER, SUBPIXEL_BITS, ArmParts, HandPose, draw_parts, pose_parts
from fleetsight.sim.shoppers.scripts import ArmTrack, Phase, Script, Stay, Thing, pose_at
from fleetsight.sim.solids import Canvas, Pose, draw_product
from fleetsight.vision.image import Image

THING_OWNER = 22_000
"""Owner numbers of shoppers' own things start here; one per arm."""
SMEAR_LEAST_PX = 2.0
"""Shorter paths over the shutter time are drawn sharp."""
SMEAR_STEPS_MAX = 14
SHADOW_REACH_MM = 260.0
"""A hand farther than this before the shelf throws no shadow on it."""


@dataclass(frozen=True)
class FrameTruth:
    """Who is to be seen where in one frame.

    Attributes:
        item_ids: (n,) int32, products with at least one visible pixel.
        sku_index: (n,) int32, index in the catalog, -1 for products of no catalog.
        boxes_xyxy_px: (n, 4) float32, tight around the visible pixels.
        visible_fraction: (n,) float32, visible pixels over those that furniture alone would leave visible.
        hand_ids: (m,) int32, number of the arm.
        hand_boxes_xyxy_px: (m, 4) float32, hand and wrist, tight around the visible pixels.
        hand_pixels: (m,) int32, visible pixels.
    """

    item_ids: NDArray[np.int32]
    sku_index: NDArray[np.int32]
    boxes_xyxy_px: NDArray[np.float32]
    visible_fraction: NDArray[np.float32]
    hand_ids: NDArray[np.int32]
    hand_boxes_xyxy_px: NDArray[np.float32]
    hand_pixels: NDArray[np.int32]


@dataclass(frozen=True)
class _Instant:
    """What is known while one frame is drawn; `full_px` grows with what is in hands."""

    at_s: float
    still: Still
    full_px: dict[int, int]


class Scene:
    """A session before its camera.

    Args:
        furniture: the still parts.
        script: what happens.
        designs: catalog first.
        catalog_count: how many of them are in the catalog.
        shutter_s: exposure time.
    """

    def __init__(
        self,
        furniture: Furniture,
        script: Script,
        *,
        designs: tuple[Design, ...],
        catalog_count: int,
        shutter_s: float,
    ) -> None:
        self.furniture, self.designs, self.catalog_count, self.script = furniture, designs, catalog_count, script
        self.camera: Camera = furniture.camera
        self.shutter_s = shutter_s
        self._standing: tuple[tuple[int, Pose], ...] | None = None
        self._still: Still | None = None

    def draw(self, at_s: float) -> tuple[Canvas, FrameTruth]:
        """Draw an instant.

        Args:
            at_s: the instant.

        Returns:
            canvas: a new picture with owners: item ids, hands and forearms from `arms`, own things from `THING_OWNER`.
            truth: boxes.
        """
        phases = [(item, self.script.phase(item.item_id, at_s)) for item in self.script.items]
        still = self._still_for(tuple((i.item_id, p.pose) for i, p in phases if isinstance(p, Stay) and p.arm < 0))
        canvas = Canvas(still.canvas.rgb.copy(), still.canvas.owner.copy())
        instant = _Instant(at_s, still, dict(still.full_px))
        busy: dict[int, list[tuple[int, Phase]]] = {}
        for item, phase in phases:
            if phase is not None and not (isinstance(phase, Stay) and phase.arm < 0):
                busy.setdefault(getattr(phase, "arm", -1), []).append((item.item_id, phase))
        tracks = [track for track in self.script.arms if track.active(at_s)]
        hands = sorted(((track, track.hand(at_s)) for track in tracks), key=lambda p: -self._depth(p[1].grip_mm))
        for track, hand in hands:
            self._draw_arm(canvas, instant, (track, hand), busy.pop(track.arm, []))
        for loose in busy.values():
            self._draw_items(canvas, instant, loose)
        return canvas, self._truth(canvas.owner, instant.full_px)

    def _depth(self, point: NDArray[np.float64]) -> float:
        return float(self.camera.depth(point)[0])

    def _still_for(self, standing: tuple[tuple[int, Pose], ...]) -> Still:
        if self._still is None or standing != self._standing:
            items = self.script.items
            entries = [(i, self.designs[items[i].design], pose) for i, pose in standing]
            self._still = self.furniture.still(entries, self._still)
            self._standing = standing
        return self._still

    def _draw_arm(
        self, canvas: Canvas, instant: _Instant, visit: tuple[ArmTrack, HandPose], items: list[tuple[int, Phase]]
    ) -> None:
        track, hand = visit
        parts = pose_parts(hand, track.look, camera=self.camera, arm=track.arm)
        self._shadow(canvas, parts, hand)
        grips = [track.state(at_s)[0] for at_s in (instant.at_s, instant.at_s + self.shutter_s)]
        path = np.diff(self.camera.project(grips), axis=0)[0]
        way = float(np.hypot(*path)) if np.isfinite(path).all() else 0.0
        sharp = canvas if way < SMEAR_LEAST_PX else Canvas(canvas.rgb.copy(), canvas.owner.copy())
        split = self._depth(hand.grip_mm)
        draw_parts(sharp, parts, split_mm=split, front=False)
        self._draw_items(sharp, instant, items)
        if track.thing is not None:
            _draw_thing(sharp, track.thing, hand, self.camera, owner=THING_OWNER + track.arm)
        draw_parts(sharp, parts, split_mm=split, front=True)
        if sharp is not canvas:
            _smear(canvas, sharp, path)

    def _draw_items(self, canvas: Canvas, instant: _Instant, items: list[tuple[int, Phase]]) -> None:
        placed = [(item, pose_at(phase, instant.at_s, arms=self.script.arms)) for item, phase in items]
        placed.sort(key=lambda entry: -entry[1].z_mm)
        still = instant.still
        for item, pose in placed:
            design = self.designs[self.script.items[item].design]
            region = box_px(self.camera, design, pose=pose)
            if region is None:
                continue
            where = np.s_[region[1] : region[3], region[0] : region[2]]
            rgb, owner = canvas.rgb[where].copy(), canvas.owner[where].copy()
            draw_product(canvas, design, pose=pose, camera=self.camera, owner=item, gain=self.furniture.gain(pose))
            if pose.z_mm > 0.0:  # still inside: rails and neighbours may be nearer
                middle = self._depth(np.array([pose.x_mm, pose.y_mm + design.size_mm[1] / 2, pose.z_mm]))
                nearer = still.depth_mm[where] < middle - 0.3 * design.size_mm[2]
                nearer &= still.canvas.owner[where] == owner
                canvas.rgb[where][nearer] = rgb[nearer]
                canvas.owner[where][nearer] = owner[nearer]
            instant.full_px[item] = int(np.count_nonzero(canvas.owner[where] == item))

    def _shadow(self, canvas: Canvas, parts: ArmParts, hand: HandPose) -> None:
        """Darken what lies below and behind the arm; light comes from the top front."""
        gap = SHADOW_REACH_MM + min(0.0, float(hand.grip_mm[2]))
        if gap <= 0.0:
            return
        scale = self.camera.focal_px / max(200.0, self._depth(hand.grip_mm))
        away = (SHADOW_REACH_MM - gap) * 0.25 + 14.0
        offset = np.array([0.25 * away, away]) * scale
        outlines = [(o / (1 << SUBPIXEL_BITS) + offset) for o in parts.outlines()]
        points = np.concatenate(outlines)
        height, width = canvas.owner.shape
        x0, y0 = np.clip(points.min(axis=0) - 14, 0, [width, height]).astype(int)
        x1, y1 = np.clip(points.max(axis=0) + 14, 0, [width, height]).astype(int)
        if x1 - x0 < 4 or y1 - y0 < 4:
            return
        mask = np.full(((y1 - y0) // 4 + 1, (x1 - x0) // 4 + 1), 255, np.uint8)
        dark = 255.0 * (1.0 - 0.42 * gap / SHADOW_REACH_MM)
        for outline in outlines:
            small = np.round((outline - [x0, y0]) / 4 * (1 << SUBPIXEL_BITS)).astype(np.int32)
            cv2.fillConvexPoly(mask, small, dark, cv2.LINE_8, SUBPIXEL_BITS)
        soft = cv2.resize(cv2.blur(mask, (5, 5)), (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
        where = np.s_[y0:y1, x0:x1]
        canvas.rgb[where] = cv2.multiply(canvas.rgb[where], cv2.merge([soft] * 3), scale=1 / 255)

    def _truth(self, owner: NDArray[np.int16], full: dict[int, int]) -> FrameTruth:
        labels = np.where(owner >= THING_OWNER, -1, owner).astype(np.int32) + 1
        hands = [track.arm for track in self.script.arms]
        for arm in hands:  # close numbers make the search for slices short
            labels[owner == HAND_OWNER + arm] = len(self.script.items) + 1 + arm
        labels[labels >= HAND_OWNER] = 0
        counts = np.bincount(labels.ravel(), minlength=1)
        slices = ndimage.find_objects(labels)
        boxes: list[tuple[int, int, int, int]] = []
        ids: list[int] = []
        for number, region in enumerate(slices, start=1):
            if region is not None:
                ids.append(number - 1)
                boxes.append((region[1].start, region[0].start, region[1].stop, region[0].stop))
        all_boxes = np.array(boxes, np.float32).reshape(-1, 4)
        all_ids = np.array(ids, np.int32)
        product = all_ids < len(self.script.items)
        item_ids = all_ids[product]
        pixels = counts[all_ids + 1]
        fractions = [min(1.0, pixels[k] / max(1, full.get(int(i), 0))) for k, i in enumerate(item_ids)]
        designs = [self.script.items[i].design for i in item_ids]
        return FrameTruth(
            item_ids=item_ids,
            sku_index=np.array([d if d < self.catalog_count else -1 for d in designs], np.int32),
            boxes_xyxy_px=all_boxes[product],
            visible_fraction=np.array(fractions, np.float32),
            hand_ids=all_ids[~product] - len(self.script.items),
            hand_boxes_xyxy_px=all_boxes[~product],
            hand_pixels=pixels[~product].astype(np.int32),
        )


def _smear(canvas: Canvas, sharp: Canvas, path_px: NDArray[np.float64]) -> None:
    """Average copies of what `sharp` adds to `canvas`, moved along the path; owners are those of the middle copy."""
    changed = sharp.owner != canvas.owner
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    if rows.size == 0:
        return
    pad = int(np.ceil(np.abs(path_px).max() / 2)) + 2
    height, width = canvas.owner.shape
    y0, y1 = max(0, rows[0] - pad), min(height, rows[-1] + 1 + pad)
    x0, x1 = max(0, columns[0] - pad), min(width, columns[-1] + 1 + pad)
    where = np.s_[y0:y1, x0:x1]
    cover = changed[where].astype(np.uint8) * 255
    layer = cv2.merge([*cv2.split(cv2.copyTo(sharp.rgb[where], cover)), cover])
    steps = int(np.clip(np.hypot(*path_px) / 1.5, 2, SMEAR_STEPS_MAX))
    total = np.zeros(layer.shape, np.float32)
    for share in np.linspace(-0.5, 0.5, steps):
        move = np.array([[1, 0, share * path_px[0]], [0, 1, share * path_px[1]]], np.float32)
        cv2.accumulate(cv2.warpAffine(layer, move, (x1 - x0, y1 - y0)), total)
    total /= steps
    alpha = cv2.merge([total[..., 3] / -255.0 + 1.0] * 3)
    mixed = cv2.multiply(canvas.rgb[where].astype(np.float32), alpha) + total[..., :3]
    canvas.rgb[where] = np.clip(mixed, 0, 255).astype(np.uint8)
    canvas.owner[where][changed[where]] = sharp.owner[where][changed[where]]


def _draw_thing(canvas: Canvas, thing: Thing, hand: HandPose, camera: Camera, *, owner: int) -> None:
    """A block between palm and fingers; a bag hangs from them."""
    width, height, depth = (v / 2 for v in thing.size_mm)
    side = np.cross(hand.forward, hand.normal)
    if thing.kind == "bag":
        down = np.array([0.0, -1.0, 0.0])
        across = np.cross(down, camera.rotation[2])
        across /= np.linalg.norm(across)
        middle = hand.grip_mm + down * (height + 70.0)
        axes = (across * width, down * height, np.cross(across, down) * depth)
        handle = [hand.grip_mm, middle - axes[1] + 0.5 * axes[0], middle - axes[1] - 0.5 * axes[0]]
        points = np.nan_to_num(camera.project(handle), nan=-1e4).round().astype(np.int32)
        for end in points[1:]:
            cv2.line(canvas.rgb, points[0].tolist(), end.tolist(), thing.detail_rgb, 3, cv2.LINE_AA)
    else:
        middle = hand.grip_mm + hand.forward * 0.25 * height
        axes = (side * width, hand.forward * height, hand.normal * depth)
    signs = np.array([(a, b, c) for c in (-1, 1) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))], np.float64)
    corners = np.nan_to_num(camera.project(middle + signs @ np.stack(axes)), nan=-1e4)
    fixed = np.round(np.clip(corners, -4000, 6000) * (1 << SUBPIXEL_BITS)).astype(np.int32)
    hull = cv2.convexHull(fixed)
    facing = 0 if camera.depth([middle - axes[2]])[0] < camera.depth([middle + axes[2]])[0] else 4
    face = fixed[facing : facing + 4]
    inner = np.round(face * 0.86 + face.mean(axis=0) * 0.14).astype(np.int32)
    dark = tuple(0.6 * v for v in thing.rgb)
    cv2.fillConvexPoly(canvas.rgb, hull, dark, cv2.LINE_AA, SUBPIXEL_BITS)
    cv2.fillConvexPoly(canvas.rgb, face, [float(v) for v in thing.rgb], cv2.LINE_AA, SUBPIXEL_BITS)
    cv2.fillConvexPoly(canvas.rgb, inner, [float(v) for v in thing.detail_rgb], cv2.LINE_AA, SUBPIXEL_BITS)
    cv2.fillConvexPoly(canvas.owner, hull, float(owner), cv2.LINE_8, SUBPIXEL_BITS)


def visible_masks(owner: NDArray[np.int16], item_ids: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Masks of items in an owner map.

    Args:
        owner: (h, w) of a rendered frame.
        item_ids: (n,) which items.

    Returns:
        (n, h, w) where each is to be seen.
    """
    return np.asarray(owner[None] == item_ids[:, None, None])


def blank_truth() -> FrameTruth:
    """Truth of a frame in which nothing can be seen.

    Returns:
        Empty arrays.
    """
    none, boxes = np.zeros(0, np.int32), np.zeros((0, 4), np.float32)
    return FrameTruth(none, none, boxes, np.zeros(0, np.float32), none, boxes, none)


def moved_truth(truth: FrameTruth, moved_px: tuple[int, int], *, image: Image) -> FrameTruth:
    """Truth of a frame whose content was moved as a whole.

    Args:
        truth: before.
        moved_px: x and y.
        image: gives the size of the picture.

    Returns:
        Boxes moved and clipped; boxes pushed out of the picture are left out.
    """
    if moved_px == (0, 0):
        return truth
    shift = np.array([*moved_px, *moved_px], np.float32)
    limit = np.array([image.shape[1], image.shape[0]] * 2, np.float32)
    items = np.clip(truth.boxes_xyxy_px + shift, 0, limit).astype(np.float32)
    hands = np.clip(truth.hand_boxes_xyxy_px + shift, 0, limit).astype(np.float32)
    seen = (items[:, 2] > items[:, 0]) & (items[:, 3] > items[:, 1])
    hands_seen = (hands[:, 2] > hands[:, 0]) & (hands[:, 3] > hands[:, 1])
    return FrameTruth(
        truth.item_ids[seen],
        truth.sku_index[seen],
        items[seen],
        truth.visible_fraction[seen],
        truth.hand_ids[hands_seen],
        hands[hands_seen],
        truth.hand_pixels[hands_seen],
    )
