"""Recipe `sam`: transformers' SamModel in parts.

    image -> image_encoder -> mask_decoder (with points and boxes) -> candidates and their scores

The prompt encoder is a few additions and goes into the graph of the mask decoder. Masks as prompts are left out.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers.models.sam.modeling_sam import SamVisionEncoderOutput

from fleetsight.accel.parts.part import Agreement, Examples, Part, PartError, Recipe, Runners, Settings, run_rows
from fleetsight.accel.parts.pixels import PixelSettings
from fleetsight.accel.parts.segment import (
    FILLING,
    LOWER_RIGHT,
    NO_POINT,
    UPPER_LEFT,
    Prompt,
    SamPipeline,
    SeenImage,
    mask_decoder_name,
)
from fleetsight.accel.parts.weights import pixel_config
from fleetsight.vision.image import size_wh

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Where the folder does not say (transformers, IMAGENET_DEFAULT_MEAN and _STD)."""

BICUBIC = 3
"""Number of Pillow's cubic filter."""

OVERLAP_MIN = 0.95
"""Least overlap (intersection over union) of a mask with the original's."""

SCORE_SHIFT_MAX = 0.05
"""Most by which the model's own guess of the overlap may move."""

Sizes = Mapping[str, tuple[int, ...]]


class ImageEncoder(nn.Module):
    """Pixels to image states.

    Args:
        model: transformers' SamModel.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.inner = model.vision_encoder

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode pictures.

        Args:
            pixels: (b, 3, h, w) float32, normalised.

        Returns:
            (b, c, h / 16, w / 16).
        """
        states: Tensor = self.inner(pixels).last_hidden_state
        return states


class MaskDecoder(nn.Module):
    """Prompts on one image to candidates.

    Args:
        model: transformers' SamModel.
    """

    places: Tensor

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.prompts = model.prompt_encoder
        self.inner = model.mask_decoder
        self.register_buffer("places", model.get_image_wide_positional_embeddings().detach(), persistent=False)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Find masks.

        Args:
            *inputs: in this order
                points: (b, n, 2) float32, x and y in pixels of the model's input.
                kinds: (b, n) int64, as in `segment`.
                image_states: (1, c, h, w) float32.

        Returns:
            logits: (b, 3, 4h, 4w).
            scores: (b, 3).
        """
        points, kinds, image_states = inputs
        count = points.shape[0]
        # Prompts become the batch: the original's own axis for them is a repeat that static compilers dislike.
        masks, scores = self.inner(
            image_embeddings=image_states.expand(count, -1, -1, -1),
            image_positional_embeddings=self.places.expand(count, -1, -1, -1),
            sparse_prompt_embeddings=self._tokens(points, kinds)[:, None],
            dense_prompt_embeddings=self.prompts.no_mask_embed.weight.reshape(1, -1, 1, 1),
            multimask_output=True,
        )
        return masks[:, 0], scores[:, 0]

    def _tokens(self, points: Tensor, kinds: Tensor) -> Tensor:
        """The original's own embeddings, without its writes into slices, which static compilers refuse."""
        kind = kinds[..., None]
        table = [embedding.weight for embedding in self.prompts.point_embed]
        tokens: Tensor = self.prompts.shared_embedding((points + 0.5) / float(self.prompts.input_image_size))
        tokens = torch.where(kind == NO_POINT, self.prompts.not_a_point_embed.weight, tokens)
        tokens = torch.where(kind == FILLING, torch.zeros_like(tokens), tokens)
        for number, weight in enumerate(table[: LOWER_RIGHT + 1]):
            tokens = torch.where(kind == number, tokens + weight, tokens)
        return tokens


def parts(model: nn.Module, sizes: Sizes) -> tuple[Part, ...]:
    """Cut the model.

    Args:
        model: SamModel.
        sizes: as in `segment.SIZES`.

    Returns:
        its parts, in the order of use.
    """
    del model
    lengths = sizes["prompt_tokens"]
    return (
        Part("image_encoder", ImageEncoder, ("pixels",), outputs=("image_states",)),
        *(
            Part(
                mask_decoder_name(n, lengths), MaskDecoder, ("points", "kinds"), ("image_states",), ("logits", "scores")
            )
            for n in lengths
        ),
    )


def settings(folder: Path, model: nn.Module, *, sizes: Sizes) -> dict[str, Any]:
    """What the pipeline must know.

    Args:
        folder: of the weights.
        model: SamModel.
        sizes: as in `segment.SIZES`.

    Returns:
        plain values.
    """
    config: Any = model.config
    side = int(config.vision_config.image_size)
    said = pixel_config(folder)
    return {
        "pixels": PixelSettings(
            size_wh=(side, side),
            keep_aspect=True,
            cubic=int(said.get("resample", 2)) == BICUBIC,
            mean=tuple(said.get("image_mean", IMAGENET_MEAN)),
            std=tuple(said.get("image_std", IMAGENET_STD)),
        ).to_json(),
        "prompt_tokens": list(sizes["prompt_tokens"]),
    }


def prompts_for(image_wh: tuple[int, int]) -> tuple[Prompt, ...]:
    """Prompts that a user might give: points on a grid, and boxes, one of them with a point.

    Args:
        image_wh: width and height of the image in pixels.

    Returns:
        five prompts.
    """
    width, height = image_wh
    points = [
        ((0.25 * width, 0.3 * height, True),),
        ((0.5 * width, 0.5 * height, True),),
        ((0.8 * width, 0.7 * height, True),),
    ]
    box = (0.2 * width, 0.25 * height, 0.7 * width, 0.8 * height)
    return (*(Prompt(points_px=point) for point in points), Prompt(box_xyxy_px=box), Prompt(points[1], box))


def ask(pipeline: SamPipeline, examples: Examples) -> None:
    """Use every part as it is used in service.

    Args:
        pipeline: to ask.
        examples: images.
    """
    for image in examples.images:
        seen = pipeline.look(image)
        width, height = seen.image_wh
        lines = [
            Prompt(tuple((width * (i + 1) / size, height * 0.5, i % 2 == 0) for i in range(size - 1)))
            for size in pipeline.prompt_tokens
        ]
        for prompt in (*prompts_for(seen.image_wh), *lines):
            pipeline.segment(seen, [prompt])


def compare(pipeline: SamPipeline, model: nn.Module, *, examples: Examples) -> Agreement:
    """Ask both the same.

    Args:
        pipeline: on compiled parts.
        model: the untouched original; it is given the pipeline's pixels.
        examples: images.

    Returns:
        a mask is the same when it overlaps the original's by `OVERLAP_MIN`; the shift is that of scores.
    """
    same, shift, distinct = [], 0.0, set[bytes]()
    for image in examples.images:
        seen = pipeline.look(image)
        for prompt in prompts_for(size_wh(image)):
            mine = pipeline.segment(seen, [prompt])[0]
            logits, scores = original_masks(model, pipeline, image=seen, pixels=pipeline.pixels(image), prompt=prompt)
            order = np.argsort(-scores, kind="stable")
            distinct.add((logits[order[0]] > 0.0).tobytes())
            same.append(overlap(mine.logits[0] > 0.0, logits[order[0]] > 0.0) >= OVERLAP_MIN)
            shift = max(shift, float(np.abs(np.sort(scores)[::-1] - np.array(mine.scores)).max()))
    reasons = []
    if not all(same):
        reasons.append(f"{sum(same)} of {len(same)} masks overlap the original's by {OVERLAP_MIN:.0%}")
    if not shift <= SCORE_SHIFT_MAX:
        reasons.append(f"a score moved by {shift:.3f}, {SCORE_SHIFT_MAX} is allowed")
    return Agreement(
        passed=not reasons,
        asked=len(same),
        same=sum(same),
        distinct=len(distinct),
        score_shift=shift,
        reasons=tuple(reasons),
    )


def overlap(one: "np.ndarray[Any, np.dtype[np.bool_]]", other: "np.ndarray[Any, np.dtype[np.bool_]]") -> float:
    """Intersection over union.

    Args:
        one: a mask.
        other: a mask of the same shape.

    Returns:
        0 to 1; 1 for two empty masks.
    """
    union = int(np.logical_or(one, other).sum())
    return float(np.logical_and(one, other).sum()) / union if union else 1.0


def original_masks(
    model: Any, pipeline: SamPipeline, *, image: SeenImage, pixels: "np.ndarray[Any, Any]", prompt: Prompt
) -> tuple["np.ndarray[Any, np.dtype[np.float32]]", "np.ndarray[Any, np.dtype[np.float32]]"]:
    """What the original says.

    Args:
        model: SamModel, untouched.
        pipeline: only to scale the prompt.
        image: gives the size of the picture.
        pixels: (1, 3, h, w) float32.
        prompt: one prompt.

    Returns:
        logits: (3, h, w) on the model's grid.
        scores: (3,).
    """
    places, kinds = pipeline.tokens(prompt, image.image_wh)
    count = len(prompt.points_px)
    given: dict[str, Tensor] = {}
    if count:
        given["input_points"] = torch.from_numpy(places[:count])[None, None]
        given["input_labels"] = torch.tensor(kinds[:count])[None, None]
    if UPPER_LEFT in kinds:
        given["input_boxes"] = torch.from_numpy(places[count:].reshape(1, 1, 4))
    with torch.inference_mode():
        answer = model(pixel_values=torch.from_numpy(pixels), multimask_output=True, **given)
    return answer.pred_masks[0, 0].numpy(), answer.iou_scores[0, 0].numpy()


def stand_ins(model: nn.Module, runners: Runners, *, settings: Settings) -> dict[str, nn.Module]:
    """Modules that run the compiled parts in place of the original's.

    Args:
        model: SamModel.
        runners: compiled parts.
        settings: the pipeline's settings.

    Returns:
        for each attribute of the model what takes its place. The prompt encoder hands prompts through to the mask
        decoder, which holds both.
    """
    del model
    lengths = [int(size) for size in settings["prompt_tokens"]]
    decoders = {size: runners[mask_decoder_name(size, lengths)] for size in lengths}
    return {
        "vision_encoder": _EncoderStandIn(runners["image_encoder"]),
        "prompt_encoder": _PromptStandIn(),
        "mask_decoder": _DecoderStandIn(decoders),
    }


class _EncoderStandIn(nn.Module):
    def __init__(self, runner: Any) -> None:
        super().__init__()
        self._runner = runner

    def forward(self, pixel_values: Tensor, **_: Any) -> SamVisionEncoderOutput:
        states = run_rows(self._runner, (pixel_values.float().numpy(),))[0]
        return SamVisionEncoderOutput(last_hidden_state=torch.from_numpy(states))


class _PromptStandIn(nn.Module):
    """Puts points, labels and boxes side by side, as (b, p, n, 3): x, y and kind."""

    def forward(
        self,
        input_points: Tensor | None,
        input_labels: Tensor | None,
        input_boxes: Tensor | None,
        input_masks: Tensor | None,
    ) -> tuple[Tensor, None]:
        if input_masks is not None:
            raise PartError("compiled parts take points and boxes, no masks", hint="put the original back")
        rows: list[Tensor] = []
        if input_points is not None and input_labels is not None:
            rows.append(torch.cat([input_points.float(), input_labels[..., None].float()], dim=-1))
            if input_boxes is None:
                none = torch.tensor([0.0, 0.0, float(NO_POINT)]).expand(*input_points.shape[:2], 1, 3)
                rows.append(none)
        if input_boxes is not None:
            corners = input_boxes.float().reshape(*input_boxes.shape[:2], 2, 2)
            kinds = torch.tensor([float(UPPER_LEFT), float(LOWER_RIGHT)]).reshape(1, 1, 2, 1)
            rows.append(torch.cat([corners, kinds.expand(*corners.shape[:3], 1)], dim=-1))
        if not rows:
            raise PartError("compiled parts need a point or a box", hint="give input_points or input_boxes")
        return torch.cat(rows, dim=2), None


class _DecoderStandIn(nn.Module):
    def __init__(self, decoders: Mapping[int, Any]) -> None:
        super().__init__()
        self._decoders = decoders

    def forward(
        self, *, image_embeddings: Tensor, sparse_prompt_embeddings: Tensor, multimask_output: bool, **_: Any
    ) -> tuple[Tensor, Tensor]:
        count = sparse_prompt_embeddings.shape[2]
        size = min((size for size in self._decoders if size >= count), default=None)
        if size is None or not multimask_output:
            raise PartError(
                f"prompts of {count} tokens; compiled for {max(self._decoders)}, with three candidates each",
                hint=f"compile with --recipe-size prompt_tokens={count}, and leave multimask_output on",
            )
        masks, scores = [], []
        for prompts, states in zip(sparse_prompt_embeddings, image_embeddings, strict=True):
            filled = torch.full((len(prompts), size, 3), float(FILLING))
            filled[:, :count] = prompts
            rows = (filled[..., :2].contiguous().numpy(), filled[..., 2].long().numpy())
            found = run_rows(self._decoders[size], rows, whole=(states[None].float().numpy(),))
            masks.append(torch.from_numpy(found[0]))
            scores.append(torch.from_numpy(found[1]))
        return torch.stack(masks), torch.stack(scores)


RECIPE = Recipe(
    name="sam",
    architecture="SamModel",
    parts=parts,
    settings=settings,
    pipeline=SamPipeline,
    ask=ask,
    compare=compare,
    stand_ins=stand_ins,
)
