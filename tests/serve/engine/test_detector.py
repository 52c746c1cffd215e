"""A portable detector behind the engine's protocol, and what JPEG bytes may not do."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetsight.accel.bundled import bundled_model
from fleetsight.accel.detector import Detector
from fleetsight.serve.engine.detector import DetectorEngine
from fleetsight.serve.engine.picture import decode_jpeg, jpeg_size_wh, sample_jpeg
from fleetsight.serve.engine.protocol import EngineError, Frame, FrameFault
from fleetsight.serve.engine.source import Source, open_engine


@given(data=st.binary(max_size=300))
def test_no_bytes_make_the_reader_of_heads_stumble(data: bytes) -> None:
    assert isinstance(jpeg_size_wh(data), tuple | FrameFault)
    assert isinstance(jpeg_size_wh(b"\xff\xd8" + data), tuple | FrameFault)


@given(cut=st.integers(0, 10_000), flip=st.integers(0, 10_000))
def test_damaged_pictures_are_faults_or_pictures(cut: int, flip: int) -> None:
    data = bytearray(sample_jpeg((32, 24)))
    data[flip % len(data)] ^= 0xFF
    for body in (bytes(data), bytes(data[: cut % len(data)])):
        found = decode_jpeg(body)
        assert isinstance(found, FrameFault) or found.shape[2] == 3


def test_the_size_is_read_from_the_head() -> None:
    assert jpeg_size_wh(sample_jpeg((640, 480))) == (640, 480)
    ok, progressive = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    assert ok
    assert jpeg_size_wh(progressive.tobytes()) == (64, 48)


def test_a_grey_picture_is_a_picture() -> None:
    ok, grey = cv2.imencode(".jpg", np.zeros((48, 64), np.uint8))
    assert ok
    image = decode_jpeg(grey.tobytes())
    assert not isinstance(image, FrameFault)
    assert image.shape == (48, 64, 3)


def test_a_batch_says_what_single_frames_say_and_a_fault_keeps_its_place() -> None:
    engine = DetectorEngine(lambda: Detector.open(bundled_model("cooler-detector"), "onnxruntime", threads=1))
    engine.load()
    engine.warmup()
    frames = [Frame(sample_jpeg((320, 240)), 0.05), Frame(b"no picture"), Frame(sample_jpeg((640, 480)), 0.05)]
    together = engine.infer_batch(frames)
    alone = [engine.infer_batch([frame])[0] for frame in frames]
    engine.close()
    assert isinstance(together[1], FrameFault)
    assert [together[0]["size_wh"], together[2]["size_wh"]] == [[320, 240], [640, 480]]
    assert alone[0] == together[0]
    for found in together[::2]:
        assert all(set(row) == {"label", "score", "box_xyxy_px"} for row in found["detections"])


def test_an_engine_that_was_not_loaded_says_so() -> None:
    with pytest.raises(EngineError):
        open_engine(Source("cooler-detector")).infer_batch([Frame(b"")])
