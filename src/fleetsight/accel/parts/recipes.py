"""The recipes by name; nothing of them is imported before one is asked for."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from fleetsight.accel.parts import segment, vqa
from fleetsight.accel.parts.part import PartError, Recipe, Runners, Settings
from fleetsight.store.fields import nearest

MODULES = {"blip-vqa": "blip", "sam": "sam"}
"""Name of a recipe -> its module; importing it imports torch and transformers."""

SIZES: Mapping[str, Mapping[str, tuple[int, ...]]] = {"blip-vqa": vqa.SIZES, "sam": segment.SIZES}

PIPELINES: Mapping[str, Any] = {"blip-vqa": vqa.VqaPipeline, "sam": segment.SamPipeline}

SIZE_MAX = 4096
"""Largest size anybody may ask for: a few times the longest text of these models."""


def find_recipe(name: str) -> Recipe:
    """Load a recipe.

    Args:
        name: of the recipe.

    Returns:
        the recipe.

    Raises:
        PartError: there is none of that name, or torch and transformers are missing.
    """
    check_name(name)
    try:
        module: Any = import_module(f"fleetsight.accel.parts.{MODULES[name]}")
    except ImportError as error:
        raise PartError(
            f"recipe {name!r} needs torch and transformers: {error}", hint="pip install 'fleetsight[compile]'"
        ) from error
    recipe: Recipe = module.RECIPE
    return recipe


def check_name(name: str) -> str:
    """Refuse what is no recipe.

    Args:
        name: of a recipe.

    Returns:
        the name.

    Raises:
        PartError: there is none of that name.
    """
    if name not in MODULES:
        raise PartError(f"there is no recipe {name!r}", hint=nearest(name, tuple(MODULES)))
    return name


def read_sizes(name: str, given: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """Sizes for a recipe, its own where none are given.

    Args:
        name: of the recipe.
        given: by name; several numbers are buckets.

    Returns:
        all sizes, each sorted.

    Raises:
        PartError: an unknown size, or a number that makes no sense.
    """
    known = SIZES[check_name(name)]
    for size, numbers in given.items():
        if size not in known:
            raise PartError(f"recipe {name!r} has no size {size!r}", hint=nearest(size, tuple(known)))
        if not numbers or any(not 2 <= number <= SIZE_MAX for number in numbers):
            raise PartError(f"size {size} must be 2 to {SIZE_MAX}, got {list(numbers)}")
    return {size: tuple(sorted(set(given.get(size, numbers)))) for size, numbers in known.items()}


def make_pipeline(name: str, runners: Runners, *, settings: Settings) -> Any:
    """The pipeline of a recipe over any runners; imports no torch.

    Args:
        name: of the recipe.
        runners: its parts.
        settings: what the recipe wrote.

    Returns:
        a `VqaPipeline` or a `SamPipeline`.

    Raises:
        PartError: there is no such recipe, or a part or setting is missing.
    """
    return PIPELINES[check_name(name)](runners, settings)
