"""Words become the tokens that transformers would make of them."""

from pathlib import Path

import numpy as np
import pytest

from fleetsight.accel.parts.part import PartError
from fleetsight.accel.parts.words import Words
from tests.accel.parts.tiny_blip import QUESTIONS, save_tokenizer


@pytest.fixture
def words(tmp_path: Path) -> Words:
    save_tokenizer(tmp_path)
    return Words((tmp_path / "tokenizer.json").read_text(encoding="utf-8"), pad=0)


def test_tokens_are_those_of_transformers(words: Words, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(tmp_path)
    for question in (*QUESTIONS, "an unknown CAT?", ""):
        assert words.encode(question, marked=True) == theirs(question)["input_ids"]


def test_special_tokens_are_left_out_of_an_answer(words: Words) -> None:
    assert words.decode([4, *words.encode("black dog", marked=True)]) == "black dog"


def test_rows_are_filled_up_on_the_right(words: Words) -> None:
    assert np.array_equal(words.padded([[7, 8], [9]], 3), [[7, 8, 0], [9, 0, 0]])


def test_text_that_is_no_tokenizer_is_refused() -> None:
    with pytest.raises(PartError, match="cannot be read"):
        Words("{}", pad=0)
