import logging
from contextlib import closing
from pathlib import Path

import pytest

from fleetsight.accel.choose import AUTO, TARGETS, open_session, probe_targets
from fleetsight.accel.portable import PortableModel
from fleetsight.accel.session import TargetError
from fleetsight.accel.targets import onnxruntime, openvino
from tests.accel.tiny_models import save_detector


@pytest.fixture
def model(tmp_path: Path) -> PortableModel:
    return save_detector(tmp_path / "tiny")


def test_auto_takes_the_first_target_that_works(model: PortableModel) -> None:
    with closing(open_session(model)) as session:
        assert session.target == AUTO[0]


def test_auto_falls_back_and_says_why(
    model: PortableModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(openvino, "probe", lambda: "no licence plate")
    with caplog.at_level(logging.WARNING), closing(open_session(model)) as session:
        assert session.target == "onnxruntime"
    assert "no licence plate" in caplog.text


def test_when_no_target_works_every_reason_is_told_and_null_is_not_taken(
    model: PortableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: object, **options: object) -> None:
        raise TargetError("too small")

    monkeypatch.setattr(openvino, "probe", lambda: "not installed")
    monkeypatch.setattr(onnxruntime, "open_model", fails)
    with pytest.raises(TargetError) as caught:
        open_session(model)
    assert "openvino: not installed" in caught.value.message
    assert "onnxruntime: too small" in caught.value.message


def test_null_is_never_chosen_by_auto() -> None:
    assert "null" in TARGETS
    assert "null" not in AUTO


def test_a_misspelt_target_is_an_error_with_a_suggestion(model: PortableModel) -> None:
    with pytest.raises(TargetError, match="did you mean 'openvino'"):
        open_session(model, "openvno")


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_must_be_a_count(model: PortableModel, threads: int) -> None:
    with pytest.raises(TargetError, match="threads"):
        open_session(model, threads=threads)


def test_probing_reports_on_every_target() -> None:
    assert [report.target for report in probe_targets()] == list(TARGETS)
    assert {report.target for report in probe_targets() if report.reason is None} >= {"null"}


def test_a_model_no_runtime_can_read_is_a_target_error(model: PortableModel) -> None:
    broken = PortableModel(folder=model.folder, card=model.card, onnx=b"\x08\x08", facts=model.facts)
    with pytest.raises(TargetError) as caught:
        open_session(broken)
    assert all(name in caught.value.message for name in AUTO)
