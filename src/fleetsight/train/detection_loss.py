"""Losses of the detector: where the boxes are, what they hold, and nothing about regions without verdict."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from fleetsight.train.assignment import Truth, assign, cells_inside, pair_iou
from fleetsight.train.dense_detector import decode_boxes

TINY = 1e-7


@dataclass(frozen=True)
class LossWeights:
    """How the parts add up.

    Args:
        overlap: of 1 - GIoU.
        edge: of the absolute edge error, measured in eighths of the smaller side (small products count as much as
            large ones; the events downstream are decided by shifts of one pixel).
        score: of the cross-entropy on scores.
        classes: of the positives of each class; empty means equal. A frame holds dozens of products and rarely a hand.
    """

    overlap: float = 5.0
    edge: float = 1.5
    score: float = 1.0
    classes: tuple[float, ...] = ()


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised intersection over union (arXiv 1902.09630).

    Args:
        a: (n, 4) pixels.
        b: (n, 4) pixels.

    Returns:
        (n,) in -1..1.
    """
    size = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0)
    common = size.prod(dim=-1)
    union = (a[:, 2:] - a[:, :2]).prod(dim=-1) + (b[:, 2:] - b[:, :2]).prod(dim=-1) - common + TINY
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(dim=-1) + TINY
    return common / union - (hull - union) / hull


def detection_loss(
    raw: Tensor, grid: tuple[Tensor, Tensor], *, truth: Truth, weights: LossWeights | None = None
) -> dict[str, Tensor]:
    """Compare raw output and truth.

    Args:
        raw: (b, n, 4 + classes) network output.
        grid: (n, 2) cell centres and (n,) strides in pixels.
        truth: true boxes and regions without verdict.
        weights: how the parts add up.

    Returns:
        total, overlap, edge and score, each of shape (); plus `iou`, the mean IoU of positives (for the log).
    """
    weights = weights or LossWeights()
    centres, strides = grid
    raw = raw.float()
    boxes, logits = decode_boxes(raw, centres, strides=strides), raw[..., 4:]
    found = assign(logits.detach().sigmoid(), boxes.detach(), centres=centres, truth=truth)
    of_class = logits.new_tensor(weights.classes or (1.0,) * logits.shape[-1])
    cell_weight = (found.scores * of_class).sum(dim=-1)
    total_weight = cell_weight.sum().clamp(min=1.0)
    entropy = functional.binary_cross_entropy_with_logits(logits, found.scores, reduction="none")
    entropy = entropy * torch.where(found.scores > 0, of_class, 1.0)
    if truth.ignore.shape[1]:
        # What a judged box covers is judged, whatever lies hidden behind it.
        blind = cells_inside(centres, truth.ignore).any(dim=1) & ~found.positive
        blind &= ~(cells_inside(centres, truth.boxes) & truth.valid[..., None]).any(dim=1)
        entropy = entropy * ~blind[..., None]
    score_loss = entropy.sum() / total_weight
    if not bool(found.positive.any()):
        zero = boxes.sum() * 0
        return {"total": score_loss + zero, "overlap": zero, "edge": zero, "score": score_loss, "iou": zero.detach()}
    predicted = boxes[found.positive]
    batch_index = found.positive.nonzero()[:, 0]
    true = truth.boxes[batch_index, found.owner[found.positive]]
    weight = cell_weight[found.positive]
    overlap_loss = ((1 - giou(predicted, true)) * weight).sum() / total_weight
    smaller_side = (true[:, 2:] - true[:, :2]).amin(dim=-1, keepdim=True).clamp(min=8.0)
    error = (predicted - true) / smaller_side * 8.0
    edge_loss = (
        functional.smooth_l1_loss(error, torch.zeros_like(error), beta=0.25, reduction="none").mean(dim=-1) * weight
    ).sum() / total_weight
    total = weights.overlap * overlap_loss + weights.edge * edge_loss + weights.score * score_loss
    mean_iou = pair_iou(predicted.detach(), true).mean()
    return {"total": total, "overlap": overlap_loss, "edge": edge_loss, "score": score_loss, "iou": mean_iou}
