"""SAM in parts finds the masks that transformers' own class finds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fleetsight.accel.parts import sam
from fleetsight.accel.parts.export import EagerRunner
from fleetsight.accel.parts.original import load_original
from fleetsight.accel.parts.part import Examples, PartError
from fleetsight.accel.parts.recipes import read_sizes
from fleetsight.accel.parts.segment import Prompt, SamPipeline
from tests.accel.parts.tiny_blip import images
from tests.accel.parts.tiny_sam import SIDE, save_tiny_sam


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sam")
    save_tiny_sam(path)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return load_original(sam.RECIPE, folder)


def eager(model: Any, folder: Path, **given: tuple[int, ...]) -> tuple[SamPipeline, dict[str, EagerRunner], Any]:
    sizes = read_sizes("sam", given)
    settings = sam.settings(folder, model, sizes=sizes)
    runners = {part.name: EagerRunner(part.wrap(model).eval(), keep=9) for part in sam.parts(model, sizes)}
    return SamPipeline(runners, settings), runners, settings


def test_every_mask_is_the_originals_and_masks_differ(model: Any, folder: Path) -> None:
    pipeline, _, _ = eager(model, folder)
    agreement = sam.compare(pipeline, model, examples=Examples(images=images(2)))
    assert agreement.passed
    assert agreement.same == agreement.asked == agreement.distinct == 10
    assert agreement.score_shift < 1e-5


def test_prompts_given_together_are_answered_as_if_given_alone(model: Any, folder: Path) -> None:
    pipeline, runners, _ = eager(model, folder)
    seen = pipeline.look(images(1)[0])
    prompts = [Prompt(points_px=((10.0, 12.0, True),)), Prompt(box_xyxy_px=(5.0, 5.0, 40.0, 30.0))]
    together = pipeline.segment(seen, prompts)
    for prompt, masks in zip(prompts, together, strict=True):
        assert np.allclose(pipeline.segment(seen, [prompt])[0].logits, masks.logits, atol=1e-4)
        assert list(masks.scores) == sorted(masks.scores, reverse=True)
    assert len(runners["image_encoder"].fed) == 1


def test_filling_is_that_of_the_originals_processor(model: Any, folder: Path) -> None:
    """A longer graph is given filling tokens, as SamProcessor gives them to prompts of unlike length."""
    pipeline, _, _ = eager(model, folder, prompt_tokens=(4,))
    seen = pipeline.look(images(1)[0])
    mine = pipeline.segment(seen, [Prompt(box_xyxy_px=(5.0, 5.0, 40.0, 30.0))])[0]
    places, _ = pipeline.tokens(Prompt(box_xyxy_px=(5.0, 5.0, 40.0, 30.0)), seen.image_wh)
    with torch.inference_mode():
        theirs = model(
            image_embeddings=torch.from_numpy(seen.states),
            input_points=torch.full((1, 1, 2, 2), -10.0),
            input_labels=torch.full((1, 1, 2), -10),
            input_boxes=torch.from_numpy(places.reshape(1, 1, 4)),
        )
    assert np.allclose(np.sort(theirs.iou_scores[0, 0].numpy())[::-1], mine.scores, atol=1e-5)


def test_full_size_masks_are_those_of_the_originals_processor(model: Any, folder: Path) -> None:
    from transformers import SamImageProcessorPil

    pipeline, _, _ = eager(model, folder)
    seen = pipeline.look(images(1)[0])
    masks = pipeline.segment(seen, [Prompt(points_px=((20.0, 20.0, True),))])[0]
    processor: Any = SamImageProcessorPil(size={"longest_edge": SIDE}, pad_size={"height": SIDE, "width": SIDE})
    theirs = processor.post_process_masks([torch.from_numpy(masks.logits)[None]], [(48, 64)], [(48, 64)])[0][0]
    mine = pipeline.full_size(masks, seen)
    assert mine.shape == (3, 48, 64)
    assert (mine != theirs.numpy()).mean() < 0.005
    assert 0.02 < mine.mean() < 0.98


def test_the_original_pipeline_answers_through_the_stand_ins(model: Any, folder: Path) -> None:
    pipeline, runners, settings = eager(model, folder)
    given = {
        "pixel_values": torch.from_numpy(pipeline.pixels(images(1)[0])),
        "input_points": torch.tensor([[[[20.0, 25.0]], [[40.0, 10.0]]]]),
        "input_labels": torch.tensor([[[1], [1]]]),
    }
    box = {"pixel_values": given["pixel_values"], "input_boxes": torch.tensor([[[5.0, 5.0, 40.0, 30.0]]])}
    with torch.no_grad():
        before, before_box = model(**given), model(**box)
    replaced = sam.stand_ins(model, runners, settings=settings)
    originals = {name: getattr(model, name) for name in replaced}
    for name, stand_in in replaced.items():
        setattr(model, name, stand_in)
    try:
        with torch.no_grad():
            through, through_box = model(**given), model(**box)
            with pytest.raises(PartError, match="multimask_output"):
                model(**given, multimask_output=False)
    finally:
        for name, original in originals.items():
            setattr(model, name, original)
    for one, other in ((before, through), (before_box, through_box)):
        assert torch.allclose(one.pred_masks, other.pred_masks, atol=1e-4)
        assert torch.allclose(one.iou_scores, other.iou_scores, atol=1e-5)


def test_prompts_that_cannot_be_answered_are_refused(model: Any, folder: Path) -> None:
    pipeline, _, _ = eager(model, folder)
    seen = pipeline.look(images(1)[0])
    with pytest.raises(PartError, match="no prompt"):
        pipeline.segment(seen, [])
    with pytest.raises(PartError, match="needs a point or a box"):
        pipeline.segment(seen, [Prompt()])
    many = tuple((float(i), 3.0, True) for i in range(5))
    with pytest.raises(PartError, match="--recipe-size prompt_tokens=6"):
        pipeline.segment(seen, [Prompt(points_px=many)])


def test_overlap_of_masks() -> None:
    one = np.array([[True, True, False]])
    other = np.array([[False, True, True]])
    assert sam.overlap(one, other) == pytest.approx(1 / 3)
    assert sam.overlap(~(one | ~one), ~(one | ~one)) == 1.0
