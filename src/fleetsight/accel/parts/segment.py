"""Masks for points and boxes, by compiled parts: no torch, no transformers.

The image is encoded once; prompts on it are cheap and go through in batches.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.parts.part import PartError, Runners, Settings, run_rows
from fleetsight.accel.parts.pixels import PixelSettings, prepare
from fleetsight.vision.image import Image, size_wh

FOREGROUND, BACKGROUND, NO_POINT, FILLING = 1, 0, -1, -10
UPPER_LEFT, LOWER_RIGHT = 2, 3
"""Kinds of prompt tokens: those of transformers' SamProcessor, and the two corners of a box."""

SIZES: Mapping[str, tuple[int, ...]] = {"prompt_tokens": (2, 3)}
"""Tokens of a prompt, one graph for each: a point and its empty token or a box are 2, a box and a point 3."""


@dataclass(frozen=True)
class Prompt:
    """What one mask is asked for with.

    Attributes:
        points_px: (x, y) in pixels of the image, with True for points on the object and False for points off it.
        box_xyxy_px: box around the object, or None.
    """

    points_px: tuple[tuple[float, float, bool], ...] = ()
    box_xyxy_px: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class SeenImage:
    """An encoded image.

    Attributes:
        states: (1, c, h, w) float32.
        image_wh: width and height of the image in pixels.
    """

    states: NDArray[np.float32]
    image_wh: tuple[int, int]


@dataclass(frozen=True)
class Masks:
    """Candidates for one prompt, best first.

    Attributes:
        logits: (m, h, w) float32 on the model's own grid, over its padded input; above 0 is object.
        scores: the model's own guess of each candidate's overlap with the object; m falling numbers.
    """

    logits: NDArray[np.float32]
    scores: tuple[float, ...]


class SamPipeline:
    """Asks a compiled segmenter for masks; safe from several threads where its parts are.

    Args:
        runners: parts `image_encoder` and `mask_decoder` (or one per bucket of prompt tokens).
        settings: what recipe `sam` wrote.

    Raises:
        PartError: a part or a setting is missing.
    """

    def __init__(self, runners: Runners, settings: Settings) -> None:
        try:
            self._pixels = PixelSettings.from_json(settings["pixels"])
            self._buckets = sorted(int(size) for size in settings["prompt_tokens"])
            self._encoder = runners["image_encoder"]
            self._decoders = {size: runners[mask_decoder_name(size, self._buckets)] for size in self._buckets}
        except KeyError as error:
            raise PartError(f"a pipeline of masks needs {error}", hint="compile it with --recipe sam") from error

    @property
    def prompt_tokens(self) -> tuple[int, ...]:
        """Lengths of prompts there are mask decoders for."""
        return tuple(self._buckets)

    def pixels(self, image: Image) -> NDArray[np.float32]:
        """Prepare an image.

        Args:
            image: (h, w, 3) uint8 RGB.

        Returns:
            (1, 3, h, w) float32; the picture in the upper left corner.
        """
        return prepare(image, self._pixels)

    def look(self, image: Image) -> SeenImage:
        """Encode an image; the expensive part.

        Args:
            image: (h, w, 3) uint8 RGB, of any size.

        Returns:
            the encoded image, for any number of prompts.

        Raises:
            ShapeError: image is not (h, w, 3) uint8.
            TargetError: the target failed.
        """
        return SeenImage(states=run_rows(self._encoder, (self.pixels(image),))[0], image_wh=size_wh(image))

    def segment(self, image: SeenImage, prompts: Sequence[Prompt]) -> tuple[Masks, ...]:
        """Find masks, all prompts in one batch.

        Args:
            image: from `look`.
            prompts: one or more.

        Returns:
            candidates for each prompt.

        Raises:
            PartError: no prompt, an empty one, or one of more tokens than the parts were compiled for.
            TargetError: the target failed.
        """
        if not prompts:
            raise PartError("there is no prompt", hint="give at least one point or box")
        rows = [self.tokens(prompt, image.image_wh) for prompt in prompts]
        size = self._bucket(max(len(kinds) for _, kinds in rows))
        points = np.zeros((len(rows), size, 2), dtype=np.float32)
        kinds = np.full((len(rows), size), FILLING, dtype=np.int64)
        for index, (places, named) in enumerate(rows):
            points[index, : len(named)] = places
            kinds[index, : len(named)] = named
        logits, scores = run_rows(self._decoders[size], (points, kinds), whole=(image.states,))
        return tuple(_best_first(masks, guesses) for masks, guesses in zip(logits, scores, strict=True))

    def tokens(self, prompt: Prompt, image_wh: tuple[int, int]) -> tuple[NDArray[np.float32], list[int]]:
        """A prompt as the model reads it.

        Args:
            prompt: points and a box in pixels of the image.
            image_wh: width and height of the image.

        Returns:
            places: (n, 2) in pixels of the model's input.
            kinds: of each place.

        Raises:
            PartError: the prompt is empty.
        """
        places = [(x, y) for x, y, _ in prompt.points_px]
        kinds = [FOREGROUND if wanted else BACKGROUND for _, _, wanted in prompt.points_px]
        if prompt.box_xyxy_px is not None:
            left, top, right, bottom = prompt.box_xyxy_px
            places += [(left, top), (right, bottom)]
            kinds += [UPPER_LEFT, LOWER_RIGHT]
        if not places:
            raise PartError("a prompt needs a point or a box", hint="Prompt(points_px=((x, y, True),))")
        content = self._pixels.content_wh(image_wh)
        scale = np.array([content[0] / image_wh[0], content[1] / image_wh[1]])
        scaled = np.array(places, dtype=np.float64) * scale
        if prompt.box_xyxy_px is None:
            # The model was trained with one empty token after points that come without a box.
            scaled = np.concatenate([scaled, np.zeros((1, 2))])
            kinds.append(NO_POINT)
        return scaled.astype(np.float32), kinds

    def full_size(self, masks: Masks, image: SeenImage) -> NDArray[np.bool_]:
        """Candidates in pixels of the image.

        Args:
            masks: from `segment`.
            image: the image they are of.

        Returns:
            (m, h, w) bool.
        """
        content = self._pixels.content_wh(image.image_wh)
        found = []
        for logits in masks.logits:
            wide = cv2.resize(logits, self._pixels.size_wh, interpolation=cv2.INTER_LINEAR)
            inside = np.ascontiguousarray(wide[: content[1], : content[0]])
            found.append(cv2.resize(inside, image.image_wh, interpolation=cv2.INTER_LINEAR) > 0.0)
        return np.stack(found)

    def _bucket(self, tokens: int) -> int:
        for size in self._buckets:
            if size >= tokens:
                return size
        raise PartError(
            f"a prompt of {tokens} tokens; the parts were compiled for {self._buckets[-1]}",
            hint=f"compile with --recipe-size prompt_tokens={tokens}: points, and two for a box or one without a box",
        )


def mask_decoder_name(size: int, sizes: Sequence[int]) -> str:
    """Name of the mask decoder for prompts of one length.

    Args:
        size: tokens it takes.
        sizes: all lengths there are decoders for.

    Returns:
        name of the part.
    """
    return "mask_decoder" if len(sizes) == 1 else f"mask_decoder_{size}"


def _best_first(logits: NDArray[Any], scores: NDArray[Any]) -> Masks:
    order = np.argsort(-scores, kind="stable")
    return Masks(logits=logits[order], scores=tuple(float(score) for score in scores[order]))
