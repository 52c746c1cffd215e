"""Boxes, scores and pictures for property tests."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

COORDINATES = st.floats(-200, 800, width=32).map(lambda value: round(value, 2))


def boxes(min_size: int = 0, max_size: int = 12) -> st.SearchStrategy[NDArray[np.float32]]:
    """Any rows of four numbers: also empty and inverted boxes."""
    return st.integers(min_size, max_size).flatmap(
        lambda count: arrays.arrays(np.float32, (count, 4), elements=st.floats(-200, 800, width=32))
    )


def proper_boxes(min_size: int = 0, max_size: int = 12) -> st.SearchStrategy[NDArray[np.float32]]:
    """Boxes at least one pixel wide and high."""

    def proper(rows: NDArray[Any]) -> NDArray[np.float32]:
        corners = rows[:, :2]
        return np.concatenate([corners, corners + np.abs(rows[:, 2:]) + 1.0], axis=1).astype(np.float32)

    return boxes(min_size, max_size).map(proper)
