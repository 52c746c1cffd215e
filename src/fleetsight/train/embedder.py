"""Training the embedder: from crops of many designs to a portable model and its report card.

Batches hold whole look-alike groups, several pictures of each member, so that the hardest negatives are always there.
Validation asks what will be asked in use: designs never seen in training, a gallery of catalog pictures per SKU, and
crops from scenes to be named among one catalogue's SKUs.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fleetsight.accel.card import Card
from fleetsight.accel.choose import open_session
from fleetsight.accel.embedder import Embedder
from fleetsight.accel.portable import PortableModel
from fleetsight.train.augment import CROP_PAD, vary_crop
from fleetsight.train.cache import Cache, CachePlan, build_cache, crop_record
from fleetsight.train.embedder_net import INPUT_PX, EmbedderNet
from fleetsight.train.embedding_loss import ClassDirections, batch_contrast
from fleetsight.train.export import multiply_adds, parameters_of, publish, save_model
from fleetsight.train.loop import LoopPlan, TrainingLoop
from fleetsight.train.report import Report, report_card, rounded
from fleetsight.train.samples import CropSource

logger = logging.getLogger(__name__)
CACHE_WH = (80, 80)  # 1.25 times the input
VIEWS = 4  # pictures of one SKU in a batch
NEW_SEED_OFFSET = 500  # validation designs come from seeds this far away


@dataclass(frozen=True)
class EmbedderOptions:
    """What one dial sets.

    Args:
        catalogues: training catalogues (one cache shard each).
        per_catalogue: pictures per catalogue.
        validation_catalogues: catalogues of unseen designs.
        loop: numbers of the training loop.
        seed: of everything.
        workers: rendering processes.
    """

    catalogues: int
    per_catalogue: int
    validation_catalogues: int
    loop: LoopPlan
    seed: int = 1
    workers: int = 2


def embedder_options(quality: str, *, seed: int, workers: int, threads: int) -> EmbedderOptions:
    """Choose the numbers for a quality.

    Args:
        quality: "smoke" (a minute), "default" (half an hour on two cores), "long" (a GPU, or a night).
        seed: of everything.
        workers: rendering processes.
        threads: torch threads, 0 for torch's choice.

    Returns:
        The options.
    """
    catalogues, validation, steps, batch, every = {
        "smoke": (2, 1, 40, 64, 20),
        "default": (128, 8, 4000, 192, 500),
        "long": (600, 16, 30000, 384, 1500),
    }[quality]
    loop = LoopPlan(
        steps=steps,
        batch=batch,
        learning_rate=2e-3,
        weight_decay=0.05,
        warmup_steps=min(200, steps // 5),
        validate_every=every,
        seed=seed,
        threads=threads,
    )
    return EmbedderOptions(
        catalogues=catalogues,
        per_catalogue=48 * 18,
        validation_catalogues=validation,
        loop=loop,
        seed=seed,
        workers=workers,
    )


class _Net(nn.Module):
    """Embedder and class directions, trained together."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.embedder = EmbedderNet()
        self.directions = ClassDirections(classes, self.embedder.shape.dimensions)


class EmbedderTask:
    """Batches, loss and validation of the embedder.

    Args:
        train: cache of training crops.
        validation: cache of crops of unseen designs.
        plan: numbers of the loop.
        folder: `trial/` is the exported model of the last validation, `model/` of the best one.
        card: its card without metrics.
    """

    def __init__(self, train: Cache, validation: Cache, plan: LoopPlan, *, folder: Path, card: Card) -> None:
        self.train, self.validation, self.plan, self.folder, self.card = train, validation, plan, folder, card
        self.labels = np.unique(train.column("design"), return_inverse=True)[1].reshape(-1)
        families = np.unique(train.column("family"), return_inverse=True)[1].reshape(-1)
        self.pictures = _groups(self.labels)
        self.gallery = train.column("gallery").astype(bool)
        self.members = [np.unique(self.labels[rows]) for rows in _groups(families)]

    @property
    def classes(self) -> int:
        """Number of SKUs to tell apart."""
        return len(self.pictures)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Prepare the crops of one step: VIEWS per SKU, whole look-alike groups."""
        rng = np.random.default_rng([self.plan.seed, 2, step])
        wanted = self.plan.batch // VIEWS
        skus: list[int] = []
        for family in rng.permutation(len(self.members)):
            skus.extend(int(sku) for sku in self.members[family])
            if len(skus) >= wanted:
                break
        rows: list[int] = []
        for sku in skus[:wanted]:
            pool = self.pictures[sku]
            rows.extend(int(row) for row in rng.choice(pool, VIEWS, replace=len(pool) < VIEWS))
        crops = np.stack(
            [vary_crop(self.train[row].image, rng, side_px=INPUT_PX, gallery=bool(self.gallery[row])) for row in rows]
        )
        return torch.from_numpy(crops.transpose(0, 3, 1, 2)), torch.from_numpy(self.labels[rows].astype(np.int64))

    def loss(self, net: nn.Module, batch: tuple[Tensor, Tensor], *, device: torch.device) -> dict[str, Tensor]:
        """Class directions plus contrast within the batch."""
        crops, labels = batch[0].to(device), batch[1].to(device)
        assert isinstance(net, _Net)
        vectors = net.embedder((crops.float() / 255.0).contiguous(memory_format=torch.channels_last))
        with torch.autocast(device.type, enabled=False):
            unit = functional.normalize(vectors.float())
            classes, contrast = net.directions(unit, labels), batch_contrast(unit, labels)
        return {"total": classes + contrast, "classes": classes, "contrast": contrast}

    def validate(self, net: nn.Module, step: int) -> dict[str, float]:
        """Export, then name crops of unseen designs with the exported file."""
        del step
        assert isinstance(net, _Net)
        metrics = recall_of(save_model(net.embedder, self.card, folder=self.folder / "trial"), self.validation)
        return {"score": metrics["top1"], **metrics}

    def keep(self, metrics: dict[str, float], step: int) -> None:
        """Publish the best so far, so that it can be used while training goes on."""
        publish(
            PortableModel.load(self.folder / "trial"), {**rounded(metrics), "step": step}, folder=self.folder / "model"
        )


def _groups(labels: NDArray[Any]) -> list[NDArray[np.intp]]:
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)


def recall_of(model: PortableModel, cache: Cache) -> dict[str, float]:
    """Name scene crops by the nearest catalog picture among the SKUs of their own catalogue.

    Args:
        model: an embedder in its folder.
        cache: crops with gallery pictures; a shard is a catalogue.

    Returns:
        top1, top1_look_alikes (SKUs that have look-alikes), family (right group), n and n_look_alikes.
    """
    session = open_session(model, precision="f32", threads=1)
    try:
        vectors = Embedder(model, session).embed([cache[row].image for row in range(len(cache))])
    finally:
        session.close()
    design, family, gallery = cache.column("design"), cache.column("family"), cache.column("gallery").astype(bool)
    right, right_family, alike = [], [], []
    for start, end in cache.shard_spans:
        rows = np.arange(start, end)
        known, asked = rows[gallery[rows]], rows[~gallery[rows]]
        named = known[(vectors[asked] @ vectors[known].T).argmax(axis=1)]
        right.append(design[named] == design[asked])
        right_family.append(family[named] == family[asked])
        sizes = {group: len(np.unique(design[rows[family[rows] == group]])) for group in np.unique(family[rows])}
        alike.append(np.array([sizes[group] > 1 for group in family[asked]]))
    hit, hit_family, hard = np.concatenate(right), np.concatenate(right_family), np.concatenate(alike)
    return {
        "top1": float(hit.mean()),
        "top1_look_alikes": float(hit[hard].mean()) if hard.any() else float("nan"),
        "family": float(hit_family.mean()),
        "n": float(len(hit)),
        "n_look_alikes": float(hard.sum()),
    }


def embedder_card(lineage: dict[str, Any]) -> Card:
    """Describe the embedder: raw pixels in, centred letterbox of 128."""
    return Card(
        name="cooler-embedder",
        task="embed",
        input_size_wh=(INPUT_PX, INPUT_PX),
        decoder="none",
        labels=(),
        licence="Apache-2.0",
        lineage=lineage,
        pad_value=CROP_PAD,
        pad_place="centre",
        strides=(),
    )


def train_embedder(source: CropSource, out_dir: Path, *, options: EmbedderOptions, command: str = "") -> Report:
    """Train, export, measure.

    Args:
        source: a seed gives one catalogue's pictures: gallery and scene crops.
        out_dir: caches, checkpoint, log, `model/` and `report.json`; an interrupted run in it goes on.
        options: all numbers.
        command: how this run was started, for the card.

    Returns:
        The report card, also in `report.json`.

    Raises:
        CacheError: the folder holds caches of other options.
        TrainError: the folder holds a run of other options, or the loss diverged.
    """
    caches = []
    for part, catalogues, seed in (
        ("train", options.catalogues, options.seed),
        ("validation", options.validation_catalogues, options.seed + NEW_SEED_OFFSET),
    ):
        count = catalogues * options.per_catalogue
        plan = CachePlan(f"cooler-embedder {part}", seed, count, options.per_catalogue, CACHE_WH)
        caches.append(
            build_cache(source, crop_record, plan=plan, folder=out_dir / f"crops-{part}", workers=options.workers)
        )
    train, validation = caches
    lineage = {
        "trained_by": "fleetsight train embedder",
        "command": command,
        "seed": options.seed,
        "data": f"{len(train)} rendered crops of {options.catalogues} made-up catalogues; no photographs",
        "started_from": "random weights",
        "licence_of_data": "Apache-2.0",
    }
    card = embedder_card(lineage)
    task = EmbedderTask(train, validation, options.loop, folder=out_dir, card=card)
    torch.manual_seed(options.seed)
    net = _Net(task.classes)
    loop = TrainingLoop(net, task, options.loop, folder=out_dir)
    result = loop.run()
    best = loop.load_best()
    assert isinstance(best, _Net)
    model = save_model(best.embedder, card, folder=out_dir / "model")
    metrics = recall_of(model, validation)
    facts: dict[str, Any] = {
        "parameters": parameters_of(best.embedder),
        "multiply_adds": multiply_adds(best.embedder, card.input_size_wh),
        "training_designs": task.classes,
        "training_crops": len(train),
        "steps": options.loop.steps,
        "best_step": result.best_step,
        "seconds": round(result.seconds),
    }
    return report_card(publish(model, {**rounded(metrics), **facts}, folder=model.folder), out_dir / "report.json")
