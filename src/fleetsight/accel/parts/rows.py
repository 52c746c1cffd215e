"""Rows of a batch through a compiled part, whatever batch it was compiled for."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.parts.part import Runner
from fleetsight.accel.session import Arrays


def run_rows(runner: Runner, rows: Arrays, *, whole: Arrays = ()) -> Arrays:
    """Run a part on any number of rows.

    A part with an open batch takes them at once. A part compiled for a fixed batch takes them in chunks; the last one is
    filled up with copies of its first row, whose answers are dropped.

    Args:
        runner: the compiled part.
        rows: inputs whose axis 0 is the batch, all of n >= 1 rows.
        whole: inputs shared by all rows.

    Returns:
        its outputs, n rows each.
    """
    count = len(rows[0])
    batch = _fixed_batch(runner)
    if batch is None or batch == count:
        return runner.run(*rows, *whole)
    answers: list[Arrays] = []
    for start in range(0, count, batch):
        chunk = tuple(array[start : start + batch] for array in rows)
        real = len(chunk[0])
        if real < batch:
            chunk = tuple(_filled(array, batch) for array in chunk)
        answers.append(tuple(output[:real] for output in runner.run(*chunk, *whole)))
    return tuple(np.concatenate(parts) for parts in zip(*answers, strict=True))


def _fixed_batch(runner: Runner) -> int | None:
    specs = getattr(runner, "inputs", ())
    return specs[0].shape[0] if specs and specs[0].shape else None


def _filled(array: NDArray[Any], batch: int) -> NDArray[Any]:
    return np.concatenate([array, np.repeat(array[:1], batch - len(array), axis=0)])
