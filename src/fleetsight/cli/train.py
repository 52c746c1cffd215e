"""`fleetsight train`: binds rendered pictures to the two trainings; everything heavy is imported inside a command."""

import logging
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from fleetsight.cli.rendered import rendered_crops, rendered_frames
from fleetsight.errors import Error

train_app = typer.Typer(
    help="Train the bundled models on rendered scenes.", no_args_is_help=True, rich_markup_mode=None
)

SEED_MAX = 400  # with it the design seeds of training stay below those of scoring (sim.session)


class Quality(StrEnum):
    """The one dial."""

    SMOKE = "smoke"
    DEFAULT = "default"
    LONG = "long"


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


OutOption = Annotated[
    Path, typer.Option(metavar="DIR", help="Caches, checkpoint, log, model and report; a killed run goes on.")
]
QualityOption = Annotated[
    Quality, typer.Option(help="smoke: a minute; default: within an hour on two cores; long: a GPU.")
]
SeedOption = Annotated[int, typer.Option(min=0, max=SEED_MAX, help="Of data, weights and batches.")]
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
