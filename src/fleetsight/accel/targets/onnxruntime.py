"""ONNX Runtime on the processor: the second opinion, and the fallback where OpenVINO does not run.

`map` feeds a small pool of threads: a run releases the interpreter lock, so several are in flight while the caller's
thread prepares the next image.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.portable import PortableModel
from fleetsight.accel.session import ClosedError, Outputs, Precision, TargetError, check_batch

NAME = "onnxruntime"

IN_FLIGHT = 2
"""Runs at a time in `map`: each already spreads over all threads, the second fills the gaps between its layers."""

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
    return OnnxRuntimeSession(model, precision=precision, threads=threads)


class OnnxRuntimeSession:
    """A model opened on the processor with ONNX Runtime.

    Args:
        model: the checked model.
        precision: "auto" or "f32".
        threads: most threads of one run; None: all.

    Attributes:
        target: "onnxruntime".
        precision: "f32".
        input_shape: (1, 3, h, w).
    """

    def __init__(self, model: PortableModel, *, precision: Precision = "auto", threads: int | None = None) -> None:
        if precision not in {"auto", "f32"}:
            raise TargetError(f"{NAME} computes in f32, not {precision}", hint="take precision f32 or auto")
        self.target = NAME
        self.precision = "f32"
        self.input_shape: tuple[int, ...] = model.input_shape
        try:
            runtime = _runtime()
            options = runtime.SessionOptions()
            options.log_severity_level = _SEVERITY_ERROR
            options.intra_op_num_threads = threads or os.cpu_count() or 1
            self._session: Any = runtime.InferenceSession(
                model.onnx, sess_options=options, providers=["CPUExecutionProvider"]
            )
        # ONNX Runtime's own errors have RuntimeError or Exception as their only common parent: a named boundary.
        except Exception as error:
            raise TargetError(f"{NAME} cannot open {model.name!r}: {_first_line(error)}") from error
        self._entry = self._session.get_inputs()[0].name

    def run(self, batch: NDArray[np.float32]) -> Outputs:
        """Run one batch and wait; calls from several threads run side by side.

        Args:
            batch: (1, 3, h, w) float32.

        Returns:
            the outputs in the graph's order, float32.

        Raises:
            ShapeError: the batch has another shape or element type.
            ClosedError: the session was closed.
            TargetError: ONNX Runtime failed.
        """
        ready = check_batch(batch, self.input_shape)
        session = self._session
        if session is None:
            raise ClosedError(f"the {NAME} session is closed")
        try:
            outputs = session.run(None, {self._entry: ready})
        except Exception as error:
            raise TargetError(f"{NAME} failed: {_first_line(error)}") from error
        return tuple(np.asarray(output, dtype=np.float32) for output in outputs)

    def map(self, batches: Iterable[NDArray[np.float32]]) -> Iterator[Outputs]:
        """Run many batches with several in flight; answers come in order.

        Args:
            batches: each (1, 3, h, w) float32; not changed before its answer came.

        Yields:
            the outputs for each batch.

        Raises:
            ShapeError: a batch has another shape or element type.
            ClosedError: the session was closed.
            TargetError: ONNX Runtime failed.
        """
        if self._session is None:
            raise ClosedError(f"the {NAME} session is closed")
        busy: deque[Future[Outputs]] = deque()
        with ThreadPoolExecutor(max_workers=IN_FLIGHT, thread_name_prefix=NAME) as pool:
            for batch in batches:
                busy.append(pool.submit(self.run, check_batch(batch, self.input_shape)))
                if len(busy) > IN_FLIGHT:
                    yield busy.popleft().result()
            while busy:
                yield busy.popleft().result()

    def close(self) -> None:
        """Give the memory back; a second call does nothing."""
        self._session = None


def _runtime() -> Any:
    return import_module("onnxruntime")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
