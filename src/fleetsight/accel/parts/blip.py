"""Recipe `blip-vqa`: transformers' BlipForQuestionAnswering in parts.

    image -> vision_encoder -> text_encoder (with the question) -> decoder_memory -> text_decoder, token by token
                                                                               `--> answer_scorer, all at once

The text decoder is three graphs over the same weights: what it reads of the question (once per question), one token with
the cache, and the scoring of given answers.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoTokenizer
from transformers.modeling_outputs import BaseModelOutput

from fleetsight.accel.parts.blip_modules import (
    AnswerScorer,
    DecoderMemory,
    DecoderStep,
    TextEncoder,
    VisionEncoder,
)
from fleetsight.accel.parts.part import Agreement, Examples, Part, PartError, Recipe, Runners, Settings, run_rows
from fleetsight.accel.parts.pixels import PixelSettings
from fleetsight.accel.parts.vqa import HIDDEN, AskedQuestions, VqaPipeline, text_encoder_name
from fleetsight.accel.parts.weights import pixel_config
from fleetsight.vision.image import Image

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""Of the pictures BLIP was trained on, where the folder does not say (transformers, OPENAI_CLIP_MEAN and _STD)."""

BICUBIC, BILINEAR = 3, 2
"""Numbers of Pillow's filters, as image processors name them."""

SAME_SHARE_MIN = 0.95
"""Least share of answers that must be the original's."""

SHARE_SHIFT_MAX = 0.05
"""Most by which the share of a closed answer may move."""

Sizes = Mapping[str, tuple[int, ...]]


def parts(model: nn.Module, sizes: Sizes) -> tuple[Part, ...]:
    """Cut the model.

    Args:
        model: BlipForQuestionAnswering.
        sizes: as in `vqa.SIZES`.

    Returns:
        its parts, in the order of use.
    """
    del model
    lengths = sizes["question_tokens"]
    encoders = tuple(
        Part(text_encoder_name(n, lengths), TextEncoder, ("ids", "bias"), ("image_states",), ("states",))
        for n in lengths
    )
    step = ("ids", "places", "bias", "question_bias", "memory", "cache")
    scorer = partial(AnswerScorer, tokens=sizes["closed_tokens"][0])
    return (
        Part("vision_encoder", VisionEncoder, ("pixels",), outputs=("image_states",)),
        *encoders,
        Part("decoder_memory", DecoderMemory, ("question_states",), outputs=("memory",)),
        Part("text_decoder", DecoderStep, step, outputs=("logits", "fresh")),
        Part("answer_scorer", scorer, ("ids", "question_bias", "memory"), outputs=("logits",)),
    )


def settings(folder: Path, model: nn.Module, *, sizes: Sizes) -> dict[str, Any]:
    """What the pipeline must know.

    Args:
        folder: of the weights; its tokenizer is read.
        model: BlipForQuestionAnswering.
        sizes: as in `vqa.SIZES`.

    Returns:
        plain values.

    Raises:
        PartError: there is no tokenizer in the folder.
    """
    config: Any = model.config
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        text = tokenizer.backend_tokenizer.to_str()
    except (OSError, ValueError, AttributeError) as error:
        raise PartError(
            f"{folder} has no fast tokenizer: {str(error)[:200]}",
            hint="save it beside the weights: AutoTokenizer.from_pretrained(...).save_pretrained(folder)",
        ) from error
    side = int(config.vision_config.image_size)
    said = pixel_config(folder)
    return {
        "pixels": PixelSettings(
            size_wh=(side, side),
            keep_aspect=False,
            cubic=int(said.get("resample", BICUBIC)) == BICUBIC,
            mean=tuple(said.get("image_mean", CLIP_MEAN)),
            std=tuple(said.get("image_std", CLIP_STD)),
        ).to_json(),
        "tokens": {
            "pad": int(config.text_config.pad_token_id),
            "start": int(config.text_config.bos_token_id),
            "end": int(config.text_config.sep_token_id),
            "question": list(sizes["question_tokens"]),
            "answer": sizes["answer_tokens"][0],
            "closed": sizes["closed_tokens"][0],
        },
        "tokenizer": text,
    }


def ask(pipeline: VqaPipeline, examples: Examples) -> None:
    """Use every part as it is used in service.

    Args:
        pipeline: to ask.
        examples: images and questions; without answers, "yes" and "no" are compared.
    """
    for image in examples.images:
        seen = pipeline.look(image)
        for question in examples.questions:
            for room in pipeline.question_tokens:
                read = pipeline.read(seen, [question], room=room)
            pipeline.answer(read)
            pipeline.choose(read, examples.answers or ("yes", "no"))


def compare(pipeline: VqaPipeline, model: nn.Module, *, examples: Examples) -> Agreement:
    """Ask both the same.

    Args:
        pipeline: on compiled parts.
        model: the untouched original; it is given the pipeline's pixels and each question without padding.
        examples: images and questions.

    Returns:
        answers that are the same, free and closed ones together; the shift is that of shares of closed answers.
    """
    answers = tuple(examples.answers) or ("yes", "no")
    same, shift = [], 0.0
    distinct: set[tuple[int, ...] | str] = set()
    for image in examples.images:
        read = pipeline.read(pipeline.look(image), examples.questions)
        free, closed = pipeline.answer(read), pipeline.choose(read, answers)
        for question, mine, choice in zip(examples.questions, free, closed, strict=True):
            tokens, shares = original_answers(model, pipeline, image=image, question=question, answers=answers)
            distinct |= {tokens, answers[int(shares.argmax())]}
            same += [tokens == mine.tokens, answers[int(shares.argmax())] == choice.text]
            shift = max(shift, float(np.abs(shares - np.array(choice.shares)).max()))
    reasons = []
    if sum(same) < SAME_SHARE_MIN * len(same):
        reasons.append(f"{sum(same)} of {len(same)} answers are the original's, {SAME_SHARE_MIN:.0%} are needed")
    if not shift <= SHARE_SHIFT_MAX:
        reasons.append(f"the share of a closed answer moved by {shift:.3f}, {SHARE_SHIFT_MAX} is allowed")
    return Agreement(
        passed=not reasons,
        asked=len(same),
        same=sum(same),
        distinct=len(distinct),
        score_shift=shift,
        reasons=tuple(reasons),
    )


def original_answers(
    model: Any, pipeline: VqaPipeline, *, image: Image, question: str, answers: tuple[str, ...]
) -> tuple[tuple[int, ...], "np.ndarray[Any, np.dtype[np.float64]]"]:
    """What the original says.

    Args:
        model: BlipForQuestionAnswering, untouched.
        pipeline: only for its tokenizer, pixels and limits.
        image: (h, w, 3) uint8 RGB.
        question: one question.
        answers: closed answers.

    Returns:
        tokens: of the free answer, without those that begin and end it.
        shares: of each closed answer.
    """
    pixels = torch.from_numpy(pipeline.pixels(image))
    ids = torch.tensor([pipeline.question_ids(question)])
    end, start = int(model.config.text_config.sep_token_id), int(model.config.text_config.bos_token_id)
    with torch.inference_mode():
        said = model.generate(
            input_ids=ids, pixel_values=pixels, max_new_tokens=pipeline.answer_tokens, do_sample=False, num_beams=1
        )[0].tolist()[1:]
        states = model.text_encoder(
            input_ids=ids, encoder_hidden_states=model.vision_model(pixel_values=pixels).last_hidden_state
        ).last_hidden_state
        scores = []
        for answer in answers:
            target = pipeline.answer_ids(answer)
            given = torch.tensor([[start, *target[:-1]]])
            logits = model.text_decoder(input_ids=given, encoder_hidden_states=states).logits[0].double()
            scores.append(float(logits.log_softmax(-1)[torch.arange(len(target)), target].sum()))
    tokens = tuple(said[: said.index(end)] if end in said else said)
    return tokens, torch.tensor(scores, dtype=torch.float64).softmax(0).numpy()


def stand_ins(model: nn.Module, runners: Runners, *, settings: Settings) -> dict[str, nn.Module]:
    """Modules that run the compiled parts in place of the original's.

    Args:
        model: BlipForQuestionAnswering.
        runners: compiled parts.
        settings: the pipeline's settings.

    Returns:
        for each attribute of the model what takes its place.
    """
    del model
    pipeline = VqaPipeline(runners, settings)
    lengths = [int(size) for size in settings["tokens"]["question"]]
    encoders = {size: runners[text_encoder_name(size, lengths)] for size in lengths}
    return {
        "vision_model": _VisionStandIn(runners["vision_encoder"]),
        "text_encoder": _TextStandIn(encoders, pad=int(settings["tokens"]["pad"])),
        "text_decoder": _DecoderStandIn(pipeline, runners["decoder_memory"], length=max(lengths)),
    }


class _VisionStandIn(nn.Module):
    def __init__(self, runner: Any) -> None:
        super().__init__()
        self._runner = runner

    def forward(self, pixel_values: Tensor, interpolate_pos_encoding: bool = False, **_: Any) -> BaseModelOutput:  # noqa: FBT001, FBT002  (the original's signature)
        if interpolate_pos_encoding:
            raise PartError("the vision encoder was compiled for one size of image", hint="put the original back")
        states = run_rows(self._runner, (pixel_values.float().numpy(),))[0]
        return BaseModelOutput(last_hidden_state=torch.from_numpy(states))


class _TextStandIn(nn.Module):
    def __init__(self, encoders: Mapping[int, Any], *, pad: int) -> None:
        super().__init__()
        self._encoders = encoders
        self._pad = pad

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        **_: Any,
    ) -> BaseModelOutput:
        count, length = input_ids.shape
        size = min((size for size in self._encoders if size >= length), default=None)
        if size is None or encoder_hidden_states is None:
            raise PartError(
                f"a question of {length} tokens; the text encoder was compiled for {max(self._encoders)} and an image",
                hint=f"compile with --recipe-size question_tokens={length}",
            )
        seen = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        ids = np.full((count, size), self._pad, dtype=np.int64)
        ids[:, :length] = input_ids.numpy()
        bias = np.full((count, size), HIDDEN, dtype=np.float32)
        bias[:, :length] = np.where(seen.numpy() > 0, np.float32(0.0), HIDDEN)
        images = encoder_hidden_states.float().numpy()
        rows = [
            run_rows(self._encoders[size], (ids[i : i + 1], bias[i : i + 1]), whole=(images[i : i + 1],))[0]
            for i in range(count)
        ]
        return BaseModelOutput(last_hidden_state=torch.from_numpy(np.concatenate(rows)[:, :length]))


class _DecoderStandIn(nn.Module):
    def __init__(self, pipeline: VqaPipeline, to_memory: Any, *, length: int) -> None:
        super().__init__()
        self._pipeline = pipeline
        self._to_memory = to_memory
        self._length = length

    def forward(self, *_: Any, **__: Any) -> Tensor:
        raise PartError("compiled parts answer through generate", hint="put the original back to train or to score")

    def generate(
        self,
        input_ids: Tensor,
        *,
        encoder_hidden_states: Tensor,
        encoder_attention_mask: Tensor,
        eos_token_id: int,
        pad_token_id: int,
        **wishes: Any,
    ) -> Tensor:
        """Greedy answers in the original's form: starting token, answer, end, padding."""
        if wishes.get("do_sample") or (wishes.get("num_beams") or 1) != 1:
            raise PartError("compiled parts decode greedily", hint="leave out do_sample and num_beams")
        limit = int(wishes.get("max_new_tokens") or self._pipeline.answer_tokens)
        if limit > self._pipeline.answer_tokens:
            raise PartError(
                f"{limit} tokens are wanted, the decoder was compiled for {self._pipeline.answer_tokens}",
                hint=f"compile with --recipe-size answer_tokens={limit}",
            )
        count, length, width = encoder_hidden_states.shape
        states = np.zeros((count, self._length, width), dtype=np.float32)
        states[:, :length] = encoder_hidden_states.numpy()
        bias = np.full((count, self._length), HIDDEN, dtype=np.float32)
        bias[:, :length] = np.where(encoder_attention_mask.numpy() > 0, np.float32(0.0), HIDDEN)
        memory = run_rows(self._to_memory, (states,))[0]
        answers = self._pipeline.answer(AskedQuestions(texts=("",) * count, bias=bias, memory=memory))
        rows = [([*answer.tokens, eos_token_id] if answer.ended else list(answer.tokens))[:limit] for answer in answers]
        longest = max(len(row) for row in rows)
        tail = torch.tensor([row + [pad_token_id] * (longest - len(row)) for row in rows])
        return torch.cat([input_ids, tail], dim=1)


RECIPE = Recipe(
    name="blip-vqa",
    architecture="BlipForQuestionAnswering",
    parts=parts,
    settings=settings,
    pipeline=VqaPipeline,
    ask=ask,
    compare=compare,
    stand_ins=stand_ins,
)
