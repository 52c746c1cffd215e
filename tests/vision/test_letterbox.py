import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetsight.vision.box import area
from fleetsight.vision.image import ShapeError
from fleetsight.vision.letterbox import Letterbox, Place, fit, letterbox

SIDES = st.integers(1, 2000)
PLACES = st.sampled_from(["top_left", "centre"])


@given(SIDES, SIDES, SIDES, SIDES, PLACES)
def test_the_picture_lies_on_the_canvas_and_touches_two_sides(
    width: int, height: int, canvas_width: int, canvas_height: int, place: Place
) -> None:
    box = fit((width, height), (canvas_width, canvas_height), place=place)
    (left, top), (across, down) = box.offset_xy, box.content_wh
    assert left >= 0
    assert top >= 0
    assert 1 <= across <= canvas_width - left
    assert 1 <= down <= canvas_height - top
    assert across == canvas_width or down == canvas_height
    if place == "top_left":
        assert (left, top) == (0, 0)
    else:
        assert abs(canvas_width - across - 2 * left) <= 1


@given(SIDES, SIDES, SIDES, SIDES, PLACES, st.floats(0, 1), st.floats(0, 1))
def test_the_way_back_is_exact_to_half_a_pixel(
    width: int, height: int, canvas_width: int, canvas_height: int, place: Place, x: float, y: float
) -> None:
    box = fit((width, height), (canvas_width, canvas_height), place=place)
    point = np.array([[x * width, y * height]])
    np.testing.assert_allclose(box.points_to_image(box.points_to_canvas(point)), point, atol=0.5)


@given(SIDES, SIDES, st.integers(8, 1000), st.integers(8, 1000), PLACES)
def test_the_whole_image_maps_to_the_whole_picture(
    width: int, height: int, canvas_width: int, canvas_height: int, place: Place
) -> None:
    box = fit((width, height), (canvas_width, canvas_height), place=place)
    whole = np.array([[0, 0, width, height]], dtype=np.float32)
    (left, top), (across, down) = box.offset_xy, box.content_wh
    np.testing.assert_allclose(box.boxes_to_canvas(whole), [[left, top, left + across, top + down]], atol=1e-2)
    np.testing.assert_allclose(box.boxes_to_image(box.boxes_to_canvas(whole)), whole, atol=0.5)


def test_aspect_is_kept() -> None:
    assert fit((640, 360), (416, 416)).content_wh == (416, 234)
    assert fit((1280, 720), (416, 256)).content_wh == (416, 234)
    assert fit((360, 640), (416, 416), place="centre") == Letterbox((360, 640), (416, 416), (234, 416), (91, 0))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), PLACES, st.booleans())
def test_pixels_go_where_the_arithmetic_says(
    width: int, height: int, canvas_width: int, canvas_height: int, place: Place, smooth: bool
) -> None:
    image = np.full((height, width, 3), (10, 200, 90), dtype=np.uint8)
    canvas, box = letterbox(image, (canvas_width, canvas_height), place=place, pad_value=77, smooth=smooth)
    (left, top), (across, down) = box.offset_xy, box.content_wh
    expected = np.full((canvas_height, canvas_width, 3), 77, dtype=np.uint8)
    expected[top : top + down, left : left + across] = (10, 200, 90)
    np.testing.assert_array_equal(canvas, expected)


def test_an_image_of_the_canvas_size_is_copied() -> None:
    image = np.random.default_rng(0).integers(0, 256, size=(9, 7, 3), dtype=np.uint8)
    canvas, _ = letterbox(image, (7, 9))
    np.testing.assert_array_equal(canvas, image)
    assert not np.shares_memory(canvas, image)


def test_a_bright_dot_is_found_again_where_it_was() -> None:
    image = np.zeros((360, 640, 3), dtype=np.uint8)
    image[200:220, 500:520] = 255
    canvas, box = letterbox(image, (416, 256), pad_value=0, place="centre")
    rows, columns = np.nonzero(canvas[..., 0] > 127)
    found = box.points_to_image(np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]]))
    np.testing.assert_allclose(found, [[500, 200], [520, 220]], atol=1.0)


def test_smooth_shrinking_averages_stripes_away() -> None:
    image = np.zeros((80, 80, 3), dtype=np.uint8)
    image[:, ::2] = 200
    smooth, _ = letterbox(image, (10, 10), smooth=True)
    assert np.abs(smooth.astype(int) - 100).max() <= 1


def test_a_view_of_an_image_is_as_good_as_a_copy() -> None:
    image = np.random.default_rng(1).integers(0, 256, size=(50, 70, 3), dtype=np.uint8)
    view = image[5:45, 10:60]
    np.testing.assert_array_equal(letterbox(view, (32, 32))[0], letterbox(view.copy(), (32, 32))[0])


def test_boxes_in_the_padding_become_empty() -> None:
    box = fit((640, 360), (416, 416))
    assert area(box.boxes_to_image(np.array([[10, 300, 50, 400]], dtype=np.float32))).tolist() == [0]


@pytest.mark.parametrize("sides", [((0, 5), (5, 5)), ((5, 5), (5, 0)), ((-1, 5), (5, 5))])
def test_sides_below_one_are_refused(sides: tuple[tuple[int, int], tuple[int, int]]) -> None:
    with pytest.raises(ShapeError, match=">= 1"):
        fit(*sides)
