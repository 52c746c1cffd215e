"""Any number of rows goes through a part of any batch."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fleetsight.accel.graph import TensorSpec
from fleetsight.accel.parts.part import run_rows
from fleetsight.accel.session import Arrays


class Doubling:
    """Answers rows times two plus what is shared, and remembers the batches it saw."""

    def __init__(self, batch: int | None) -> None:
        self.inputs = (TensorSpec("rows", "f32", (batch, 2)), TensorSpec("whole", "f32", (1, 2)))
        self.seen: list[int] = []

    def run(self, *inputs: NDArray[Any]) -> Arrays:
        rows, whole = inputs
        self.seen.append(len(rows))
        return (rows * 2 + whole, rows[:, :1])


@pytest.mark.parametrize(("batch", "seen"), [(None, [5]), (5, [5]), (2, [2, 2, 2]), (8, [8])])
def test_a_fixed_batch_is_filled_up_and_its_filling_dropped(batch: int | None, seen: list[int]) -> None:
    runner = Doubling(batch)
    rows = np.arange(10, dtype=np.float32).reshape(5, 2)
    doubled, first = run_rows(runner, (rows,), whole=(np.ones((1, 2), dtype=np.float32),))
    assert runner.seen == seen
    assert np.array_equal(doubled, rows * 2 + 1)
    assert np.array_equal(first, rows[:, :1])
