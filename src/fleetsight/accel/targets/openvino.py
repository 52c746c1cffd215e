"""OpenVINO on the processor: the default target.

A network is compiled at most twice, each on first use: for latency (`run`: one request, every core on it) and for
throughput (`map`: one stream per core or so, several requests in flight). The caller's thread prepares the next image
while requests run; waiting releases the interpreter lock.
"""

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.portable import PortableModel
from fleetsight.accel.session import ClosedError, Outputs, Precision, TargetError, check_batch

NAME = "openvino"

REQUESTS_AHEAD = 1
"""Requests beyond those OpenVINO asks for, so that none of its streams waits while the caller decodes an answer."""

_BF16 = "BF16"
"""Name of native bfloat16 in OpenVINO's list of a processor's abilities."""


def probe() -> str | None:
    """Whether this target can work here.

    Returns:
        None when it can, else the reason why not.
    """
    try:
        runtime = _runtime()
        devices = runtime.Core().available_devices
    except ImportError as error:
        return f"not installed ({error}): pip install openvino"
    except RuntimeError as error:
        return f"does not start: {_first_line(error)}"
    return None if "CPU" in devices else f"offers no CPU device, only {devices}"


def open_model(
    model: PortableModel, *, precision: Precision = "auto", threads: int | None = None, cache: Path | None = None
) -> "OpenVinoSession":
    """Open a model.

    Args:
        model: the checked model.
        precision: "auto" takes bfloat16 where the processor computes it natively.
        threads: most threads to use; None: all.
        cache: folder for compiled networks; None: compile each time.

    Returns:
        a session; the network is compiled on its first use.

    Raises:
        TargetError: OpenVINO cannot read the model, or the processor lacks the precision.
    """
    return OpenVinoSession(model, precision=precision, threads=threads, cache=cache)


class OpenVinoSession:
    """A model opened on the processor with OpenVINO.

    Args:
        model: the checked model.
        precision: "auto" takes bfloat16 where the processor computes it natively.
        threads: most threads to use; None: all.
        cache: folder for compiled networks; None: compile each time.

    Attributes:
        target: "openvino".
        precision: arithmetic in use, "f32" or "bf16".
        input_shape: (1, 3, h, w).
    """

    def __init__(
        self,
        model: PortableModel,
        *,
        precision: Precision = "auto",
        threads: int | None = None,
        cache: Path | None = None,
    ) -> None:
        self.target = NAME
        self.input_shape: tuple[int, ...] = model.input_shape
        self._lock = threading.Lock()
        self._compiled: dict[str, Any] = {}
        self._request: Any = None
        self._closed = False
        try:
            self._core = _runtime().Core()
            self.precision = _choose_precision(self._core, precision)
            # The bytes, not the path: what was checked is what runs.
            self._network = self._core.read_model(model=model.onnx)
            if self._network.is_dynamic():
                self._network.reshape(list(model.input_shape))
        except (ImportError, RuntimeError) as error:
            raise TargetError(f"{NAME} cannot open {model.name!r}: {_first_line(error)}") from error
        self._options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": self.precision}
        if threads is not None:
            self._options["INFERENCE_NUM_THREADS"] = threads
        if cache is not None:
            self._options["CACHE_DIR"] = os.fspath(cache)

    def run(self, batch: NDArray[np.float32]) -> Outputs:
        """Run one batch and wait; calls from several threads take turns.

        Args:
            batch: (1, 3, h, w) float32.

        Returns:
            the outputs in the graph's order, float32.

        Raises:
            ShapeError: the batch has another shape or element type.
            ClosedError: the session was closed.
            TargetError: OpenVINO failed.
        """
        ready = check_batch(batch, self.input_shape)
        network = self._network_for("LATENCY")
        with self._lock:
            if self._request is None:
                self._request = network.create_infer_request()
            try:
                self._request.infer([ready], share_inputs=True)
                return _outputs(self._request, network)
            except RuntimeError as error:
                raise TargetError(f"{NAME} failed: {_first_line(error)}") from error

    def map(self, batches: Iterable[NDArray[np.float32]]) -> Iterator[Outputs]:
        """Run many batches with several in flight; answers come in order.

        Args:
            batches: each (1, 3, h, w) float32; not changed before its answer came.

        Yields:
            the outputs for each batch.

        Raises:
            ShapeError: a batch has another shape or element type.
            ClosedError: the session was closed.
            TargetError: OpenVINO failed.
        """
        network = self._network_for("THROUGHPUT")
        count = int(network.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")) + REQUESTS_AHEAD
        idle = deque(network.create_infer_request() for _ in range(count))
        # A batch is kept until its answer came: the request reads its memory.
        busy: deque[tuple[Any, NDArray[np.float32]]] = deque()
        try:
            for batch in batches:
                ready = check_batch(batch, self.input_shape)
                request = idle.popleft()
                self._start(request, ready)
                busy.append((request, ready))
                if not idle:
                    yield self._finish(network, busy, idle)
            while busy:
                yield self._finish(network, busy, idle)
        finally:
            for request, _ in busy:
                request.wait()

    def close(self) -> None:
        """Give the memory back; a second call does nothing."""
        with self._lock:
            self._closed = True
            self._request = None
            self._compiled.clear()

    def _start(self, request: Any, batch: NDArray[np.float32]) -> None:
        if self._closed:
            raise ClosedError(f"the {NAME} session was closed while it ran")
        try:
            request.start_async([batch], share_inputs=True)
        except RuntimeError as error:
            raise TargetError(f"{NAME} failed: {_first_line(error)}") from error

    @staticmethod
    def _finish(network: Any, busy: "deque[tuple[Any, NDArray[np.float32]]]", idle: "deque[Any]") -> Outputs:
        request, _ = busy.popleft()
        try:
            request.wait()
        except RuntimeError as error:
            raise TargetError(f"{NAME} failed: {_first_line(error)}") from error
        idle.append(request)
        return _outputs(request, network)

    def _network_for(self, hint: str) -> Any:
        with self._lock:
            if self._closed:
                raise ClosedError(f"the {NAME} session is closed")
            if hint not in self._compiled:
                try:
                    self._compiled[hint] = self._core.compile_model(
                        self._network, "CPU", {**self._options, "PERFORMANCE_HINT": hint}
                    )
                except RuntimeError as error:
                    raise TargetError(f"{NAME} cannot compile the model: {_first_line(error)}") from error
            return self._compiled[hint]


def _outputs(request: Any, network: Any) -> Outputs:
    # Copies: the tensor's memory belongs to the request and is overwritten by its next run.
    return tuple(
        np.array(request.get_output_tensor(index).data, dtype=np.float32) for index in range(len(network.outputs))
    )


def _choose_precision(core: Any, wanted: Precision) -> str:
    native = _BF16 in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if wanted == "auto":
        return "bf16" if native else "f32"
    if wanted == "bf16" and not native:
        raise TargetError(f"{NAME}: this processor has no native bf16", hint="take precision f32 or auto")
    return wanted


def _runtime() -> Any:
    # Imported late: 0.3 s that commands without a model need not spend.
    return import_module("openvino")


def _first_line(error: BaseException) -> str:
    """The line of a chained C++ message that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    return (said or lines or [type(error).__name__])[0][:300]
