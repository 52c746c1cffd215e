"""`fleetsight train`: binds rendered samples to the two trainings.

The sources below run in worker processes; everything heavy is imported inside.
"""

import logging
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fleetsight.errors import Error

if TYPE_CHECKING:
    from fleetsight.train.samples import CropSample, DetectorSample

train_app = typer.Typer(help="Train the bundled models on rendered scenes.", no_args_is_help=True, rich_markup_mode=None)

CATALOGUE = 48  # designs per catalogue, as in a session
CROPS_PER_DESIGN = 12
SKUS_PER_SEED = 1000  # more than any catalogue holds; keeps numbers of different seeds apart


class Quality(StrEnum):
    """The one dial."""

    SMOKE = "smoke"
    DEFAULT = "default"
    LONG = "long"


def rendered_crops(seed: int) -> "Iterator[CropSample]":
    """Yield one made-up catalogue: gallery pictures and scene crops of each design.

    Args:
        seed: of the catalogue and its scenes.

    Yields:
        Six gallery pictures and twelve crops per design.
    """
    import numpy as np

    from fleetsight.sim.crops import crop_of
    from fleetsight.sim.designs import make_designs
    from fleetsight.sim.solids import gallery_pictures
    from fleetsight.train.samples import CropSample

    designs = make_designs(seed, count=CATALOGUE)
    families = {name: index for index, name in enumerate(dict.fromkeys(design.family for design in designs))}
    rng = np.random.default_rng([seed, 11])
    for label, design in enumerate(designs):
        number, family = seed * SKUS_PER_SEED + label, seed * SKUS_PER_SEED + families[design.family]
        for picture in gallery_pictures(design):
            yield CropSample(picture, number, family, gallery=True)
        for _ in range(CROPS_PER_DESIGN):
            yield CropSample(crop_of(designs, label, rng), number, family, gallery=False)


def rendered_frames(seed: int) -> "Iterator[DetectorSample]":
    """Yield frames of rendered sessions with boxes of products and hands.

    Args:
        seed: of the sessions.

    Yields:
        Frames without end.
    """
    from fleetsight.sim.samples import detector_samples
    from fleetsight.train.samples import DetectorSample

    for sample in detector_samples(seed):
        yield DetectorSample(sample.image, sample.boxes_xyxy_px, sample.labels, sample.ignore_xyxy_px)


class NoTorchError(Error):
    """Training needs the extra `train`."""

    code = "train_extra"


def _prepare() -> None:
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise NoTorchError("training needs torch, which is not installed", hint="pip install 'fleetsight[train]'")
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")


def _show(report: Any, *, as_json: bool) -> None:
    if as_json:
        print(report.path.read_text(encoding="utf-8"), end="")
        return
    for name, value in report.metrics.items():
        print(f"{name:24} {value}")
    print(f"model: {report.model.folder}")


def _command(kind: str, *, quality: Quality, seed: int) -> str:
    return f"fleetsight train {kind} --quality {quality.value} --seed {seed}"


OutOption = Annotated[Path, typer.Option(metavar="DIR", help="Caches, checkpoint, log, model and report; a killed run goes on.")]
QualityOption = Annotated[Quality, typer.Option(help="smoke: a minute; default: within an hour on two cores; long: a GPU.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Of data, weights and batches.")]
WorkersOption = Annotated[int, typer.Option(min=0, max=64, help="Rendering processes.")]
ThreadsOption = Annotated[int, typer.Option(min=0, max=64, help="Torch threads; 0: torch's choice.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the report card as JSON.")]


@train_app.command()
def detector(
    out: OutOption = Path("runs/detector"),
    quality: QualityOption = Quality.DEFAULT,
    seed: SeedOption = 1,
    workers: WorkersOption = 2,
    threads: ThreadsOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Train the detector of products and hands."""
    _prepare()
    from fleetsight.train.detector import detector_options, train_detector

    options = detector_options(quality.value, seed=seed, workers=workers, threads=threads)
    command = _command("detector", quality=quality, seed=seed)
    _show(train_detector(rendered_frames, out, options=options, command=command), as_json=as_json)


@train_app.command()
def embedder(
    out: OutOption = Path("runs/embedder"),
    quality: QualityOption = Quality.DEFAULT,
    seed: SeedOption = 1,
    workers: WorkersOption = 2,
    threads: ThreadsOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Train the embedder that names products by their gallery pictures."""
    _prepare()
    from fleetsight.train.embedder import embedder_options, train_embedder

    options = embedder_options(quality.value, seed=seed, workers=workers, threads=threads)
    command = _command("embedder", quality=quality, seed=seed)
    _show(train_embedder(rendered_crops, out, options=options, command=command), as_json=as_json)
