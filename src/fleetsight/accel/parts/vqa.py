"""Questions about an image, answered by compiled parts: no torch, no transformers.

The image is encoded once, however many questions follow. A question about it is encoded once too, and then either answered
in free words, one token after the other, or by comparing given answers in a single pass of the decoder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.parts.part import PartError, Runners, Settings, run_rows
from fleetsight.accel.parts.pixels import PixelSettings, prepare
from fleetsight.accel.parts.words import Words
from fleetsight.vision.image import Image

HIDDEN = np.float32(-1e4)
"""Bias of a score that must not count: exp of it is zero in float32, bfloat16 and float16, and it fits all of them."""

SIZES: Mapping[str, tuple[int, ...]] = {"question_tokens": (16,), "answer_tokens": (10,), "closed_tokens": (4,)}
"""Tokens of a question (several: one text encoder for each), of a free answer, and of a closed answer with its end."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class AskedImage:
    """An encoded image.

    Attributes:
        states: (1, s, d) float32.
    """

    states: Floats


@dataclass(frozen=True)
class AskedQuestions:
    """Questions encoded about one image; may be answered freely and scored, as often as wanted.

    Attributes:
        texts: the n questions.
        bias: (n, q) float32, 0 for tokens.
        memory: (n, 2 x layers, heads, q, width) float32, what the decoder reads of the question.
    """

    texts: tuple[str, ...]
    bias: Floats
    memory: Floats


@dataclass(frozen=True)
class FreeAnswer:
    """An answer in the model's own words.

    Attributes:
        text: the words; empty when the model ended at once.
        tokens: token ids, without those that begin and end it.
        log_probability: natural logarithm of the probability of these tokens and of ending there.
        ended: False when the answer was cut off.
    """

    text: str
    tokens: tuple[int, ...]
    log_probability: float
    ended: bool


@dataclass(frozen=True)
class ClosedAnswer:
    """The choice among given answers.

    Attributes:
        text: the likeliest of them.
        log_probabilities: of each given answer, ending included.
        shares: the same as shares of 1 among the given answers: scores, not calibrated probabilities.
    """

    text: str
    log_probabilities: tuple[float, ...]
    shares: tuple[float, ...]


class VqaPipeline:
    """Asks a compiled model of questions about images; safe from several threads where its parts are.

    Args:
        runners: parts `vision_encoder`, `text_encoder` (or one per bucket), `decoder_memory`, `text_decoder` and
            `answer_scorer`.
        settings: what recipe `blip-vqa` wrote.

    Raises:
        PartError: a part or a setting is missing.
    """

    def __init__(self, runners: Runners, settings: Settings) -> None:
        try:
            tokens = settings["tokens"]
            self._pixels = PixelSettings.from_json(settings["pixels"])
            self._start, self._end = int(tokens["start"]), int(tokens["end"])
            self._answer_tokens = int(tokens["answer"])
            self._closed_tokens = int(tokens["closed"])
            self._buckets = sorted(int(size) for size in tokens["question"])
            self._words = Words(settings["tokenizer"], pad=int(tokens["pad"]))
            self._encoders = {size: runners[text_encoder_name(size, self._buckets)] for size in self._buckets}
            self._vision = runners["vision_encoder"]
            self._to_memory = runners["decoder_memory"]
            self._step = runners["text_decoder"]
            self._scorer = runners["answer_scorer"]
        except KeyError as error:
            raise PartError(
                f"a pipeline of questions needs {error}", hint="compile it with --recipe blip-vqa"
            ) from error

    @property
    def question_tokens(self) -> tuple[int, ...]:
        """Lengths of questions there are text encoders for."""
        return tuple(self._buckets)

    @property
    def answer_tokens(self) -> int:
        """Most tokens of a free answer."""
        return self._answer_tokens

    def pixels(self, image: Image) -> Floats:
        """Prepare an image.

        Args:
            image: (h, w, 3) uint8 RGB.

        Returns:
            (1, 3, h, w) float32.
        """
        return prepare(image, self._pixels)

    def look(self, image: Image) -> AskedImage:
        """Encode an image; the expensive part.

        Args:
            image: (h, w, 3) uint8 RGB, of any size.

        Returns:
            the encoded image, for any number of questions.

        Raises:
            ShapeError: image is not (h, w, 3) uint8.
            TargetError: the target failed.
        """
        return AskedImage(states=run_rows(self._vision, (self.pixels(image),))[0])

    def question_ids(self, question: str) -> list[int]:
        """Tokens of a question.

        Args:
            question: any text.

        Returns:
            token ids with those that begin and end it.

        Raises:
            PartError: it is longer than the parts were compiled for.
        """
        ids = self._words.encode(question, marked=True)
        if len(ids) > self._buckets[-1]:
            raise PartError(
                f"the question has {len(ids)} tokens, the parts were compiled for {self._buckets[-1]}: {question[:60]!r}",
                hint=f"ask it shorter, or compile with --recipe-size question_tokens={len(ids)}",
            )
        return ids

    def read(self, image: AskedImage, questions: Sequence[str], *, room: int = 0) -> AskedQuestions:
        """Encode questions about an image, all in one batch.

        Args:
            image: from `look`.
            questions: one or more.
            room: least length of the text encoder that is used, in tokens; 0: the shortest that fits.

        Returns:
            the encoded questions.

        Raises:
            PartError: none, or one that is too long.
            TargetError: the target failed.
        """
        if not questions:
            raise PartError("there is no question", hint="ask at least one")
        rows = [self.question_ids(question) for question in questions]
        longest = max(room, *(len(ids) for ids in rows))
        size = next(bucket for bucket in self._buckets if bucket >= longest)
        bias = np.full((len(rows), self._buckets[-1]), HIDDEN, dtype=np.float32)
        for row, ids in zip(bias, rows, strict=True):
            row[: len(ids)] = 0.0
        encoder_rows = (self._words.padded(rows, size), np.ascontiguousarray(bias[:, :size]))
        states = run_rows(self._encoders[size], encoder_rows, whole=(image.states,))[0]
        if size < self._buckets[-1]:
            states = np.pad(states, ((0, 0), (0, self._buckets[-1] - size), (0, 0)))
        memory = run_rows(self._to_memory, (states,))[0]
        return AskedQuestions(texts=tuple(questions), bias=bias, memory=memory)

    def answer(self, questions: AskedQuestions) -> tuple[FreeAnswer, ...]:
        """Answer in free words: the likeliest token, again and again, all questions side by side.

        Args:
            questions: from `read`.

        Returns:
            one answer for each question.

        Raises:
            TargetError: the target failed.
        """
        count, limit = len(questions.texts), self._answer_tokens
        _, layers, heads, _, width = questions.memory.shape
        cache = np.zeros((count, layers, heads, limit, width), dtype=np.float32)
        bias = np.full((count, limit + 1), HIDDEN, dtype=np.float32)
        bias[:, limit] = 0.0
        token = np.full((count, 1), self._start, dtype=np.int64)
        said: list[list[int]] = [[] for _ in range(count)]
        total = np.zeros(count)
        ended = np.zeros(count, dtype=bool)
        for place in range(limit):
            rows = (token, np.full((count, 1), place, dtype=np.int64), bias, questions.bias, questions.memory, cache)
            logits, fresh = run_rows(self._step, rows)
            cache[:, :, :, place : place + 1] = fresh
            bias[:, place] = 0.0
            chosen = logits[:, 0].argmax(axis=-1)
            gained = _log_softmax(logits[:, 0])[np.arange(count), chosen]
            total += np.where(ended, 0.0, gained)
            ended |= chosen == self._end
            for index in np.flatnonzero(~ended):
                said[index].append(int(chosen[index]))
            if ended.all():
                break
            token = chosen[:, None].astype(np.int64)
        return tuple(
            FreeAnswer(
                text=self._words.decode(ids),
                tokens=tuple(ids),
                log_probability=float(total[row]),
                ended=bool(ended[row]),
            )
            for row, ids in enumerate(said)
        )

    def choose(self, questions: AskedQuestions, answers: Sequence[str]) -> tuple[ClosedAnswer, ...]:
        """Choose among given answers, all questions and answers in one pass of the decoder.

        Args:
            questions: from `read`.
            answers: two or more different ones, such as ("yes", "no").

        Returns:
            one choice for each question.

        Raises:
            PartError: fewer than two answers, or one that is too long or empty.
            TargetError: the target failed.
        """
        targets = [self.answer_ids(answer) for answer in answers]
        if len({tuple(ids) for ids in targets}) < 2 or len(set(answers)) != len(answers):
            raise PartError(f"answers to choose from must be two or more different ones, got {list(answers)}")
        count, kinds = len(questions.texts), len(answers)
        given = self._words.padded([[self._start, *ids[:-1]] for ids in targets], self._closed_tokens)
        rows = (
            np.tile(given, (count, 1)),
            np.repeat(questions.bias, kinds, axis=0),
            np.repeat(questions.memory, kinds, axis=0),
        )
        logits = run_rows(self._scorer, rows)[0]
        scores = np.empty((count, kinds))
        for kind, ids in enumerate(targets):
            mine = _log_softmax(logits[kind::kinds, : len(ids)])
            scores[:, kind] = mine[:, np.arange(len(ids)), ids].sum(axis=-1)
        shares = np.exp(_log_softmax(scores))
        return tuple(
            ClosedAnswer(
                text=answers[int(row.argmax())],
                log_probabilities=tuple(float(value) for value in row),
                shares=tuple(float(value) for value in share),
            )
            for row, share in zip(scores, shares, strict=True)
        )

    def answer_ids(self, answer: str) -> list[int]:
        """Tokens of a closed answer.

        Args:
            answer: a word or a few.

        Returns:
            token ids, the one that ends it included.

        Raises:
            PartError: it is empty, or longer than the parts were compiled for.
        """
        ids = [*self._words.encode(answer, marked=False), self._end]
        if not 2 <= len(ids) <= self._closed_tokens:
            raise PartError(
                f"answer {answer!r} has {len(ids) - 1} tokens, 1 to {self._closed_tokens - 1} fit",
                hint=f"a shorter answer, or compile with --recipe-size closed_tokens={max(len(ids), 2)}",
            )
        return ids

    def ask(self, image: Image, questions: Sequence[str], *, answers: Sequence[str] = ()) -> tuple[str, ...]:
        """Answer questions about an image in one go.

        Args:
            image: (h, w, 3) uint8 RGB.
            questions: one or more.
            answers: choose among these; empty: in free words.

        Returns:
            one answer for each question.
        """
        read = self.read(self.look(image), questions)
        found: Sequence[FreeAnswer | ClosedAnswer] = self.choose(read, answers) if answers else self.answer(read)
        return tuple(answer.text for answer in found)


def text_encoder_name(size: int, sizes: Sequence[int]) -> str:
    """Name of the text encoder for questions of one length.

    Args:
        size: tokens it takes.
        sizes: all lengths there are encoders for.

    Returns:
        name of the part.
    """
    return "text_encoder" if len(sizes) == 1 else f"text_encoder_{size}"


def _log_softmax(values: NDArray[Any]) -> NDArray[np.float64]:
    # In float64: a sum of small numbers decides between two answers.
    wide = values.astype(np.float64)
    wide -= wide.max(axis=-1, keepdims=True)
    return np.asarray(wide - np.log(np.exp(wide).sum(axis=-1, keepdims=True)))
