"""Factories that tests name by import path."""

import torch
from torch import nn


class Toy(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, 4, 3, stride=2)

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.conv(picture).relu()
        return found, found.flatten(1).mean(1)


def pair() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    return Toy(), (torch.rand(1, 3, 16, 16),)


def other_weights() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    return Toy(seed=1), (torch.rand(1, 3, 16, 16),)


def without_examples() -> nn.Module:
    return Toy()


def batch_of_two() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    return Toy(), (torch.rand(2, 3, 16, 16),)


def broken() -> nn.Module:
    raise ValueError("weights are elsewhere")


class Asks(nn.Module):
    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch.linalg.eigvals(picture[0, 0]).real[None]
        return found


def not_in_onnx() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    return Asks(), (torch.rand(1, 3, 4, 4),)
