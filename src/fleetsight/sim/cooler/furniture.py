"""The still picture: furniture and every product that stands untouched, with owners and depths.

`Furniture` is built once per session; `still` draws the picture for one state of the shelves, far to near: walls, then for each board from the
bottom up its surface, its products and its price rail. A depth map goes along, so that a product in a hand can pass behind a rail or a
neighbour. Brightness falls from the front of a shelf to its back and below each board.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fleetsight.sim.camera import Camera
from fleetsight.sim.cooler.shelf import BOARD_MM, Shelf
from fleetsight.sim.designs import Design
from fleetsight.sim.solids import Canvas, Pose, draw_product, product_corners
from fleetsight.vision.image import Image

FAR_MM = 1e6
FRAME_MM = 46.0
"""Width of the door frame around the shelves."""
WALL_STRIPS = 10
SUBPIXEL_BITS = 3
Standing = tuple[int, Design, Pose]
"""An untouched product: item id, what it is and where."""


@dataclass
class Still:
    """The picture without hands.

    Attributes:
        standing: what is drawn.
        canvas: colours and owners.
        depth_mm: (h, w) float32, what is nearest in each pixel, along the camera's axis; products count with their middle.
        full_px: for each item drawn, its pixels if nothing but furniture hid it.
    """

    standing: tuple[Standing, ...]
    canvas: Canvas
    depth_mm: NDArray[np.float32]
    full_px: dict[int, int]


def quad(camera: Camera, corners: Sequence[tuple[float, float, float]]) -> NDArray[np.int32]:
    """A polygon of the world in the picture.

    Args:
        camera: the camera.
        corners: (n, 3) mm.

    Returns:
        (n, 2) int32 in 1/8 px; points behind the camera are moved far outside.
    """
    pixels = np.nan_to_num(camera.project(corners), nan=-3000.0)
    fixed: NDArray[np.int32] = np.round(np.clip(pixels, -4000, 6000) * (1 << SUBPIXEL_BITS)).astype(np.int32)
    return fixed


def box_px(camera: Camera, design: Design, *, pose: Pose) -> tuple[int, int, int, int] | None:
    """Pixels that a product may touch.

    Args:
        camera: the camera.
        design: the product.
        pose: where it is.

    Returns:
        x0, y0, x1, y1 inside the picture, end exclusive; None when it is out of sight.
    """
    pixels = camera.project(product_corners(design, pose))
    if not np.isfinite(pixels).all():
        return None
    x0, y0 = np.maximum(np.floor(pixels.min(axis=0)).astype(int) - 1, 0)
    x1, y1 = np.minimum(np.ceil(pixels.max(axis=0)).astype(int) + 2, [camera.width_px, camera.height_px])
    return (int(x0), int(y0), int(x1), int(y1)) if x1 > x0 and y1 > y0 else None


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _patched(before: Still, drawn: Still, dirty: tuple[int, int, int, int]) -> Still:
    where = np.s_[dirty[1] : dirty[3], dirty[0] : dirty[2]]
    canvas = Canvas(before.canvas.rgb.copy(), before.canvas.owner.copy())
    depth = before.depth_mm.copy()
    canvas.rgb[where] = drawn.canvas.rgb[where]
    canvas.owner[where] = drawn.canvas.owner[where]
    depth[where] = drawn.depth_mm[where]
    return Still(drawn.standing, canvas, depth, drawn.full_px)


class Furniture:
    """Boards, walls, rails and surroundings before one camera.

    Args:
        shelf: the furniture.
        camera: the camera.
        fall_off: share of the light lost from the front to the back of a shelf.
    """

    def __init__(self, shelf: Shelf, camera: Camera, fall_off: float) -> None:
        self.shelf, self.camera, self.fall_off = shelf, camera, fall_off
        self._empty = self._draw_empty()
        self._boards = [self._board_top(s) for s in range(len(shelf.boards_y_mm))]
        self._rails = [self._rail(s) for s in range(len(shelf.boards_y_mm))]
        self._board_depth = [self._plane_depth(y) for y in shelf.boards_y_mm]
        self._hidden = self._later_parts()

    def gain(self, pose: Pose) -> float:
        """Light on a product.

        Args:
            pose: where it is.

        Returns:
            Factor, 1 at the front edge and before it.
        """
        return float(1.0 - self.fall_off * np.clip(pose.z_mm / self.shelf.depth_mm, 0.0, 1.0))

    def still(self, standing: Sequence[Standing], before: Still | None = None) -> Still:
        """Draw one state of the shelves.

        Args:
            standing: item id, design and pose of all that stands untouched.
            before: the picture of another state; only where the two differ anything is drawn anew.

        Returns:
            A new picture.
        """
        canvas = Canvas(self._empty.copy(), np.full(self._empty.shape[:2], -1, np.int16))
        depth = np.full(self._empty.shape[:2], FAR_MM, np.float32)
        full: dict[int, int] = {}
        dirty = self._dirty(standing, before)
        eye = np.asarray(self.camera.position_mm)
        by_shelf: list[list[tuple[float, Standing]]] = [[] for _ in self.shelf.boards_y_mm]
        for entry in standing:
            pose = entry[2]
            level = int(np.argmin([abs(pose.y_mm - y) for y in self.shelf.boards_y_mm]))
            by_shelf[level].append((pose.z_mm + 0.25 * abs(pose.x_mm - eye[0]), entry))
        for level, group in enumerate(by_shelf):
            self._draw_board(canvas, depth, level)
            self._contact_shadows(canvas, [(design, pose) for _, (_, design, pose) in group])
            for _, (item, design, pose) in sorted(group, key=lambda entry: -entry[0]):
                region = box_px(self.camera, design, pose=pose)
                if region is None:
                    continue
                if before is not None and not _overlap(region, dirty):
                    full[item] = before.full_px.get(item, 0)
                    continue
                draw_product(canvas, design, pose=pose, camera=self.camera, owner=item, gain=self.gain(pose))
                where = np.s_[region[1] : region[3], region[0] : region[2]]
                mine = canvas.owner[where] == item
                middle = [(pose.x_mm, pose.y_mm + design.size_mm[1] / 2, pose.z_mm)]
                depth[where][mine] = self.camera.depth(middle)[0]
                full[item] = int(np.count_nonzero(mine & ~self._hidden[level][where]))
            self._draw_rail(canvas, depth, level)
        drawn = Still(tuple(standing), canvas, depth, full)
        return drawn if before is None else _patched(before, drawn, dirty)

    def _dirty(self, standing: Sequence[Standing], before: Still | None) -> tuple[int, int, int, int]:
        """Pixels in which two states may differ; shadows reach a little beyond the products."""
        whole = (0, 0, self.camera.width_px, self.camera.height_px)
        if before is None:
            return whole
        changed = set(before.standing) ^ set(standing)
        boxes = [box for _, design, pose in changed if (box := box_px(self.camera, design, pose=pose)) is not None]
        if not boxes:
            return (0, 0, 0, 0)
        low, high = np.min(boxes, axis=0), np.max(boxes, axis=0)
        x0, y0, x1, y1 = int(low[0]), int(low[1]), int(high[2]), int(high[3])
        return max(0, x0 - 16), max(0, y0 - 16), min(whole[2], x1 + 16), min(whole[3], y1 + 16)

    def _lit(self, colour: tuple[int, int, int], gain: float) -> tuple[float, float, float]:
        r, g, b = (min(255.0, channel * gain) for channel in colour)
        return r, g, b

    def _draw_empty(self) -> Image:
        shelf, camera, look = self.shelf, self.camera, self.shelf.look
        rng = np.random.default_rng(look.texture_seed)
        size = (camera.width_px, camera.height_px)
        room = np.clip(rng.normal(0.0, 26.0, (5, 8, 1)) + rng.normal(0.0, 6.0, (5, 8, 3)) + look.room_rgb, 0, 255)
        image = np.asarray(cv2.resize(room.astype(np.uint8), size, interpolation=cv2.INTER_CUBIC), np.uint8)
        for _ in range(int(rng.integers(0, 5))):  # things beside the cooler
            x, y = rng.integers(0, size[0]), rng.integers(0, size[1])
            corner = (int(x + rng.integers(20, 220)), int(y + rng.integers(20, 260)))
            cv2.rectangle(image, (int(x), int(y)), corner, [float(v) for v in rng.integers(20, 230, 3)], -1)
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), 2.0 + 6.0 * rng.random()), np.uint8)
        half, top, depth = shelf.width_mm / 2, shelf.top_y_mm, shelf.depth_mm
        low = -BOARD_MM - look.rail_mm
        frame = [(-half - FRAME_MM, low - 30, 0), (half + FRAME_MM, low - 30, 0), (half + FRAME_MM, top + 60, 0)]
        frame.append((-half - FRAME_MM, top + 60, 0))
        self._fill(image, frame, self._lit(look.frame_rgb, 0.95))
        inner = [(-half, low, 0), (half, low, 0), (half, top, 0), (-half, top, 0)]
        self._fill(image, inner, self._lit(look.wall_rgb, 0.35))
        for s in range(len(shelf.boards_y_mm)):
            y0, y1 = shelf.boards_y_mm[s], shelf.ceiling_mm(s)
            for k in range(WALL_STRIPS):  # darker towards the board above and the board below
                a, b = y0 + (y1 - y0) * k / WALL_STRIPS, y0 + (y1 - y0) * (k + 1) / WALL_STRIPS
                gain = (1.0 - self.fall_off) * (0.62 + 0.5 * np.sin(np.pi * (0.15 + 0.7 * (k + 0.5) / WALL_STRIPS)))
                self._fill(
                    image,
                    [(-half, a, depth), (half, a, depth), (half, b, depth), (-half, b, depth)],
                    self._lit(look.wall_rgb, gain),
                )
                for side in (-half, half):
                    for m in range(4):
                        z0, z1 = depth * m / 4, depth * (m + 1) / 4
                        shade = 0.92 * gain * (1.0 + self.fall_off * (1 - (m + 0.5) / 4))
                        self._fill(
                            image,
                            [(side, a, z0), (side, a, z1), (side, b, z1), (side, b, z0)],
                            self._lit(look.wall_rgb, shade),
                        )
            if camera.position_mm[1] < y1:
                under = [(-half, y1, 0), (half, y1, 0), (half, y1, depth), (-half, y1, depth)]
                self._fill(image, under, self._lit(look.board_rgb, 0.55))
        return image

    def _fill(
        self, image: Image, corners: Sequence[tuple[float, float, float]], rgb: tuple[float, float, float]
    ) -> None:
        cv2.fillConvexPoly(image, quad(self.camera, corners), rgb, cv2.LINE_AA, SUBPIXEL_BITS)

    def _board_top(self, level: int) -> NDArray[np.int32] | None:
        half, depth, y = self.shelf.width_mm / 2, self.shelf.depth_mm, self.shelf.boards_y_mm[level]
        if self.camera.position_mm[1] <= y:
            return None
        return quad(self.camera, [(-half, y, 0), (half, y, 0), (half, y, depth), (-half, y, depth)])

    def _rail(self, level: int) -> NDArray[np.int32]:
        half, y, look = self.shelf.width_mm / 2, self.shelf.boards_y_mm[level], self.shelf.look
        low, high = y - max(BOARD_MM, look.rail_mm), y + look.lip_mm
        return quad(self.camera, [(-half, low, 0), (half, low, 0), (half, high, 0), (-half, high, 0)])

    def _plane_depth(self, y_mm: float) -> NDArray[np.float32]:
        """Depth of a level plane in each pixel; far where the ray does not go down to it."""
        camera = self.camera
        x, y = np.meshgrid(np.arange(camera.width_px) + 0.5, np.arange(camera.height_px) + 0.5)
        right_y, down_y, forward_y = (float(v) for v in camera.rotation[:, 1])
        slope = (
            (x - camera.width_px / 2) * right_y + (y - camera.height_px / 2) * down_y
        ) / camera.focal_px + forward_y
        with np.errstate(divide="ignore"):
            depth = (y_mm - camera.position_mm[1]) / slope
        return np.where(depth > 0, depth, FAR_MM).astype(np.float32)

    def _later_parts(self) -> list[NDArray[np.bool_]]:
        """For each shelf the pixels of furniture that is drawn after its products."""
        mask = np.zeros(self._empty.shape[:2], np.uint8)
        hidden: list[NDArray[np.bool_]] = []
        for level in reversed(range(len(self.shelf.boards_y_mm))):
            cv2.fillConvexPoly(mask, self._rails[level], 1.0, cv2.LINE_8, SUBPIXEL_BITS)
            hidden.append(mask.astype(bool))
            top = self._boards[level]
            if top is not None:
                cv2.fillConvexPoly(mask, top, 1.0, cv2.LINE_8, SUBPIXEL_BITS)
        return hidden[::-1]

    def _draw_board(self, canvas: Canvas, depth: NDArray[np.float32], level: int) -> None:
        top = self._boards[level]
        if top is None:
            return
        half, back, y = self.shelf.width_mm / 2, self.shelf.depth_mm, self.shelf.boards_y_mm[level]
        mask = np.zeros(canvas.owner.shape, np.uint8)
        cv2.fillConvexPoly(mask, top, 1.0, cv2.LINE_8, SUBPIXEL_BITS)
        inside = mask.astype(bool)
        canvas.owner[inside] = -1
        depth[inside] = self._board_depth[level][inside]
        for k in range(6):
            z0, z1 = back * k / 6, back * (k + 1) / 6
            gain = 0.95 * (1.0 - self.fall_off * (k + 0.5) / 6)
            strip = [(-half, y, z0), (half, y, z0), (half, y, z1), (-half, y, z1)]
            self._fill(canvas.rgb, strip, self._lit(self.shelf.look.board_rgb, gain))

    def _draw_rail(self, canvas: Canvas, depth: NDArray[np.float32], level: int) -> None:
        look, half, y = self.shelf.look, self.shelf.width_mm / 2, self.shelf.boards_y_mm[level]
        mask = np.zeros(canvas.owner.shape, np.uint8)
        cv2.fillConvexPoly(mask, self._rails[level], 1.0, cv2.LINE_8, SUBPIXEL_BITS)
        inside = mask.astype(bool)
        canvas.owner[inside] = -1
        depth[inside] = float(self.camera.depth([(0.0, y, 0.0)])[0])
        cv2.fillConvexPoly(canvas.rgb, self._rails[level], self._lit(look.rail_rgb, 0.97), cv2.LINE_AA, SUBPIXEL_BITS)
        low = y - max(BOARD_MM, look.rail_mm)
        lip = [(-half, low, 0), (half, low, 0), (half, low + 3, 0), (-half, low + 3, 0)]
        self._fill(canvas.rgb, lip, self._lit(look.rail_rgb, 0.6))
        rng = np.random.default_rng(look.texture_seed + level)
        for facing in self.shelf.facings:
            if facing.shelf == level and look.rail_mm > 20.0:
                self._draw_tag(canvas.rgb, facing.x_mm + float(rng.uniform(-12, 12)), low + 4.0, y - 2.0)

    def _draw_tag(self, image: Image, x_mm: float, low_mm: float, high_mm: float) -> None:
        tag = [(x_mm - 19, low_mm, 0.0), (x_mm + 19, low_mm, 0.0), (x_mm + 19, high_mm, 0.0), (x_mm - 19, high_mm, 0.0)]
        self._fill(image, tag, (246.0, 246.0, 240.0))
        middle = (low_mm + high_mm) / 2
        self._fill(
            image,
            [
                (x_mm - 14, middle - 1, 0),
                (x_mm + 4, middle - 1, 0),
                (x_mm + 4, middle + 3, 0),
                (x_mm - 14, middle + 3, 0),
            ],
            (60.0, 60.0, 64.0),
        )
        self._fill(
            image,
            [
                (x_mm + 7, low_mm + 2, 0),
                (x_mm + 16, low_mm + 2, 0),
                (x_mm + 16, high_mm - 3, 0),
                (x_mm + 7, high_mm - 3, 0),
            ],
            (30.0, 30.0, 34.0),
        )

    def _contact_shadows(self, canvas: Canvas, group: list[tuple[Design, Pose]]) -> None:
        """Darken the board around the feet of what stands on it."""
        if not group:
            return
        mask = np.full(canvas.owner.shape, 255, np.uint8)
        feet = []
        for design, pose in group:
            w, _, d = (0.5 * v + 5.0 for v in design.size_mm)
            x, y, z = pose.x_mm, pose.y_mm, pose.z_mm
            feet.append(quad(self.camera, [(x - w, y, z - d), (x + w, y, z - d), (x + w, y, z + d), (x - w, y, z + d)]))
        for foot in feet:
            cv2.fillConvexPoly(mask, foot, 140.0, cv2.LINE_8, SUBPIXEL_BITS)
        points = np.concatenate(feet) >> SUBPIXEL_BITS
        x0, y0 = np.maximum(points.min(axis=0) - 8, 0)
        x1, y1 = np.minimum(points.max(axis=0) + 9, [self.camera.width_px, self.camera.height_px])
        if x1 <= x0 or y1 <= y0:
            return
        where = np.s_[y0:y1, x0:x1]
        soft = cv2.blur(mask[where], (7, 5))
        canvas.rgb[where] = cv2.multiply(canvas.rgb[where], cv2.merge([soft] * 3), scale=1 / 255)
