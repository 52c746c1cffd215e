import numpy as np
import pytest

from fleetsight.accel.preprocess import Preprocessor
from fleetsight.vision.image import ShapeError
from fleetsight.vision.letterbox import letterbox
from tests.accel.tiny_models import detector_card

IMAGE = np.random.default_rng(3).integers(0, 256, size=(40, 120, 3), dtype=np.uint8)


@pytest.mark.parametrize("order", ["RGB", "BGR"])
@pytest.mark.parametrize("place", ["top_left", "centre"])
@pytest.mark.parametrize(
    ("mean", "std"),
    [((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), ((0.1, 0.2, 0.3), (0.5, 0.5, 0.5)), ((0.485, 0.456, 0.406), (0.2, 0.3, 0.4))],
)
def test_the_batch_is_the_letterbox_in_the_models_order_and_scale(
    order: str, place: str, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> None:
    card = detector_card(channel_order=order, pad_place=place, mean=mean, std=std, scale=1 / 255.0)
    batch, box = Preprocessor(card).prepare(IMAGE)
    canvas, expected_box = letterbox(IMAGE, (96, 64), place=card.pad_place, pad_value=114)
    colours = canvas if order == "RGB" else canvas[..., ::-1]
    expected = ((colours / 255.0 - np.array(mean)) / np.array(std)).transpose(2, 0, 1)[None]
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous
    assert box == expected_box
    np.testing.assert_allclose(batch, expected, atol=1e-5)


def test_pictures_of_changing_size_leave_no_trace_of_the_one_before() -> None:
    preprocessor = Preprocessor(detector_card())
    preprocessor.prepare(np.full((64, 96, 3), 255, dtype=np.uint8))
    batch, _ = preprocessor.prepare(np.zeros((64, 32, 3), dtype=np.uint8))
    fresh, _ = Preprocessor(detector_card()).prepare(np.zeros((64, 32, 3), dtype=np.uint8))
    np.testing.assert_array_equal(batch, fresh)


def test_batches_do_not_share_memory() -> None:
    preprocessor = Preprocessor(detector_card())
    first, second = preprocessor.prepare(IMAGE)[0], preprocessor.prepare(IMAGE)[0]
    assert not np.shares_memory(first, second)


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(ShapeError, match="uint8"):
        Preprocessor(detector_card()).prepare(IMAGE.astype(np.float32))
