from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs the extra `train`")

import torch

from fleetsight.train.loop import LoopPlan, TrainError, TrainingLoop, rate_factor

PLAN = LoopPlan(steps=8, batch=4, warmup_steps=2, validate_every=2, threads=1, bf16=False)


class LineTask:
    """Learn y = x with a network that also has running statistics."""

    def __init__(self, *, broken_at: int = -1) -> None:
        self.broken_at = broken_at
        self.kept: list[int] = []

    def batch(self, step: int) -> torch.Tensor:
        return torch.randn(16, 3, 4, 4, generator=torch.Generator().manual_seed(step))

    def loss(self, net: Any, batch: torch.Tensor, *, device: torch.device) -> dict[str, torch.Tensor]:
        error = (net(batch.to(device)).mean(dim=(1, 2, 3)) - batch.to(device).mean(dim=(1, 2, 3))).square().mean()
        return {"total": error}

    def validate(self, net: Any, step: int) -> dict[str, float]:
        if step == self.broken_at:
            raise KeyboardInterrupt
        with torch.no_grad():
            return {"score": -float(self.loss(net, self.batch(99), device=torch.device("cpu"))["total"])}

    def keep(self, metrics: dict[str, float], step: int) -> None:
        self.kept.append(step)


def _net() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3, padding=1, bias=False), torch.nn.BatchNorm2d(6), torch.nn.Conv2d(6, 1, 1)
    )


def test_a_killed_and_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = TrainingLoop(_net(), LineTask(), PLAN, folder=tmp_path / "whole")
    whole_result = whole.run()
    with pytest.raises(KeyboardInterrupt):
        TrainingLoop(_net(), LineTask(broken_at=6), PLAN, folder=tmp_path / "killed").run()
    resumed = TrainingLoop(_net(), LineTask(), PLAN, folder=tmp_path / "killed")
    assert resumed.step == 4
    result = resumed.run()
    assert result.best == whole_result.best
    for one, two in zip(whole.net.state_dict().values(), resumed.net.state_dict().values(), strict=True):
        assert torch.equal(one, two)
    for one, two in zip(
        whole.load_best().state_dict().values(), resumed.load_best().state_dict().values(), strict=True
    ):
        assert torch.equal(one, two)


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    TrainingLoop(_net(), LineTask(), PLAN, folder=tmp_path).run()
    again = LineTask()
    result = TrainingLoop(_net(), again, PLAN, folder=tmp_path).run()
    assert again.kept == []
    assert result.best_step in {2, 4, 6, 8}


def test_a_run_with_other_numbers_is_refused(tmp_path: Path) -> None:
    TrainingLoop(_net(), LineTask(), PLAN, folder=tmp_path).run(stop_at=2)
    with pytest.raises(TrainError, match="other numbers"):
        TrainingLoop(_net(), LineTask(), LoopPlan(steps=9, batch=4), folder=tmp_path)


def test_the_rate_rises_then_falls() -> None:
    plan = LoopPlan(steps=100, batch=1, warmup_steps=10)
    factors = [rate_factor(step, plan) for step in range(100)]
    assert factors[9] == 1.0
    assert factors[:10] == sorted(factors[:10])
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] == pytest.approx(0.02, abs=0.01)
