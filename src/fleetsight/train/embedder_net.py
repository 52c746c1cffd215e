"""A small network that turns a 64 x 64 product crop into a vector: near vectors mean the same SKU.

The last map keeps its 4 x 4 places (no global pooling): where a colour stands on a pack tells look-alikes apart.
Vectors are normalised on the host.

    crop (b, 3, 64, 64) / 255 -> four stages of plain 3x3 convolutions -> 4 x 4 places x 48 -> 128 numbers
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fleetsight.train.dense_detector import ConvUnit, ResidualUnit

INPUT_PX = 64


@dataclass(frozen=True)
class EmbedderShape:
    """Widths of the embedder.

    Args:
        stages: channels at strides 2, 4, 8, 16.
        squeeze: channels per place before the last layer.
        dimensions: length of the vector.
    """

    stages: tuple[int, int, int, int] = (32, 48, 96, 160)
    squeeze: int = 48
    dimensions: int = 128


class EmbedderNet(nn.Module):
    """The whole network.

    Args:
        shape: widths.
    """

    def __init__(self, shape: EmbedderShape | None = None) -> None:
        super().__init__()
        self.shape = shape = shape or EmbedderShape()
        s2, s4, s8, s16 = shape.stages
        self.trunk = nn.Sequential(
            ConvUnit(3, s2, stride=2),
            ResidualUnit(s2),
            ConvUnit(s2, s4, stride=2),
            ResidualUnit(s4),
            ConvUnit(s4, s8, stride=2),
            ResidualUnit(s8),
            ConvUnit(s8, s16, stride=2),
            ResidualUnit(s16),
            ConvUnit(s16, shape.squeeze, side=1),
        )
        places = (INPUT_PX // 16) ** 2
        self.last = nn.Linear(shape.squeeze * places, shape.dimensions, bias=False)
        self.centre = nn.BatchNorm1d(shape.dimensions)

    def forward(self, crop: Tensor) -> Tensor:
        """Embed a batch.

        Args:
            crop: (b, 3, 64, 64) float, RGB / 255.

        Returns:
            (b, dimensions), not normalised.
        """
        out: Tensor = self.centre(self.last(torch.flatten(self.trunk(crop), 1)))
        return out
