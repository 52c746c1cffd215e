from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra `train`")

from fleetsight.train.augment import SceneBoxes
from fleetsight.train.detector import DetectorOptions, detector_options, train_detector, truth_of
from fleetsight.train.loop import LoopPlan
from fleetsight.train.samples import DetectorSample


def squares(seed: int) -> Iterator[DetectorSample]:
    rng = np.random.default_rng(seed)
    while True:
        image = np.full((180, 320, 3), 60, dtype=np.uint8)
        x, y = int(rng.integers(0, 240)), int(rng.integers(0, 100))
        image[y : y + 60, x : x + 50] = (230, 30, 30)
        boxes = np.array([[x, y, x + 50, y + 60]], dtype=np.float32)
        yield DetectorSample(image, boxes, np.zeros(1, np.int32), np.zeros((0, 4), np.float32))


def test_a_tiny_run_delivers_a_model_and_its_report(tmp_path: Path) -> None:
    loop = LoopPlan(steps=4, batch=2, warmup_steps=1, validate_every=2, threads=1)
    options = DetectorOptions(frames=4, validation_frames=2, shard=2, loop=loop, workers=0)
    report = train_detector(squares, tmp_path, options=options, command="a test")
    assert report.model.card.labels == ("product", "hand")
    assert report.model.card.lineage["command"] == "a test"
    assert report.metrics["n"] == 2
    assert report.metrics["training_frames"] == 4
    assert report.path.is_file()
    assert list(tmp_path.glob("events.*"))


def test_batches_pad_to_the_longest_list() -> None:
    none = np.zeros((0, 4), np.float32)
    one = SceneBoxes(np.ones((1, 4), np.float32), np.ones(1, np.int32), none)
    truth = truth_of([one, SceneBoxes(none, np.zeros(0, np.int32), none)])
    assert truth.boxes.shape == (2, 1, 4)
    assert truth.valid.tolist() == [[True], [False]]
    assert truth.ignore.shape == (2, 0, 4)


@pytest.mark.parametrize("quality", ["smoke", "default", "long"])
def test_every_quality_has_whole_shards(quality: str) -> None:
    options = detector_options(quality, seed=1, workers=1, threads=1)
    assert options.frames % options.shard == 0
    assert options.loop.warmup_steps < options.loop.steps
