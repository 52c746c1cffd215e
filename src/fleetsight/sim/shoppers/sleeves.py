"""What arms look like: skin tones, sleeves and their patterns."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

SKIN_TONES_RGB = (
    (246, 216, 196), (238, 200, 176), (228, 184, 152), (214, 166, 132), (198, 146, 112),
    (176, 122, 88), (150, 98, 68), (122, 78, 54), (94, 58, 42), (68, 42, 32),
)  # fmt: skip
"""From light to dark, in the order of the Monk skin tone scale's ten steps, our own values."""
GLOVE_RGB = ((40, 44, 52), (88, 120, 190), (230, 232, 235))
"""Some shoppers and all kinds of staff wear gloves."""
TEXTURE_ROWS = 400
TEXTURE_COLUMNS = 32
PATTERNS = ("plain", "plain", "stripes_across", "stripes_along", "checks", "speckle")


@dataclass(frozen=True)
class ArmLook:
    """Looks of one arm.

    Attributes:
        skin_rgb: skin, or glove.
        right: a right hand.
        scale: size against the adult median.
        bare_mm: forearm between wrist and sleeve.
        sleeve_loose_mm: how much wider than the arm the sleeve is.
        sleeve_rgb: the sleeve's two colours.
        pattern: one of `PATTERNS`.
        texture_seed: seed of folds and speckles.
    """

    skin_rgb: tuple[int, int, int]
    right: bool
    scale: float
    bare_mm: float
    sleeve_loose_mm: float
    sleeve_rgb: tuple[tuple[int, int, int], tuple[int, int, int]]
    pattern: str
    texture_seed: int


def make_look(rng: np.random.Generator, *, right: bool, scale: float) -> ArmLook:
    """Draw the looks of an arm.

    Args:
        rng: the session's generator.
        right: a right hand.
        scale: size against the adult median.

    Returns:
        The looks.
    """
    tone = SKIN_TONES_RGB[int(rng.integers(len(SKIN_TONES_RGB)))]
    if rng.random() < 0.05:
        tone = GLOVE_RGB[int(rng.integers(len(GLOVE_RGB)))]
    skin = tuple(int(v) for v in np.clip(np.array(tone) * rng.uniform(0.92, 1.06) + rng.uniform(-6, 6, 3), 0, 255))
    first, second = (tuple(int(v) for v in rng.integers(8, 245, 3)) for _ in range(2))
    if rng.random() < 0.45:  # dark, white and denim are what people wear most
        common = ((24, 24, 28), (60, 62, 68), (236, 236, 232), (52, 70, 104), (112, 112, 112))
        first = common[int(rng.integers(len(common)))]
    return ArmLook(
        skin_rgb=(skin[0], skin[1], skin[2]),
        right=right,
        scale=scale,
        bare_mm=float(rng.choice([rng.uniform(4, 40), rng.uniform(60, 200), 2000.0], p=[0.5, 0.25, 0.25])),
        sleeve_loose_mm=float(rng.uniform(4.0, 18.0)),
        sleeve_rgb=((first[0], first[1], first[2]), (second[0], second[1], second[2])),
        pattern=PATTERNS[int(rng.integers(len(PATTERNS)))],
        texture_seed=int(rng.integers(1 << 31)),
    )


@lru_cache(maxsize=32)
def arm_texture(look: ArmLook) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Skin and sleeve as strips to be laid along an arm.

    Args:
        look: the arm's looks.

    Returns:
        skin: (400, 32, 3) uint8 RGB, wrist first, 4 mm to a row.
        sleeve: the same for the sleeve.
    """
    rng = np.random.default_rng(look.texture_seed)
    across = np.linspace(-1.0, 1.0, TEXTURE_COLUMNS)
    round_light = (0.7 + 0.34 * np.sqrt(1.0 - 0.94 * (across + 0.25) ** 2 / 1.5625))[None, :, None]
    skin = np.full((TEXTURE_ROWS, TEXTURE_COLUMNS, 3), look.skin_rgb, dtype=np.float32) * round_light
    skin += cv2.GaussianBlur(rng.normal(0, 14, skin.shape[:2]).astype(np.float32), (0, 0), 3.0)[..., None]
    first, second = (np.array(c, dtype=np.float32) for c in look.sleeve_rgb)
    rows, columns = np.mgrid[:TEXTURE_ROWS, :TEXTURE_COLUMNS]
    period = int(rng.integers(4, 14))
    mask = {
        "plain": np.zeros(rows.shape, dtype=bool),
        "stripes_across": rows % period < period // 2,
        "stripes_along": columns % max(3, period // 2) < max(1, period // 4),
        "checks": (rows // period + columns // max(2, period // 2)) % 2 == 0,
        "speckle": rng.random(rows.shape) < 0.25,
    }[look.pattern]
    sleeve = np.where(mask[..., None], second, first)
    folds = cv2.GaussianBlur(rng.normal(0, 1, rows.shape).astype(np.float32), (0, 0), sigmaX=7.0, sigmaY=2.2)
    sleeve = (sleeve + 10.0) * (round_light + 1.6 * folds[..., None])
    sleeve[:2] *= 0.6  # hem
    return np.clip(skin, 0, 255).astype(np.uint8), np.clip(sleeve, 0, 255).astype(np.uint8)
