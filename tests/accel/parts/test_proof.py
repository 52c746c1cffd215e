"""Figures of parity say what is wrong."""

import numpy as np
import pytest

from fleetsight.accel.parts.proof import compare_outputs


def test_equal_answers_have_cosine_one_and_no_error() -> None:
    answer = np.array([[1.0, -2.0]], dtype=np.float32)
    assert compare_outputs([(answer, answer)]) == {"cosine": pytest.approx(1.0), "relative": 0.0, "max_abs": 0.0}


def test_errors_are_relative_to_the_largest_value() -> None:
    figures = compare_outputs([(np.array([4.0, 0.0]), np.array([4.0, 1.0]))])
    assert figures["relative"] == pytest.approx(0.25)
    assert figures["cosine"] == pytest.approx(4.0 / np.sqrt(17.0))


@pytest.mark.parametrize("wrong", [np.array([np.nan, 1.0]), np.array([np.inf, 1.0]), np.array([1.0])])
def test_answers_that_are_no_numbers_or_of_another_shape_never_pass(
    wrong: "np.ndarray[tuple[int], np.dtype[np.float64]]",
) -> None:
    assert compare_outputs([(np.array([1.0, 1.0]), wrong)])["cosine"] == -1.0


def test_zeros_are_like_zeros_and_unlike_anything_else() -> None:
    zeros, ones = np.zeros(3), np.ones(3)
    assert compare_outputs([(zeros, zeros)])["cosine"] == 1.0
    assert compare_outputs([(ones, zeros)])["cosine"] == 0.0
