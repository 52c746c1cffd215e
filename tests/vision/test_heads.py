import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fleetsight.vision.heads import COLUMNS_BEFORE_CLASSES, STRIDES, Decoder, cells, decode, sigmoid
from fleetsight.vision.image import ShapeError

Floats = NDArray[np.float32]
INPUT_WH = (96, 64)
COUNT = 12 * 8 + 6 * 4 + 3 * 2


def blank(columns: int, decoder: Decoder) -> Floats:
    raw = np.zeros((COUNT, columns), dtype=np.float32)
    raw[:, 4:] = 0.0 if decoder == "yolox" else -30.0
    return raw


def test_cells_stand_in_the_order_of_the_output() -> None:
    grid = cells(INPUT_WH)
    assert len(grid) == COUNT
    assert (grid.column[:3].tolist(), grid.row[11:14].tolist()) == ([0, 1, 2], [0, 1, 1])
    assert (grid.stride_px[0], grid.stride_px[96], grid.stride_px[-1]) == (8, 16, 32)
    assert (grid.column[-1], grid.row[-1]) == (2, 1)
    assert len(cells((416, 416))) == 3549


@pytest.mark.parametrize("size", [(100, 64), (96, 50)])
def test_sizes_that_are_no_multiple_of_the_strides_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ShapeError, match="multiple"):
        cells(size)


def test_a_known_yolox_cell() -> None:
    raw = blank(5 + 3, "yolox")
    raw[96 + 6 + 2] = [0.5, 0.25, np.log(2.0), np.log(3.0), 0.8, 0.1, 0.9, 0.3]  # stride 16, column 2, row 1
    found = decode(raw, "yolox", input_wh=INPUT_WH, score_min=0.3)
    np.testing.assert_allclose(found.boxes_xyxy_px, [[40 - 16, 20 - 24, 40 + 16, 20 + 24]], rtol=1e-5)
    assert found.labels.tolist() == [1]
    assert found.scores[0] == pytest.approx(0.72)


def test_a_known_cell_of_our_head() -> None:
    raw = blank(4 + 2, "fleetsight_dense")
    raw[96 + 24 + 4] = [0, np.log(0.5), np.log(2.0), np.log(0.25), -1.0, 2.0]  # stride 32, column 1, row 1
    found = decode(raw, "fleetsight_dense", input_wh=INPUT_WH, score_min=0.3)
    np.testing.assert_allclose(found.boxes_xyxy_px, [[48 - 32, 48 - 16, 48 + 64, 48 + 8]], rtol=1e-5)
    assert found.labels.tolist() == [1]
    assert found.scores[0] == pytest.approx(1 / (1 + np.exp(-2.0)))


def test_distances_are_limited_and_stay_finite() -> None:
    raw = blank(6, "fleetsight_dense")
    raw[0] = [500, 9, 8, -500, 5, 5]
    x1, y1, x2, y2 = decode(raw, "fleetsight_dense", input_wh=INPUT_WH, score_min=0.3).boxes_xyxy_px[0]
    far = np.exp(np.float32(8)) * 8
    assert (x1, y1, x2, y2) == pytest.approx((4 - far, 4 - far, 4 + far, 4), rel=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["yolox", "fleetsight_dense"]), st.integers(0, 1000), st.floats(0.0, 1.0))
def test_dropping_cells_early_changes_nothing(decoder: Decoder, seed: int, score_min: float) -> None:
    rng = np.random.default_rng(seed)
    raw = rng.normal(0.0, 2.0, size=(COUNT, COLUMNS_BEFORE_CLASSES[decoder] + 3)).astype(np.float32)
    if decoder == "yolox":
        raw[:, 4:] = sigmoid(raw[:, 4:])
    everything = decode(raw, decoder, input_wh=INPUT_WH, score_min=0.0)
    assert len(everything) == COUNT
    kept = everything.select(everything.scores >= np.float32(score_min))
    found = decode(raw, decoder, input_wh=INPUT_WH, score_min=score_min)
    np.testing.assert_array_equal(found.boxes_xyxy_px, kept.boxes_xyxy_px)
    np.testing.assert_array_equal(found.scores, kept.scores)
    np.testing.assert_array_equal(found.labels, kept.labels)
    assert ((found.scores >= 0) & (found.scores <= 1)).all()


@pytest.mark.parametrize("decoder", ["yolox", "fleetsight_dense"])
def test_nothing_above_the_score_is_nothing(decoder: Decoder) -> None:
    found = decode(blank(7, decoder), decoder, input_wh=INPUT_WH, score_min=0.3)
    assert len(found) == 0
    assert found.boxes_xyxy_px.shape == (0, 4)


@pytest.mark.parametrize("decoder", ["yolox", "fleetsight_dense"])
def test_numbers_that_are_not_finite_are_dropped(decoder: Decoder) -> None:
    raw = blank(7, decoder)
    raw[:4, 4:] = 0.9
    raw[1, 0] = np.inf if decoder == "yolox" else np.nan
    raw[2, 1] = np.nan
    raw[3, 4:] = np.nan
    found = decode(raw, decoder, input_wh=INPUT_WH, score_min=0.3)
    assert len(found) == 1
    assert np.isfinite(found.boxes_xyxy_px).all()


@pytest.mark.parametrize("shape", [(COUNT + 1, 7), (COUNT, 4), (1, COUNT, 7), (COUNT,)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="head for 96 x 64"):
        decode(np.zeros(shape, dtype=np.float32), "yolox", input_wh=INPUT_WH, score_min=0.3)


def test_other_strides_are_possible() -> None:
    raw = np.zeros((12 * 8, 7), dtype=np.float32)
    raw[:, 4:] = 1.0
    assert len(decode(raw, "yolox", input_wh=INPUT_WH, score_min=0.5, strides=STRIDES[:1])) == 96


@given(st.floats(width=32, allow_nan=False))
def test_the_logistic_function_never_overflows(logit: float) -> None:
    value = float(sigmoid(np.array([logit]))[0])
    assert 0.0 <= value <= 1.0
    if abs(logit) < 20:
        assert value == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-6)
