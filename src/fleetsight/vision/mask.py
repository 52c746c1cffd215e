"""Masks: which pixels belong to a thing, and their short form, run lengths.

Run lengths follow the COCO convention (cocodataset.org, "uncompressed RLE"): column by column, the first run counts
zeros, so that other tools read them.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fleetsight.vision.image import ShapeError

Mask: TypeAlias = NDArray[np.bool_]
"""(h, w) bool."""


@dataclass(frozen=True)
class RunLengths:
    """A mask as run lengths.

    Attributes:
        size_hw: height and width of the mask in pixels.
        counts: lengths of the runs, column by column, zeros first; they add up to h * w.
    """

    size_hw: tuple[int, int]
    counts: tuple[int, ...]


def check_mask(mask: Mask) -> Mask:
    """Return the mask when it is one.

    Args:
        mask: array to check.

    Returns:
        the same array, (h, w) bool.

    Raises:
        ShapeError: it is not (h, w) bool.
    """
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ShapeError(f"a mask must be (h, w) bool, got {mask.shape} {mask.dtype}", hint="compare with > 0 first")
    return mask


def area(mask: Mask) -> int:
    """Number of pixels in a mask.

    Args:
        mask: (h, w) bool.

    Returns:
        count of true pixels.
    """
    return int(np.count_nonzero(check_mask(mask)))


def box_of_mask(mask: Mask) -> NDArray[np.float32]:
    """Smallest box round a mask.

    Args:
        mask: (h, w) bool.

    Returns:
        (4,) float32 x1, y1, x2, y2 in pixels; all zeros for an empty mask.
    """
    rows = np.flatnonzero(check_mask(mask).any(axis=1))
    if not len(rows):
        return np.zeros(4, dtype=np.float32)
    columns = np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float32)


def mask_of_box(box_xyxy_px: NDArray[np.float32], size_hw: tuple[int, int]) -> Mask:
    """Pixels whose centre lies in a box.

    Args:
        box_xyxy_px: (4,) x1, y1, x2, y2 in pixels.
        size_hw: height and width of the mask.

    Returns:
        (h, w) bool.
    """
    x1, y1, x2, y2 = (float(value) for value in box_xyxy_px)
    height, width = size_hw
    rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
    inside_rows, inside_columns = (rows >= y1) & (rows < y2), (columns >= x1) & (columns < x2)
    return np.asarray(inside_rows[:, None] & inside_columns[None, :], dtype=np.bool_)


def iou(first: Mask, second: Mask) -> float:
    """Intersection over union of two masks.

    Args:
        first: (h, w) bool.
        second: (h, w) bool.

    Returns:
        0-1; 0 when both are empty.

    Raises:
        ShapeError: the masks differ in size.
    """
    if check_mask(first).shape != check_mask(second).shape:
        raise ShapeError(f"masks differ in size: {first.shape} and {second.shape}")
    joined = int(np.count_nonzero(first | second))
    return int(np.count_nonzero(first & second)) / joined if joined else 0.0


def encode_runs(mask: Mask) -> RunLengths:
    """Short form of a mask.

    Args:
        mask: (h, w) bool.

    Returns:
        run lengths, column by column.
    """
    flat = check_mask(mask).ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate([[0], edges, [flat.size]]))
    runs = [int(count) for count in counts]
    if flat.size and flat[0]:
        runs.insert(0, 0)
    return RunLengths(size_hw=(int(mask.shape[0]), int(mask.shape[1])), counts=tuple(runs))


def decode_runs(runs: RunLengths) -> Mask:
    """Mask of run lengths.

    Args:
        runs: run lengths, column by column.

    Returns:
        (h, w) bool.

    Raises:
        ShapeError: a run is negative or the runs do not add up to h * w.
    """
    height, width = runs.size_hw
    if min(runs.counts, default=0) < 0 or sum(runs.counts) != height * width:
        raise ShapeError(f"run lengths add up to {sum(runs.counts)}, a {height} x {width} mask needs {height * width}")
    values = np.arange(len(runs.counts)) % 2 == 1
    return np.asarray(np.repeat(values, runs.counts).reshape((height, width), order="F"), dtype=np.bool_)
