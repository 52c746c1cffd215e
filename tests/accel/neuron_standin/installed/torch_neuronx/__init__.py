"""A stand-in for torch_neuronx: the documented calls, computed on the processor.

It imitates what users trip over: fixed shapes, batches that are cut and padded, flags that survive a save, cores that
belong to one process, rounded operands, and the run time's status codes. It does not imitate speed.
"""

import io
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import chip  # noqa: TID252  # the absolute name is the real package
from .rounding import Rounding  # noqa: TID252

__version__ = "2.9.0.standin"

_NOTES = "standin.json"
_save, _load = torch.jit.save, torch.jit.load


class Traced(torch.nn.Module):
    """What `trace` returns and `torch.jit.load` gives back."""

    def __init__(self, script: Any, notes: dict[str, Any]) -> None:
        super().__init__()
        self.script = script
        self.notes = notes
        self.cores: list[int] = []
        self.turn = 0
        self._loading: threading.Thread | None = None
        self._lock = threading.Lock()

    def place(self, start: int, count: int) -> None:
        self.cores = chip.allocate(start, count)

    def place_when_its_time_comes(self) -> None:
        if self.notes["load"] == "async":
            self._loading = threading.Thread(target=self.place, args=(-1, 1))
            self._loading.start()
        elif self.notes["load"] != "lazy":
            self.place(-1, 1)

    def forward(self, *inputs: Tensor) -> Any:
        if self._loading is not None:
            self._loading.join()
        with self._lock:
            if not self.cores:
                self.place(-1, 1)
            core = self.cores[self.turn % len(self.cores)]
            self.turn += 1
        return self.run_on(core, inputs)

    def run_on(self, core: int, inputs: Sequence[Tensor]) -> Any:
        shapes = [tuple(shape) for shape in self.notes["shapes"]]
        if len(inputs) != len(shapes):
            raise RuntimeError(f"expected {len(shapes)} inputs, received {len(inputs)}")
        if not self.notes["dynamic"]:
            self._check(inputs, shapes)
            return self._execute(core, inputs)
        for tensor, shape in zip(inputs, shapes, strict=True):
            if tuple(tensor.shape[1:]) != shape[1:]:
                raise ValueError(f"only dimension 0 is dynamic: received {tuple(tensor.shape)}, traced with {shape}")
        rows = {len(tensor) for tensor in inputs}
        if len(rows) > 1:
            raise ValueError(f"dimension 0 differs between the inputs: {sorted(rows)}")
        return self._in_chunks(core, inputs, rows.pop(), shapes[0][0])

    def _in_chunks(self, core: int, inputs: Sequence[Tensor], rows: int, size: int) -> Any:
        parts = []
        for start in range(0, rows, size):
            chunk = [tensor[start : start + size] for tensor in inputs]
            missing = size - len(chunk[0])
            padded = [torch.cat([t, t.new_zeros((missing, *t.shape[1:]))]) if missing else t for t in chunk]
            parts.append(tuple(out[: size - missing] for out in self._execute(core, padded)))
        return tuple(torch.cat(column) for column in zip(*parts, strict=True))

    def _check(self, inputs: Sequence[Tensor], shapes: list[tuple[int, ...]]) -> None:
        for index, (tensor, shape) in enumerate(zip(inputs, shapes, strict=True)):
            if tuple(tensor.shape) != shape:
                raise RuntimeError(
                    f"Incorrect tensor shape at input tensor #{index}: received {tuple(tensor.shape)}, expected {shape}"
                )

    def _execute(self, core: int, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        chip.execute(core, rows=len(inputs[0]))
        with torch.inference_mode(), Rounding(self.notes["auto_cast"], self.notes["auto_cast_type"]):
            found = self.script(*inputs)
        answers = found if isinstance(found, tuple) else (found,)
        if any(bool(torch.isnan(part).any()) for part in answers if part.is_floating_point()):
            raise RuntimeError("nrt_execute failed: NRT_EXEC_COMPLETED_WITH_NUM_ERR status code: 1003")
        return answers


def trace(
    func: Callable[..., Any],
    example_inputs: Any,
    *_: Any,
    compiler_workdir: str | None = None,
    compiler_args: Sequence[str] | str | None = None,
    inline_weights_to_neff: bool = True,
    cpu_backend: bool = False,
) -> Traced:
    words = compiler_args.split() if isinstance(compiler_args, str) else list(compiler_args or [])
    chip.compile_or_fail(words, cpu_backend=cpu_backend)
    inputs = example_inputs if isinstance(example_inputs, tuple) else (example_inputs,)
    script = torch.jit.trace(func, inputs, check_trace=False)  # type: ignore[no-untyped-call]
    told = dict(pairwise(words))
    notes = {
        "shapes": [list(tensor.shape) for tensor in inputs],
        "dynamic": False,
        "load": "plain",
        "auto_cast": told.get("--auto-cast", "none"),
        "auto_cast_type": told.get("--auto-cast-type", "bf16"),
        "inline": inline_weights_to_neff,
        "args": words,
        "cpu_backend": cpu_backend,
    }
    return Traced(script, notes)


def dynamic_batch(script: Traced) -> Traced:
    if not script.notes["inline"]:
        raise ValueError("dynamic batching needs inline_weights_to_neff=True")
    script.notes["dynamic"] = True
    return script


def lazy_load(script: Traced, enable_lazy_load: bool = True) -> None:  # noqa: FBT002  # the documented signature
    script.notes["load"] = "lazy" if enable_lazy_load else "plain"


def async_load(script: Traced, enable_async_load: bool = True) -> None:  # noqa: FBT002  # the documented signature
    script.notes["load"] = "async" if enable_async_load else "plain"


def set_neuron_cores(script: Traced, start_nc: int = -1, nc_count: int = -1) -> None:
    if nc_count == 0 or start_nc >= chip.CORES:
        raise ValueError(f"there is no core {start_nc} of {chip.CORES}")
    script.place(start_nc, max(1, nc_count))


def move_trace_to_device(script: Traced, device_id: int) -> None:
    script.place(device_id, 1)
    script.notes["moved"] = True


def replace_weights(neuron_model: Traced, weights: Any) -> None:
    if neuron_model.notes["inline"]:
        raise RuntimeError("weights are inlined in the NEFF")
    state = weights if isinstance(weights, dict) else weights.state_dict()
    neuron_model.script.load_state_dict(state)


class DataParallel(torch.nn.Module):
    """Cuts a batch over cores and puts the answers together in order."""

    def __init__(
        self,
        model: Traced,
        device_ids: Sequence[int] | None = None,
        dim: int = 0,
        set_dynamic_batching: bool = True,  # noqa: FBT002  # the documented signature
    ) -> None:
        super().__init__()
        ids = list(device_ids) if device_ids is not None else list(range(chip.CORES))
        self.cores = [core for index in ids for core in chip.allocate(index, 1)]
        self.model = model
        if set_dynamic_batching and dim == 0:
            dynamic_batch(model)
        self.num_workers = 2 * len(self.cores)
        self.pool = ThreadPoolExecutor(self.num_workers)

    def forward(self, *inputs: Tensor) -> Any:
        split_size = max(1, len(inputs[0]) // len(self.cores))
        chunks = list(zip(*(torch.split(tensor, split_size) for tensor in inputs), strict=True))
        cores = [self.cores[index % len(self.cores)] for index in range(len(chunks))]
        answers = list(self.pool.map(self.model.run_on, cores, chunks))
        return tuple(torch.cat(column) for column in zip(*answers, strict=True))


def save(script: Any, path: str) -> None:
    if not isinstance(script, Traced):
        _save(script, path)
        return
    buffer = io.BytesIO()
    _save(script.script, buffer, _extra_files={_NOTES: json.dumps(script.notes)})
    Path(path).write_bytes(buffer.getvalue())


def load(path: str) -> Any:
    extra = {_NOTES: ""}
    script = _load(path, _extra_files=extra)  # type: ignore[no-untyped-call]
    if not extra[_NOTES]:
        return script
    traced = Traced(script, json.loads(extra[_NOTES]))
    traced.place_when_its_time_comes()
    return traced


def install() -> None:
    """Hook into torch.jit, as the real package does by its own class."""
    torch.jit.save, torch.jit.load = save, load  # type: ignore[assignment]  # fewer options than the real ones
    chip.reset()


def uninstall() -> None:
    torch.jit.save, torch.jit.load = _save, _load
