"""Pictures for training the embedder: products as a detector would cut them from clips, and clean packshots of the same.

Each crop is a small scene of its own: a product on a shelf or in the hand, seen from the front or from above, with neighbours beside and behind it, something in
front of it now and then, then light, blur, noise and compression as a camera adds them. The box is that of the part in sight, as a detector finds it.
Every range is a constant below; the suite `shifted` goes beyond some of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fleetsight.sim.camera import Camera, aimed_angles
from fleetsight.sim.designs import Design
from fleetsight.sim.solids import GALLERY_VIEWS_DEG, Canvas, Pose, draw_product, packshot, product_corners
from fleetsight.vision.image import Image

CLEAN_SHARE = 0.12  # of the crops are packshots
HELD_SHARE = 0.35  # of the others are in the hand rather than on a shelf
ABOVE_SHARE = 0.4  # are seen by the camera above the door
SIDE_PX = (22.0, 110.0)  # longer side of the product, log-uniform
FRONT_PITCH_RAD, ABOVE_PITCH_RAD = (0.0, 0.45), (0.65, 1.2)
FRONT_DISTANCE_MM, ABOVE_DISTANCE_MM = (750.0, 1500.0), (350.0, 1000.0)
ASIDE_RAD = 0.45  # how far beside the camera's axis a product stands, either way
SHELF_YAW_RAD = 0.18  # standard deviation of a product set down on a shelf
HELD_TILT_RAD = (0.7, 0.7)  # pitch, roll: either way
HELD_YAW_RAD = 1.1
COVERED = (0.1, 0.6)  # share of the product that something before it may hide
COVER_CHANCE = 0.45
GAIN, CAST = (0.5, 1.5), 0.08  # exposure; standard deviation of a colour channel's own gain
BLUR_CHANCE, BLUR_PX = 0.25, (1.5, 7.0)
GLARE_CHANCE = 0.15
NOISE = (0.0, 9.0)  # standard deviation, of 255
QUALITY = (32, 81)  # JPEG; its steps are about those of H.264 at CRF 23 to 34
SHRINK_CHANCE, SHRINK = 0.3, (0.5, 0.9)  # resolution lost on the way
MARGIN, JITTER = 0.04, 0.06  # of the box's sides
LEAST_SHARE = 0.35  # of the product stays in sight, else the scene is drawn anew without what covers it
MARGIN_PX = 14  # of scene around the product

SKINS = ((236, 188, 160), (224, 172, 138), (198, 134, 98), (150, 98, 68), (96, 62, 46), (250, 214, 190), (120, 84, 64))


@dataclass(frozen=True)
class _View:
    camera: Camera
    pose: Pose
    held: bool
    above: bool


def crop_batch(
    designs: Sequence[Design], rng: np.random.Generator, *, count: int
) -> tuple[list[Image], NDArray[np.int64]]:
    """Random crops of random products.

    Args:
        designs: what there is; also the neighbours are taken from it.
        rng: decides everything.
        count: number of crops, >= 0.

    Returns:
        crops: (h, w, 3) uint8 RGB each, of differing sizes, 6 to about 110 px.
        labels: (count,) index into designs.
    """
    labels = rng.integers(len(designs), size=count).astype(np.int64)
    return [crop_of(designs, int(label), rng=rng) for label in labels], labels


def crop_of(designs: Sequence[Design], label: int, *, rng: np.random.Generator) -> Image:
    """A random crop of one product.

    Args:
        designs: what there is.
        label: index of the product.
        rng: decides everything else.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    if rng.random() < CLEAN_SHARE:
        return _clean(designs[label], rng)
    canvas = _scene(designs, label, rng)
    if not (canvas.owner == 0).any():  # a thin pouch, seen edge-on and small
        return _clean(designs[label], rng)
    picture = _as_filmed(canvas.rgb, rng)
    return _cut(picture, canvas.owner == 0, rng)


def _clean(design: Design, rng: np.random.Generator) -> Image:
    yaw, pitch = GALLERY_VIEWS_DEG[int(rng.integers(len(GALLERY_VIEWS_DEG)))]
    turn, tilt = np.radians(yaw + rng.normal(0, 6)), np.radians(max(0.0, pitch + rng.normal(0, 4)))
    return packshot(design, yaw_rad=float(turn), pitch_rad=float(tilt), side_px=int(rng.integers(60, 160)))


def _scene(designs: Sequence[Design], label: int, rng: np.random.Generator) -> Canvas:
    design = designs[label]
    view = _view(design, rng)
    background = _background(view, rng)
    canvas = Canvas.over(background)
    near: list[tuple[Design, Pose]] = []
    if not view.held or rng.random() < 0.6:
        behind, near = _neighbours(designs, label, view, rng)
        for other, pose in behind:
            draw_product(canvas, other, pose=pose, camera=view.camera, owner=1, gain=float(rng.uniform(0.55, 0.95)))
    whole = draw_product(canvas, design, pose=view.pose, camera=view.camera, owner=0)
    before = Canvas(canvas.rgb.copy(), canvas.owner.copy())
    for other, pose in near:
        draw_product(canvas, other, pose=pose, camera=view.camera, owner=2)
    if view.held or rng.random() < COVER_CHANCE:
        _cover(canvas, rng, share=float(rng.uniform(*COVERED)))
    if np.count_nonzero(canvas.owner == 0) < max(LEAST_SHARE * whole, 12):
        return before
    return canvas


def _view(design: Design, rng: np.random.Generator) -> _View:
    """A camera that has the product in its middle, and a picture just large enough for it."""
    above, held = bool(rng.random() < ABOVE_SHARE), bool(rng.random() < HELD_SHARE)
    pose = Pose(0, 0, 0, yaw_rad=float(rng.normal(0, SHELF_YAW_RAD)))
    if held:
        yaw, pitch, roll = HELD_YAW_RAD * rng.normal(0, 0.6), *(rng.uniform(-1, 1, 2) * HELD_TILT_RAD)
        pose = Pose(0, 0, 0, float(yaw), float(pitch), float(roll))
    pitch = rng.uniform(*(ABOVE_PITCH_RAD if above else FRONT_PITCH_RAD))
    distance = rng.uniform(*(ABOVE_DISTANCE_MM if above else FRONT_DISTANCE_MM))
    aside = rng.uniform(-ASIDE_RAD, ASIDE_RAD)
    corners = product_corners(design, pose)
    middle = corners.mean(axis=0)
    eye = middle + distance * np.array([np.sin(aside) * np.cos(pitch), np.sin(pitch), -np.cos(aside) * np.cos(pitch)])
    place = (float(eye[0]), float(eye[1]), float(eye[2]))
    turn, tilt = aimed_angles(eye, middle)
    spread = np.ptp(Camera(2, 2, 1.0, place, turn, tilt).project(corners), axis=0)
    side = float(np.exp(rng.uniform(*np.log(SIDE_PX))))
    focal = side / float(spread.max())
    width, height = (int(np.ceil(v * focal)) + 2 * MARGIN_PX for v in spread)
    return _View(Camera(width, height, focal, place, turn, tilt, float(rng.normal(0, 0.03))), pose, held, above)


def _background(view: _View, rng: np.random.Generator) -> Image:
    """A shaded wall or floor with a few edges; under a product that stands, the shelf and the rail before it."""
    width, height = view.camera.width_px, view.camera.height_px
    corners = rng.uniform(20, 235, (2, 2, 1)) + rng.normal(0, 12, (2, 2, 3))
    image = np.asarray(
        cv2.resize(np.clip(corners, 0, 255).astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR),
        np.uint8,
    )
    for _ in range(int(rng.integers(0, 4))):
        ends = rng.uniform(0, 1, (2, 2)) * (width, height)
        shade = tuple(int(v) for v in np.clip(rng.uniform(10, 245) + rng.normal(0, 15, 3), 0, 255))
        cv2.line(
            image, tuple(map(int, ends[0])), tuple(map(int, ends[1])), shade, int(rng.integers(1, 12)), cv2.LINE_AA
        )
    if not view.held:
        base = rng.uniform(-90, -15)
        floor = np.array(
            [[-900, 0, 500], [900, 0, 500], [900, 0, base], [-900, 0, base], [900, -35, base], [-900, -35, base]]
        )
        pixels = np.clip(np.nan_to_num(view.camera.project(floor)), -4000, 4000).astype(np.int32)
        tone = rng.uniform(90, 240)
        cv2.fillConvexPoly(image, pixels[[0, 1, 2, 3]], (int(tone), int(tone), int(tone)), cv2.LINE_AA)
        rail = tuple(int(v) for v in rng.integers(20, 255, 3))
        cv2.fillConvexPoly(image, pixels[[3, 2, 4, 5]], rail, cv2.LINE_AA)
    return image


def _neighbours(
    designs: Sequence[Design], label: int, view: _View, rng: np.random.Generator
) -> tuple[list[tuple[Design, Pose]], list[tuple[Design, Pose]]]:
    """What stands farther from the camera than the product, far to near, and what stands nearer."""
    width, _, depth = designs[label].size_mm
    behind: list[tuple[Design, Pose]] = []
    near: list[tuple[Design, Pose]] = []
    drop = float(rng.uniform(-250, 60)) if view.held else 0.0  # the shelf below a product in the hand
    back = float(rng.uniform(80, 250)) if view.held else 0.0
    for side in (-1, 0, 1):
        if rng.random() < (0.15 if side else 0.3):
            continue
        other = designs[label] if side == 0 or rng.random() < 0.3 else designs[int(rng.integers(len(designs)))]
        aside = side * ((width + other.size_mm[0]) / 2 + float(rng.uniform(1, 22)))
        inward = 0.0 if side and not view.held else (depth + other.size_mm[2]) / 2 + 4
        shift = float(rng.normal(0, 10)) if side else float(abs(rng.normal(0, 6)))
        yaw = float(rng.normal(0, SHELF_YAW_RAD))
        if side:
            behind.append((other, Pose(aside, drop, back + shift + other.size_mm[2] + 6, yaw)))
        behind.append((other, Pose(aside, drop, back + inward + shift, yaw)))
    if not view.held and rng.random() < 0.2:
        other = designs[int(rng.integers(len(designs)))]
        before = -(depth + other.size_mm[2]) / 2 - float(rng.uniform(4, 30))
        lower = -float(rng.uniform(0.3, 0.8)) * other.size_mm[1] if rng.random() < 0.5 else -other.size_mm[1] - 20
        near.append((other, Pose(float(rng.uniform(-1, 1)) * width, lower, before)))
    eye = np.asarray(view.camera.position_mm)
    behind.sort(key=lambda item: -float(np.linalg.norm(eye - (item[1].x_mm, item[1].y_mm, item[1].z_mm))))
    return behind, near


def _cover(canvas: Canvas, rng: np.random.Generator, *, share: float) -> None:
    """Fingers, a hand or a sleeve over about the given share of the product's box."""
    rows, columns = np.nonzero(canvas.owner == 0)
    if len(rows) < 8:
        return
    y0, y1, x0, x1 = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    height, width = y1 - y0, x1 - x0
    colour = np.asarray(SKINS[int(rng.integers(len(SKINS)))], float) * rng.uniform(0.6, 1.1)
    if rng.random() < 0.25:
        colour = rng.uniform(15, 240, 3)
    tone = tuple(int(v) for v in np.clip(colour, 0, 255))
    dark = tuple(int(v * 0.72) for v in tone)
    mask: NDArray[np.uint8] = np.zeros(canvas.owner.shape, np.uint8)
    angle = rng.uniform(0, 2 * np.pi)  # from where it comes
    toward = np.array([np.cos(angle), np.sin(angle)])
    reach = np.array([width, height]) / 2
    middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2]) + toward * reach * (2 - 2.2 * share)
    size = np.maximum(reach * rng.uniform(0.8, 1.2, 2), 3)
    image = canvas.rgb
    cv2.ellipse(mask, _point(middle), _point(size), float(np.degrees(angle)), 0, 360, 255, -1, cv2.LINE_AA)
    cv2.line(mask, _point(middle), _point(middle + toward * 200), 255, max(2, int(1.3 * size.min())), cv2.LINE_AA)
    fingers = int(rng.integers(0, 5))
    across = np.array([-toward[1], toward[0]])
    thick = max(2, int(0.42 * size.min()))
    ends = []
    for finger in range(fingers):
        start = middle + across * size.min() * (0.5 * (finger - (fingers - 1) / 2))
        ends.append((_point(start), _point(start - toward * size.min() * rng.uniform(0.9, 1.9))))
        cv2.line(mask, *ends[-1], 255, thick, cv2.LINE_AA)
    weight = mask.astype(np.float32)[..., None] / 255
    light = np.linspace(rng.uniform(0.8, 1.1), rng.uniform(0.7, 1.0), image.shape[1], dtype=np.float32)[None, :, None]
    image[:] = np.clip(image * (1 - weight) + np.asarray(tone, np.float32) * light * weight, 0, 255).astype(np.uint8)
    for start, end in ends:
        cv2.line(image, start, end, dark, 1, cv2.LINE_AA)
    canvas.owner[mask > 127] = 3


def _point(value: NDArray[np.float64]) -> tuple[int, int]:
    return round(float(value[0])), round(float(value[1]))


def _as_filmed(image: Image, rng: np.random.Generator) -> Image:
    """Light, glare, blur, noise, lost resolution, compression: what stands between a scene and its clip."""
    height, width = image.shape[:2]
    gain = np.exp(rng.uniform(*np.log(GAIN))) * np.exp(rng.normal(0, CAST, 3))
    picture = image.astype(np.float32) * gain.astype(np.float32)
    if rng.random() < GLARE_CHANCE:
        spot: NDArray[np.float32] = np.zeros((height, width), np.float32)
        place = (int(rng.integers(width)), int(rng.integers(height)))
        size = (int(rng.integers(2, max(3, width // 3))), int(rng.integers(2, max(3, height // 5))))
        cv2.ellipse(spot, place, size, float(rng.uniform(0, 180)), 0, 360, float(rng.uniform(60, 220)), -1, cv2.LINE_AA)
        picture += cv2.GaussianBlur(spot, (0, 0), max(1.0, 0.4 * min(size)))[..., None]
    if rng.random() < BLUR_CHANCE:
        picture = _smeared(
            picture, float(rng.uniform(*BLUR_PX)) * max(height, width) / 100, float(rng.uniform(0, np.pi))
        )
    picture = picture + rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(rng.uniform(*NOISE))
    result = np.clip(picture, 0, 255).astype(np.uint8)
    if rng.random() < SHRINK_CHANCE:
        factor = float(rng.uniform(*SHRINK))
        small = cv2.resize(
            result, (max(8, int(width * factor)), max(8, int(height * factor))), interpolation=cv2.INTER_AREA
        )
        result = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    _, coded = cv2.imencode(".jpg", result[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(*QUALITY))])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)[:, :, ::-1])


def _smeared(picture: NDArray[np.float32], length_px: float, angle_rad: float) -> NDArray[np.float32]:
    half = max(1, int(np.ceil(length_px / 2)))
    kernel: NDArray[np.float32] = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    step = np.array([np.cos(angle_rad), np.sin(angle_rad)]) * length_px / 2
    middle = np.array([half, half], float)
    cv2.line(kernel, _point(middle - step), _point(middle + step), 1.0, 1, cv2.LINE_AA)
    return np.asarray(
        cv2.filter2D(picture, -1, kernel / max(float(kernel.sum()), 1e-6), borderType=cv2.BORDER_REPLICATE), np.float32
    )


def _cut(picture: Image, seen: NDArray[np.bool_], rng: np.random.Generator) -> Image:
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    height, width = seen.shape
    low = np.array([columns[0], rows[0]], float)
    high = np.array([columns[-1] + 1, rows[-1] + 1], float)
    side = high - low
    low = low - side * (MARGIN + rng.uniform(-JITTER, JITTER, 2))
    high = high + side * (MARGIN + rng.uniform(-JITTER, JITTER, 2))
    x0, y0 = np.clip(np.round(low), 0, (width - 6, height - 6)).astype(int)
    x1, y1 = np.clip(np.round(high), (x0 + 6, y0 + 6), (width, height)).astype(int)
    return picture[y0:y1, x0:x1].copy()
