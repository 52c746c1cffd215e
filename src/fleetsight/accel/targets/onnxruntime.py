"""ONNX Runtime: the second opinion, and the fallback where OpenVINO does not run; on NVIDIA chips through its providers.

`map` feeds a small pool of threads: a run releases the interpreter lock, so several are in flight while the caller's
thread prepares the next image.
"""

import os
import platform
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.graph import TensorSpec
from fleetsight.accel.portable import PortableModel
from fleetsight.accel.session import (
    OTHER_TARGETS,
    Arrays,
    ClosedError,
    Precision,
    TargetError,
    TargetGoneError,
    UnsupportedError,
    check_inputs,
)
from fleetsight.accel.sources.source import Source
from fleetsight.accel.targets.in_flight import run_in_order
from fleetsight.accel.targets.options import Options, check_precision, read_flags
from fleetsight.accel.targets.session_file import SessionFile

NAME = "onnxruntime"

MODEL_FILE = "model.onnx"

IN_FLIGHT = 2
"""Runs at a time in `map`: each already spreads over all threads, the second fills the gaps between its layers."""

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
"""Flag `device` and the execution provider it stands for."""

_MISSING = ("No Op registered", "is not a registered function/op", "NOT_IMPLEMENTED")
"""What ONNX Runtime says of an operator it does not have."""

_SEVERITY_ERROR = 3
"""ONNX Runtime's log level for errors; its warnings about models are no use to a user."""


def probe() -> str | None:
    """Whether this target can work here.

    Returns:
        None when it can, else the reason why not.
    """
    try:
        providers = _runtime().get_available_providers()
    except ImportError as error:
        return f"not installed ({error}): pip install onnxruntime"
    return None if "CPUExecutionProvider" in providers else f"offers no CPU provider, only {providers}"


def precisions() -> tuple[str, ...]:
    """Arithmetic on offer here.

    Returns:
        names, without "auto".
    """
    return ("f32", "int8")


def devices() -> tuple[str, ...]:
    """Values of the flag `device` that work with the installed package.

    Returns:
        names of `PROVIDERS`, "cpu" first.
    """
    available = _runtime().get_available_providers()
    return tuple(name for name, provider in PROVIDERS.items() if provider in available)


def compiler() -> str:
    """Name and version of the compiler, and the chip's kind.

    Returns:
        one line.
    """
    return f"onnxruntime {_runtime().__version__} {' '.join(devices())} {platform.machine()}"


def compile(source: Source, options: Options, *, folder: Path) -> None:  # noqa: A001  # the verb of every target
    """Keep the graph, quantised where int8 is asked for; ONNX Runtime itself compiles when it opens it.

    Args:
        source: the model.
        options: what is asked for; flag `device` is cpu, cuda or tensorrt.
        folder: an empty folder to write into.

    Raises:
        TargetError: ONNX Runtime cannot read the graph, or lacks the precision or the device.
    """
    check_precision(NAME, options.precision, offered=precisions())
    flags = read_flags(NAME, options.flags, known={"device": tuple(PROVIDERS)})
    graph = source.graph().at_batch(options.batch)
    onnx = graph.onnx
    OnnxRuntimeSession(onnx, graph.inputs, graph.outputs, device=flags["device"]).close()
    if options.precision == "int8":
        quantise = import_module("fleetsight.accel.targets.quantise")
        onnx = quantise.quantise_onnx(onnx, options, specs=graph.inputs)
    (folder / MODEL_FILE).write_bytes(onnx)
    plan = SessionFile(
        target=NAME, precision=options.precision, inputs=graph.inputs, outputs=graph.outputs, settings=flags
    )
    plan.save(folder)


def load(folder: Path, *, streams: int | None = None, threads: int | None = None) -> "OnnxRuntimeSession":
    """Open a compiled model.

    Args:
        folder: what `compile` wrote.
        streams: runs at a time in `map`; None: `IN_FLIGHT`.
        threads: most threads over all streams; None: all.

    Returns:
        an open session.

    Raises:
        TargetError: ONNX Runtime cannot open it.
    """
    plan = SessionFile.load(folder, NAME)
    session = OnnxRuntimeSession(
        (folder / MODEL_FILE).read_bytes(),
        plan.inputs,
        plan.outputs,
        device=plan.settings.get("device", "cpu"),
        lanes=(streams, threads),
    )
    session.precision = plan.precision
    return session


def open_model(
    model: PortableModel, *, precision: Precision = "auto", threads: int | None = None
) -> "OnnxRuntimeSession":
    """Open a model.

    Args:
        model: the checked model.
        precision: "auto" or "f32".
        threads: most threads of one run; None: all.

    Returns:
        an open session.

    Raises:
        TargetError: ONNX Runtime cannot read the model, or another precision is asked for.
    """
    if precision not in {"auto", "f32"}:
        raise TargetError(f"{NAME} computes in f32, not {precision}", hint="take precision f32 or auto")
    graph = model.graph.at_batch(1)
    return OnnxRuntimeSession(graph.onnx, graph.inputs, graph.outputs, lanes=(None, threads))


class OnnxRuntimeSession:
    """A model opened with ONNX Runtime.

    Args:
        onnx: the ONNX file.
        inputs: what it takes.
        outputs: what it answers.
        device: "cpu", "cuda" or "tensorrt".
        lanes: runs at a time in `map`, and most threads over all of them; None: `IN_FLIGHT`, and every core for each.

    Attributes:
        target: "onnxruntime".
        precision: arithmetic inside.
        inputs: what it takes.
        outputs: what it answers.
    """

    def __init__(
        self,
        onnx: bytes,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        *,
        device: str = "cpu",
        lanes: tuple[int | None, int | None] = (None, None),
    ) -> None:
        self.target = NAME
        self.precision = "f32"
        self.inputs = inputs
        self.outputs = outputs
        streams, threads = lanes
        self._workers = streams or IN_FLIGHT
        each = (threads or os.cpu_count() or 1) // (streams or 1)
        self._session: Any = _open(onnx, device, threads=max(1, each))
        self._names = [spec.name for spec in inputs]

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the first input."""
        return self.inputs[0].shape

    @property
    def provider(self) -> str:
        """The execution provider in use, as ONNX Runtime names it."""
        return str(self._session.get_providers()[0])

    def run(self, *inputs: NDArray[Any]) -> Arrays:
        """Run one batch and wait; calls from several threads run side by side.

        Args:
            *inputs: one array for each input.

        Returns:
            the outputs in the graph's order, floats as float32.

        Raises:
            ShapeError: an input has another shape or element type.
            ClosedError: the session was closed.
            TargetGoneError: the device was lost.
            TargetError: ONNX Runtime failed.
        """
        ready = check_inputs(inputs, self.inputs)
        session = self._session
        if session is None:
            raise ClosedError(f"the {NAME} session is closed")
        try:
            outputs = session.run(None, dict(zip(self._names, ready, strict=True)))
        # ONNX Runtime's own errors have RuntimeError or Exception as their only common parent: a named boundary.
        except Exception as error:
            kind = TargetGoneError if "CUDA failure" in str(error) else TargetError
            raise kind(f"{NAME} failed: {_first_line(error)}") from error
        return tuple(
            np.asarray(output, dtype=spec.answer_dtype) for output, spec in zip(outputs, self.outputs, strict=True)
        )

    def map(self, batches: Iterable[NDArray[Any] | Arrays]) -> Iterator[Arrays]:
        """Run many batches with several in flight; answers come in order.

        Args:
            batches: each one array, or one for each input; not changed before its answer came.

        Yields:
            the outputs for each batch.

        Raises:
            ShapeError: an input has another shape or element type.
            ClosedError: the session was closed.
            TargetError: ONNX Runtime failed.
        """
        if self._session is None:
            raise ClosedError(f"the {NAME} session is closed")
        yield from run_in_order(self.run, batches, workers=self._workers, name=NAME)

    def close(self) -> None:
        """Give the memory back; a second call does nothing."""
        self._session = None


def _open(onnx: bytes, device: str, *, threads: int) -> Any:
    runtime = _runtime()
    if device not in devices():
        raise UnsupportedError(
            f"{NAME} offers no device {device!r} here, only {', '.join(devices())}",
            hint="pip install onnxruntime-gpu on a machine with an NVIDIA driver, or take device=cpu",
        )
    try:
        options = runtime.SessionOptions()
        options.log_severity_level = _SEVERITY_ERROR
        options.intra_op_num_threads = threads
        wanted = [PROVIDERS[device]] if device == "cpu" else [PROVIDERS[device], PROVIDERS["cpu"]]
        session = runtime.InferenceSession(onnx, sess_options=options, providers=wanted)
    # ONNX Runtime's own errors have RuntimeError or Exception as their only common parent: a named boundary.
    except Exception as error:
        missing = any(words in str(error) for words in _MISSING)
        kind = UnsupportedError if missing else TargetError
        raise kind(
            f"{NAME} cannot open the model: {_first_line(error)}", hint=OTHER_TARGETS if missing else ""
        ) from error
    # A provider that does not start is left out with a warning on stderr: computing on another chip is not what was asked.
    if session.get_providers()[0] != PROVIDERS[device]:
        raise TargetGoneError(
            f"{NAME} did not start {PROVIDERS[device]}, it runs on {session.get_providers()[0]}",
            hint="look for the missing CUDA or TensorRT library in the log, or take device=cpu",
        )
    return session


def _runtime() -> Any:
    return import_module("onnxruntime")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
