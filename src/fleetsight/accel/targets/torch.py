"""Torch itself: eager, which is the reference for everything else, and compiled ahead of time; on the processor and CUDA.

Flag `mode`: "eager" runs the network operator by operator; "channels_last" does so with the memory order that suits
convolutions; "aot" compiles it with Inductor into machine code (AOTInductor), which needs a C++ compiler once and no Python
afterwards. Either way an artifact is one `.pt2` file made by `torch.export`.
"""

import copy
import shutil
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
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
    TargetGoneError,
    UnsupportedError,
    check_inputs,
)
from fleetsight.accel.sources.source import Source
from fleetsight.accel.targets.in_flight import run_in_order
from fleetsight.accel.targets.options import Options, check_precision, read_flags
from fleetsight.accel.targets.session_file import SessionFile

NAME = "torch"

MODEL_FILE = "model.pt2"

FLAGS = {"mode": ("eager", "channels_last", "aot"), "device": ("cpu", "cuda")}

IN_FLIGHT = 2
"""Runs at a time in `map`: the second fills the gaps between the layers of the first."""

BATCH_MAX = 4096
"""Largest batch of a network exported with an open one; `torch.export` wants a bound."""

_DTYPES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}


def probe() -> str | None:
    """Whether this target can work here.

    Returns:
        None when it can, else the reason why not.
    """
    try:
        _torch()
    except (ImportError, OSError) as error:
        return f"not installed ({error}): pip install 'fleetsight[compile]'"
    return None


def precisions() -> tuple[str, ...]:
    """Arithmetic on offer here.

    Returns:
        names, without "auto": what the processor or the CUDA device computes natively.
    """
    torch = _torch()
    if torch.cuda.is_available():
        return ("f32", "bf16", "f16") if torch.cuda.is_bf16_supported() else ("f32", "f16")
    return ("f32", "bf16") if torch.ops.mkldnn._is_mkldnn_bf16_supported() else ("f32",)


def devices() -> tuple[str, ...]:
    """Values of the flag `device` that work here.

    Returns:
        names, "cpu" first.
    """
    return FLAGS["device"] if _torch().cuda.is_available() else ("cpu",)


def compiler() -> str:
    """Name and version of the compiler, and the chips.

    Returns:
        one line, such as "torch 2.13.0+cpu cpu AVX512".
    """
    torch = _torch()
    words = [NAME, str(torch.__version__), "cpu", torch.backends.cpu.get_cpu_capability()]
    if torch.cuda.is_available():
        words += ["cuda", str(torch.version.cuda), torch.cuda.get_device_name().replace(" ", "-")]
    return " ".join(words)


def compile(source: Source, options: Options, *, folder: Path) -> None:  # noqa: A001  # the verb of every target
    """Export a model, and compile it where mode "aot" is asked for.

    Args:
        source: the model.
        options: what is asked for; flags `mode` and `device`.
        folder: an empty folder to write into.

    Raises:
        TargetError: torch cannot export or compile it, the device or the compiler is missing.
    """
    check_precision(NAME, options.precision, offered=precisions())
    flags = read_flags(NAME, options.flags, known=FLAGS)
    torch, device = _torch(), _device(flags["device"])
    if flags["mode"] == "aot":
        check_cpp_compiler()
    graph = source.graph().at_batch(options.batch)
    network = network_of(source, options.precision)
    if device.type != "cpu":
        network = copy.deepcopy(network).to(device)
    example, dynamic = example_for(source, graph, device=device)
    try:
        with torch.no_grad(), quiet():
            program = torch.export.export(network, example, dynamic_shapes=dynamic)
            if flags["mode"] == "aot":
                torch._inductor.aoti_compile_and_package(program, package_path=str(folder / MODEL_FILE))
            else:
                torch.export.save(program, folder / MODEL_FILE)
    # The exporter and Inductor have dozens of errors of their own without a parent: a named boundary.
    except Exception as error:
        (folder / MODEL_FILE).unlink(missing_ok=True)
        raise TargetError(
            f"{NAME} cannot compile {source.name!r}: {_first_line(error)}",
            hint="fix the batch, or make the module's control flow independent of its inputs",
        ) from error
    plan = SessionFile(
        target=NAME, precision=options.precision, inputs=graph.inputs, outputs=graph.outputs, settings=flags
    )
    plan.save(folder)


def load(folder: Path, *, streams: int | None = None, threads: int | None = None) -> "TorchSession":
    """Open a compiled model.

    Args:
        folder: what `compile` wrote; mode "aot" runs native code from it, so check its signature first.
        streams: runs at a time in `map`; None: `IN_FLIGHT`.
        threads: most threads over all streams; None: torch's own choice. Torch keeps this number for the whole process.

    Returns:
        an open session.

    Raises:
        TargetError: torch cannot read the folder, or the device is missing.
    """
    torch = _torch()
    plan = SessionFile.load(folder, NAME)
    device, mode = _device(plan.settings["device"]), plan.settings["mode"]
    path = folder / MODEL_FILE
    try:
        with quiet():
            if mode == "aot":
                package = import_module("torch._inductor.package")
                run = package.load_package(str(path), num_runners=streams or IN_FLIGHT)
            else:
                run = torch.export.load(path).module()
                if mode == "channels_last":
                    run.to(memory_format=torch.channels_last)
    # A damaged archive fails in many ways, none with a parent of its own: a named boundary.
    except Exception as error:
        raise TargetError(f"{NAME} cannot read {path}: {_first_line(error)}", hint="compile it again") from error
    session = TorchSession(run, plan.inputs, plan.outputs, device=device, lanes=(streams, threads))
    session.precision = plan.precision
    session.is_channels_last = mode == "channels_last"
    return session


def open_model(model: PortableModel, *, precision: Precision = "auto", threads: int | None = None) -> "TorchSession":
    """Open a model, eager: its graph is interpreted.

    Args:
        model: the checked model.
        precision: "auto" is f32.
        threads: most threads to use; None: torch's own choice.

    Returns:
        an open session.

    Raises:
        TargetError: torch lacks an operator or the precision.
    """
    wanted = "f32" if precision == "auto" else precision
    check_precision(NAME, wanted, offered=precisions())
    graph = model.graph.at_batch(1)
    network = wrapped(interpreted(graph), wanted)
    session = TorchSession(network, graph.inputs, graph.outputs, device=_device("cpu"), lanes=(None, threads))
    session.precision = wanted
    return session


def check_cpp_compiler() -> str:
    """Find the C++ compiler that AOTInductor needs.

    Returns:
        its path.

    Raises:
        TargetError: there is none.
    """
    chosen = import_module("torch._inductor.config").cpp.cxx
    names = [name for name in (chosen if isinstance(chosen, tuple) else (chosen,)) if name]
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        raise TargetError(
            f"{NAME} mode aot needs a C++ compiler, {' and '.join(names)} are not there",
            hint="apt-get install g++, set CXX, or take mode=eager",
        )
    return found


class TorchSession:
    """A network that torch runs.

    Args:
        run: takes and answers tensors.
        inputs: what it takes.
        outputs: what it answers.
        device: torch's device.
        lanes: runs at a time in `map`, and most threads over all of them; None: `IN_FLIGHT`, and torch's own choice.

    Attributes:
        target: "torch".
        precision: arithmetic inside.
        inputs: what it takes.
        outputs: what it answers.
        is_channels_last: whether pictures are handed over with the channels last in memory.
    """

    def __init__(
        self,
        run: Callable[..., Any],
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        *,
        device: Any,
        lanes: tuple[int | None, int | None] = (None, None),
    ) -> None:
        self.target = NAME
        self.precision = "f32"
        self.inputs = inputs
        self.outputs = outputs
        self.is_channels_last = False
        self._run: Callable[..., Any] | None = run
        self._device = device
        streams, threads = lanes
        self._workers = streams or IN_FLIGHT
        self._threads = None if threads is None else max(1, threads // (streams or 1))

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the first input."""
        return self.inputs[0].shape

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
            TargetError: torch failed.
        """
        torch = _torch()
        ready = check_inputs(inputs, self.inputs)
        network = self._run
        if network is None:
            raise ClosedError(f"the {NAME} session is closed")
        if self._threads is not None and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        try:
            with torch.inference_mode():
                found = network(*(self._tensor(array) for array in ready))
                parts = found if isinstance(found, tuple | list) else (found,)
                return tuple(
                    np.array(
                        (part.float() if part.is_floating_point() else part).cpu().numpy(), dtype=spec.answer_dtype
                    )
                    for part, spec in zip(parts, self.outputs, strict=True)
                )
        except torch.OutOfMemoryError as error:
            raise TargetError(f"{NAME} is out of memory: {_first_line(error)}", hint="take a smaller batch") from error
        except (RuntimeError, ValueError, AttributeError, AssertionError) as error:
            kind = TargetGoneError if "CUDA error" in str(error) else TargetError
            raise kind(f"{NAME} failed: {_first_line(error)}") from error

    def map(self, batches: Iterable[NDArray[Any] | Arrays]) -> Iterator[Arrays]:
        """Run many batches with several in flight; answers come in order.

        Args:
            batches: each one array, or one for each input; not changed before its answer came.

        Yields:
            the outputs for each batch.

        Raises:
            ShapeError: an input has another shape or element type.
            ClosedError: the session was closed.
            TargetError: torch failed.
        """
        if self._run is None:
            raise ClosedError(f"the {NAME} session is closed")
        yield from run_in_order(self.run, batches, workers=self._workers, name=NAME)

    def close(self) -> None:
        """Give the memory back; a second call does nothing."""
        self._run = None

    def _tensor(self, array: NDArray[Any]) -> Any:
        torch = _torch()
        # A copy where the array is read-only: torch warns about those.
        tensor = torch.from_numpy(array if array.flags.writeable else array.copy()).to(self._device)
        if self.is_channels_last and tensor.dim() == 4:
            return tensor.contiguous(memory_format=torch.channels_last)
        return tensor


def network_of(source: Source, precision: str) -> Any:
    """The torch module of a source, as targets compile it.

    Args:
        source: the model.
        precision: arithmetic of its floats.

    Returns:
        a module that takes float32 and whole numbers and answers a tuple of them.

    Raises:
        TargetError: only the graph is known and torch lacks one of its operators.
    """
    module = interpreted(source.graph()) if source.module is None else source.module().eval()
    return wrapped(module, precision)


def wrapped(module: Any, precision: str) -> Any:
    """A module with its floats in another arithmetic; what it takes and answers stays float32.

    Args:
        module: any module that answers a tensor or a row of them.
        precision: arithmetic of its floats.

    Returns:
        a module that answers a tuple.
    """
    torch = _torch()
    kind = getattr(torch, _DTYPES[precision])

    class Cast(torch.nn.Module):  # type: ignore[name-defined, misc]  # torch is imported late
        def __init__(self) -> None:
            super().__init__()
            # A copy where it changes: the source may hand out the same module again.
            self.inner = module if precision == "f32" else copy.deepcopy(module).to(kind)

        def forward(self, *inputs: Any) -> Any:
            told = [tensor.to(kind) if tensor.is_floating_point() else tensor for tensor in inputs]
            found = self.inner(*told)
            parts = found if isinstance(found, tuple | list) else (found,)
            return tuple(part.float() if part.is_floating_point() else part for part in parts)

    return Cast().eval()


def interpreted(graph: Graph) -> Any:
    """A graph as a torch module.

    Args:
        graph: the checked graph.

    Returns:
        the module, in eval mode.

    Raises:
        TargetError: torch lacks one of its operators.
    """
    return import_module("fleetsight.accel.sources.onnx_module").OnnxModule(graph)


def example_for(source: Source, graph: Graph, *, device: Any) -> tuple[tuple[Any, ...], Any]:
    """Inputs of the size to export for, and which of their axes stay open.

    Args:
        source: the model, with its example inputs.
        graph: its graph at the wanted batch.
        device: torch's device.

    Returns:
        tensors: one for each input; two rows where the batch is open, because the exporter takes a one for a constant.
        dynamic: the open axes, as `torch.export` wants them told.
    """
    torch = _torch()
    size = torch.export.Dim("batch", min=1, max=BATCH_MAX)
    tensors, dynamic = [], []
    for index, spec in enumerate(graph.inputs):
        given = source.example[index] if index < len(source.example) else None
        rows = 2 if spec.has_open_batch else spec.shape[0] if spec.shape else None
        array = np.zeros([side or 1 for side in spec.shape], dtype=spec.dtype) if given is None else given
        if rows is not None and len(array) != rows:
            array = np.repeat(array[:1], rows, axis=0)
        tensors.append(torch.from_numpy(np.array(array, dtype=spec.dtype)).to(device))
        dynamic.append({0: size} if spec.has_open_batch else None)
    # Cast takes all of its inputs as one row of arguments.
    return tuple(tensors), (tuple(dynamic),)


def _device(name: str) -> Any:
    torch = _torch()
    if name == "cuda" and not torch.cuda.is_available():
        raise UnsupportedError(f"{NAME} finds no CUDA device", hint=f"take device=cpu; {OTHER_TARGETS}")
    return torch.device(name)


@contextmanager
def quiet() -> Iterator[None]:
    """Torch's own deprecations are no news to a user, and what it prints is no data.

    Yields:
        nothing; inside the block warnings are ignored and prints go to stderr.
    """
    with warnings.catch_warnings(), redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        yield


def _torch() -> Any:
    # Imported late: seconds and hundreds of megabytes that serving does not spend.
    return import_module("torch")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
