import numpy as np
import pytest

from fleetsight.vision.detections import Detections
from fleetsight.vision.draw import PALETTE, draw_box, draw_detections, draw_text
from fleetsight.vision.image import Image


def canvas() -> Image:
    return np.zeros((90, 160, 3), dtype=np.uint8)


def found(*rows: list[float]) -> Detections:
    boxes = np.array(rows, dtype=np.float32)
    count = len(boxes)
    return Detections(
        boxes_xyxy_px=boxes, scores=np.full(count, 0.5, dtype=np.float32), labels=np.arange(count, dtype=np.int32)
    )


def test_the_image_itself_is_left_alone() -> None:
    image = canvas()
    drawn = draw_detections(image, found([20, 30, 60, 80]), names=["product"])
    assert not image.any()
    assert tuple(drawn[80, 40]) == PALETTE[0]
    assert drawn.shape == image.shape


def test_views_that_are_not_contiguous_can_be_drawn_on() -> None:
    assert draw_detections(canvas()[:, ::2], found([2, 30, 60, 80]), names=["x"]).any()


@pytest.mark.parametrize("box", [[-50, -50, 500, 500], [np.nan, 0, 5, 5], [0, 0, np.inf, 9], [9, 9, 1, 1]])
def test_boxes_beyond_the_image_are_no_trouble(box: list[float]) -> None:
    image = canvas()
    draw_box(image, box, text="far away")
    assert image.any()


def test_captions_stay_inside_the_image_and_unknown_labels_are_numbers() -> None:
    image = canvas()
    draw_text(image, "a very long caption that does not fit at all", xy_px=(150, -20))
    assert image.any()
    assert draw_detections(canvas(), found([1, 1, 5, 5], [2, 2, 9, 9]), names=["only one, Größe"]).any()
