"""OpenVINO on the processor: the default target.

A network is compiled at most twice, each on first use: for latency (`run`: one request, every core on it) and for
throughput (`map`: one stream per core or so, several requests in flight). The caller's thread prepares the next image
while requests run; waiting releases the interpreter lock.

An artifact is OpenVINO's own pair of files, after quantisation where int8 is asked for.
"""

import os
import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.graph import Graph, TensorSpec
from fleetsight.accel.portable import PortableModel
from fleetsight.accel.session import (
    OTHER_TARGETS,
    Arrays,
    ClosedError,
    Precision,
    TargetError,
    UnsupportedError,
    as_inputs,
    check_inputs,
)
from fleetsight.accel.sources.source import Source
from fleetsight.accel.targets.options import Options, check_precision, read_flags
from fleetsight.accel.targets.session_file import SessionFile

NAME = "openvino"

MODEL_FILE = "model.xml"

REQUESTS_AHEAD = 1
"""Requests beyond those OpenVINO asks for, so that none of its streams waits while the caller decodes an answer."""

_ABILITIES = {"bf16": "BF16", "f16": "FP16", "int8": "INT8"}
"""Names of native arithmetic in OpenVINO's list of a processor's abilities."""

_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8", "amx_fp16", "asimddp")
"""Flags of /proc/cpuinfo that decide what a compiled network contains and which precision is fastest."""


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


def precisions() -> tuple[str, ...]:
    """Arithmetic that this processor computes natively.

    Returns:
        names, without "auto"; "f32" first.
    """
    native = _runtime().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ("f32", *(name for name, ability in _ABILITIES.items() if ability in native))


def compiler() -> str:
    """Name and version of the compiler, and what the processor offers.

    Returns:
        one line, such as "openvino 2026.4.1 cpu amx_bf16 amx_int8".
    """
    version = str(_runtime().__version__).split("-", maxsplit=1)[0]
    return " ".join([NAME, version, "cpu", *cpu_features()])


def cpu_features(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, ...]:
    """What the processor offers that matters to a compiler.

    Args:
        cpuinfo: the kernel's description.

    Returns:
        names in a fixed order; empty where the kernel does not tell.
    """
    try:
        words = set(cpuinfo.read_text(encoding="utf-8").split())
    except OSError:
        return ()
    return tuple(name for name in _FEATURES if name in words)


def compile(source: Source, options: Options, *, folder: Path) -> None:  # noqa: A001  # the verb of every target
    """Convert a model, quantise it where int8 is asked for, and write it down.

    Args:
        source: the model.
        options: what is asked for; no flags.
        folder: an empty folder to write into.

    Raises:
        TargetError: OpenVINO cannot read the model, the processor lacks the precision, or int8 lacks calibration data.
    """
    check_precision(NAME, options.precision, offered=precisions())
    read_flags(NAME, options.flags, known={})
    graph = source.graph().at_batch(options.batch)
    core = _core()
    network = _read(core, graph)
    if options.precision == "int8":
        network = import_module("fleetsight.accel.targets.quantise").quantise_openvino(
            network, options, specs=graph.inputs, open_network=lambda compiled: _session_of(compiled, graph)
        )
    try:
        core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": _hint(core, options.precision)})
        # Weights keep their 32 bits: OpenVINO halves them by default, and f32 would then be no reference.
        _runtime().save_model(network, folder / MODEL_FILE, compress_to_fp16=False)
    except RuntimeError as error:
        raise _refusal(error, f"{NAME} cannot compile {source.name!r}") from error
    plan = SessionFile(target=NAME, precision=options.precision, inputs=graph.inputs, outputs=graph.outputs)
    plan.save(folder)


def load(folder: Path, *, streams: int | None = None, threads: int | None = None) -> "OpenVinoSession":
    """Open a compiled model.

    Args:
        folder: what `compile` wrote.
        streams: networks side by side in `map`, each with its share of the threads; None: OpenVINO decides.
        threads: most threads to use; None: all.

    Returns:
        a session; the network is made ready on its first use.

    Raises:
        TargetError: OpenVINO cannot read the folder, or the processor lacks the precision.
    """
    plan = SessionFile.load(folder, NAME)
    core = _core()
    check_precision(NAME, plan.precision, offered=precisions())
    try:
        network = core.read_model(os.fspath(folder / MODEL_FILE))
    except RuntimeError as error:
        raise TargetError(
            f"{NAME} cannot read {folder}: {_first_line(error)}", hint="compile the model again"
        ) from error
    setup = Setup(precision=plan.precision, streams=streams, threads=threads)
    return OpenVinoSession(network, plan.inputs, plan.outputs, setup=setup)


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
    core = _core()
    graph = model.graph.at_batch(1)
    setup = Setup(precision=_choose_precision(core, precision), threads=threads, cache=cache)
    return OpenVinoSession(_read(core, graph), graph.inputs, graph.outputs, setup=setup)


@dataclass(frozen=True)
class Setup:
    """How a network is used.

    Attributes:
        precision: arithmetic inside.
        streams: networks side by side in `map`; None: OpenVINO decides.
        threads: most threads to use; None: all.
        cache: folder for compiled networks; None: compile each time.
    """

    precision: str = "f32"
    streams: int | None = None
    threads: int | None = None
    cache: Path | None = None

    def properties(self, hint: str, *, arithmetic: str) -> dict[str, Any]:
        """What OpenVINO is told.

        Args:
            hint: "LATENCY" or "THROUGHPUT".
            arithmetic: OpenVINO's word for the floats inside.

        Returns:
            properties for `compile_model`.
        """
        told: dict[str, Any] = {"INFERENCE_PRECISION_HINT": arithmetic, "PERFORMANCE_HINT": hint}
        if self.streams is not None and hint == "THROUGHPUT":
            told["NUM_STREAMS"] = str(self.streams)
        if self.threads is not None:
            told["INFERENCE_NUM_THREADS"] = self.threads
        if self.cache is not None:
            told["CACHE_DIR"] = os.fspath(self.cache)
        return told


class OpenVinoSession:
    """A model opened on the processor with OpenVINO.

    Args:
        network: OpenVINO's model.
        inputs: what it takes.
        outputs: what it answers.
        setup: how it is used.

    Attributes:
        target: "openvino".
        precision: arithmetic in use.
        inputs: what it takes.
        outputs: what it answers.
    """

    def __init__(
        self, network: Any, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], *, setup: Setup
    ) -> None:
        self.target = NAME
        self.precision = setup.precision
        self.inputs = inputs
        self.outputs = outputs
        self._core = _core()
        self._network = network
        self._setup = setup
        self._lock = threading.Lock()
        self._compiled: dict[str, Any] = {}
        self._request: Any = None
        self._closed = False

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the first input."""
        return self.inputs[0].shape

    def run(self, *inputs: NDArray[Any]) -> Arrays:
        """Run one batch and wait; calls from several threads take turns.

        Args:
            *inputs: one array for each input.

        Returns:
            the outputs in the graph's order, floats as float32.

        Raises:
            ShapeError: an input has another shape or element type.
            ClosedError: the session was closed.
            TargetError: OpenVINO failed.
        """
        ready = check_inputs(inputs, self.inputs)
        network = self._network_for("LATENCY")
        with self._lock:
            if self._request is None:
                self._request = network.create_infer_request()
            try:
                self._request.infer(list(ready), share_inputs=True)
                return self._outputs(self._request)
            except RuntimeError as error:
                raise TargetError(f"{NAME} failed: {_first_line(error)}") from error

    def map(self, batches: Iterable[NDArray[Any] | Arrays]) -> Iterator[Arrays]:
        """Run many batches with several in flight; answers come in order.

        Args:
            batches: each one array, or one for each input; not changed before its answer came.

        Yields:
            the outputs for each batch.

        Raises:
            ShapeError: an input has another shape or element type.
            ClosedError: the session was closed.
            TargetError: OpenVINO failed.
        """
        network = self._network_for("THROUGHPUT")
        count = int(network.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")) + REQUESTS_AHEAD
        idle = deque(network.create_infer_request() for _ in range(count))
        # A batch is kept until its answer came: the request reads its memory.
        busy: deque[tuple[Any, Arrays]] = deque()
        try:
            for batch in batches:
                ready = check_inputs(as_inputs(batch), self.inputs)
                request = idle.popleft()
                self._start(request, ready)
                busy.append((request, ready))
                if not idle:
                    yield self._finish(busy, idle)
            while busy:
                yield self._finish(busy, idle)
        finally:
            for request, _ in busy:
                request.wait()

    def close(self) -> None:
        """Give the memory back; a second call does nothing."""
        with self._lock:
            self._closed = True
            self._request = None
            self._compiled.clear()
            self._network = None

    def _start(self, request: Any, ready: Arrays) -> None:
        if self._closed:
            raise ClosedError(f"the {NAME} session was closed while it ran")
        try:
            request.start_async(list(ready), share_inputs=True)
        except RuntimeError as error:
            raise TargetError(f"{NAME} failed: {_first_line(error)}") from error

    def _finish(self, busy: "deque[tuple[Any, Arrays]]", idle: "deque[Any]") -> Arrays:
        request, _ = busy.popleft()
        try:
            request.wait()
        except RuntimeError as error:
            raise TargetError(f"{NAME} failed: {_first_line(error)}") from error
        idle.append(request)
        return self._outputs(request)

    def _network_for(self, hint: str) -> Any:
        with self._lock:
            if self._closed:
                raise ClosedError(f"the {NAME} session is closed")
            if hint not in self._compiled:
                properties = self._setup.properties(hint, arithmetic=_hint(self._core, self.precision))
                try:
                    self._compiled[hint] = self._core.compile_model(self._network, "CPU", properties)
                except RuntimeError as error:
                    raise _refusal(error, f"{NAME} cannot compile the model") from error
            return self._compiled[hint]

    def _outputs(self, request: Any) -> Arrays:
        # Copies: the tensor's memory belongs to the request and is overwritten by its next run.
        return tuple(
            np.array(request.get_output_tensor(index).data, dtype=spec.answer_dtype)
            for index, spec in enumerate(self.outputs)
        )


def _session_of(compiled: Any, graph: Graph) -> OpenVinoSession:
    """A network that somebody else compiled, as a session."""
    session = OpenVinoSession(None, graph.inputs, graph.outputs, setup=Setup())
    session._compiled = {"LATENCY": compiled, "THROUGHPUT": compiled}
    return session


def _core() -> Any:
    try:
        return _runtime().Core()
    except (ImportError, RuntimeError) as error:
        raise TargetError(f"{NAME} does not start: {_first_line(error)}", hint="pip install openvino") from error


def _read(core: Any, graph: Graph) -> Any:
    """OpenVINO's model of a graph, with the sizes that the graph's specs say."""
    try:
        # The bytes, not the path: what was checked is what runs.
        network = core.read_model(model=graph.onnx)
        if network.is_dynamic():
            network.reshape(_shapes(network, graph.inputs))
    except RuntimeError as error:
        raise _refusal(error, f"{NAME} cannot open {graph.name!r}") from error
    return network


def _shapes(network: Any, inputs: Iterable[TensorSpec]) -> Mapping[Any, list[int]]:
    sizes = {spec.name: [-1 if side is None else side for side in spec.shape] for spec in inputs}
    return {port: sizes[port.any_name] for port in network.inputs if port.any_name in sizes}


def _refusal(error: RuntimeError, what: str) -> TargetError:
    """An operator OpenVINO does not know is another kind of failure than a broken file; its name stands far down."""
    unknown = re.search(r"No conversion rule found for operations: ([^\n]+)", str(error))
    if unknown is None:
        return TargetError(f"{what}: {_first_line(error)}")
    return UnsupportedError(f"{what}: it has no operator {unknown[1].strip()}", hint=OTHER_TARGETS)


def _hint(core: Any, precision: str) -> str:
    """Arithmetic of the floats inside: what int8 leaves as floats runs in bfloat16 where that is native."""
    if precision == "int8":
        return _choose_precision(core, "auto")
    return precision


def _choose_precision(core: Any, wanted: Precision) -> str:
    native = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if wanted == "auto":
        return "bf16" if _ABILITIES["bf16"] in native else "f32"
    if wanted == "int8":
        raise TargetError(
            f"{NAME} needs calibration data for int8", hint="fleetsight compile --precision int8, or take auto"
        )
    if wanted != "f32" and _ABILITIES[wanted] not in native:
        raise TargetError(f"{NAME}: this processor has no native {wanted}", hint="take precision f32 or auto")
    return wanted


def _runtime() -> Any:
    # Imported late: 0.3 s that commands without a model need not spend.
    return import_module("openvino")


def _first_line(error: BaseException) -> str:
    """The line of a chained C++ message that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    return (said or lines or [type(error).__name__])[0][:300]
