"""Detector samples: labels inside the picture, of the classes promised, the same for the same seed."""

from itertools import islice

import numpy as np
import pytest

from fleetsight.sim.samples import HAND, PRODUCT, Sample, detector_samples


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return list(islice(detector_samples(3), 14))


def test_samples_are_pictures_with_boxes_inside(samples: list[Sample]) -> None:
    for image, boxes, labels, ignore in samples:
        assert image.shape == (360, 640, 3)
        assert image.dtype == np.uint8
        assert boxes.dtype == ignore.dtype == np.float32
        assert len(boxes) == len(labels)
        for group in (boxes, ignore):
            assert (group[:, 2:] > group[:, :2]).all()
            assert (group >= 0).all()
            assert (group <= [640, 360, 640, 360]).all()


def test_both_labels_occur_and_no_other(samples: list[Sample]) -> None:
    assert set(np.concatenate([labels for _, _, labels, _ in samples]).tolist()) == {PRODUCT, HAND}


def test_the_same_seed_gives_the_same_samples(samples: list[Sample]) -> None:
    for (image, boxes, _, _), (again, boxes_again, _, _) in zip(
        samples[:3], islice(detector_samples(3), 3), strict=True
    ):
        assert np.array_equal(image, again)
        assert np.array_equal(boxes, boxes_again)
