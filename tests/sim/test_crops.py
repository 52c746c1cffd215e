from pathlib import Path

import cv2
import numpy as np
import pytest

from fleetsight.sim.crops import crop_batch
from fleetsight.sim.cutouts import CutoutError, designs_from_folder
from fleetsight.sim.designs import make_designs
from fleetsight.sim.solids import packshot

DESIGNS = make_designs(3, count=24)


def test_a_generator_decides_every_crop() -> None:
    first, labels = crop_batch(DESIGNS, np.random.default_rng(1), count=12)
    again, same = crop_batch(DESIGNS, np.random.default_rng(1), count=12)
    assert np.array_equal(labels, same)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_crops_are_pictures_of_the_sizes_promised() -> None:
    crops, labels = crop_batch(DESIGNS, np.random.default_rng(2), count=150)
    assert labels.min() >= 0
    assert labels.max() < len(DESIGNS)
    assert all(crop.dtype == np.uint8 and crop.ndim == 3 and min(crop.shape[:2]) >= 6 for crop in crops)
    longer = np.array([max(crop.shape[:2]) for crop in crops])
    assert longer.max() <= 160
    assert 35 < np.median(longer) < 80
    assert np.mean([crop.std() > 5 for crop in crops]) > 0.97


def test_crops_resemble_their_own_packshots_more_than_others() -> None:
    crops, labels = crop_batch(DESIGNS, np.random.default_rng(4), count=200)
    colours = np.stack([packshot(design, side_px=60).reshape(-1, 3).mean(axis=0) for design in DESIGNS])
    seen = np.stack([crop.reshape(-1, 3).mean(axis=0) for crop in crops])
    unit = colours / np.linalg.norm(colours, axis=1, keepdims=True)
    match = (seen / np.linalg.norm(seen, axis=1, keepdims=True)) @ unit.T
    own = match[np.arange(len(labels)), labels]
    assert np.mean(own > np.median(match, axis=1)) > 0.65  # by mean colour alone; chance is 0.5


def test_a_folder_of_cut_outs_becomes_products(tmp_path: Path) -> None:
    bottle = np.zeros((200, 80, 4), np.uint8)
    bottle[60:, :, :] = (40, 40, 220, 255)
    bottle[:60, 28:52, :] = (220, 40, 40, 255)
    cv2.imwrite(str(tmp_path / "cola_66x200x66.png"), bottle)
    cv2.imwrite(str(tmp_path / "wafer.png"), np.full((90, 100, 3), (30, 160, 30), np.uint8))
    cola, wafer = designs_from_folder(tmp_path)
    assert (cola.sku, cola.shape, cola.size_mm) == ("cola", "bottle", (66.0, 200.0, 66.0))
    assert (wafer.sku, wafer.shape) == ("wafer", "box")
    shot = packshot(cola, side_px=100)
    neck, body = shot[12, shot.shape[1] // 2].astype(int), shot[75, shot.shape[1] // 2].astype(int)
    assert neck[2] > neck[0] + 60  # blue on top, red below: OpenCV wrote BGR
    assert body[0] > body[2] + 60


@pytest.mark.parametrize("content", [b"", b"not a picture"])
def test_a_broken_cut_out_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "soda.png").write_bytes(content)
    with pytest.raises(CutoutError, match=r"soda\.png"):
        designs_from_folder(tmp_path)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CutoutError, match="0 pictures"):
        designs_from_folder(tmp_path)
