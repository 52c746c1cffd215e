"""Arms and hands: a small skeleton, posed around what it holds, drawn in layers.

A hand is a palm, four fingers of three joints and a thumb of two, wrapped around an ellipse that stands for the held item, so that fingertips
touch it whatever its size. `pose_parts` projects the skeleton; `draw_parts` paints those parts that lie farther than the held item, or those
nearer, so that the item can be drawn in between. The forearm is a tapered strip with a sleeve texture. Lengths are those of an adult hand
(hand breadth 84 mm, hand length about 190 mm: ISO 7250-1, medians), times the shopper's scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fleetsight.sim.camera import Camera
from fleetsight.sim.shoppers.sleeves import ArmLook, arm_texture
from fleetsight.sim.solids import Canvas

HAND_OWNER = 20_000
"""Owner numbers of hands (with wrist) start here; one per arm."""
ARM_OWNER = 21_000
"""Owner numbers of forearms start here; one per arm."""

FINGER_SIDE_MM = (31.0, 10.5, -10.5, -30.0)  # index to little finger, along the thumb direction
FINGER_KNUCKLE_MM = (39.0, 43.0, 39.0, 31.0)  # along the forward direction, from the middle of the palm
FINGER_LENGTH_MM = (74.0, 81.0, 75.0, 60.0)
FINGER_RADIUS_MM = (8.6, 9.0, 8.6, 7.4)
PHALANX_SHARES = (0.46, 0.3, 0.24)
THUMB_LENGTH_MM = 66.0
WRIST_MM = 50.0  # of the forearm that counts as hand
PALM_THICK_MM = 13.0
WRAP_MIN_MM = 20.0  # a hand closes no further than around a thin box
WRAP_MAX_MM = 44.0  # and opens no wider than this half width across the palm
WRAP_LONG_MM = 60.0  # nor along the fingers
ELBOW_RADIUS_MM = 43.0
SUBPIXEL_BITS = 3
SUBPIXEL = 1 << SUBPIXEL_BITS


@dataclass(frozen=True)
class HandPose:
    """Where one hand is at an instant.

    Attributes:
        grip_mm: (3,) middle of what the hand is closed around.
        forward: (3,) unit, from the wrist to the knuckles.
        normal: (3,) unit, out of the palm.
        open_share: 0 fingers touch the item, 1 flat and open.
        wrap_mm: half extent of the item along `forward` and along `normal`.
        shoulder_mm: (3,) where the arm comes from, outside the picture.
    """

    grip_mm: NDArray[np.float64]
    forward: NDArray[np.float64]
    normal: NDArray[np.float64]
    open_share: float
    wrap_mm: tuple[float, float]
    shoulder_mm: NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """A projected piece of a hand.

    Attributes:
        outline: (n, 2) int32 convex polygon in 1/8 px.
        depth_mm: distance along the camera's axis.
        tone: brightness factor of the skin.
        glint: (n, 2) int32 lighter polygon inside, in 1/8 px; None for none.
    """

    outline: NDArray[np.int32]
    depth_mm: float
    tone: float
    glint: NDArray[np.int32] | None


@dataclass(frozen=True)
class ArmParts:
    """One projected arm.

    Attributes:
        arm: number of the arm in the session.
        look: colours and shape.
        fingers: pieces of fingers and thumb.
        palm: the palm.
        skin_quad: (4, 2) px, bare forearm from the wrist: left and right at the wrist, then right and left at the far end.
        sleeve_quad: (4, 2) px, sleeve in the same order.
        wrist_quad: (4, 2) px, the part of the arm that counts as hand.
        lengths_mm: bare forearm and sleeve.
    """

    arm: int
    look: ArmLook
    fingers: tuple[Part, ...]
    palm: Part
    skin_quad: NDArray[np.float64]
    sleeve_quad: NDArray[np.float64]
    wrist_quad: NDArray[np.float64]
    lengths_mm: tuple[float, float]

    def outlines(self) -> list[NDArray[np.int32]]:
        """All polygons of the arm, for its shadow and its extent.

        Returns:
            Polygons in 1/8 px.
        """
        quads = [_fixed(quad) for quad in (self.skin_quad, self.sleeve_quad)]
        return [*quads, self.palm.outline, *(part.outline for part in self.fingers)]


def _wrap_curve(hand: HandPose, scale: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points around the item in the plane of (forward, normal), angle 0 at the palm, and the angles."""
    grow = 1.0 + 0.35 * hand.open_share
    along = np.clip(hand.wrap_mm[0] * grow + 7.0, 34.0, WRAP_LONG_MM + 8.0) * scale
    across = np.clip(hand.wrap_mm[1] * grow + 7.0, WRAP_MIN_MM, WRAP_MAX_MM + 10.0) * scale
    angle = np.linspace(-2.4, 3.6, 61)
    return np.stack([along * np.sin(angle), -across * np.cos(angle)], axis=1), angle


def _chain(curve: NDArray[np.float64], start: int, lengths: Sequence[float], step: int) -> NDArray[np.float64]:
    """Joints at given arc lengths along the curve from an index, walking up or down."""
    path = curve[start::step]
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    at = np.concatenate([[0.0], np.cumsum(lengths)])
    return np.stack([np.interp(at, arc, path[:, 0]), np.interp(at, arc, path[:, 1])], axis=1)


def _skeleton(hand: HandPose, look: ArmLook) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points (n, 3) in the hand's own axes (forward, normal, thumb side) and radii (n,).

    Order: four fingers of four joints, thumb of three, palm corners (two at the wrist, thumb base), wrist.
    """
    scale = look.scale
    curve, angle = _wrap_curve(hand, scale)
    points: list[NDArray[np.float64]] = []
    radii: list[float] = []
    top = curve[:, 0].max()
    for side, knuckle, length, radius in zip(
        FINGER_SIDE_MM, FINGER_KNUCKLE_MM, FINGER_LENGTH_MM, FINGER_RADIUS_MM, strict=True
    ):
        theta = float(np.arcsin(min(0.92, knuckle * scale / top)))
        start = int(np.argmin(np.abs(angle - theta)))
        shares = [share * length * scale for share in PHALANX_SHARES]
        closed = _chain(curve, start, shares, 1)
        reach = np.concatenate([[0.0], np.cumsum(shares)])
        bend = np.array([0.0, 0.12, 0.3, 0.5])
        flat = closed[0] + np.stack([reach * np.cos(bend), reach * np.sin(bend)], axis=1)
        joints = closed * (1 - 0.8 * hand.open_share) + flat * 0.8 * hand.open_share
        spread = side * scale * (1.0 + np.linspace(0.0, 0.25, 4) * (0.3 + hand.open_share))
        points.append(np.column_stack([joints, spread]))
        radii += [radius * scale * f for f in (1.12, 1.0, 0.95, 0.82)]
    start = int(np.argmin(np.abs(angle + 0.35)))
    thumb = _chain(curve, start, [0.52 * THUMB_LENGTH_MM * scale, 0.48 * THUMB_LENGTH_MM * scale], -1)
    lift = np.array([26.0, 40.0, 36.0]) * scale
    open_to = np.array([[-14.0, 0.0, 26.0], [8.0, 6.0, 56.0], [34.0, 12.0, 72.0]]) * scale
    open_to[:, 1] += curve[start, 1]
    points.append(np.column_stack([thumb, lift]) * (1 - 0.7 * hand.open_share) + open_to * 0.7 * hand.open_share)
    radii += [13.5 * scale, 10.5 * scale, 8.6 * scale]
    back = float(curve[:, 1].min()) - (PALM_THICK_MM - 8.0) * scale
    points.append(np.array([[-46.0, 0.0, 17.0], [-46.0, 0.0, -17.0], [-16.0, 0.0, 30.0], [-10.0, 0.0, -31.0]]) * scale)
    points[-1][:, 1] = back
    radii += [PALM_THICK_MM * scale * f for f in (0.95, 0.95, 1.0, 0.95)]
    points.append(np.array([[-56.0 * scale, back, 0.0]]))
    radii.append(26.0 * scale)
    return np.concatenate(points), np.array(radii)


def _hull(centres: NDArray[np.float64], radii: NDArray[np.float64]) -> NDArray[np.int32]:
    around = _CIRCLE[None] * radii[:, None, None] + centres[:, None, :]
    fixed = np.round(around.reshape(-1, 2) * SUBPIXEL).astype(np.int32)
    return np.asarray(cv2.convexHull(fixed)[:, 0], dtype=np.int32)


_CIRCLE = np.stack([np.cos(np.arange(10) * np.pi / 5), np.sin(np.arange(10) * np.pi / 5)], axis=1)


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    fixed: NDArray[np.int32] = np.round(points * SUBPIXEL).astype(np.int32)
    return fixed


def pose_parts(hand: HandPose, look: ArmLook, *, camera: Camera, arm: int) -> ArmParts:
    """Project an arm.

    Args:
        hand: where the hand is.
        look: the arm's looks.
        camera: the camera.
        arm: number of the arm in the session.

    Returns:
        Polygons in pixels, some perhaps outside the picture.
    """
    thumb_side = np.cross(hand.forward, hand.normal) * (-1.0 if look.right else 1.0)
    local, radii_mm = _skeleton(hand, look)
    world = hand.grip_mm + local @ np.stack([hand.forward, hand.normal, thumb_side])
    depths = np.maximum(camera.depth(world), 60.0)
    pixels = np.nan_to_num(camera.project(world), nan=-1e4)
    radii = radii_mm * camera.focal_px / depths
    fingers = []
    for first, joints in ((0, 4), (4, 4), (8, 4), (12, 4), (16, 3)):
        for j in range(first, first + joints - 1):
            ends, r = pixels[j : j + 2], radii[j : j + 2]
            tip = j == first + joints - 2
            tone = 0.97 - 0.05 * (first / 16) + (0.05 if tip else 0.0)
            glint = _hull(ends - [0.12 * r[0], 0.3 * r[0]], r * 0.5)
            fingers.append(Part(_hull(ends, r), float(depths[j : j + 2].mean()), tone, glint))
    around = [0, 4, 8, 12, 16, 19, 20, 21, 22]
    rim = _hull(pixels[around], radii[around])
    palm = Part(rim, float(depths[around].mean()), 0.95, None)
    return _with_forearm(hand, look, camera, (arm, tuple(fingers), palm, world[-1]))


def _with_forearm(
    hand: HandPose, look: ArmLook, camera: Camera, hand_parts: tuple[int, tuple[Part, ...], Part, NDArray[np.float64]]
) -> ArmParts:
    arm, fingers, palm, wrist = hand_parts
    length = float(np.linalg.norm(hand.shoulder_mm - wrist))
    bare = min(look.bare_mm, length - 20.0)

    def strip(from_mm: float, to_mm: float, extra_mm: float) -> NDArray[np.float64]:
        share = np.array([from_mm, to_mm]) / length
        axis = wrist + share[:, None] * (hand.shoulder_mm - wrist)
        depth = np.maximum(camera.depth(axis), 90.0)
        centre = np.nan_to_num(camera.project(axis), nan=-1e4)
        taper = np.clip(np.array([from_mm, to_mm]) / 260.0, 0.0, 1.0)
        radius = ((26.0 + (ELBOW_RADIUS_MM - 26.0) * taper) * look.scale + extra_mm) * camera.focal_px / depth
        direction = centre[1] - centre[0]
        across = np.array([-direction[1], direction[0]]) / max(1e-6, float(np.hypot(*direction)))
        offset = across[None] * radius[:, None]
        return np.stack([centre[0] - offset[0], centre[0] + offset[0], centre[1] + offset[1], centre[1] - offset[1]])

    return ArmParts(
        arm=arm,
        look=look,
        fingers=fingers,
        palm=palm,
        skin_quad=strip(-6.0, bare + 8.0, 0.0),
        sleeve_quad=strip(bare, length, look.sleeve_loose_mm),
        wrist_quad=strip(-6.0, min(WRIST_MM, length), look.sleeve_loose_mm if bare < WRIST_MM else 0.0),
        lengths_mm=(bare + 14.0, length - bare),
    )


def draw_parts(canvas: Canvas, parts: ArmParts, *, split_mm: float, front: bool, gain: float = 1.0) -> None:
    """Paint the pieces of an arm on one side of the held item.

    Args:
        canvas: drawn onto, colours and owners.
        parts: the projected arm.
        split_mm: depth of the held item's middle; pieces at least this near belong to the front.
        front: paint the near pieces; otherwise the far ones.
        gain: brightness of the light on the arm.
    """
    owner = HAND_OWNER + parts.arm
    palm_front = parts.palm.depth_mm <= split_mm
    near = [part for part in parts.fingers if (part.depth_mm <= split_mm) == front]
    near.sort(key=lambda part: -part.depth_mm)
    under = [part for part in near if palm_front == front and part.depth_mm > parts.palm.depth_mm + 6.0]
    for part in under:
        _paint(canvas, part, parts.look, owner=owner, gain=gain)
    if palm_front == front:
        _paint_arm(canvas, parts, gain)
        _paint(canvas, parts.palm, parts.look, owner=owner, gain=gain)
    for part in near:
        if not any(part is other for other in under):
            _paint(canvas, part, parts.look, owner=owner, gain=gain)


def _paint(canvas: Canvas, part: Part, look: ArmLook, *, owner: int, gain: float) -> None:
    skin = np.array(look.skin_rgb, dtype=np.float64) * (part.tone * gain)
    shade = (0.8, 0.74, 0.72) if part.glint is None else (0.7, 0.62, 0.6)
    edge = tuple(float(v) for v in skin * shade)
    body = tuple(float(v) for v in np.minimum(skin, 255.0))
    light = tuple(float(v) for v in np.minimum(skin * 1.07 + 4.0, 255.0))
    cv2.fillConvexPoly(canvas.rgb, part.outline, body, cv2.LINE_AA, SUBPIXEL_BITS)
    if part.glint is not None:
        cv2.fillConvexPoly(canvas.rgb, part.glint, light, cv2.LINE_AA, SUBPIXEL_BITS)
    cv2.polylines(canvas.rgb, [part.outline], True, edge, 1, cv2.LINE_AA, SUBPIXEL_BITS)
    cv2.fillConvexPoly(canvas.owner, part.outline, float(owner), cv2.LINE_8, SUBPIXEL_BITS)


def _paint_arm(canvas: Canvas, parts: ArmParts, gain: float) -> None:
    skin, sleeve = arm_texture(parts.look)
    for texture, quad, length in (
        (skin, parts.skin_quad, parts.lengths_mm[0]),
        (sleeve, parts.sleeve_quad, parts.lengths_mm[1]),
    ):
        _warp_strip(canvas, texture, quad, (length, gain))
        cv2.fillConvexPoly(canvas.owner, _fixed(quad), float(ARM_OWNER + parts.arm), cv2.LINE_8, SUBPIXEL_BITS)
    cv2.fillConvexPoly(canvas.owner, _fixed(parts.wrist_quad), float(HAND_OWNER + parts.arm), cv2.LINE_8, SUBPIXEL_BITS)


def _warp_strip(
    canvas: Canvas, texture: NDArray[np.uint8], quad: NDArray[np.float64], size: tuple[float, float]
) -> None:
    """Lay the first `size[0]` mm of a texture (1 row per 4 mm, 32 columns) onto a quadrilateral of the picture."""
    height, width = canvas.owner.shape
    x0, y0 = np.maximum(np.floor(quad.min(axis=0)) - 1, 0).astype(int)
    x1, y1 = np.minimum(np.ceil(quad.max(axis=0)) + 2, [width, height]).astype(int)
    if x1 <= x0 or y1 <= y0:
        return
    rows = min(texture.shape[0], max(2.0, size[0] / 4.0))
    columns = texture.shape[1]
    source = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], dtype=np.float32)
    target = (quad - [x0, y0]).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(source, target)
    roi = (int(x1 - x0), int(y1 - y0))
    warped = cv2.warpPerspective(texture, matrix, roi, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if size[1] != 1.0:
        warped = cv2.convertScaleAbs(warped, alpha=size[1])
    mask = np.zeros((roi[1], roi[0]), np.uint8)
    cv2.fillConvexPoly(mask, _fixed(quad - [x0, y0]), 255.0, cv2.LINE_8, SUBPIXEL_BITS)
    cv2.copyTo(warped, mask, canvas.rgb[y0:y1, x0:x1])
