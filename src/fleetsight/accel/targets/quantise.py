"""Float networks to int8 after training, with NNCF: real inputs decide the ranges, and an accuracy guard what stays float.

Sizes are folded to constants first: an export with open sizes carries hundreds of nodes that only compute shapes, and NNCF
places its quantisers badly around them.
"""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

import numpy as np

from fleetsight.accel.graph import TensorSpec
from fleetsight.accel.session import Arrays, Session, TargetError, check_inputs
from fleetsight.accel.targets.options import Options

SAMPLES_MAX = 300
"""Most calibration samples that are used; NNCF's own default."""


def quantise_openvino(
    network: Any, options: Options, *, specs: Sequence[TensorSpec], open_network: Callable[[Any], Session]
) -> Any:
    """Quantise OpenVINO's model.

    Args:
        network: OpenVINO's model; its sizes are folded in place.
        options: calibration data, accuracy guard, kind of model.
        specs: the inputs.
        open_network: opens OpenVINO's compiled model as a session, for the guard.

    Returns:
        the quantised model.

    Raises:
        TargetError: there is no calibration data, NNCF is missing, or it cannot quantise the model.
        ShapeError: the calibration data does not fit the network.
    """
    fold_sizes(network)
    samples = calibration_batches(options, specs)
    return _quantise(network, [list(sample) for sample in samples], options, open_network=open_network)


def quantise_onnx(onnx_bytes: bytes, options: Options, *, specs: Sequence[TensorSpec]) -> bytes:
    """Quantise an ONNX file into one with pairs of QuantizeLinear and DequantizeLinear.

    Args:
        onnx_bytes: the float file.
        options: calibration data and kind of model; the accuracy guard needs OpenVINO.
        specs: the inputs.

    Returns:
        the int8 file.

    Raises:
        TargetError: there is no calibration data, an accuracy guard is asked for, NNCF is missing or cannot quantise it.
        ShapeError: the calibration data does not fit the network.
    """
    if options.accuracy is not None:
        raise TargetError("the accuracy guard works on OpenVINO's models", hint="take target openvino")
    import onnx

    names = [spec.name for spec in specs]
    samples = calibration_batches(options, specs)
    feeds = [dict(zip(names, sample, strict=True)) for sample in samples]
    found = _quantise(onnx.load_from_string(onnx_bytes), feeds, options, open_network=None)
    return bytes(found.SerializeToString())


def calibration_batches(options: Options, specs: Sequence[TensorSpec]) -> tuple[Arrays, ...]:
    """The calibration data in the batches that a network takes.

    Args:
        options: samples of batch 1, or of the network's own batch.
        specs: the network's inputs.

    Returns:
        batches; samples are joined, and the last batch filled up from the first samples.

    Raises:
        TargetError: there is none.
        ShapeError: it does not fit.
    """
    samples = options.calibration[:SAMPLES_MAX]
    if not samples:
        raise TargetError(
            "int8 needs real inputs to find the ranges of its numbers, none are given",
            hint="give pictures with --calibration FOLDER; 100 to 300 are enough",
        )
    batch = options.batch or 1
    if batch == 1 or len(samples[0][0]) == batch:
        return tuple(check_inputs(sample, specs) for sample in samples)
    groups = [
        [samples[(start + step) % len(samples)] for step in range(batch)] for start in range(0, len(samples), batch)
    ]
    joined = (tuple(np.concatenate(parts) for parts in zip(*group, strict=True)) for group in groups)
    return tuple(check_inputs(sample, specs) for sample in joined)


def fold_sizes(network: Any) -> None:
    """Replace what only computes sizes by constants, as far as the network's sizes are fixed.

    Args:
        network: OpenVINO's model, changed in place.
    """
    from openvino.passes import ConstantFolding, Manager

    passes = Manager()
    passes.register_pass(ConstantFolding())
    passes.run_passes(network)


def _quantise(
    network: Any, samples: list[Any], options: Options, *, open_network: Callable[[Any], Session] | None
) -> Any:
    try:
        import nncf
    except ImportError as error:
        raise TargetError(f"int8 needs NNCF: {error}", hint="pip install 'fleetsight[compile]'") from error
    kind = nncf.ModelType.TRANSFORMER if options.model_kind == "transformer" else None
    dataset = nncf.Dataset(samples)
    # The exact correction costs seconds for a convolutional net and moves boxes a third as far (docs/adr/0015).
    how = {"model_type": kind, "subset_size": len(samples), "fast_bias_correction": kind is not None}
    accuracy = options.accuracy
    try:
        with _talk_on_stderr(nncf):
            if accuracy is None or open_network is None:
                return nncf.quantize(network, dataset, **how)
            measure, opened = accuracy, open_network

            def validate(compiled: Any, _: Iterable[Any]) -> tuple[float, None]:
                return float(measure(opened(compiled))), None

            return nncf.quantize_with_accuracy_control(
                network,
                calibration_dataset=dataset,
                validation_dataset=dataset,
                validation_fn=validate,
                max_drop=options.max_drop,
                drop_type=nncf.DropType.ABSOLUTE,
                **how,
            )
    # NNCF's own errors, those of the run time and RuntimeError have no narrower parent: a named boundary.
    except Exception as error:
        if isinstance(error, TargetError):
            raise
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise TargetError(f"int8 fails for this network: {first}", hint="take precision bf16 or f32") from error


@contextmanager
def _talk_on_stderr(nncf: Any) -> Iterator[None]:
    """NNCF draws its progress on stdout, which is for data."""
    nncf.set_log_level(logging.ERROR)
    with redirect_stdout(sys.stderr):
        yield
