"""Whether a target really works here: it compiles a tiny network, loads it, runs it, and the answer is compared.

The network (a convolution, a rectifier, a matrix product) is written byte by byte, so that it needs no package, and numpy
knows its answer. Each target is tried in a process of its own: a driver that dies takes nothing else with it.
"""

import json
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.choose import TARGETS, target_module
from fleetsight.accel.graph import Graph
from fleetsight.accel.sources.source import Source
from fleetsight.accel.targets.options import Options
from fleetsight.accel.wire import write_field
from fleetsight.errors import Error

TIME_LIMIT_S = 300
"""Longest trial of one target: a Neuron compile of a tiny network takes under a minute, importing torch several seconds."""

TOLERANCES = {"f32": 1e-4, "bf16": 0.05, "f16": 0.02}
"""Largest difference between answers of about 1 that still counts as right: 24, 8 and 11 bits over 27 and 36 terms."""

_SIDE, _PATCH, _CHANNELS, _ANSWERS = 9, 3, 4, 5

Status = Literal["pass", "fail", "absent"]


@dataclass(frozen=True)
class Finding:
    """How a target did.

    Attributes:
        target: its name.
        status: "pass"; "fail": it is there and does not work; "absent": it, or its chip, is not there.
        reason: what was computed, or what is wrong.
    """

    target: str
    status: Status
    reason: str


def examine_targets(names: tuple[str, ...] = TARGETS) -> Iterator[Finding]:
    """Try targets, one after the other, each in its own process.

    Args:
        names: targets to try.

    Yields:
        a finding for each.
    """
    for name in names:
        code = f"from fleetsight.accel.targets.selftest import tell; tell({name!r})"
        try:
            done = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired:
            yield Finding(target=name, status="fail", reason=f"no answer within {TIME_LIMIT_S} s")
            continue
        yield _read(name, done)


def tell(name: str) -> None:
    """Try one target and print the finding as JSON, for the process that asked.

    Args:
        name: the target.
    """
    sys.stdout.write(json.dumps(asdict(examine(name))) + "\n")


def examine(name: str) -> Finding:
    """Try one target in this process.

    Args:
        name: the target.

    Returns:
        the finding.
    """
    module = target_module(name)
    absent = module.probe()
    if absent is not None:
        return Finding(target=name, status="absent", reason=absent)
    try:
        ways = [
            f"{device} {precision} within {_try(name, precision, device=device):.1g}".strip()
            for device in _devices(module)
            for precision in module.precisions()
            if precision in TOLERANCES
        ]
        return Finding(target=name, status="pass", reason=f"{module.compiler()}: {', '.join(ways)}")
    except Error as error:
        return Finding(target=name, status="fail", reason=str(error))
    # A driver may raise anything; the doctor's duty is to tell it: a named boundary.
    except Exception as error:  # noqa: BLE001
        first = (str(error).strip().splitlines() or [""])[0][:300]
        return Finding(target=name, status="fail", reason=f"{type(error).__name__}: {first}")


class WrongAnswerError(Error):
    """A target computed something else than numpy."""

    code = "target_wrong"


def trial_source() -> Source:
    """The tiny network as a source.

    Returns:
        input (1, 3, 9, 9) float32, output (1, 5).
    """
    graph = Graph.from_onnx("self-test", _onnx(), licence="Apache-2.0", lineage={"source": "made for this test"})
    return Source(
        name=graph.name,
        graph=lambda: graph,
        module=None,
        example=(trial_input(),),
        weights_sha256=graph.sha256,
        licence=graph.licence,
        lineage=graph.lineage,
        model_kind="cnn",
    )


def trial_input() -> NDArray[np.float32]:
    """What the tiny network is asked.

    Returns:
        (1, 3, 9, 9) float32, 0-1, always the same.
    """
    return np.random.default_rng(1).random(size=(1, 3, _SIDE, _SIDE), dtype=np.float32)


def right_answer(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """The tiny network in numpy.

    Args:
        batch: (1, 3, 9, 9) float32.

    Returns:
        (1, 5) float32.
    """
    weight, matrix = _weights()
    cells = _SIDE // _PATCH
    patches = batch[0].reshape(3, cells, _PATCH, cells, _PATCH)
    grid = np.maximum(np.einsum("ciujv,kcuv->kij", patches, weight), 0.0)
    return np.asarray(grid.reshape(1, -1) @ matrix, dtype=np.float32)


def _try(name: str, precision: str, *, device: str) -> float:
    module, batch = target_module(name), trial_input()
    with tempfile.TemporaryDirectory(prefix="fleetsight-doctor-") as folder:
        flags = {"device": device} if device else {}
        module.compile(trial_source(), Options(precision=precision, flags=flags), folder=Path(folder))
        with closing(module.load(Path(folder))) as session:
            (once,) = session.run(batch)
            (found,) = next(iter(session.map([batch])))
    wanted = right_answer(batch) if name != "null" else np.zeros((1, _ANSWERS), dtype=np.float32)
    apart = max(
        float(np.abs(answer - wanted).max()) if answer.shape == wanted.shape else np.inf for answer in (once, found)
    )
    if not apart <= TOLERANCES[precision]:  # a NaN is not below anything
        where = f" on {device}" if device else ""
        raise WrongAnswerError(
            f"{name}{where} in {precision} differs from numpy by {apart:.2g}, at most {TOLERANCES[precision]:g} is expected",
            hint="do not use this target here: its driver or its package is broken",
        )
    return apart


def _devices(module: Any) -> tuple[str, ...]:
    return tuple(module.devices()) if hasattr(module, "devices") else ("",)


def _read(name: str, done: "subprocess.CompletedProcess[str]") -> Finding:
    lines = done.stdout.strip().splitlines()
    try:
        told = json.loads(lines[-1])
        return Finding(target=name, status=told["status"], reason=told["reason"])
    except (IndexError, ValueError, KeyError, TypeError):
        said = (done.stderr.strip().splitlines() or ["no word"])[-1][:300]
        return Finding(target=name, status="fail", reason=f"its process ended with {done.returncode}: {said}")


def _weights() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(2)
    weight = rng.normal(0.0, 0.2, size=(_CHANNELS, 3, _PATCH, _PATCH)).astype(np.float32)
    width = _CHANNELS * (_SIDE // _PATCH) ** 2
    return weight, rng.normal(0.0, 0.2, size=(width, _ANSWERS)).astype(np.float32)


def _onnx() -> bytes:
    """ModelProto by hand: field numbers of onnx/onnx.proto3."""
    weight, matrix = _weights()
    graph = b"".join(
        [
            _node("Conv", ["x", "weight"], "conv", _whole_numbers("strides", [_PATCH, _PATCH])),
            _node("Relu", ["conv"], "bright"),
            _node("Flatten", ["bright"], "flat"),
            _node("MatMul", ["flat", "matrix"], "y"),
            write_field(2, b"self-test"),
            write_field(5, _tensor("weight", weight)),
            write_field(5, _tensor("matrix", matrix)),
            write_field(11, _port("x", (1, 3, _SIDE, _SIDE))),
            write_field(12, _port("y", (1, _ANSWERS))),
        ]
    )
    opset = write_field(1, b"") + write_field(2, 13)
    return write_field(1, 8) + write_field(7, graph) + write_field(8, opset)


def _node(operator: str, inputs: list[str], output: str, attribute: bytes = b"") -> bytes:
    names = b"".join(write_field(1, name.encode()) for name in inputs)
    parts = names + write_field(2, output.encode()) + write_field(4, operator.encode())
    return write_field(1, parts + (write_field(5, attribute) if attribute else b""))


def _whole_numbers(name: str, numbers: list[int]) -> bytes:
    kind = write_field(20, 7)  # AttributeProto.INTS
    return write_field(1, name.encode()) + b"".join(write_field(8, number) for number in numbers) + kind


def _tensor(name: str, values: NDArray[np.float32]) -> bytes:
    sides = b"".join(write_field(1, side) for side in values.shape)
    raw = struct.pack(f"<{values.size}f", *values.ravel().tolist())
    return sides + write_field(2, 1) + write_field(8, name.encode()) + write_field(9, raw)


def _port(name: str, shape: tuple[int, ...]) -> bytes:
    sides = b"".join(write_field(1, write_field(1, side)) for side in shape)
    return write_field(1, name.encode()) + write_field(2, write_field(1, write_field(1, 1) + write_field(2, sides)))
