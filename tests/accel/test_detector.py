from collections.abc import Iterable, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fleetsight.accel.choose import open_session
from fleetsight.accel.detector import SESSIONS_MAX, Detector
from fleetsight.accel.graph import TensorSpec
from fleetsight.accel.importing.importer import ImportOptions, import_onnx
from fleetsight.accel.importing.labels import COCO
from fleetsight.accel.portable import ModelError, PortableModel
from fleetsight.accel.proving.answers import DETECTIONS_MAX
from fleetsight.accel.session import Arrays, ClosedError, as_inputs
from fleetsight.vision.box import iou
from fleetsight.vision.detections import Detections
from fleetsight.vision.image import Image, ShapeError
from tests.accel.tiny_models import CELLS, save_detector, save_embedder

Floats = NDArray[np.float32]


class Told:
    """A session that answers with what it was given."""

    target, precision = "told", "f32"
    inputs: tuple[TensorSpec, ...] = (TensorSpec(name="images", element="f32", shape=(1, 3, 64, 96)),)
    outputs: tuple[TensorSpec, ...] = (TensorSpec(name="output", element="f32", shape=(1, CELLS, 6)),)

    def __init__(self, raw: Floats) -> None:
        self.raw = raw[None]

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        return self.inputs[0].shape

    def run(self, *inputs: Floats) -> Arrays:
        assert inputs[0].shape == self.input_shape
        return (self.raw,)

    def map(self, batches: Iterable[Floats | Arrays]) -> Iterator[Arrays]:
        waiting = []
        for batch in batches:
            waiting.append(self.run(*as_inputs(batch)))
            if len(waiting) == 3:
                yield waiting.pop(0)
        yield from waiting

    def close(self) -> None: ...


def quiet_head() -> Floats:
    raw = np.zeros((CELLS, 6), dtype=np.float32)
    raw[:, 4:] = -20.0
    return raw


@pytest.fixture
def model(tmp_path: Path) -> PortableModel:
    return save_detector(tmp_path / "tiny")


def picture(width: int, height: int) -> Image:
    return np.full((height, width, 3), 90, dtype=np.uint8)


def test_a_box_comes_back_in_pixels_of_the_image(model: PortableModel) -> None:
    raw = quiet_head()
    raw[1 * 12 + 2] = [0, 0, np.log(2), np.log(3), 3.0, -20.0]  # cell (2, 1) of stride 8, centre (20, 12)
    found = Detector(model, Told(raw)).detect(picture(192, 128))
    np.testing.assert_allclose(found.boxes_xyxy_px, [[24, 8, 72, 72]], atol=1e-3)
    assert found.labels.tolist() == [0]
    assert found.scores[0] == pytest.approx(1 / (1 + np.exp(-3.0)), abs=1e-6)


def test_boxes_in_the_padding_are_dropped_and_others_cut_off_at_the_edge(model: PortableModel) -> None:
    raw = quiet_head()
    raw[7 * 12 + 1, :] = [-1, -1, -1, -1, 5.0, -20.0]  # y = 60: below a picture that is 32 high
    raw[3 * 12 + 1, :] = [0, 0, 0, 1, 5.0, -20.0]  # y = 28 + e * 8
    found = Detector(model, Told(raw)).detect(picture(96, 32))
    assert len(found) == 1
    assert found.boxes_xyxy_px[0, 3] == 32


def test_doubles_are_suppressed_within_a_label_only(model: PortableModel) -> None:
    raw = quiet_head()
    raw[13] = [1, 1, 1, 1, 2.0, -20.0]
    raw[14] = [1.1, 1.1, 1, 1, 1.0, -20.0]
    raw[25] = [1, 1, 1, 1, -20.0, 1.5]
    found = Detector(model, Told(raw), iou_max=0.3).detect(picture(96, 64), score_min=0.5)
    assert found.labels.tolist() == [0, 1]


def test_a_head_that_fires_everywhere_gives_a_bounded_answer(model: PortableModel) -> None:
    raw = quiet_head()
    raw[:, :4] = -2.0
    raw[:, 4] = 9.0
    assert len(Detector(model, Told(raw)).detect(picture(96, 64))) <= DETECTIONS_MAX


def test_numbers_that_are_not_finite_give_no_boxes(model: PortableModel) -> None:
    raw = quiet_head()
    raw[:, :4] = np.nan
    raw[0:50, 4] = 9.0
    raw[50:60, :] = np.inf
    raw[60:70, 4] = np.nan
    found = Detector(model, Told(raw)).detect(picture(96, 64))
    assert np.isfinite(found.boxes_xyxy_px).all()


def test_stream_answers_as_detect_does_in_order_and_for_changing_sizes(model: PortableModel) -> None:
    rng = np.random.default_rng(0)
    sizes = [(64, 96), (100, 50), (33, 200), (64, 96), (10, 10), (64, 96)]
    images = [rng.integers(0, 256, size=(h, w, 3), dtype=np.uint8) for h, w in sizes]
    with closing(open_session(model, "onnxruntime")) as session:
        detector = Detector(model, session)
        streamed = list(detector.stream(iter(images), score_min=0.5))
        for image, found in zip(images, streamed, strict=True):
            alone = detector.detect(image, score_min=0.5)
            np.testing.assert_array_equal(found.boxes_xyxy_px, alone.boxes_xyxy_px)
            np.testing.assert_array_equal(found.scores, alone.scores)
    assert sum(map(len, streamed)) > 0


def test_stream_passes_an_error_of_its_source_on(model: PortableModel) -> None:
    def source() -> Iterator[Image]:
        yield picture(96, 64)
        raise RuntimeError("camera lost")

    with closing(open_session(model)) as session, pytest.raises(RuntimeError, match="camera lost"):
        list(Detector(model, session).stream(source()))


@pytest.mark.parametrize("target", ["openvino", "onnxruntime", "null"])
def test_an_opened_detector_trims_the_padding_and_finds_the_same(model: PortableModel, target: str) -> None:
    rng = np.random.default_rng(4)
    images = [rng.integers(0, 256, size=(32, 96, 3), dtype=np.uint8) for _ in range(7)]
    trimmed_size = model.trimmed((96, 32)).card.input_size_wh
    assert trimmed_size == (96, 32)
    with Detector.open(model, target, precision="f32") as detector:
        streamed = list(detector.stream(images, score_min=0.6))
        assert list(detector._trimmed) == [trimmed_size]
        for image, found in zip(images, streamed, strict=True):
            alone = detector.detect(image, score_min=0.6)
            np.testing.assert_allclose(alone.boxes_xyxy_px, found.boxes_xyxy_px, atol=0.01)
    # A network of one convolution a cell sees no padding from inside the picture.
    with closing(open_session(model, target, precision="f32")) as session:
        full = list(Detector(model, session).stream(images, score_min=0.6))
    for first, second in zip(full, streamed, strict=True):
        assert len(first) >= len(second) > 0 or target == "null"


def test_a_detector_opens_a_few_sizes_and_no_more(model: PortableModel) -> None:
    opened = []

    def opener(resized: PortableModel) -> Told:
        opened.append(resized.card.input_size_wh)
        return Told(np.zeros((1, 6), dtype=np.float32))

    detector = Detector.open(model, "null")
    detector._open = (model, opener)
    sizes = {detector._fitting((w, h))[0].input_size_wh for w in range(8, 97, 8) for h in range(8, 97, 8)}
    assert len(opened) <= SESSIONS_MAX
    assert sizes <= {*opened, model.card.input_size_wh}


def test_closing_an_opened_detector_closes_its_sessions(model: PortableModel) -> None:
    detector = Detector.open(model, "null")
    detector.detect(picture(96, 32))
    detector.close()
    detector.close()
    for size in ((96, 32), (96, 64)):
        with pytest.raises(ClosedError):
            detector.detect(picture(*size))


def test_a_stream_of_nothing_is_nothing(model: PortableModel) -> None:
    assert list(Detector(model, Told(quiet_head())).stream([])) == []


def test_an_embedder_is_no_detector(tmp_path: Path) -> None:
    embedder = save_embedder(tmp_path / "e")
    with pytest.raises(ModelError, match="embed"):
        Detector(embedder, Told(quiet_head()))


def test_what_is_no_image_is_refused(model: PortableModel) -> None:
    with pytest.raises(ShapeError):
        Detector(model, Told(quiet_head())).detect(np.zeros((4, 4), dtype=np.uint8))


# The real detector on a real clip.

FRAMES = (0, 100, 300, 420, 600)  # three bottles, three, two, three, one (bottles.truth.json)
BOTTLES = (3, 3, 2, 3, 1)


@pytest.fixture(scope="module")
def yolox_nano(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> PortableModel:
    file = shared_dir / "models" / "yolox_nano.onnx"
    if not file.is_file():
        pytest.skip(f"needs {file}")
    store = tmp_path_factory.mktemp("models")
    return import_onnx(file, ImportOptions(name="yolox-nano", decoder="yolox", labels=COCO), store_dir=store)


@pytest.fixture(scope="module")
def shelf(shared_dir: Path) -> list[Image]:
    clip = shared_dir / "data" / "clips" / "bottles.mp4"
    if not clip.is_file():
        pytest.skip(f"needs {clip}")
    av: Any = pytest.importorskip("av")
    found = []
    with av.open(str(clip)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index in FRAMES:
                found.append(frame.to_ndarray(format="rgb24"))
    return found


def bottles_of(model: PortableModel, images: list[Image], **options: Any) -> list[Detections]:
    with closing(open_session(model, **options)) as session:
        detector = Detector(model, session)
        bottle = detector.labels.index("bottle")
        return [found.with_label(bottle) for found in detector.stream(images, score_min=0.4)]


def test_yolox_finds_the_bottles_on_every_target(yolox_nano: PortableModel, shelf: list[Image]) -> None:
    assert yolox_nano.card.licence == "Apache-2.0"
    assert yolox_nano.card.resizable
    for options in ({"target": "openvino", "precision": "f32"}, {"target": "openvino"}, {"target": "onnxruntime"}):
        assert [len(found) for found in bottles_of(yolox_nano, shelf, **options)] == list(BOTTLES), options


def test_a_trimmed_yolox_finds_the_same_bottles(yolox_nano: PortableModel, shelf: list[Image]) -> None:
    trimmed = yolox_nano.trimmed((640, 360))
    assert trimmed.card.input_size_wh == (416, 256)
    full = bottles_of(yolox_nano, shelf, precision="f32")
    for first, second in zip(full, bottles_of(trimmed, shelf, precision="f32"), strict=True):
        best = iou(first.boxes_xyxy_px, second.boxes_xyxy_px).max(axis=1)
        assert float(best.min()) >= float(Fraction(9, 10))
