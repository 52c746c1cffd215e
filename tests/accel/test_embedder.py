from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from fleetsight.accel.choose import open_session
from fleetsight.accel.embedder import Embedder, normalise
from fleetsight.accel.portable import ModelError
from fleetsight.vision.image import Image, ShapeError
from tests.accel.tiny_models import save_detector, save_embedder


@pytest.fixture
def embedder(tmp_path: Path) -> Iterator[Embedder]:
    model = save_embedder(tmp_path / "e")
    with closing(open_session(model, "onnxruntime")) as session:
        yield Embedder(model, session)


def plain(red: int, green: int, blue: int, size: tuple[int, int] = (20, 20)) -> Image:
    return np.full((*size, 3), (red, green, blue), dtype=np.uint8)


def test_vectors_have_length_one_and_keep_the_order(embedder: Embedder) -> None:
    crops = [plain(255, 0, 0), plain(0, 255, 0), plain(0, 0, 255), plain(9, 9, 9, (7, 50))]
    rows = embedder.embed(crops)
    assert rows.shape == (4, embedder.dimensions) == (4, 5)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-6)
    assert rows[:3, :3].argmax(axis=1).tolist() == [0, 1, 2]


def test_one_crop_gives_the_row_it_gives_among_others(embedder: Embedder) -> None:
    crops = [plain(200, 10, 30), plain(1, 2, 3, (40, 11)), plain(0, 90, 0)]
    together = embedder.embed(crops)
    for crop, row in zip(crops, together, strict=True):
        np.testing.assert_allclose(embedder.embed([crop])[0], row, atol=1e-6)


def test_no_crops_give_no_rows(embedder: Embedder) -> None:
    assert embedder.embed([]).shape == (0, 5)


def test_aspect_is_kept_on_a_grey_ground(embedder: Embedder) -> None:
    """A red bar four times as wide as high covers a quarter of the square; the rest is 128."""
    red = float(embedder.embed([plain(255, 0, 0, (10, 40))])[0, 0])
    green = float(embedder.embed([plain(255, 0, 0, (10, 40))])[0, 1])
    assert red / green == pytest.approx((0.25 * 255 + 0.75 * 128) / (0.75 * 128), rel=1e-3)


def test_rows_that_cannot_be_normalised_become_zero() -> None:
    rows = np.array([[0, 0], [3, 4], [np.nan, 1], [np.inf, 1]], dtype=np.float32)
    assert normalise(rows) == pytest.approx(np.array([[0, 0], [0.6, 0.8], [0, 0], [0, 0]], dtype=np.float32))


def test_what_is_no_crop_is_refused(embedder: Embedder) -> None:
    with pytest.raises(ShapeError):
        embedder.embed([np.zeros((0, 4, 3), dtype=np.uint8)])


def test_a_detector_is_no_embedder(tmp_path: Path) -> None:
    model = save_detector(tmp_path / "d")
    with closing(open_session(model)) as session, pytest.raises(ModelError, match="detect"):
        Embedder(model, session)
