"""Gates hold what they promise, NaN never passes, and agreement that says nothing is called so."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fleetsight.accel.proving.agreement import boxes_in_picture
from fleetsight.accel.proving.parity import GateError, Gates, Parity, Reference, compare, run_all
from fleetsight.accel.proving.proof import reference_of
from fleetsight.accel.session import Arrays
from fleetsight.accel.sources.source import Source
from fleetsight.vision.average_precision import TruthBoxes
from tests.accel.proved import Told, gates, pictures, tiny_embedder, tiny_source
from tests.accel.tiny_models import TinyHead

HEAD = TinyHead(gain=8.0)


def judged(source: Source, change: Any, held: Gates | None = None, **told: Any) -> Parity:
    held = held or gates()
    session = Told(lambda batch: (np.asarray(change(HEAD.answer(batch)), dtype=np.float32),), source, **told)
    return compare(reference_of(source, held), session, source=source, gates=held)


def by_gate(parity: Parity) -> dict[str, bool]:
    return {result.gate: result.passed for result in parity.results}


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return tiny_source(tmp_path)


def test_the_same_answers_pass(source: Source) -> None:
    parity = judged(source, lambda raw: raw)
    assert by_gate(parity) == {"boxes": True, "scores": True}
    assert parity.results[0].figures["boxes"] > 10
    assert not parity.vacuous
    assert parity.as_json()["gates"]["boxes"]["shift_px_p95"] < 0.1


def test_boxes_that_move_fail_by_the_pixels_they_moved(source: Source) -> None:
    def wider(raw: NDArray[Any]) -> NDArray[Any]:
        moved = raw.copy()
        moved[..., 2] += 0.5  # a distance in logs of strides: the right edge moves, the scores do not
        return moved

    parity = judged(source, wider)
    assert by_gate(parity) == {"boxes": False, "scores": True}
    assert "px of shift, at most 1 is allowed" in parity.reason


def test_scores_that_change_fail(source: Source) -> None:
    parity = judged(source, lambda raw: np.concatenate([raw[..., :4], raw[..., 4:] - 0.4], axis=-1))
    assert not by_gate(parity)["scores"]


def test_boxes_that_get_lost_fail_whatever_the_rest_does(source: Source) -> None:
    parity = judged(source, lambda raw: np.concatenate([raw[..., :4], raw[..., 4:] - 50.0], axis=-1))
    assert "lost or new" in parity.reason


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_numbers_that_are_not_finite_fail_every_gate(source: Source, number: float) -> None:
    def broken(raw: NDArray[Any]) -> NDArray[Any]:
        raw[0, -1, -1] = number  # one number of one cell that nobody would look at
        return raw

    parity = judged(source, broken)
    assert set(by_gate(parity).values()) == {False}
    assert "NaN" in parity.reason
    assert not parity.as_json()["passed"]


def test_a_wider_limit_lets_pass_and_the_figures_stay(source: Source) -> None:
    def shifted(raw: NDArray[Any]) -> NDArray[Any]:
        raw[..., :4] += 0.05
        return raw

    assert not judged(source, shifted).passed
    wide = judged(source, shifted, gates(boxes=10_000.0))
    assert wide.passed
    assert wide.results[0].figures["shift_px_p95"] > 1.0


def test_with_truth_the_task_decides_and_agreement_is_told(source: Source) -> None:
    plain = pictures()
    reference = reference_of(source, Gates({}, plain))
    truth = {}
    for index, answers in enumerate(reference.answers):
        found = boxes_in_picture(source, answers, shape=plain.images[index].shape)
        truth[index] = TruthBoxes(found.boxes_xyxy_px, found.labels, np.zeros((0, 4), np.float32))
    known = Gates({}, pictures(boxes=truth))
    same = judged(source, lambda raw: raw, known)
    assert same.as_json()["gates"]["task"]["drop"] == pytest.approx(0.0)
    assert same.as_json()["gates"]["boxes"]["limit"] is None
    blind = judged(source, lambda raw: raw - 50.0, known)
    assert by_gate(blind) == {"boxes": True, "scores": True, "task": False}
    assert "points lost" in blind.reason


def test_the_task_cannot_be_judged_without_truth(source: Source) -> None:
    assert "no truth" in judged(source, lambda raw: raw, gates(task=1.0)).reason


def test_random_weights_prove_nothing(source: Source) -> None:
    assert "random" in judged(replace(source, is_trained=False), lambda raw: raw).vacuous


def test_pictures_without_a_box_prove_nothing(source: Source) -> None:
    blind = replace(source, example=source.example)
    held = gates()
    nothing = Reference(blind, tuple((HEAD.answer(a[0]) * 0 - 9,) for a in held.inputs_of(blind)), "made up")
    session = Told(lambda batch: (HEAD.answer(batch) * 0 - 9,), blind)
    assert "finds nothing" in compare(nothing, session, source=blind, gates=held).vacuous


def test_an_answer_that_never_changes_proves_nothing(tmp_path: Path) -> None:
    source = replace(tiny_embedder(tmp_path), answer="tensors")
    held = gates()
    same = tuple((np.ones((1, 5), np.float32),) for _ in range(6))
    session = Told(lambda _: (np.ones((1, 5), np.float32),), source)
    parity = compare(Reference(source, same, "made up"), session, source=source, gates=held)
    assert parity.passed
    assert "hardly depends" in parity.vacuous


def test_vectors_are_judged_by_their_direction(tmp_path: Path) -> None:
    source, held = tiny_embedder(tmp_path), gates()
    reference = reference_of(source, held)
    answers = {a[0].tobytes(): r for a, r in zip(held.inputs_of(source), reference.answers, strict=True)}

    def twice(batch: NDArray[Any]) -> Arrays:
        return (2.0 * answers[batch.tobytes()][0],)

    def turned(batch: NDArray[Any]) -> Arrays:
        return (answers[batch.tobytes()][0][:, ::-1].copy(),)

    assert compare(reference, Told(twice, source), source=source, gates=held).passed
    assert "vectors" in compare(reference, Told(turned, source), source=source, gates=held).reason


def test_changed_answers_of_a_classifier_are_counted(tmp_path: Path) -> None:
    source = replace(tiny_embedder(tmp_path), answer="classes")
    held = gates()
    first = tuple((np.eye(5, dtype=np.float32)[[index % 5]],) for index in range(6))
    rows = iter([first[0], first[0], *first[2:]])
    parity = compare(Reference(source, first, "made up"), Told(lambda _: next(rows), source), source=source, gates=held)
    assert parity.as_json()["gates"]["answers"]["changed"] == pytest.approx(1 / 6, rel=1e-3)
    assert not parity.passed


@pytest.mark.parametrize("batch", [None, 4])
def test_larger_batches_give_each_input_its_own_answer(source: Source, batch: int | None) -> None:
    inputs = gates(6).inputs_of(source)
    session = Told(lambda array: (HEAD.answer(array),), source, batch=batch)
    for given, answer in zip(inputs, run_all(session, inputs), strict=True):
        np.testing.assert_allclose(answer[0], HEAD.answer(given[0]), atol=1e-5)
    assert session.batches == ([3, 3] if batch is None else [4, 4])


@pytest.mark.parametrize(("name", "limit"), [("boxen", 1.0), ("boxes", float("nan")), ("boxes", -1.0)])
def test_a_gate_that_is_none_is_refused(name: str, limit: float) -> None:
    with pytest.raises(GateError, match="no gate"):
        Gates({name: limit})
