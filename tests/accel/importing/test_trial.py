from pathlib import Path

import numpy as np
import pytest

from fleetsight.accel.importing.trial import check_answer, run_trial, trial_image, verify_targets
from fleetsight.accel.portable import ModelError, PortableModel
from fleetsight.accel.session import TargetError
from fleetsight.accel.targets import onnxruntime
from tests.accel.tiny_models import CELLS, detector_card, embedder_card, save_detector, save_embedder


@pytest.fixture
def model(tmp_path: Path) -> PortableModel:
    return save_detector(tmp_path / "tiny")


def test_the_trial_picture_is_always_the_same(model: PortableModel) -> None:
    first = trial_image(model.card)
    assert first.shape == (64, 96, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, trial_image(model.card))
    assert first.std() > 20


def test_a_sound_model_agrees_on_every_target(model: PortableModel) -> None:
    checks = verify_targets(model)
    assert {check.target for check in checks} == {"openvino", "onnxruntime"}
    assert [check.reason for check in checks] == [None] * len(checks)
    assert all(check.difference is not None and check.run_ms is not None for check in checks)


def test_an_embedder_can_be_tried_too(tmp_path: Path) -> None:
    raw, run_ms = run_trial(save_embedder(tmp_path / "e"))
    assert raw.shape == (1, 5)
    assert run_ms > 0


def test_a_target_that_fails_or_differs_is_told(model: PortableModel, monkeypatch: pytest.MonkeyPatch) -> None:
    right = onnxruntime.OnnxRuntimeSession.run
    with monkeypatch.context() as patch:
        patch.setattr(
            onnxruntime.OnnxRuntimeSession,
            "run",
            lambda session, *inputs: tuple(o + 1 for o in right(session, *inputs)),
        )
        assert "differs by" in str(verify_targets(model)[-1].reason)

    def fails(model: PortableModel, **options: object) -> None:
        raise TargetError("no room")

    monkeypatch.setattr(onnxruntime, "open_model", fails)
    assert "no room" in str(verify_targets(model)[-1].reason)


def test_answers_that_do_not_fit_are_refused() -> None:
    card = detector_card(decoder="yolox")
    raw = np.zeros((1, CELLS, 7), dtype=np.float32)
    check_answer(raw, card)
    for wrong, message in (
        (np.where(raw == 0, np.nan, raw), "not finite"),
        (raw[:, :, :6], "reads"),
        (raw + 2, "0 to 1"),
        (np.concatenate([raw[..., :4] + 300, raw[..., 4:]], axis=2), "pixels"),
    ):
        with pytest.raises(ModelError, match=message):
            check_answer(wrong.astype(np.float32), card)
    with pytest.raises(ModelError, match="embedder"):
        check_answer(raw, embedder_card())
