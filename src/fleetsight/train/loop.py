"""The training loop: steps, averaging, checkpoints, log, and going on after a kill.

A batch is a pure function of (seed, step), so the state of a run is the network, its average, the optimiser and the
step number; a run that was killed and resumed equals one that was not.

    task.batch(step) -> task.loss(net, batch) -> AdamW -> average -> every so often: task.validate(average), checkpoint
"""

import json
import logging
import math
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from fleetsight.errors import Error

logger = logging.getLogger(__name__)
PREFETCH = 3  # batches prepared ahead; more only costs memory
GRADIENT_NORM_MAX = 10.0  # guards the first steps; typical norms are below


class TrainError(Error):
    """Training cannot start or go on."""

    code = "train"


@dataclass(frozen=True)
class LoopPlan:
    """The fixed numbers of one run.

    Args:
        steps: optimiser steps in all.
        batch: samples per step.
        learning_rate: peak rate of AdamW.
        weight_decay: on weights of more than one dimension only.
        warmup_steps: linear rise of the rate.
        validate_every: steps between validations; each also writes a checkpoint.
        average_decay: decay of the weights' moving average (reached gradually).
        seed: of weights and batches.
        threads: torch threads; 0 leaves torch's choice.
        bf16: compute in bfloat16 where that is safe (autocast).
    """

    steps: int
    batch: int
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup_steps: int = 200
    validate_every: int = 500
    average_decay: float = 0.999
    seed: int = 0
    threads: int = 0
    bf16: bool = True


class Task(Protocol):
    """What is trained: batches, loss and validation."""

    def batch(self, step: int) -> Any:
        """Prepare the batch of one step; a pure function of the step."""

    def loss(self, net: nn.Module, batch: Any, *, device: torch.device) -> dict[str, Tensor]:
        """Compute the losses; `total` is the one to minimise."""

    def validate(self, net: nn.Module, step: int) -> dict[str, float]:
        """Measure the averaged network; `score` is the one to maximise."""

    def keep(self, metrics: dict[str, float], step: int) -> None:
        """Take note that the network just validated is the best so far (publish it, say)."""


@dataclass(frozen=True)
class LoopResult:
    """What a finished run leaves behind."""

    best_step: int
    best: dict[str, float]
    seconds: float


class _Average:
    def __init__(self, net: nn.Module, decay: float) -> None:
        self.net = deepcopy(net).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        decay = self.decay * (1 - math.exp(-(step + 1) / 300))
        for mine, theirs in zip(self.net.state_dict().values(), net.state_dict().values(), strict=True):
            if mine.dtype.is_floating_point:
                mine.lerp_(theirs.detach(), 1 - decay)
            else:
                mine.copy_(theirs)


def rate_factor(step: int, plan: LoopPlan) -> float:
    """Give the learning rate's factor: linear warm-up, then half a cosine down to 2 %.

    Args:
        step: 0-based step.
        plan: warm-up and total steps.

    Returns:
        factor in 0..1.
    """
    if step < plan.warmup_steps:
        return (step + 1) / plan.warmup_steps
    progress = (step - plan.warmup_steps) / max(1, plan.steps - plan.warmup_steps)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def optimiser_for(net: nn.Module, plan: LoopPlan) -> torch.optim.AdamW:
    """Make AdamW with decay on matrices and kernels only (norms and biases keep their scale)."""
    heavy = [weight for weight in net.parameters() if weight.ndim > 1]
    light = [weight for weight in net.parameters() if weight.ndim <= 1]
    groups = [{"params": heavy, "weight_decay": plan.weight_decay}, {"params": light, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=plan.learning_rate)


def device_for_training() -> torch.device:
    """Choose CUDA when present, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class TrainingLoop:
    """One run in one folder; constructed on an existing checkpoint it goes on from there.

    Args:
        net: freshly initialised network.
        task: batches, loss, validation.
        plan: the fixed numbers.
        folder: `checkpoint.pt`, `best.pt` and TensorBoard events go here.

    Raises:
        TrainError: the folder holds a checkpoint of another plan.
    """

    def __init__(self, net: nn.Module, task: Task, plan: LoopPlan, *, folder: Path) -> None:
        self.task, self.plan, self.folder = task, plan, folder
        self.device = device_for_training()
        if plan.threads:
            torch.set_num_threads(plan.threads)
        self.net = net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = _Average(self.net, plan.average_decay)
        self.optimiser = optimiser_for(self.net, plan)
        self.step, self.seconds = 0, 0.0
        self.best_step, self.best = -1, {"score": -math.inf}
        folder.mkdir(parents=True, exist_ok=True)
        if self.checkpoint_path.exists():
            self._restore()

    @property
    def checkpoint_path(self) -> Path:
        """The file a resumed run starts from."""
        return self.folder / "checkpoint.pt"

    def _restore(self) -> None:
        state = torch.load(self.checkpoint_path, map_location=self.device, weights_only=True)
        if json.loads(state["plan"]) != json.loads(json.dumps(asdict(self.plan))):
            raise TrainError(
                f"{self.checkpoint_path} belongs to a run with other numbers: {state['plan']}",
                hint=f"remove {self.folder} or choose another folder",
            )
        self.net.load_state_dict(state["net"])
        self.average.net.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.best_step, self.best = state["best_step"], state["best"]
        logger.info("training resumed step=%d", self.step)

    def _save(self) -> None:
        state = {
            "plan": json.dumps(asdict(self.plan)),
            "net": self.net.state_dict(),
            "average": self.average.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "best_step": self.best_step,
            "best": self.best,
        }
        part = self.checkpoint_path.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.checkpoint_path)

    def _train_step(self, batch: Any) -> dict[str, float]:
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.learning_rate * rate_factor(self.step, self.plan)
        self.net.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.plan.bf16):
            losses = self.task.loss(self.net, batch, device=self.device)
        self.optimiser.zero_grad(set_to_none=True)
        losses["total"].backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), GRADIENT_NORM_MAX)
        if not math.isfinite(float(norm)):
            raise TrainError(f"the gradient is not finite at step {self.step}", hint="lower the learning rate")
        self.optimiser.step()
        self.average.update(self.net, self.step)
        return {name: float(value.detach()) for name, value in losses.items()}

    def _validate(self, log: Any) -> None:
        metrics = self.task.validate(self.average.net, self.step)
        log.write("validate", metrics, self.step)
        if metrics["score"] > self.best["score"]:
            self.best_step, self.best = self.step, dict(metrics)
            torch.save(self.average.net.state_dict(), self.folder / "best.pt")
            self.task.keep(metrics, self.step)
        shown = " ".join(f"{name}={value:.4f}" for name, value in metrics.items())
        logger.info("validated step=%d %s best_step=%d", self.step, shown, self.best_step)

    def run(self, *, stop_at: int | None = None) -> LoopResult:
        """Train to the end.

        Args:
            stop_at: leave early after this many steps, as if killed (for tests and timed sessions).

        Returns:
            The best validation and the seconds spent, all sittings together.

        Raises:
            TrainError: the loss stopped being finite.
        """
        plan = self.plan
        end = plan.steps if stop_at is None else min(stop_at, plan.steps)
        with _Log(self.folder, purge_step=self.step) as log, ThreadPoolExecutor(1) as pool:
            queue: list[Future[Any]] = [
                pool.submit(self.task.batch, step) for step in range(self.step, min(end, self.step + PREFETCH))
            ]
            started, first = time.monotonic() - self.seconds, self.step
            while self.step < end:
                batch = queue.pop(0).result()
                if self.step + PREFETCH < end:
                    queue.append(pool.submit(self.task.batch, self.step + PREFETCH))
                losses = self._train_step(batch)
                self.step += 1
                self.seconds = time.monotonic() - started
                if self.step % 50 == 0 or self.step - first == 5:
                    log.write("train", losses, self.step)
                    rate = self.seconds / self.step
                    shown = " ".join(f"{name}={value:.4f}" for name, value in losses.items())
                    left_min = rate * (plan.steps - self.step) / 60
                    logger.info("trained step=%d/%d %s left_min=%.1f", self.step, plan.steps, shown, left_min)
                if self.step % plan.validate_every == 0 or self.step == plan.steps:
                    self._validate(log)
                    self._save()
        return LoopResult(self.best_step, self.best, self.seconds)

    def load_best(self) -> nn.Module:
        """Give the averaged network of the best validation, in eval mode on the CPU."""
        state = torch.load(self.folder / "best.pt", map_location="cpu", weights_only=True)
        net = self.average.net.to("cpu")
        net.load_state_dict(state)
        return net.eval()


class _Log:
    """TensorBoard events where tensorboard is installed; silent otherwise."""

    def __init__(self, folder: Path, *, purge_step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self._writer: Any = None
            logger.warning("tensorboard is not installed: no event log (pip install fleetsight[train])")
        else:
            self._writer = SummaryWriter(str(folder), purge_step=purge_step)

    def __enter__(self) -> "_Log":
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, group: str, values: Mapping[str, float], step: int) -> None:
        """Write scalars of one step."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, step)
