"""What happens to a rendered picture between the lamp and the encoder.

Blur of the lens, exposure that drifts, flicker of lamps, white balance, vignetting, glare and stray light, sensor noise; and accidents: the door
closes, the camera is covered or shaken. `Optics` is drawn once per session and applied frame by frame; it moves pixels only when it shakes.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from fleetsight.sim.knobs import LightKnobs
from fleetsight.vision.image import Image

NOISE_MARGIN_PX = 64
RAMP_S = 0.14
"""How long a door or a cover takes to come and go."""
COVERED_SHARE = 0.5
"""More cover than this and nothing is visible."""


@dataclass(frozen=True)
class Lens:
    """Something that happens to the whole picture.

    Attributes:
        kind: "door" (closed), "cover" or "shake".
        from_s: beginning.
        to_s: end.
        strength: door: brightness left; shake: amplitude in px at 640 x 360; cover: 1.
        seed: details.
    """

    kind: str
    from_s: float
    to_s: float
    strength: float
    seed: int

    def share(self, at_s: float) -> float:
        """How far it has come.

        Args:
            at_s: the instant.

        Returns:
            0 before and after, 1 between, a ramp at both ends.
        """
        return float(np.clip(min(at_s - self.from_s, self.to_s - at_s) / RAMP_S, 0.0, 1.0))


class Optics:
    """Light, lens and sensor of one session.

    Args:
        knobs: ranges to draw from.
        size_wh: size of the picture.
        rng: the session's generator.
    """

    def __init__(self, knobs: LightKnobs, size_wh: tuple[int, int], rng: np.random.Generator) -> None:
        self.size_wh = size_wh
        self._scale = size_wh[0] / 640
        self._blur = knobs.blur_px.draw(rng) * self._scale
        self._drift = (knobs.drift.draw(rng), float(rng.uniform(0.05, 0.3)), float(rng.uniform(0, 2 * np.pi)))
        self._flicker = (knobs.flicker.draw(rng), float(rng.uniform(1.5, 9.0)))
        self._gain_map = self._draw_gain(knobs, rng)
        self._glare = self._draw_glare(knobs, rng)
        sigma = knobs.noise.draw(rng)
        unit = _noise_bank(size_wh)
        self._noise_up = np.clip(unit * sigma + 0.5, 0, 255).astype(np.uint8)
        self._noise_down = np.clip(-unit * sigma + 0.5, 0, 255).astype(np.uint8)
        self._seed = int(rng.integers(1 << 31))

    def _draw_gain(self, knobs: LightKnobs, rng: np.random.Generator) -> NDArray[np.uint8]:
        width, height = self.size_wh
        red, blue = knobs.white_balance.draw(rng), knobs.white_balance.draw(rng)
        gain, vignette = knobs.gain.draw(rng), knobs.vignette.draw(rng)
        x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
        fall = 1.0 - vignette * ((x * x + y * y) / 2.0) ** 1.3
        gains = fall[..., None] * np.array([red, 1.0, blue]) * gain * 160.0
        return np.asarray(np.clip(gains, 0, 255), np.uint8)

    def _draw_glare(self, knobs: LightKnobs, rng: np.random.Generator) -> NDArray[np.uint8]:
        width, height = self.size_wh
        glare = np.full((height // 4, width // 4), knobs.haze.draw(rng), np.float32)
        x, y = np.meshgrid(np.arange(width // 4), np.arange(height // 4))
        for _ in range(knobs.glare_spots.draw_int(rng)):
            cx, cy = rng.uniform(0, width / 4), rng.uniform(0, height / 4)
            rx, ry = rng.uniform(4, 20) * self._scale, rng.uniform(3, 26) * self._scale
            tilt = rng.uniform(-0.6, 0.6)
            u, v = (x - cx) + tilt * (y - cy), y - cy
            glare += knobs.glare.draw(rng) * np.exp(-0.5 * ((u / rx) ** 2 + (v / ry) ** 2)).astype(np.float32)
        large = cv2.resize(glare, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(cv2.merge([np.clip(large, 0, 255).astype(np.uint8)] * 3), np.uint8)

    def brightness(self, at_s: float) -> float:
        """Exposure and lamp at an instant.

        Args:
            at_s: the instant.

        Returns:
            Factor about 1.
        """
        drift, rate, phase = self._drift
        flicker, beat = self._flicker
        wave = np.sin(2 * np.pi * rate * at_s + phase) + 0.4 * np.sin(2 * np.pi * 2.7 * rate * at_s)
        return float(1.0 + drift * wave + flicker * np.sin(2 * np.pi * beat * at_s))

    def apply(self, picture: Image, at_s: float, *, index: int) -> Image:
        """Expose a picture.

        Args:
            picture: (h, w, 3) uint8 RGB, as rendered.
            at_s: the instant.
            index: number of the frame; decides its noise.

        Returns:
            A new picture of the same size.
        """
        image = cv2.GaussianBlur(picture, (0, 0), self._blur) if self._blur > 0.3 else picture
        image = cv2.multiply(image, self._gain_map, scale=self.brightness(at_s) / 160.0)
        image = cv2.add(image, self._glare)
        x, y = np.random.default_rng([self._seed, index]).integers(0, NOISE_MARGIN_PX, 2)
        width, height = self.size_wh
        where = np.s_[y : y + height, x : x + width]
        return np.asarray(cv2.subtract(cv2.add(image, self._noise_up[where]), self._noise_down[where]), np.uint8)

    def accidents(self, picture: Image, at_s: float, *, lens: tuple[Lens, ...]) -> tuple[Image, tuple[int, int], bool]:
        """Let doors, covers and shakes act on a picture.

        Args:
            picture: (h, w, 3) uint8 RGB, exposed without noise or with it.
            at_s: the instant.
            lens: what happens in the session.

        Returns:
            picture: the picture as the file gets it.
            moved_px: how far its content has moved, x and y.
            covered: nothing of the cooler can be seen.
        """
        moved, covered = (0, 0), False
        for event in lens:
            share = event.share(at_s)
            if event.kind == "shake" and event.from_s <= at_s <= event.to_s:
                moved = self._shift(event, at_s)
            elif share > 0.0 and event.kind == "door":
                picture = self._door(picture, event, share)
            elif share > 0.0 and event.kind == "cover":
                picture = self._cover(picture, event, share)
                covered = covered or share > COVERED_SHARE
        if moved != (0, 0):
            matrix = np.array([[1, 0, moved[0]], [0, 1, moved[1]]], np.float32)
            picture = np.asarray(
                cv2.warpAffine(picture, matrix, self.size_wh, borderMode=cv2.BORDER_REPLICATE), np.uint8
            )
        return picture, moved, covered

    def _shift(self, event: Lens, at_s: float) -> tuple[int, int]:
        age = (at_s - event.from_s) / (event.to_s - event.from_s)
        phase = np.random.default_rng(event.seed).uniform(0, 2 * np.pi, 2)
        size = event.strength * self._scale * np.exp(-3.5 * age)
        x = size * np.sin(2 * np.pi * 6.3 * (at_s - event.from_s) + phase[0])
        y = 0.7 * size * np.sin(2 * np.pi * 7.9 * (at_s - event.from_s) + phase[1])
        return round(float(x)), round(float(y))

    def _door(self, picture: Image, event: Lens, share: float) -> Image:
        rng = np.random.default_rng(event.seed)
        mirrored = cv2.resize(
            rng.integers(0, 70, (4, 6, 3)).astype(np.uint8), self.size_wh, interpolation=cv2.INTER_CUBIC
        )
        left = 1.0 - share * (1.0 - event.strength)
        return np.asarray(cv2.addWeighted(picture, left, mirrored, 0.6 * share * (1.0 - event.strength), 0.0), np.uint8)

    def _cover(self, picture: Image, event: Lens, share: float) -> Image:
        rng = np.random.default_rng(event.seed)
        kind = int(rng.integers(3))
        if kind == 0:  # dark
            return np.asarray(cv2.convertScaleAbs(picture, alpha=1.0 - 0.97 * share), np.uint8)
        if kind == 1:  # fogged: everything runs into one
            small = cv2.resize(picture, (8, 5), interpolation=cv2.INTER_AREA)
            fog = cv2.resize(small, self.size_wh, interpolation=cv2.INTER_CUBIC)
            return np.asarray(cv2.addWeighted(picture, 1.0 - 0.985 * share, fog, 0.985 * share, 0.0), np.uint8)
        tone = rng.uniform([70, 30, 20], [190, 110, 80])  # a hand on the lens, red light shining through
        blotch = cv2.resize(
            rng.uniform(0.4, 1.0, (3, 4, 1)).astype(np.float32), self.size_wh, interpolation=cv2.INTER_CUBIC
        )
        palm = np.clip(blotch[..., None] * tone, 0, 255).astype(np.uint8)
        edge = int(share * self.size_wh[0] * 1.02)
        covered = picture.copy()
        covered[:, :edge] = palm[:, :edge]
        return covered


@lru_cache(maxsize=4)
def _noise_bank(size_wh: tuple[int, int]) -> NDArray[np.float32]:
    width, height = size_wh[0] + NOISE_MARGIN_PX, size_wh[1] + NOISE_MARGIN_PX
    noise = np.random.default_rng(640).standard_normal((height, width, 3), np.float32)
    grain = (
        cv2.GaussianBlur(noise.mean(axis=2), (0, 0), 0.7) * 2.2
    )  # demosaicing leaves brightness noise of some pixels' size
    return np.asarray(0.7 * noise + 0.8 * grain[..., None], np.float32)
