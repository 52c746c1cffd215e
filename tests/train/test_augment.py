import numpy as np
import pytest

from fleetsight.train.augment import SceneBoxes, vary_crop, vary_light, vary_scene

CANVAS_WH = (416, 256)
NOTHING = np.zeros((0, 4), dtype=np.float32)


def _white_box_scene() -> tuple["np.typing.NDArray[np.uint8]", SceneBoxes]:
    image = np.full((360, 640, 3), 40, dtype=np.uint8)
    image[120:240, 250:400] = 230
    boxes = np.array([[250, 120, 400, 240]], dtype=np.float32)
    return image, SceneBoxes(boxes, np.zeros(1, dtype=np.int32), NOTHING)


def test_boxes_follow_their_pixels() -> None:
    errors = []
    for seed in range(40):
        image, scene = _white_box_scene()
        out, moved = vary_scene(image, scene, rng=np.random.default_rng(seed), canvas_wh=CANVAS_WH)
        if not len(moved.boxes):
            continue
        x0, y0, x1, y1 = moved.boxes[0]
        middle = out[round((y0 + y1) / 2), :, 1].astype(int)
        inside, outside = middle[round((x0 + x1) / 2)], middle[max(round(x0) - 12, 0)]
        if inside - outside < 60 or x0 < 12 or x1 > CANVAS_WH[0] - 3:
            continue  # a cover lies on the row, or the box is cut
        threshold = (inside + outside) / 2
        row = np.flatnonzero(middle[round(x0) - 6 : round(x1) + 6] > threshold) + round(x0) - 6
        errors.append(max(abs(row[0] - x0), abs(row[-1] + 1 - x1)))
    assert len(errors) >= 10
    assert np.median(errors) <= 1.0


def test_equal_seeds_give_equal_pictures() -> None:
    image, scene = _white_box_scene()
    first, _ = vary_scene(image, scene, rng=np.random.default_rng(5), canvas_wh=CANVAS_WH)
    second, _ = vary_scene(image, scene, rng=np.random.default_rng(5), canvas_wh=CANVAS_WH)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("seed", range(30))
def test_boxes_stay_on_the_canvas_and_losses_become_regions_without_verdict(seed: int) -> None:
    image, scene = _white_box_scene()
    _, moved = vary_scene(image, scene, rng=np.random.default_rng(seed), canvas_wh=CANVAS_WH)
    for boxes in (moved.boxes, moved.ignore):
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, 2:] <= CANVAS_WH).all()
    assert len(moved.boxes) + len(moved.ignore) <= 1


def test_light_keeps_shape_and_type() -> None:
    image, _ = _white_box_scene()
    out = vary_light(image, np.random.default_rng(1))
    assert out.shape == image.shape
    assert out.dtype == np.uint8


@pytest.mark.parametrize("shape", [(20, 90, 3), (200, 40, 3), (7, 6, 3)])
def test_crops_keep_their_aspect(shape: tuple[int, int, int]) -> None:
    white = np.full(shape, 255, dtype=np.uint8)
    out = vary_crop(white, np.random.default_rng(2), side_px=64, gallery=True)
    assert out.shape == (64, 64, 3)
    bright = (out.mean(axis=2) > 190).sum()
    expected = min(shape[:2]) / max(shape[:2]) * 64 * 64
    assert 0.6 * expected < bright < 1.5 * expected
