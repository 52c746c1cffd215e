"""BLIP in parts answers as transformers' own class answers, whatever is padded, batched or put back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fleetsight.accel.parts import blip
from fleetsight.accel.parts.export import EagerRunner
from fleetsight.accel.parts.original import load_original
from fleetsight.accel.parts.part import Examples, PartError
from fleetsight.accel.parts.recipes import read_sizes
from fleetsight.accel.parts.vqa import VqaPipeline
from tests.accel.parts.tiny_blip import QUESTIONS, examples, images, save_tiny_blip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("blip")
    save_tiny_blip(path)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return load_original(blip.RECIPE, folder)


def eager(model: Any, folder: Path, **given: tuple[int, ...]) -> tuple[VqaPipeline, Mapping[str, EagerRunner], Any]:
    sizes = read_sizes("blip-vqa", given)
    settings = blip.settings(folder, model, sizes=sizes)
    runners = {part.name: EagerRunner(part.wrap(model).eval(), keep=9) for part in blip.parts(model, sizes)}
    return VqaPipeline(runners, settings), runners, settings


def test_every_answer_is_the_originals_and_answers_differ(model: Any, folder: Path) -> None:
    pipeline, _, _ = eager(model, folder)
    agreement = blip.compare(pipeline, model, examples=examples())
    assert agreement.passed
    assert agreement.same == agreement.asked == 16
    assert agreement.distinct >= 5  # with one answer for everything the comparison would say nothing
    assert agreement.score_shift < 1e-5


def test_questions_asked_together_are_answered_as_if_asked_alone(model: Any, folder: Path) -> None:
    pipeline, runners, _ = eager(model, folder)
    image = images(2)[1]
    alone = [pipeline.ask(image, [question])[0] for question in QUESTIONS]
    assert list(pipeline.ask(image, QUESTIONS)) == alone
    assert len(set(alone)) > 1
    assert runners["text_encoder"].fed[0][0].shape == (1, 16)


def test_one_image_is_encoded_once_for_many_questions(model: Any, folder: Path) -> None:
    pipeline, runners, _ = eager(model, folder)
    seen = pipeline.look(images(1)[0])
    for question in QUESTIONS:
        read = pipeline.read(seen, [question])
        pipeline.choose(read, ("yes", "no"))
        pipeline.answer(read)
    assert len(runners["vision_encoder"].fed) == 1
    assert len(runners["text_encoder"].fed) == len(QUESTIONS)


def test_more_padding_changes_no_answer(model: Any, folder: Path) -> None:
    short, _, _ = eager(model, folder)
    wide, runners, _ = eager(model, folder, question_tokens=(9, 28))
    image = images(2)[1]
    long = "is the black cat on the red sofa in the empty kitchen ?"
    for questions in (QUESTIONS, (long,)):
        one, other = (pipeline.read(pipeline.look(image), questions) for pipeline in (short, wide))
        assert [a.tokens for a in short.answer(one)] == [a.tokens for a in wide.answer(other)]
        for mine, theirs in zip(short.choose(one, ("yes", "no")), wide.choose(other, ("yes", "no")), strict=True):
            assert np.allclose(mine.log_probabilities, theirs.log_probabilities, atol=1e-4)
    assert {call[0].shape[1] for call in runners["text_encoder_9"].fed} == {9}
    assert {call[0].shape[1] for call in runners["text_encoder_28"].fed} == {28}


def test_a_score_is_the_log_probability_of_the_answer_and_its_end(model: Any, folder: Path) -> None:
    pipeline, _, _ = eager(model, folder)
    read = pipeline.read(pipeline.look(images(1)[0]), QUESTIONS[:1])
    free = pipeline.answer(read)[0]
    choice = pipeline.choose(read, ("yes", "two dog"))[0]
    assert max(choice.log_probabilities) <= 0.0
    assert sum(choice.shares) == pytest.approx(1.0)
    if free.ended and free.text in {"yes", "two dog"}:
        assert free.log_probability == pytest.approx(max(choice.log_probabilities))


def test_answers_end_or_are_cut_off(model: Any, folder: Path) -> None:
    pipeline, _, _ = eager(model, folder)
    found = [
        answer for image in images(2) for answer in pipeline.answer(pipeline.read(pipeline.look(image), QUESTIONS))
    ]
    assert {answer.ended for answer in found} == {True, False}
    assert all(len(answer.tokens) == 10 for answer in found if not answer.ended)


@pytest.mark.parametrize("answers", [(), ("yes",), ("yes", "yes"), ("yes", ""), ("yes", "a dog in the kitchen here")])
def test_answers_that_are_no_choice_are_refused(model: Any, folder: Path, answers: tuple[str, ...]) -> None:
    pipeline, _, _ = eager(model, folder)
    read = pipeline.read(pipeline.look(images(1)[0]), QUESTIONS[:1])
    with pytest.raises(PartError):
        pipeline.choose(read, answers)


def test_a_question_that_is_too_long_names_the_size_to_compile_with(model: Any, folder: Path) -> None:
    pipeline, _, _ = eager(model, folder)
    with pytest.raises(PartError, match=r"--recipe-size question_tokens=22"):
        pipeline.read(pipeline.look(images(1)[0]), ["is " * 20])
    with pytest.raises(PartError, match="no question"):
        pipeline.read(pipeline.look(images(1)[0]), [])


def test_the_original_pipeline_answers_through_the_stand_ins(model: Any, folder: Path) -> None:
    pipeline, runners, settings = eager(model, folder)
    replaced = blip.stand_ins(model, runners, settings=settings)
    originals = {name: getattr(model, name) for name in replaced}
    ids = torch.tensor([pipeline.question_ids(QUESTIONS[1])])
    pixels = torch.from_numpy(pipeline.pixels(images(1)[0]))
    before = model.generate(input_ids=ids, pixel_values=pixels, max_new_tokens=10)
    for name, stand_in in replaced.items():
        setattr(model, name, stand_in)
    try:
        through = model.generate(input_ids=ids, pixel_values=pixels, max_new_tokens=10)
        with pytest.raises(PartError, match="greedily"):
            model.generate(input_ids=ids, pixel_values=pixels, num_beams=3)
        with pytest.raises(PartError, match="answer_tokens=11"):
            model.generate(input_ids=ids, pixel_values=pixels, max_new_tokens=11)
        short = model.generate(input_ids=ids, pixel_values=pixels, max_new_tokens=2)
    finally:
        for name, original in originals.items():
            setattr(model, name, original)
    assert torch.equal(before, through)
    assert torch.equal(before[:, :3], short)
    assert torch.equal(before, model.generate(input_ids=ids, pixel_values=pixels, max_new_tokens=10))
    assert len(runners["vision_encoder"].fed) == 4  # the two refusals too


def test_a_pipeline_that_answers_otherwise_does_not_pass(model: Any, folder: Path) -> None:
    pipeline, runners, settings = eager(model, folder)

    class Deaf:
        def run(self, *inputs: Any) -> Any:
            return tuple(output * 0.0 for output in runners["text_encoder"].run(*inputs))

    deaf = VqaPipeline({**runners, "text_encoder": Deaf()}, settings)
    agreement = blip.compare(deaf, model, examples=examples())
    assert not agreement.passed
    assert len(agreement.reasons) == 2
    assert pipeline.answer_tokens == 10


def test_a_folder_without_tokenizer_names_the_way_out(model: Any, tmp_path: Path) -> None:
    with pytest.raises(PartError, match="save_pretrained"):
        blip.settings(tmp_path, model, sizes=read_sizes("blip-vqa", {}))


def test_examples_without_answers_compare_yes_and_no(model: Any, folder: Path) -> None:
    pipeline, runners, _ = eager(model, folder)
    blip.ask(pipeline, Examples(images=images(1), questions=QUESTIONS[:1]))
    assert runners["answer_scorer"].fed[0][0].shape == (2, 4)
