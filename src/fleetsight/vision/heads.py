"""From the raw numbers of a detector head to boxes, in float32 on the host.

A dense head answers for every cell of a grid per stride: 52 x 52 cells of 8 px, 26 x 26 of 16 px, 13 x 13 of 32 px for
a 416 px input, in that order, row by row. Decoding stays outside the graph because reduced precision on chips costs
pixels there. Cells below the score are dropped before anything is computed for them: of 3,549 cells a few dozen reach
the arithmetic.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fleetsight.vision.detections import Detections
from fleetsight.vision.image import ShapeError

Decoder: TypeAlias = Literal["yolox", "fleetsight_dense"]
Floats: TypeAlias = NDArray[np.float32]

STRIDES = (8, 16, 32)
"""Pixels per cell of the three grids of both heads (YOLOX, arXiv 2107.08430)."""

DISTANCE_LOG_MAX = 8.0
"""Raw distances of `fleetsight_dense` are clipped here: exp(8) = 2,981 strides, beyond any picture, still finite."""

SIZE_LOG_MAX = 16.0
"""Raw sizes of `yolox` are clipped here: exp(16) strides, no effect on any real box, still finite."""

_LOGIT_MARGIN = 1e-3
"""The raw threshold is this much looser than the exact one, which is then applied to the decoded score."""

COLUMNS_BEFORE_CLASSES = {"yolox": 5, "fleetsight_dense": 4}
"""Numbers per cell before the class scores: the box, and for yolox the objectness."""


@dataclass(frozen=True)
class Cells:
    """Every cell of a dense head, in the order of the head's output.

    Attributes:
        column: (n,) float32 index of the cell from the left.
        row: (n,) float32 index of the cell from the top.
        stride_px: (n,) float32 side of the cell in pixels of the model's input.
    """

    column: Floats
    row: Floats
    stride_px: Floats

    def __len__(self) -> int:
        return len(self.column)


@lru_cache(maxsize=16)
def cells(input_wh: tuple[int, int], strides: tuple[int, ...] = STRIDES) -> Cells:
    """Cells of a dense head for one input size.

    Args:
        input_wh: width and height of the model's input in pixels, multiples of the largest stride.
        strides: pixels per cell of each grid, in output order.

    Returns:
        n cells, where n is the sum over strides of (w / stride) * (h / stride).

    Raises:
        ShapeError: the input is not a multiple of a stride.
    """
    columns, rows, sides = [], [], []
    for stride in strides:
        if stride < 1 or input_wh[0] % stride or input_wh[1] % stride:
            raise ShapeError(f"input {input_wh[0]} x {input_wh[1]} is not a multiple of stride {stride}")
        row, column = np.mgrid[0 : input_wh[1] // stride, 0 : input_wh[0] // stride]
        columns.append(column.ravel())
        rows.append(row.ravel())
        sides.append(np.full(row.size, stride))
    return Cells(
        column=np.concatenate(columns).astype(np.float32),
        row=np.concatenate(rows).astype(np.float32),
        stride_px=np.concatenate(sides).astype(np.float32),
    )


def decode(
    raw: NDArray[Any],
    decoder: Decoder,
    *,
    input_wh: tuple[int, int],
    score_min: float,
    strides: tuple[int, ...] = STRIDES,
) -> Detections:
    """Turn the raw output of a dense head into boxes, before suppression.

    Args:
        raw: (n, c) float32 for n cells: `yolox` has tx, ty, tw, th, objectness and class scores, the scores already
            between 0 and 1; `fleetsight_dense` has logs of the distances left, top, right, bottom and class logits.
        decoder: name of the head.
        input_wh: width and height of the model's input in pixels.
        score_min: drop cells below this score, 0-1.
        strides: pixels per cell of each grid, in output order.

    Returns:
        one detection for each cell that reaches the score, boxes in pixels of the model's input; cells whose numbers
        are not finite are dropped.

    Raises:
        ShapeError: the output does not fit the decoder, the input size or the strides.
    """
    grid = cells(input_wh, tuple(strides))
    before = COLUMNS_BEFORE_CLASSES[decoder]
    if raw.ndim != 2 or raw.shape[0] != len(grid) or raw.shape[1] <= before:
        raise ShapeError(
            f"a {decoder} head for {input_wh[0]} x {input_wh[1]} px has ({len(grid)}, {before} + classes), got {raw.shape}"
        )
    pick = _score_yolox if decoder == "yolox" else _score_dense
    place = _place_yolox if decoder == "yolox" else _place_dense
    chosen, scores, labels = pick(raw, score_min)
    if not len(chosen):
        return Detections.empty()
    boxes = place(raw[chosen, :4].astype(np.float32), grid, chosen)
    sound = np.isfinite(boxes).all(axis=1)
    return Detections(boxes_xyxy_px=boxes[sound], scores=scores[sound], labels=labels[sound])


def decode_queries(
    logits: NDArray[Any], boxes_cxcywh: NDArray[Any], *, input_wh: tuple[int, int], score_min: float
) -> Detections:
    """Turn the answers of a detection transformer (DETR, RT-DETR, D-FINE) into boxes; they need no suppression.

    Args:
        logits: (q, k) float32 class logits of q queries, one sigmoid each.
        boxes_cxcywh: (q, 4) float32 centre, width and height as shares of the input.
        input_wh: width and height of the model's input in pixels.
        score_min: drop queries below this score, 0-1.

    Returns:
        one detection for each query that reaches the score, boxes in pixels of the model's input; queries whose numbers are
        not finite are dropped.

    Raises:
        ShapeError: the two do not belong together.
    """
    if logits.ndim != 2 or boxes_cxcywh.shape != (len(logits), 4):
        raise ShapeError(f"queries answer (q, k) logits and (q, 4) boxes, got {logits.shape} and {boxes_cxcywh.shape}")
    labels = logits.argmax(axis=1).astype(np.int32)
    scores = sigmoid(logits[np.arange(len(logits)), labels])
    boxes = np.asarray(boxes_cxcywh, dtype=np.float32)
    half = 0.5 * boxes[:, 2:]
    corners = np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1) * np.array(
        [*input_wh, *input_wh], np.float32
    )
    chosen = (scores >= np.float32(score_min)) & np.isfinite(corners).all(axis=1)
    return Detections(boxes_xyxy_px=corners[chosen], scores=scores[chosen], labels=labels[chosen])


def sigmoid(logits: NDArray[Any]) -> Floats:
    """Logistic function in float32 without overflow.

    Args:
        logits: any shape.

    Returns:
        float32 in 0-1 of the same shape.
    """
    values = np.asarray(logits, dtype=np.float32)
    return np.asarray(0.5 * (np.tanh(0.5 * values) + 1.0), dtype=np.float32)


def _score_yolox(raw: NDArray[Any], score_min: float) -> tuple[NDArray[np.intp], Floats, NDArray[np.int32]]:
    # A class score is at most 1, so objectness alone bounds the product.
    candidates = np.flatnonzero(raw[:, 4] >= score_min)
    classes = raw[candidates, 5:]
    labels = classes.argmax(axis=1).astype(np.int32) if len(candidates) else np.zeros(0, dtype=np.int32)
    best = classes[np.arange(len(candidates)), labels]
    scores = (raw[candidates, 4] * best).astype(np.float32)
    enough = scores >= np.float32(score_min)
    return candidates[enough], scores[enough], labels[enough]


def _score_dense(raw: NDArray[Any], score_min: float) -> tuple[NDArray[np.intp], Floats, NDArray[np.int32]]:
    classes = raw[:, 4:]
    bounded = min(max(score_min, 1e-6), 1.0 - 1e-6)
    logit_min = np.log(bounded / (1.0 - bounded)) - _LOGIT_MARGIN if score_min > 0.0 else -np.inf
    candidates = np.flatnonzero((classes >= logit_min).any(axis=1))
    labels = classes[candidates].argmax(axis=1).astype(np.int32) if len(candidates) else np.zeros(0, dtype=np.int32)
    scores = sigmoid(classes[candidates, labels])
    enough = scores >= np.float32(score_min)
    return candidates[enough], scores[enough], labels[enough]


def _place_yolox(raw: Floats, grid: Cells, chosen: NDArray[np.intp]) -> Floats:
    stride = grid.stride_px[chosen]
    x, y = (raw[:, 0] + grid.column[chosen]) * stride, (raw[:, 1] + grid.row[chosen]) * stride
    half = np.exp(np.minimum(raw[:, 2:4], SIZE_LOG_MAX)) * (0.5 * stride)[:, None]
    return np.stack([x - half[:, 0], y - half[:, 1], x + half[:, 0], y + half[:, 1]], axis=1)


def _place_dense(raw: Floats, grid: Cells, chosen: NDArray[np.intp]) -> Floats:
    stride = grid.stride_px[chosen]
    x, y = (grid.column[chosen] + 0.5) * stride, (grid.row[chosen] + 0.5) * stride
    reach = np.exp(np.minimum(raw, DISTANCE_LOG_MAX)) * stride[:, None]
    return np.stack([x - reach[:, 0], y - reach[:, 1], x + reach[:, 2], y + reach[:, 3]], axis=1)
