"""``fleetsight compile --recipe``: a model of several parts, compiled and proved part by part."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from fleetsight.accel.artifacts.cache import ArtifactCache
    from fleetsight.accel.parts.flow import CompiledRecipe, RecipeRequest
    from fleetsight.accel.parts.part import Examples

PICTURES_MAX = 8
"""Pictures that are asked about: the original answers every question about each of them in float32."""


def read_sizes(pairs: dict[str, str]) -> dict[str, tuple[int, ...]]:
    """Sizes of a recipe.

    Args:
        pairs: NAME to N or N,N.

    Returns:
        numbers by name.

    Raises:
        typer.BadParameter: something is no number.
    """
    try:
        return {name: tuple(int(number) for number in text.split(",")) for name, text in pairs.items()}
    except ValueError as error:
        raise typer.BadParameter(f"{pairs} are not NAME=N or NAME=N,N", param_hint="--recipe-size") from error


def read_examples(data: Path | None) -> "Examples | None":
    """What parts are calibrated and proved on.

    Args:
        data: folder of pictures, or None.

    Returns:
        pictures with the stock questions; None without a folder.

    Raises:
        PicturesError: the folder holds none, or one that cannot be read.
    """
    if data is None:
        return None
    from fleetsight.accel.parts.flow import QUESTIONS
    from fleetsight.accel.parts.part import Examples
    from fleetsight.accel.pictures import read_pictures

    return Examples(read_pictures(data, limit=PICTURES_MAX).images, QUESTIONS, ("yes", "no"))


def run_recipe(request: "RecipeRequest", cache: "ArtifactCache", *, out: Path | None, as_json: bool) -> None:
    """Compile, and say what came of it.

    Args:
        request: what and how.
        cache: keeps the parts.
        out: where to copy the artifact, or None.
        as_json: print one object.
    """
    from fleetsight.accel.parts.flow import compile_recipe

    found = compile_recipe(request, cache)
    if out is not None:
        found = replace(found, artifact=found.artifact.copy_to(out))
    if as_json:
        print(json.dumps(found.as_json()))
        return
    _print(found)


def _print(found: "CompiledRecipe") -> None:
    manifest = found.artifact.manifest
    how = {part.name: part for part in found.parts}
    print(f"{manifest.name} for {manifest.compiler}")
    for name, parity in manifest.parity["parts"].items():
        worst = min(figures["cosine"] for figures in parity["outputs"].values())
        part = how.get(name)
        said = f"{part.precision:5} {'found' if part.hit else 'made'} in {part.seconds:.1f} s" if part else ""
        print(f"  {name:18} cosine {worst:.6f}  {said}".rstrip())
    answers = manifest.parity["answers"]
    print(
        f"  {answers['same']} of {answers['asked']} answers are the original's, {answers['distinct']} of them different"
    )
    print(f"artifact: {found.artifact.folder} ({'found' if found.hit else 'made'} in {found.seconds:.2f} s)")
