from pathlib import Path

import cv2
import numpy as np
import pytest

from fleetsight.serve.load.bodies import HIGH_BYTES, LOW_BYTES, folder_bodies, jpeg_bodies
from fleetsight.serve.load.shots import LoadError


def test_bodies_of_busy_pictures_have_the_size_of_a_cameras_jpeg_and_their_colours() -> None:
    rng = np.random.default_rng(0)
    pictures = [
        np.clip(rng.normal((200, 60, 30), noise, (480, 640, 3)), 0, 255).astype(np.uint8) for noise in (4.0, 12.0, 30.0)
    ]
    for picture, payload in zip(pictures, jpeg_bodies(pictures), strict=True):
        assert LOW_BYTES <= len(payload.body) <= HIGH_BYTES
        back = cv2.imdecode(np.frombuffer(payload.body, np.uint8), cv2.IMREAD_COLOR_RGB)
        assert back is not None
        assert np.abs(back.mean(axis=(0, 1)) - picture.mean(axis=(0, 1))).max() < 3


def test_a_plain_picture_is_encoded_as_near_to_the_range_as_it_goes() -> None:
    (payload,) = jpeg_bodies([np.full((48, 64, 3), 90, np.uint8)])
    assert payload.body.startswith(b"\xff\xd8")


def test_files_of_a_folder_are_taken_as_they_are_by_name(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.JPEG", "c.txt"):
        (tmp_path / name).write_bytes(name.encode())
    assert [payload.body for payload in folder_bodies(tmp_path)] == [b"a.JPEG", b"b.jpg"]
    with pytest.raises(LoadError, match="0 JPEG files"):
        folder_bodies(tmp_path / "nothing")
