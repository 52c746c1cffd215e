"""Training the detector: from rendered scenes to a portable model and its report card.

source -> cache -> varied batches -> DenseDetector -> assignment and losses
every validation: average -> ONNX in a portable folder -> the detector that users run -> average precision
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fleetsight.accel.card import Card
from fleetsight.accel.choose import open_session
from fleetsight.accel.detector import Detector
from fleetsight.accel.portable import PortableModel
from fleetsight.train.assignment import Truth
from fleetsight.train.augment import SceneBoxes, vary_scene
from fleetsight.train.cache import Cache, CachePlan, build_cache, detector_record
from fleetsight.train.dense_detector import STRIDES, DenseDetector, cell_centres
from fleetsight.train.detection_loss import LossWeights, detection_loss
from fleetsight.train.export import multiply_adds, parameters_of, publish, save_model
from fleetsight.train.loop import LoopPlan, TrainingLoop
from fleetsight.train.report import Report, report_card, rounded
from fleetsight.train.samples import DetectorSource
from fleetsight.vision.average_precision import TruthBoxes, average_precision, edge_errors_px, recall_and_precision

logger = logging.getLogger(__name__)
LABELS = ("product", "hand")
INPUT_WH = (416, 256)
LOSS_WEIGHTS = LossWeights(classes=(1.0, 6.0))  # hands: AP50 0.31 without after 1,200 steps, 0.72 with it after 1,020
TRAIN_FIT_WH = (640, 360)  # the usual clip as it is; larger frames shrink to it
VALIDATION_FIT_WH = (1280, 720)
VALIDATION_SEED_OFFSET = 500
WORKING_SCORE = 0.3  # detections are cut here for recall, precision and edge errors
LISTED_SCORE = 0.02  # and here for average precision


@dataclass(frozen=True)
class DetectorOptions:
    """What one dial sets.

    Args:
        frames: training frames in the cache.
        validation_frames: frames of unseen scenes.
        shard: frames per cache shard.
        loop: numbers of the training loop.
        seed: of everything.
        workers: rendering processes.
    """

    frames: int
    validation_frames: int
    shard: int
    loop: LoopPlan
    seed: int = 1
    workers: int = 2


def detector_options(quality: str, *, seed: int, workers: int, threads: int) -> DetectorOptions:
    """Choose the numbers for a quality.

    Args:
        quality: "smoke" (a minute), "default" (within an hour on two cores), "long" (a GPU, or a night).
        seed: of everything.
        workers: rendering processes.
        threads: torch threads, 0 for torch's choice.

    Returns:
        The options.
    """
    frames, validation, shard, steps, batch, every = {
        "smoke": (32, 16, 16, 30, 8, 15),
        "default": (6144, 256, 64, 6000, 16, 1000),
        "long": (49152, 1024, 64, 60000, 32, 2000),
    }[quality]
    loop = LoopPlan(
        steps=steps,
        batch=batch,
        learning_rate=2e-3,
        weight_decay=0.03,
        warmup_steps=min(150, steps // 5),
        average_decay=0.998,
        validate_every=every,
        seed=seed,
        threads=threads,
    )
    return DetectorOptions(
        frames=frames, validation_frames=validation, shard=shard, loop=loop, seed=seed, workers=workers
    )


class DetectorTask:
    """Batches, loss and validation of the detector.

    Args:
        train: cache of training frames.
        validation: cache of unseen frames.
        plan: numbers of the loop.
        folder: `trial/` is the exported model of the last validation, `model/` of the best one.
        card: its card without metrics.
    """

    def __init__(self, train: Cache, validation: Cache, plan: LoopPlan, *, folder: Path, card: Card) -> None:
        self.train, self.validation, self.plan, self.folder, self.card = train, validation, plan, folder, card
        self._grid: tuple[Tensor, Tensor] | None = None

    def batch(self, step: int) -> tuple[Tensor, Truth]:
        """Prepare the frames of one step; every epoch sees each frame once."""
        first = step * self.plan.batch
        images, scenes = [], []
        for position in range(first, first + self.plan.batch):
            epoch, index = divmod(position, len(self.train))
            order = _order(self.plan.seed, epoch, len(self.train))
            record = self.train[int(order[index])]
            arrays = record.arrays
            rng = np.random.default_rng([self.plan.seed, 3, position])
            scene = SceneBoxes(arrays["boxes"], arrays["labels"], arrays["ignore"])
            image, scene = vary_scene(record.image, scene, rng=rng, canvas_wh=self.card.input_size_wh)
            images.append(image)
            scenes.append(scene)
        return torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2)), truth_of(scenes)

    def loss(self, net: nn.Module, batch: tuple[Tensor, Truth], *, device: torch.device) -> dict[str, Tensor]:
        """Boxes and scores against the truth."""
        if self._grid is None:
            centres, strides = cell_centres(self.card.input_size_wh)
            self._grid = centres.to(device), strides.to(device)
        images = (batch[0].to(device).float() / 255.0).contiguous(memory_format=torch.channels_last)
        raw = net(images)
        with torch.autocast(device.type, enabled=False):
            return detection_loss(raw, self._grid, truth=batch[1].to(device), weights=LOSS_WEIGHTS)

    def validate(self, net: nn.Module, step: int) -> dict[str, float]:
        """Export, then detect in unseen frames with the exported file."""
        del step
        metrics = detector_metrics(save_model(net, self.card, folder=self.folder / "trial"), self.validation)
        parts = [metrics[name] for name in ("ap50_product", "ap75_product", "ap75_product", "ap50_hand")]
        return {"score": float(np.nanmean(parts)) if np.isfinite(parts).any() else 0.0, **metrics}

    def keep(self, metrics: dict[str, float], step: int) -> None:
        """Publish the best so far, so that it can be used while training goes on."""
        publish(
            PortableModel.load(self.folder / "trial"), {**rounded(metrics), "step": step}, folder=self.folder / "model"
        )


_orders: dict[tuple[int, int, int], NDArray[np.int64]] = {}


def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    key = (seed, epoch, count)
    if key not in _orders:
        _orders.clear()
        _orders[key] = np.random.default_rng([seed, 4, epoch]).permutation(count)
    return _orders[key]


def truth_of(scenes: Sequence[SceneBoxes]) -> Truth:
    """Stack the boxes of a batch, padded to the longest list.

    Args:
        scenes: boxes of each picture in pixels of the network's input.

    Returns:
        The padded truth.
    """
    most = max(len(scene.boxes) for scene in scenes)
    most_ignored = max(len(scene.ignore) for scene in scenes)
    boxes = np.zeros((len(scenes), most, 4), np.float32)
    labels = np.zeros((len(scenes), most), np.int64)
    valid = np.zeros((len(scenes), most), np.bool_)
    ignore = np.zeros((len(scenes), most_ignored, 4), np.float32)
    for row, scene in enumerate(scenes):
        count = len(scene.boxes)
        boxes[row, :count], labels[row, :count], valid[row, :count] = scene.boxes, scene.labels, True
        ignore[row, : len(scene.ignore)] = scene.ignore
    return Truth(*(torch.from_numpy(array) for array in (boxes, labels, valid, ignore)))


def detector_metrics(model: PortableModel, cache: Cache) -> dict[str, float]:
    """Measure a detector on cached frames.

    Args:
        model: in its folder.
        cache: frames with truth.

    Returns:
        ap50 and ap75 per label, recall and precision of products at the working score, median and 95th percentile of
        the edge error of products in pixels of the frame, and n, the number of frames.
    """
    truth = [TruthBoxes(row["boxes"], row["labels"], row["ignore"]) for row in cache.arrays]
    session = open_session(model, precision="f32", threads=1)
    try:
        frames = (cache[index].image for index in range(len(cache)))
        found = list(Detector(model, session).stream(frames, score_min=LISTED_SCORE))
    finally:
        session.close()
    metrics: dict[str, float] = {}
    for label, name in enumerate(LABELS):
        metrics[f"ap50_{name}"] = average_precision(found, truth, label=label, iou_min=0.5)
        metrics[f"ap75_{name}"] = average_precision(found, truth, label=label, iou_min=0.75)
    working = [each.select(each.scores >= WORKING_SCORE) for each in found]
    for label, name in enumerate(LABELS):
        metrics[f"recall_{name}"], metrics[f"precision_{name}"] = recall_and_precision(working, truth, label=label)
    errors = edge_errors_px(working, truth, label=0)
    metrics["edge_error_px_p50"] = float(np.median(errors)) if len(errors) else float("nan")
    metrics["edge_error_px_p95"] = float(np.quantile(errors, 0.95)) if len(errors) else float("nan")
    metrics["n"] = float(len(cache))
    return metrics


def detector_card(lineage: dict[str, Any]) -> Card:
    """Describe the detector: raw pixels in, top-left letterbox of 114."""
    return Card(
        name="cooler-detector",
        task="detect",
        input_size_wh=INPUT_WH,
        decoder="fleetsight_dense",
        labels=LABELS,
        licence="Apache-2.0",
        lineage=lineage,
        strides=STRIDES,
    )


def train_detector(source: DetectorSource, out_dir: Path, *, options: DetectorOptions, command: str = "") -> Report:
    """Train, export, measure.

    Args:
        source: a seed gives frames with boxes.
        out_dir: caches, checkpoint, log, `model/` and `report.json`; an interrupted run in it goes on.
        options: all numbers.
        command: how this run was started, for the card.

    Returns:
        The report card, also in `report.json`.

    Raises:
        CacheError: the folder holds caches of other options.
        TrainError: the folder holds a run of other options, or the loss diverged.
    """
    validation = build_cache(
        source,
        detector_record,
        plan=CachePlan(
            "cooler-detector validation",
            options.seed + VALIDATION_SEED_OFFSET,
            options.validation_frames,
            options.shard,
            VALIDATION_FIT_WH,
        ),
        folder=out_dir / "frames-validation",
        workers=options.workers,
    )
    train = build_cache(
        source,
        detector_record,
        plan=CachePlan("cooler-detector train", options.seed, options.frames, options.shard, TRAIN_FIT_WH),
        folder=out_dir / "frames-train",
        workers=options.workers,
    )
    lineage = {
        "trained_by": "fleetsight train detector",
        "command": command,
        "seed": options.seed,
        "data": f"{len(train)} rendered frames of made-up coolers; no photographs",
        "started_from": "random weights",
        "licence_of_data": "Apache-2.0",
    }
    card = detector_card(lineage)
    task = DetectorTask(train, validation, options.loop, folder=out_dir, card=card)
    torch.manual_seed(options.seed)
    loop = TrainingLoop(DenseDetector(), task, options.loop, folder=out_dir)
    result = loop.run()
    best = loop.load_best()
    model = save_model(best, card, folder=out_dir / "model")
    facts: dict[str, Any] = {
        "parameters": parameters_of(best),
        "multiply_adds": multiply_adds(best, INPUT_WH),
        "training_frames": len(train),
        "steps": options.loop.steps,
        "best_step": result.best_step,
        "seconds": round(result.seconds),
    }
    metrics = {**rounded(detector_metrics(model, validation)), **facts}
    return report_card(publish(model, metrics, folder=model.folder), out_dir / "report.json")
