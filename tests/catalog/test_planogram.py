"""Planograms scale with the picture and refuse nonsense."""

import json
from pathlib import Path

import numpy as np
import pytest

from fleetsight.catalog.planogram import Planogram
from fleetsight.catalog.sku import CatalogError

FACING = {"id": "1-01", "sku": "a", "box_xyxy_px": [10, 20, 30, 60], "depth_count": 3}


def write(folder: Path, value: object) -> Path:
    path = folder / "planogram.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_boxes_and_focal_length_follow_the_picture_size(tmp_path: Path) -> None:
    camera = {"width_px": 640, "height_px": 360, "focal_px": 500.0}
    planogram = Planogram.load(write(tmp_path, {"camera": camera, "facings": [FACING]}))
    assert np.allclose(planogram.boxes_for(1280, 720), [[20, 40, 60, 120]])
    assert planogram.focal_for(1280) == 1000.0


def test_an_uncalibrated_camera_has_no_focal_length(tmp_path: Path) -> None:
    planogram = Planogram.load(write(tmp_path, {"camera": {"width_px": 640, "height_px": 360}, "facings": []}))
    assert planogram.focal_for(640) is None
    assert planogram.boxes_for(640, 360).shape == (0, 4)


@pytest.mark.parametrize("box", [[10, 20, 10, 60], [10, 20], ["a", 1, 2, 3]])
def test_a_bad_box_is_refused(tmp_path: Path, box: list[object]) -> None:
    value = {"camera": {"width_px": 640, "height_px": 360}, "facings": [FACING | {"box_xyxy_px": box}]}
    with pytest.raises(CatalogError, match="is not a planogram"):
        Planogram.load(write(tmp_path, value))
