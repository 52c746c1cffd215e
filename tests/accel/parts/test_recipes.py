"""Recipes are found by name, and mistakes are named."""

import subprocess
import sys

import pytest

from fleetsight.accel.parts.part import PartError
from fleetsight.accel.parts.recipes import find_recipe, make_pipeline, read_sizes


@pytest.mark.parametrize("name", ["blip-vqa", "sam"])
def test_a_recipe_knows_its_own_name(name: str) -> None:
    assert find_recipe(name).name == name


def test_a_misspelt_recipe_gets_a_suggestion() -> None:
    with pytest.raises(PartError, match="did you mean 'blip-vqa'"):
        find_recipe("blip-vaq")


def test_sizes_have_defaults_and_buckets_are_sorted() -> None:
    sizes = read_sizes("blip-vqa", {"question_tokens": (32, 8, 8)})
    assert sizes == {"question_tokens": (8, 32), "answer_tokens": (10,), "closed_tokens": (4,)}


def test_an_unknown_size_gets_a_suggestion() -> None:
    with pytest.raises(PartError, match="did you mean 'prompt_tokens'"):
        read_sizes("sam", {"promt_tokens": (4,)})


@pytest.mark.parametrize("numbers", [(), (0,), (1,), (100_000,)])
def test_a_size_that_makes_no_sense_is_refused(numbers: tuple[int, ...]) -> None:
    with pytest.raises(PartError, match="must be 2 to"):
        read_sizes("sam", {"prompt_tokens": numbers})


@pytest.mark.parametrize("name", ["blip-vqa", "sam"])
def test_a_pipeline_without_its_parts_says_what_is_missing(name: str) -> None:
    with pytest.raises(PartError, match="needs"):
        make_pipeline(name, {}, settings={})


def test_pipelines_leave_torch_and_transformers_out_of_the_process() -> None:
    code = """
import sys
import fleetsight.accel.parts.bundle, fleetsight.accel.parts.recipes, fleetsight.accel.parts.words
import fleetsight.accel.parts.segment, fleetsight.accel.parts.vqa
print([name for name in ("torch", "transformers", "onnx", "nncf", "PIL") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
