import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra `train`")

import torch

from fleetsight.train.dense_detector import DenseDetector, DetectorShape, cell_centres, decode_boxes
from fleetsight.train.export import multiply_adds, parameters_of
from fleetsight.vision.heads import decode

SMALL = DetectorShape(trunk=(8, 8, 16, 16, 16), neck=16, head=16)


def test_output_has_a_row_per_cell() -> None:
    net = DenseDetector(SMALL).eval()
    with torch.no_grad():
        raw = net(torch.zeros(2, 3, 64, 96))
    assert raw.shape == (2, 12 * 8 + 6 * 4 + 3 * 2, 6)


def test_training_and_host_decode_the_same_boxes() -> None:
    generator = torch.Generator().manual_seed(3)
    centres, strides = cell_centres((96, 64))
    raw = torch.randn(1, len(centres), 6, generator=generator) * 2
    mine = decode_boxes(raw, centres, strides=strides)[0].numpy()
    host = decode(raw[0].numpy(), "fleetsight_dense", input_wh=(96, 64), score_min=0.0)
    np.testing.assert_allclose(host.boxes_xyxy_px, mine, rtol=1e-5, atol=1e-3)


def test_the_bundled_size_stays_small_enough_for_the_package() -> None:
    net = DenseDetector()
    assert parameters_of(net) < 950_000
    assert multiply_adds(net, (416, 256)) < 500_000_000
