"""Pictures come from a folder with or without truth, decoded when they are needed, or are made up and say so."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from fleetsight.accel.proving.pictures import PicturesError, made_up_pictures, read_pictures


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for index, name in enumerate(("b.png", "a.png", "sub/c.jpg")):
        cv2.imwrite(str(tmp_path / name), np.full((8, 12, 3), (0, 0, 60 * index), np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_a_folder_is_read_in_the_order_of_names_red_first(folder: Path) -> None:
    found = read_pictures(folder)
    assert found.count == 3
    assert [int(image[0, 0, 0]) for image in found.images[:2]] == [60, 0]
    assert found.is_real


def test_the_digest_follows_the_bytes(folder: Path) -> None:
    before = read_pictures(folder).sha256
    assert read_pictures(folder).sha256 == before
    cv2.imwrite(str(folder / "a.png"), np.zeros((8, 12, 3), np.uint8))
    assert read_pictures(folder).sha256 != before


def test_truth_is_read_by_the_name_of_the_file(folder: Path) -> None:
    truth = {
        "a.png": {"boxes": [[1, 2, 3, 4, 1]], "ignore": [[0, 0, 1, 1]]},
        "sub/c.jpg": {"label": 7},
        "b.png": {"boxes": []},
    }
    before = read_pictures(folder).sha256
    (folder / "truth.json").write_text(json.dumps(truth))
    found = read_pictures(folder)
    assert found.sha256 != before
    assert found.labels == {2: 7}
    assert found.boxes[0].boxes_xyxy_px.tolist() == [[1, 2, 3, 4]]
    assert (found.boxes[0].labels.tolist(), len(found.boxes[0].ignore_xyxy_px), len(found.boxes[1].labels)) == (
        [1],
        1,
        0,
    )


@pytest.mark.parametrize("text", ["[", '{"a.png": {"boxes": [[1, 2]]}}', '{"a.png": {"label": "x"}}', '{"a.png": 3}'])
def test_a_truth_that_cannot_be_read_is_an_error(folder: Path, text: str) -> None:
    (folder / "truth.json").write_text(text)
    with pytest.raises(PicturesError, match=r"truth\.json cannot be read"):
        read_pictures(folder)


def test_of_too_many_pictures_some_are_taken_evenly(folder: Path) -> None:
    assert read_pictures(folder, limit=2).count == 2


def test_what_is_no_picture_is_named(folder: Path) -> None:
    (folder / "a.png").write_bytes(b"no png")
    with pytest.raises(PicturesError, match=r"a\.png is no picture"):
        _ = read_pictures(folder).images


def test_a_folder_without_pictures_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PicturesError, match="no pictures"):
        read_pictures(tmp_path)
    with pytest.raises(PicturesError, match="no folder"):
        read_pictures(tmp_path / "absent")


def test_made_up_pictures_are_always_the_same_and_say_so() -> None:
    first, second = made_up_pictures(2), made_up_pictures(2)
    assert not first.is_real
    assert "made-up" in first.origin
    np.testing.assert_array_equal(first.images[1], second.images[1])
    assert np.abs(first.images[0].astype(int) - first.images[1]).mean() > 10
