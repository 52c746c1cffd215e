"""What a compiled model is compared with: the torch module as it is, and the same module with what a careful user would do.

`default` is the module in eval mode without gradients, float32, one picture at a time. `tuned` adds channels-last memory,
bfloat16 autocast where the chip has it, half of the threads, and a batch; which of these help is found by trying: channels-last
does nothing for a transformer, and threads that share a core get into each other's way. Both run in a process that holds nothing else.
"""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from fleetsight.accel.graph import TensorSpec
from fleetsight.accel.session import Arrays, as_inputs
from fleetsight.accel.sources.onnx_module import OnnxModule
from fleetsight.accel.sources.reading import Asked, read_source

TRY_S = 0.9
"""Seconds for which each way of tuning is tried: a dozen runs of a network of 50 ms."""

TRY_ROUNDS = 3


@dataclass(frozen=True)
class Eager:
    """How an eager module is run.

    Attributes:
        channels_last: memory in the order that convolutions of oneDNN like.
        bf16: autocast to bfloat16.
        threads: torch's threads within an operator; None: torch's own choice.
    """

    channels_last: bool = False
    bf16: bool = False
    threads: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The setting as plain JSON."""
        return asdict(self)


class EagerSession:
    """A torch module behind the interface of a session.

    Args:
        module: in eval mode, float32; takes tensors by position.
        example: inputs of batch 1, for the element types.
        setting: how it is run; the module's memory order is changed in place.

    Attributes:
        target: "torch-eager".
        precision: "bf16" under autocast, else "f32".
        inputs: what it takes; the batch is open.
        outputs: not known before it ran: empty.
    """

    def __init__(self, module: Any, example: Arrays, *, setting: Eager) -> None:
        self.target = "torch-eager"
        self.precision = "bf16" if setting.bf16 else "f32"
        self.inputs: tuple[TensorSpec, ...] = ()
        self.outputs: tuple[TensorSpec, ...] = ()
        self.setting = setting
        self._shape = (None, *example[0].shape[1:])
        self._format = torch.channels_last if setting.channels_last else torch.contiguous_format
        self._module = module.eval().to(memory_format=self._format)
        if setting.threads is not None:
            torch.set_num_threads(setting.threads)

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the first input."""
        return self._shape

    def run(self, *inputs: NDArray[Any]) -> Arrays:
        """Run one batch.

        Args:
            *inputs: in the module's order.

        Returns:
            its outputs, floats as float32.
        """
        tensors = [torch.from_numpy(array) for array in inputs]
        if self.setting.channels_last:
            tensors = [t.to(memory_format=self._format) if t.ndim == 4 else t for t in tensors]
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.setting.bf16):
            found = self._module(*tensors)
        parts = found if isinstance(found, tuple | list) else (found,)
        return tuple((part.float() if part.is_floating_point() else part).contiguous().numpy() for part in parts)

    def map(self, batches: Iterable[NDArray[Any] | Arrays]) -> Iterator[Arrays]:
        """Run batch after batch: eager code has nothing in flight.

        Args:
            batches: each one array or a tuple of them.

        Yields:
            the outputs of each.
        """
        for batch in batches:
            yield self.run(*as_inputs(batch))

    def close(self) -> None:
        """Give the module back."""
        self._module = None


def eager_module(asked: Asked, *, models_dir: Path) -> torch.nn.Module:
    """The torch module of a model; one that interprets its graph where its author left none.

    Args:
        asked: which model.
        models_dir: the store of imported models.

    Returns:
        a module in eval mode, float32.

    Raises:
        SourceError: it cannot be read.
        UnsupportedError: an operator of the graph is not known.
    """
    source = read_source(asked, models_dir=models_dir)
    return OnnxModule(source.graph()) if source.module is None else source.module()


def tuned(module: Any, batch: Arrays, *, bf16: bool, try_s: float = TRY_S) -> Eager:
    """Find the fastest way to run a module eagerly.

    The ways take turns, and the shortest time of each counts: what disturbs a run only ever makes it longer.

    Args:
        module: in eval mode.
        batch: the inputs it will be measured with.
        bf16: whether bfloat16 may be tried: the chip has it.
        try_s: seconds for each way.

    Returns:
        the setting of the shortest time.
    """
    own = torch.get_num_threads()
    settings = [
        Eager(channels_last=last, bf16=low, threads=threads)
        for threads in sorted({own, max(1, own // 2)}, reverse=True)
        for last in (False, True)
        for low in ((False, True) if bf16 else (False,))
    ]
    best = dict.fromkeys(settings, math.inf)
    for _ in range(TRY_ROUNDS):
        for setting in settings:
            session = EagerSession(module, batch, setting=setting)
            best[setting] = min(best[setting], _shortest_s(session, batch, try_s=try_s / TRY_ROUNDS))
    return min(settings, key=lambda setting: best[setting])


def _shortest_s(session: EagerSession, batch: Arrays, *, try_s: float) -> float:
    session.run(*batch)
    shortest_s, until_s = math.inf, time.perf_counter() + try_s
    while shortest_s == math.inf or time.perf_counter() < until_s:
        began_s = time.perf_counter()
        session.run(*batch)
        shortest_s = min(shortest_s, time.perf_counter() - began_s)
    return shortest_s
