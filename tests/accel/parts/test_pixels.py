"""Pictures are prepared as transformers prepares them, without it."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fleetsight.accel.parts.part import PartError
from fleetsight.accel.parts.pixels import PixelSettings, prepare, resize

STEP = 1.01 / 255.0
"""Pillow counts in 22 bits, we in float32: a byte may differ by one."""


def picture(width: int, height: int) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("cubic", [True, False])
@pytest.mark.parametrize(
    ("before", "after"), [((90, 50), (32, 32)), ((20, 30), (48, 64)), ((64, 48), (64, 20)), ((33, 33), (33, 33))]
)
def test_resizing_is_pillows_to_one_step_in_few_pixels(
    before: tuple[int, int], after: tuple[int, int], cubic: bool
) -> None:
    from PIL import Image

    image = picture(*before)
    kind = Image.Resampling.BICUBIC if cubic else Image.Resampling.BILINEAR
    wanted = np.asarray(Image.fromarray(image).resize(after, kind)).astype(int)
    found = resize(image, after, cubic=cubic)
    assert found.shape == wanted.shape
    apart = np.abs(found - wanted)
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.02


def test_blips_own_processor_prepares_the_same_pixels() -> None:
    from transformers import BlipImageProcessorPil

    image = picture(70, 45)
    processor: Any = BlipImageProcessorPil(size={"height": 32, "width": 32})
    wanted = processor(image, return_tensors="np")["pixel_values"]
    settings = PixelSettings((32, 32), False, True, tuple(processor.image_mean), tuple(processor.image_std))
    found = prepare(image, settings)
    assert found.shape == wanted.shape
    assert found.dtype == np.float32
    assert np.abs(found - wanted).max() <= STEP / min(processor.image_std)


@pytest.mark.parametrize("size", [(70, 45), (45, 70), (64, 64), (20, 10)])
def test_sams_own_processor_prepares_the_same_pixels(size: tuple[int, int]) -> None:
    from transformers import SamImageProcessorPil

    image = picture(*size)
    processor: Any = SamImageProcessorPil(size={"longest_edge": 64}, pad_size={"height": 64, "width": 64})
    said = processor(image, return_tensors="np")
    settings = PixelSettings((64, 64), True, False, tuple(processor.image_mean), tuple(processor.image_std))
    assert np.abs(prepare(image, settings) - said["pixel_values"]).max() <= STEP / min(processor.image_std)
    assert tuple(said["reshaped_input_sizes"][0])[::-1] == settings.content_wh(size)


def test_settings_survive_json() -> None:
    settings = PixelSettings((32, 16), True, False, (0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    assert PixelSettings.from_json(settings.to_json()) == settings


@pytest.mark.parametrize("broken", [{}, {"std": [0.0, 1.0, 1.0]}, {"size_wh": [0, 5]}, {"mean": [1.0]}])
def test_settings_that_make_no_sense_are_refused(broken: dict[str, Any]) -> None:
    whole = PixelSettings((32, 16), True, False, (0.1, 0.2, 0.3), (1.0, 2.0, 3.0)).to_json()
    with pytest.raises(PartError):
        PixelSettings.from_json(whole | broken if broken else {})
