"""An anchor-free detector of the YOLOX / YOLO9 kind, small enough to train from nothing on two CPU cores.

Plain 3x3 convolutions and ReLU: they run fastest on CPUs (depthwise layers and SiLU cost more time than they save
multiplications there). The graph ends in raw numbers; exp, sigmoid and box arithmetic happen on the host in float32,
so the file survives reduced precision.

    image (b, 3, h, w) -> trunk (strides 4..32) -> top-down and bottom-up pyramid -> one head per stride
    -> (b, n, 4 + classes), n over strides 8, 16, 32 in row-major order
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDES: tuple[int, ...] = (8, 16, 32)
RAW_DISTANCE_MAX = 8.0  # exp(8) strides is far outside any picture; keeps float32 finite (same clip on the host)
PRIOR_SCORE = 0.01  # RetinaNet's prior (arXiv 1708.02002): few cells hold an object at the start


@dataclass(frozen=True)
class DetectorShape:
    """Channel widths of the detector.

    Args:
        classes: number of classes, >= 1.
        trunk: channels at strides 2, 4, 8, 16, 32.
        neck: channels of the pyramid.
        head: channels of the box branch; the class branch has half.
    """

    classes: int = 2
    trunk: tuple[int, int, int, int, int] = (16, 32, 64, 96, 128)
    neck: int = 48
    head: int = 48


class ConvUnit(nn.Sequential):
    """Convolution without bias, batch norm, ReLU (foldable into one operator)."""

    def __init__(self, inputs: int, outputs: int, *, side: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03),
            nn.ReLU(inplace=True),
        )


class ResidualUnit(nn.Module):
    """x + one plain unit: fewer memory passes than a two-layer bottleneck of the same cost (measured on two CPUs)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.unit = ConvUnit(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Add the refined features to (b, c, h, w)."""
        out: Tensor = x + self.unit(x)
        return out


class Head(nn.Module):
    """Two branches on one feature map: box distances and class logits."""

    def __init__(self, inputs: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.box_unit = ConvUnit(inputs, hidden)
        self.class_unit = ConvUnit(inputs, hidden // 2)
        self.box = nn.Conv2d(hidden, 4, 1)
        self.logits = nn.Conv2d(hidden // 2, classes, 1)
        bias = self.logits.bias
        assert bias is not None
        nn.init.constant_(bias, -torch.log(torch.tensor((1 - PRIOR_SCORE) / PRIOR_SCORE)).item())

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) to (b, 4 + classes, h, w)."""
        return torch.cat((self.box(self.box_unit(x)), self.logits(self.class_unit(x))), dim=1)


class DenseDetector(nn.Module):
    """The whole network.

    Args:
        shape: channel widths and number of classes.
    """

    def __init__(self, shape: DetectorShape | None = None) -> None:
        super().__init__()
        self.shape = shape = shape or DetectorShape()
        c2, c4, c8, c16, c32 = shape.trunk
        neck = shape.neck
        self.stem = nn.Sequential(ConvUnit(3, c2, stride=2), ConvUnit(c2, c4, stride=2))
        self.stage8 = nn.Sequential(ConvUnit(c4, c8, stride=2), ResidualUnit(c8), ResidualUnit(c8))
        self.stage16 = nn.Sequential(ConvUnit(c8, c16, stride=2), ResidualUnit(c16), ResidualUnit(c16))
        self.stage32 = nn.Sequential(ConvUnit(c16, c32, stride=2), ResidualUnit(c32), ResidualUnit(c32))
        self.lateral8 = ConvUnit(c8, neck, side=1)
        self.lateral16 = ConvUnit(c16, neck, side=1)
        self.lateral32 = ConvUnit(c32, neck, side=1)
        self.merge16 = ConvUnit(neck, neck)
        self.merge8 = ConvUnit(neck, neck)
        self.down16 = ConvUnit(neck, neck, stride=2)
        self.down32 = ConvUnit(neck, neck, stride=2)
        self.heads = nn.ModuleList(Head(neck, shape.head, shape.classes) for _ in STRIDES)

    def forward(self, image: Tensor) -> Tensor:
        """Detect in a batch.

        Args:
            image: (b, 3, h, w) float, RGB, normalised as the card says; h and w multiples of 32.

        Returns:
            (b, n, 4 + classes) raw: left, top, right, bottom distances as logs in units of stride, class logits.
        """
        x8 = self.stage8(self.stem(image))
        x16 = self.stage16(x8)
        p32 = self.lateral32(self.stage32(x16))
        p16 = self.merge16(self.lateral16(x16) + functional.interpolate(p32, scale_factor=2.0, mode="nearest"))
        p8 = self.merge8(self.lateral8(x8) + functional.interpolate(p16, scale_factor=2.0, mode="nearest"))
        p16 = p16 + self.down16(p8)
        p32 = p32 + self.down32(p16)
        maps = [head(level) for head, level in zip(self.heads, (p8, p16, p32), strict=True)]
        return torch.cat([level.flatten(2) for level in maps], dim=2).transpose(1, 2)


def cell_centres(size_wh: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Place the cells of the three maps in the picture.

    Args:
        size_wh: width and height of the network's input in pixels, multiples of 32.

    Returns:
        centres: (n, 2) float32 x, y in pixels of the input.
        strides: (n,) float32 pixels.
    """
    centres, strides = [], []
    for stride in STRIDES:
        columns, rows = size_wh[0] // stride, size_wh[1] // stride
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        centres.append((torch.stack((x, y), dim=-1).reshape(-1, 2).float() + 0.5) * stride)
        strides.append(torch.full((rows * columns,), float(stride)))
    return torch.cat(centres), torch.cat(strides)


def decode_boxes(raw: Tensor, centres: Tensor, *, strides: Tensor) -> Tensor:
    """Turn raw distances into boxes.

    Args:
        raw: (b, n, >= 4) network output.
        centres: (n, 2) pixels.
        strides: (n,) pixels.

    Returns:
        (b, n, 4) float32 x0, y0, x1, y1 in pixels of the input.
    """
    distances = raw[..., :4].float().clamp(max=RAW_DISTANCE_MAX).exp() * strides[:, None]
    return torch.cat((centres - distances[..., :2], centres + distances[..., 2:]), dim=-1)
