"""Which cells answer for which box: task-aligned assignment (TOOD, arXiv 2108.07755; constants of YOLO9's release).

For every true box the cells inside it are ranked by score^alpha * IoU^beta; the best few become positive, and each
positive's target score says how good it is beside the best one. Cells therefore learn to score high where they also
place the box well.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

TOP_CELLS = 10
SCORE_POWER = 0.5
OVERLAP_POWER = 6.0
TINY = 1e-9


@dataclass(frozen=True)
class Truth:
    """True boxes of a batch, padded to the longest list.

    Args:
        boxes: (b, m, 4) float32 x0, y0, x1, y1 in pixels of the network's input.
        labels: (b, m) int64.
        valid: (b, m) bool, False for padding.
        ignore: (b, k, 4) float32 regions without verdict; zero boxes pad.
    """

    boxes: Tensor
    labels: Tensor
    valid: Tensor
    ignore: Tensor

    def to(self, device: torch.device) -> "Truth":
        """Move to a device."""
        return Truth(self.boxes.to(device), self.labels.to(device), self.valid.to(device), self.ignore.to(device))


@dataclass(frozen=True)
class Assignment:
    """The answer for every cell.

    Args:
        positive: (b, n) bool.
        owner: (b, n) int64, index of the true box a positive cell answers for, 0 elsewhere.
        scores: (b, n, classes) float32 target scores, 0 for negatives.
        weight: (b, n) float32, the positive's target score, 0 elsewhere.
    """

    positive: Tensor
    owner: Tensor
    scores: Tensor
    weight: Tensor


def pair_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes that broadcast against each other.

    Args:
        a: (..., 4) pixels.
        b: (..., 4) pixels.

    Returns:
        (...) in 0..1.
    """
    size = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    common = size[..., 0] * size[..., 1]
    area_a = (a[..., 2] - a[..., 0]).clamp(min=0) * (a[..., 3] - a[..., 1]).clamp(min=0)
    area_b = (b[..., 2] - b[..., 0]).clamp(min=0) * (b[..., 3] - b[..., 1]).clamp(min=0)
    return common / (area_a + area_b - common + TINY)


def cells_inside(centres: Tensor, boxes: Tensor) -> Tensor:
    """Tell which cell centres lie strictly inside which boxes.

    Args:
        centres: (n, 2) pixels.
        boxes: (b, m, 4) pixels.

    Returns:
        (b, m, n) bool.
    """
    low = centres[None, None] - boxes[:, :, None, :2]
    high = boxes[:, :, None, 2:] - centres[None, None]
    return torch.minimum(low, high).amin(dim=-1) > TINY


@torch.no_grad()
def assign(scores: Tensor, boxes: Tensor, *, centres: Tensor, truth: Truth) -> Assignment:
    """Assign cells to true boxes.

    Args:
        scores: (b, n, classes) predicted, 0..1.
        boxes: (b, n, 4) predicted, pixels.
        centres: (n, 2) cell centres, pixels.
        truth: the true boxes.

    Returns:
        The assignment; a cell belongs to at most one box, a box to at most TOP_CELLS cells.
    """
    batch, cells, classes = scores.shape
    if truth.boxes.shape[1] == 0:
        empty = torch.zeros(batch, cells, device=scores.device)
        return Assignment(empty.bool(), empty.long(), torch.zeros_like(scores), empty)
    inside = cells_inside(centres, truth.boxes) & truth.valid[..., None]
    overlap = torch.where(inside, pair_iou(truth.boxes[:, :, None], boxes[:, None]), 0.0)  # (b, m, n)
    labels = truth.labels.clamp(min=0)
    fitting = scores.transpose(1, 2).gather(1, labels[..., None].expand(-1, -1, cells))
    quality = torch.where(inside, fitting.pow(SCORE_POWER) * overlap.pow(OVERLAP_POWER) + TINY, 0.0)
    best = quality.topk(min(TOP_CELLS, cells), dim=-1).indices
    chosen = torch.zeros_like(inside).scatter_(-1, best, True) & inside
    winner = torch.where(chosen, overlap, -1.0).argmax(dim=1)  # (b, n): contested cells go to the box they overlap most
    chosen &= torch.nn.functional.one_hot(winner, truth.boxes.shape[1]).transpose(1, 2).bool()
    kept = torch.where(chosen, quality, 0.0)
    top_quality = kept.amax(dim=-1, keepdim=True)
    top_overlap = torch.where(chosen, overlap, 0.0).amax(dim=-1, keepdim=True)
    weight = (kept / (top_quality + TINY * TINY) * top_overlap).amax(dim=1)  # (b, n)
    positive = chosen.any(dim=1)
    target = torch.nn.functional.one_hot(labels.gather(1, winner), classes) * weight[..., None]
    return Assignment(positive, torch.where(positive, winner, 0), target * positive[..., None], weight * positive)
