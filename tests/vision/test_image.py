import numpy as np
import pytest

from fleetsight.vision.image import ShapeError, check_image, crop, size_wh

IMAGE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def test_an_image_passes_unchanged() -> None:
    assert check_image(IMAGE) is IMAGE
    assert size_wh(IMAGE) == (6, 4)


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 4), (0, 6, 3), (4, 0, 3), (1, 4, 6, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="h, w, 3"):
        check_image(np.zeros(shape, dtype=np.uint8))


def test_other_element_types_are_refused() -> None:
    with pytest.raises(ShapeError, match="float32"):
        check_image(IMAGE.astype(np.float32))


def test_a_crop_covers_every_pixel_the_box_touches() -> None:
    found = crop(IMAGE, np.array([1.2, 0.9, 2.1, 2.0], dtype=np.float32))
    assert found is not None
    np.testing.assert_array_equal(found, IMAGE[0:2, 1:3])


@pytest.mark.parametrize(
    "box", [[7, 0, 9, 2], [-5, -5, 0, 0], [3, 3, 3, 3], [4, 2, 1, 1], [np.nan, 0, 1, 1], [0, 0, np.inf, 1]]
)
def test_a_box_that_touches_nothing_has_no_crop(box: list[float]) -> None:
    assert crop(IMAGE, np.array(box, dtype=np.float32)) is None


def test_a_box_larger_than_the_image_gives_the_image() -> None:
    found = crop(IMAGE, np.array([-100, -100, 100, 100], dtype=np.float32))
    assert found is not None
    assert found.shape == IMAGE.shape
    with pytest.raises(ShapeError, match="four numbers"):
        crop(IMAGE, np.zeros(3, dtype=np.float32))
