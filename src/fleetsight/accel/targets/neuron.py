"""AWS Neuron (Inferentia 2, Trainium): `torch_neuronx.trace`, written against its documented interface.

Tested with a stand-in that imitates that interface (tests/accel/neuron_standin); not yet run on the real chip. The package
comes from AWS's own index only: the one of the same name on PyPI is a placeholder that refuses to be imported. A compile
needs no chip, running does.

Data parallel: a network with an open batch is split over the cores (`DataParallel`), one with a fixed batch is replicated
and its requests go round (`set_neuron_cores`). What fails for good at run time is a `TargetGoneError`; going on elsewhere is
the caller's part.
"""

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.graph import TensorSpec
from fleetsight.accel.portable import PortableModel
from fleetsight.accel.session import Arrays, ClosedError, Precision, TargetError, UnsupportedError, check_inputs
from fleetsight.accel.sources.source import Source
from fleetsight.accel.targets import torch as torch_target
from fleetsight.accel.targets.in_flight import run_in_order
from fleetsight.accel.targets.neuron_status import error_of_compiler, error_of_runtime
from fleetsight.accel.targets.options import Options, check_precision, read_flags
from fleetsight.accel.targets.session_file import SessionFile

NAME = "neuron"

MODEL_FILE = "model.neuron"

WORKERS_PER_CORE = 2
"""Requests in flight for each core, as `DataParallel` itself takes: one computes while the next one's inputs travel."""

FLAGS = {
    "auto_cast": ("matmult", "none", "all"),
    "auto_cast_type": ("bf16", "fp16", "tf32", "fp8_e4m3"),
    "optlevel": ("2", "1", "3"),
    "model_type": ("auto", "generic", "transformer", "unet-inference"),
    "instance": ("inf2", "trn1", "trn1n", "trn2"),
    "weights": ("inline", "separate"),
    "loading": ("plain", "lazy", "async"),
    "trace_batch": ("1", "2", "4", "8", "16", "32", "64"),
}
"""Switches of neuronx-cc and `trace`, the default first. `trace_batch` is the size an open batch is cut into. fp8_e4m3 is valid
for the compiler but known to fail on convolutional detectors (aws-neuron-sdk #680): let the accuracy gate decide."""

_CAST_OF_PRECISION = {"bf16": "bf16", "f16": "fp16"}

_INDEX = "https://pip.repos.neuron.amazonaws.com"

_PLACEHOLDER = "WRONG PACKAGE"
"""How the ImportError of the placeholder on PyPI begins."""


def probe() -> str | None:
    """Whether this target can work here.

    Returns:
        None when it can, else the reason why not; a compile without a chip may still be possible (`probe_compiler`).
    """
    absent = probe_compiler()
    if absent is not None:
        return absent
    return None if device_files() else "no Neuron device here (/dev/neuron*): it can compile, not run"


def probe_compiler() -> str | None:
    """Whether this target can compile here, with a chip or without.

    Returns:
        None when it can, else the reason why not.
    """
    try:
        _neuronx()
    except TargetError as error:
        return str(error)
    return None


def chip() -> str:
    """What a compiled file depends on: not on the processor of the machine that compiled it.

    Returns:
        always the same; which generation is told by the flag `instance`.
    """
    return "AWS Neuron"


def precisions() -> tuple[str, ...]:
    """Arithmetic on offer.

    Returns:
        names, without "auto"; tf32 and fp8_e4m3 are reached by the flag `auto_cast_type` alone.
    """
    return ("f32", *_CAST_OF_PRECISION)


def compiler() -> str:
    """Name and version of the compiler.

    Returns:
        one line, such as "neuron torch_neuronx 2.9.0 neuronx-cc 2.27".

    Raises:
        TargetError: the Neuron packages are not installed.
    """
    try:
        backend = version("neuronx-cc")
    except PackageNotFoundError:
        backend = "unknown"
    return f"{NAME} torch_neuronx {_neuronx().__version__} neuronx-cc {backend}"


def device_files(folder: Path = Path("/dev")) -> tuple[Path, ...]:
    """The Neuron chips that the kernel shows.

    Args:
        folder: where device files lie.

    Returns:
        their paths, sorted.
    """
    return tuple(sorted(folder.glob("neuron*")))


def compile(source: Source, options: Options, *, folder: Path) -> None:  # noqa: A001  # the verb of every target
    """Trace and compile a model; needs no chip.

    Args:
        source: the model.
        options: what is asked for; flags as in `FLAGS`.
        folder: an empty folder to write into.

    Raises:
        UnsupportedError: the compiler lacks an operator.
        TargetError: the packages are missing, flags contradict each other, or the compile fails.
    """
    flags = _flags(options)
    torch = import_module("torch")
    neuronx = _neuronx()
    graph = source.graph().at_batch(options.batch)
    traced = graph.at_batch(int(flags["trace_batch"])) if graph.has_open_batch else graph
    example, _ = torch_target.example_for(source, traced, device=torch.device("cpu"))
    script = _trace(torch_target.network_of(source, "f32"), example, flags)
    if graph.has_open_batch:
        neuronx.dynamic_batch(script)
    # Both are remembered in the file: they must come after the trace and before the save.
    if flags["loading"] == "lazy":
        neuronx.lazy_load(script)
    elif flags["loading"] == "async":
        neuronx.async_load(script)
    with torch_target.quiet():
        torch.jit.save(script, str(folder / MODEL_FILE))
    plan = SessionFile(
        target=NAME, precision=_precision(flags), inputs=graph.inputs, outputs=graph.outputs, settings=flags
    )
    plan.save(folder)


def load(
    folder: Path, *, streams: int | None = None, threads: int | None = None, first_core: int | None = None
) -> "NeuronSession":
    """Open a compiled model on Neuron cores.

    Args:
        folder: what `compile` wrote.
        streams: cores to use side by side; None: one.
        threads: ignored, the cores are not the processor's.
        first_core: the first core to use, counted from 0 in this process; None: the next free one.

    Returns:
        an open session.

    Raises:
        TargetError: the packages are missing, the file is damaged, or too few cores are free.
    """
    del threads
    plan = SessionFile.load(folder, NAME)
    torch, neuronx = import_module("torch"), _neuronx()
    cores = streams or 1
    try:
        with torch_target.quiet():
            script = torch.jit.load(str(folder / MODEL_FILE))
        runner = script
        if plan.inputs[0].has_open_batch and cores > 1:
            parallel = getattr(neuronx, "DataParallel", None) or torch.neuron.DataParallel
            start = first_core or 0
            runner = parallel(script, device_ids=list(range(start, start + cores)), dim=0)
        elif plan.settings["weights"] == "separate" and cores == 1:
            # Weights outside the compiled file stay on the host until they are moved.
            neuronx.move_trace_to_device(script, first_core or 0)
        elif cores > 1 or first_core is not None:
            neuronx.set_neuron_cores(script, start_nc=first_core or 0, nc_count=cores)
    except (RuntimeError, ValueError, OSError) as error:
        raise error_of_runtime(error, f"{NAME} cannot load {folder}") from error
    return NeuronSession(runner, script, plan, cores=cores)


def open_model(model: PortableModel, *, precision: Precision = "auto", threads: int | None = None) -> "NeuronSession":
    """Trace a model and keep it in memory: minutes on a real chip, so artifacts are the better way.

    Args:
        model: the checked model.
        precision: "auto" casts the operands of matrix products to bfloat16.
        threads: ignored.

    Returns:
        an open session.

    Raises:
        TargetError: the packages are missing, or the compile fails.
    """
    del threads
    graph = model.graph.at_batch(1)
    flags = _flags(Options(precision="bf16" if precision == "auto" else precision))
    torch = import_module("torch")
    example = tuple(torch.zeros([side or 1 for side in spec.shape]) for spec in graph.inputs)
    script = _trace(torch_target.wrapped(torch_target.interpreted(graph), "f32"), example, flags)
    plan = SessionFile(
        target=NAME, precision=_precision(flags), inputs=graph.inputs, outputs=graph.outputs, settings=flags
    )
    return NeuronSession(script, script, plan, cores=1)


class NeuronSession:
    """A network on Neuron cores; takes and answers arrays of the host.

    Args:
        runner: the script, or what spreads it over several cores.
        script: the loaded script.
        plan: what it takes and answers.
        cores: cores in use.

    Attributes:
        target: "neuron".
        precision: arithmetic inside.
        inputs: what it takes.
        outputs: what it answers.
    """

    def __init__(self, runner: Any, script: Any, plan: SessionFile, *, cores: int) -> None:
        self.target = NAME
        self.precision = plan.precision
        self.inputs: tuple[TensorSpec, ...] = plan.inputs
        self.outputs: tuple[TensorSpec, ...] = plan.outputs
        self._runner: Any = runner
        self._script = script
        self._settings = plan.settings
        self._workers = WORKERS_PER_CORE * cores

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
            NumericalError: the chip reports numbers that are not finite.
            TargetGoneError: the chip failed for good.
            TargetError: the run failed.
        """
        torch = import_module("torch")
        ready = check_inputs(inputs, self.inputs)
        runner = self._runner
        if runner is None:
            raise ClosedError(f"the {NAME} session is closed")
        try:
            found = runner(*(torch.from_numpy(a if a.flags.writeable else a.copy()) for a in ready))
        except (RuntimeError, ValueError) as error:
            raise error_of_runtime(error, f"{NAME} failed") from error
        parts = found if isinstance(found, tuple | list) else (found,)
        return tuple(
            np.array(part.detach().numpy(), dtype=spec.answer_dtype)
            for part, spec in zip(parts, self.outputs, strict=True)
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
            TargetError: the run failed.
        """
        if self._runner is None:
            raise ClosedError(f"the {NAME} session is closed")
        yield from run_in_order(self.run, batches, workers=self._workers, name=NAME)

    def replace_weights(self, source: Source) -> None:
        """Take the weights of another training of the same network, without a compile.

        Args:
            source: the same network with other weights.

        Raises:
            TargetError: the weights were compiled into the network, or they do not fit.
        """
        if self._settings["weights"] != "separate":
            raise TargetError(
                f"{NAME}: these weights are part of the compiled network", hint="compile with weights=separate"
            )
        try:
            _neuronx().replace_weights(self._script, torch_target.network_of(source, "f32"))
        except (RuntimeError, ValueError, KeyError) as error:
            raise error_of_runtime(error, f"{NAME} cannot take the weights of {source.name!r}") from error

    def close(self) -> None:
        """Give the memory back; a second call does nothing. The cores stay with this process until it ends."""
        self._runner = self._script = None


def compiler_args(flags: Mapping[str, str]) -> list[str]:
    """The command line of neuronx-cc.

    Args:
        flags: a value for each of `FLAGS`.

    Returns:
        words for `trace(compiler_args=...)`.
    """
    words = ["--target", flags["instance"], "--model-type", flags["model_type"], "--auto-cast", flags["auto_cast"]]
    if flags["auto_cast"] != "none":
        words += ["--auto-cast-type", flags["auto_cast_type"]]
    return [*words, "--optlevel", flags["optlevel"]]


def _flags(options: Options) -> dict[str, str]:
    """The switches, with those that the precision and the kind of model decide."""
    check_precision(NAME, options.precision, offered=precisions())
    told, wanted = options.flags, options.precision
    flags = read_flags(NAME, told, known=FLAGS)
    if wanted == "f32" and not {"auto_cast", "auto_cast_type"} & set(told):
        flags["auto_cast"] = "none"
    if wanted != "f32":
        cast = _CAST_OF_PRECISION[wanted]
        if flags["auto_cast"] == "none" or told.get("auto_cast_type", cast) != cast:
            raise TargetError(
                f"{NAME}: precision {wanted} and auto_cast={flags['auto_cast']}, auto_cast_type="
                f"{flags['auto_cast_type']} contradict each other",
                hint="leave out the precision, or the flags",
            )
        flags["auto_cast_type"] = cast
    if flags["model_type"] == "auto":
        flags["model_type"] = "transformer" if options.model_kind == "transformer" else "generic"
    if options.batch is None and flags["weights"] == "separate":
        raise TargetError(
            f"{NAME}: an open batch needs the weights inside the network", hint="take weights=inline, or fix the batch"
        )
    return flags


def _precision(flags: Mapping[str, str]) -> str:
    if flags["auto_cast"] == "none":
        return "f32"
    names = {cast: name for name, cast in _CAST_OF_PRECISION.items()}
    return names.get(flags["auto_cast_type"], flags["auto_cast_type"])


def _trace(network: Any, example: tuple[Any, ...], flags: Mapping[str, str]) -> Any:
    told: dict[str, Any] = {
        "compiler_args": compiler_args(flags),
        "inline_weights_to_neff": flags["weights"] == "inline",
    }
    if not device_files():
        told["cpu_backend"] = True
    try:
        with torch_target.quiet():
            return _neuronx().trace(network, example, **told)
    except (RuntimeError, ValueError) as error:
        raise error_of_compiler(error, f"{NAME} cannot compile the model") from error


def _neuronx() -> Any:
    try:
        return import_module("torch_neuronx")
    except ImportError as error:
        found = (
            "the torch-neuronx of PyPI is a placeholder"
            if _PLACEHOLDER in str(error)
            else f"torch-neuronx is not installed ({error})"
        )
        raise UnsupportedError(
            found, hint=f"pip install --extra-index-url {_INDEX} torch-neuronx neuronx-cc, on Python 3.11 to 3.13"
        ) from error
