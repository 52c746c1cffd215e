"""Losses that pull pictures of one SKU together and push look-alikes apart."""

import torch
from torch import Tensor, nn
from torch.nn import functional

SCALE = 24.0  # sharpness of the softmax over cosines (CosFace, arXiv 1801.09414, uses 30-64 on cleaner pictures)
MARGIN = 0.15  # how much nearer the own class must be; crops hide up to 65 % of a product, larger margins stall
TEMPERATURE = 0.08  # of the contrast within a batch (SupCon, arXiv 2004.11362: 0.07-0.1)


class ClassDirections(nn.Module):
    """One direction per SKU; thrown away after training.

    Args:
        classes: number of SKUs.
        dimensions: length of the vectors.
    """

    def __init__(self, classes: int, dimensions: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, dimensions) * 0.1)

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """Normalised softmax with a margin.

        Args:
            vectors: (b, d) of length 1.
            labels: (b,) int64.

        Returns:
            Loss of shape ().
        """
        cosine = vectors @ functional.normalize(self.weight).T
        own = functional.one_hot(labels, cosine.shape[1]).to(cosine.dtype)
        return functional.cross_entropy(SCALE * (cosine - MARGIN * own), labels)


def batch_contrast(vectors: Tensor, labels: Tensor) -> Tensor:
    """Supervised contrast within a batch: each picture shall find its own SKU among all others.

    Args:
        vectors: (b, d) of length 1.
        labels: (b,) int64; pictures whose SKU occurs once are left out.

    Returns:
        Loss of shape ().
    """
    self_mask = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    logits = (vectors @ vectors.T / TEMPERATURE).masked_fill(self_mask, -1e4)
    log_share = logits - logits.logsumexp(dim=1, keepdim=True)
    same = (labels[:, None] == labels[None]) & ~self_mask
    counts = same.sum(dim=1)
    paired = counts > 0
    mean = (log_share * same).sum(dim=1)[paired] / counts[paired]
    return -mean.mean() if bool(paired.any()) else vectors.sum() * 0
