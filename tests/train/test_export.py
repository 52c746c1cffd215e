from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra `train`")

import onnxruntime
import torch

from fleetsight.accel.portable import PortableModel
from fleetsight.train.dense_detector import DenseDetector, DetectorShape
from fleetsight.train.detector import INPUT_WH, detector_card
from fleetsight.train.embedder_net import EmbedderNet, EmbedderShape
from fleetsight.train.export import onnx_bytes, publish, save_model, with_pixel_input


def _shaken(net: torch.nn.Module) -> torch.nn.Module:
    """Give norms random statistics: fresh ones hide folding mistakes."""
    generator = torch.Generator().manual_seed(1)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) * 0.1)
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
    return net.eval()


def _run(content: bytes, batch: "np.typing.NDArray[np.float32]") -> "np.typing.NDArray[np.float32]":
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": batch})[0])


def test_the_exported_detector_answers_like_torch() -> None:
    torch.manual_seed(0)
    net = _shaken(DenseDetector(DetectorShape(trunk=(8, 8, 16, 16, 16), neck=16, head=16)))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, 64, 96)).astype(np.float32)
    with torch.no_grad():
        expected = net(torch.from_numpy(pixels) / 255.0).numpy()
    answer = _run(onnx_bytes(with_pixel_input(net), (96, 64), open_batch=False), pixels)
    np.testing.assert_allclose(answer, expected, atol=2e-4)


def test_the_exported_embedder_answers_like_torch_for_any_batch() -> None:
    torch.manual_seed(0)
    net = _shaken(EmbedderNet(EmbedderShape(stages=(8, 8, 16, 16), squeeze=8, dimensions=16)))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 64, 64)).astype(np.float32)
    with torch.no_grad():
        expected = net(torch.from_numpy(pixels) / 255.0).numpy()
    answer = _run(onnx_bytes(with_pixel_input(net), (64, 64), open_batch=True), pixels)
    np.testing.assert_allclose(answer, expected, atol=2e-4)


def test_publishing_replaces_the_model_and_keeps_its_metrics(tmp_path: Path) -> None:
    card = detector_card({"started_from": "random weights"})
    net = DenseDetector(DetectorShape(trunk=(8, 8, 16, 16, 16), neck=16, head=16))
    first = save_model(net, card, folder=tmp_path / "trial")
    assert first.card.input_size_wh == INPUT_WH
    publish(first, {"ap50": 0.5}, folder=tmp_path / "model")
    published = publish(first, {"ap50": 0.6}, folder=tmp_path / "model")
    assert PortableModel.load(tmp_path / "model").card.metrics == {"ap50": 0.6}
    assert published.card.sha256 == first.card.sha256
    assert not (tmp_path / "model.next").exists()
