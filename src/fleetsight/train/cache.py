"""Samples on disk: rendered once by worker processes, read many times by the training loop.

A cache is a folder of shards. Each shard is made from its own seed by one process and appears whole (written beside,
then renamed), so a killed run goes on where it stopped and equal arguments give equal bytes.

    source(seed) -> samples -> records (JPEG + small arrays) -> shard_00012.npz -> Cache[i]
"""

import itertools
import json
import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fleetsight.errors import Error
from fleetsight.train.samples import CropSample, DetectorSample, Image

logger = logging.getLogger(__name__)
JPEG_QUALITY = 95  # with 4:4:4 colour the error stays below the simulated camera's noise
SHARD_SEED_STEP = (
    7919  # shards of two neighbouring seeds never share a source seed (a prime, larger than any shard count)
)


class CacheError(Error):
    """A sample cache cannot be made or read."""

    code = "train_cache"


@dataclass(frozen=True)
class CachePlan:
    """What a cache holds; two plans are equal exactly when their caches are.

    Args:
        name: what the source is, for people ("cooler-detector train").
        seed: seed of the whole cache.
        count: number of samples.
        shard: samples per shard, each shard one process's unit of work.
        fit_wh: samples are shrunk (never enlarged) to fit this width and height in pixels.
    """

    name: str
    seed: int
    count: int
    shard: int
    fit_wh: tuple[int, int]


@dataclass(frozen=True)
class Record:
    """One cached sample: a picture and the small arrays that belong to it."""

    image: Image
    arrays: dict[str, NDArray[Any]]


def _shrink(image: Image, fit_wh: tuple[int, int]) -> tuple[Image, float]:
    height, width = image.shape[:2]
    scale = min(fit_wh[0] / width, fit_wh[1] / height, 1.0)
    if scale == 1.0:
        return image, 1.0
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8), scale


def detector_record(sample: DetectorSample, fit_wh: tuple[int, int]) -> Record:
    """Shrink a detector sample for the cache.

    Args:
        sample: picture and boxes.
        fit_wh: largest width and height kept, pixels.

    Returns:
        arrays `boxes` (n, 4), `labels` (n,), `ignore` (k, 4), in pixels of the shrunk picture.
    """
    image, _ = _shrink(sample.image, fit_wh)
    scale_xy = np.array(image.shape[1::-1], dtype=np.float32) / np.array(sample.image.shape[1::-1], dtype=np.float32)
    scale = np.tile(scale_xy, 2)
    arrays = {
        "boxes": (np.asarray(sample.boxes_xyxy_px, np.float32).reshape(-1, 4) * scale).astype(np.float32),
        "labels": np.asarray(sample.labels, np.int32).reshape(-1),
        "ignore": (np.asarray(sample.ignore_xyxy_px, np.float32).reshape(-1, 4) * scale).astype(np.float32),
    }
    return Record(image, arrays)


def crop_record(sample: CropSample, fit_wh: tuple[int, int]) -> Record:
    """Shrink a product crop for the cache.

    Args:
        sample: crop and its product.
        fit_wh: largest width and height kept, pixels.

    Returns:
        arrays `design`, `family`, `gallery`, each of shape ().
    """
    image, _ = _shrink(sample.image, fit_wh)
    arrays: dict[str, NDArray[Any]] = {
        "design": np.array(sample.design, np.int64),
        "family": np.array(sample.family, np.int64),
        "gallery": np.array(sample.gallery, np.bool_),
    }
    return Record(image, arrays)


def _write_shard(path: Path, records: list[Record]) -> None:
    blobs = []
    for record in records:
        flags = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
        done, blob = cv2.imencode(".jpg", record.image[:, :, ::-1], flags)
        if not done:
            raise CacheError(f"could not encode a {record.image.shape} picture as JPEG")
        blobs.append(blob.reshape(-1))
    columns: dict[str, NDArray[Any]] = {
        "jpeg": np.concatenate(blobs),
        "jpeg_ends": np.cumsum([len(blob) for blob in blobs]).astype(np.int64),
    }
    for name in records[0].arrays:
        values = [record.arrays[name] for record in records]
        if values[0].ndim:
            columns[name] = np.concatenate(values)
            columns[name + "_ends"] = np.cumsum([len(value) for value in values]).astype(np.int64)
        else:
            columns[name] = np.stack(values)
    part = path.with_suffix(f".part{os.getpid()}.npz")
    np.savez(part, allow_pickle=False, **columns)
    part.replace(path)


def _make_shard(
    source: Callable[[int], Iterator[Any]],
    record: Callable[[Any, tuple[int, int]], Record],
    *,
    plan: CachePlan,
    index: int,
    folder: Path,
) -> int:
    cv2.setNumThreads(1)
    count = min(plan.shard, plan.count - index * plan.shard)
    samples = itertools.islice(source(plan.seed * SHARD_SEED_STEP + index), count)
    records = [record(sample, plan.fit_wh) for sample in samples]
    if not records:
        raise CacheError(f"the source of {plan.name!r} gave no sample for shard {index}")
    _write_shard(shard_path(folder, index), records)
    return len(records)


def shard_path(folder: Path, index: int) -> Path:
    """Name one shard's file."""
    return folder / f"shard_{index:05d}.npz"


def build_cache(
    source: Callable[[int], Iterator[Any]],
    record: Callable[[Any, tuple[int, int]], Record],
    *,
    plan: CachePlan,
    folder: Path,
    workers: int = 1,
) -> "Cache":
    """Make the shards that are missing, then open the cache.

    Args:
        source: picklable; called with a seed per shard.
        record: detector_record or crop_record.
        plan: what the cache shall hold.
        folder: where; made when missing.
        workers: processes; 0 renders in this process.

    Returns:
        The opened cache.

    Raises:
        CacheError: the folder holds a cache of another plan, or the source gave nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plan_path = folder / "plan.json"
    text = json.dumps(asdict(plan), indent=1)
    if plan_path.exists() and plan_path.read_text() != text:
        raise CacheError(
            f"{folder} holds another cache than {plan.name!r} asks for", hint=f"remove {folder} or name another"
        )
    plan_path.write_text(text)
    shards = -(-plan.count // plan.shard)
    missing = [index for index in range(shards) if not shard_path(folder, index).exists()]
    if workers == 0:
        for index in missing:
            _make_shard(source, record, plan=plan, index=index, folder=folder)
    elif missing:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            jobs = [
                pool.submit(_make_shard, source, record, plan=plan, index=index, folder=folder) for index in missing
            ]
            for done, job in enumerate(as_completed(jobs), 1):
                job.result()
                logger.info("rendered cache=%r shards=%d/%d", plan.name, done, len(jobs))
    return Cache(folder, shards)


class Cache:
    """A finished cache, held in memory in its compressed form.

    Args:
        folder: where build_cache wrote it.
        shards: how many shards to read.
    """

    def __init__(self, folder: Path, shards: int) -> None:
        self._jpegs: list[NDArray[np.uint8]] = []
        self._arrays: list[dict[str, NDArray[Any]]] = []
        self.shard_spans: list[tuple[int, int]] = []  # first and one past the last sample of each shard
        for index in range(shards):
            with np.load(shard_path(folder, index), allow_pickle=False) as columns:
                start = len(self._jpegs)
                self._add(dict(columns))
                self.shard_spans.append((start, len(self._jpegs)))

    def _add(self, columns: dict[str, NDArray[Any]]) -> None:
        blobs = np.split(columns["jpeg"], columns["jpeg_ends"][:-1])
        self._jpegs.extend(blobs)
        rows: list[dict[str, NDArray[Any]]] = [{} for _ in blobs]
        for name, values in columns.items():
            if name.startswith("jpeg") or name.endswith("_ends"):
                continue
            ends = columns.get(name + "_ends")
            parts = list(values) if ends is None else np.split(values, ends[:-1])
            for row, part in zip(rows, parts, strict=True):
                row[name] = np.asarray(part)
        self._arrays.extend(rows)

    def __len__(self) -> int:
        return len(self._jpegs)

    def __getitem__(self, index: int) -> Record:
        image = cv2.imdecode(self._jpegs[index], cv2.IMREAD_COLOR_RGB)
        if image is None:
            raise CacheError(f"sample {index} of the cache cannot be decoded", hint="remove the cache folder and rerun")
        return Record(np.asarray(image, dtype=np.uint8), self._arrays[index])

    @property
    def arrays(self) -> list[dict[str, NDArray[Any]]]:
        """The small arrays of every sample, in order."""
        return self._arrays

    def column(self, name: str) -> NDArray[Any]:
        """Stack one scalar array over all samples, without decoding pictures."""
        return np.stack([row[name] for row in self._arrays])
