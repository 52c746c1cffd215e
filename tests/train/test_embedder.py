from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra `train`")

import torch

from fleetsight.train.cache import CachePlan, build_cache, crop_record
from fleetsight.train.embedder import VIEWS, EmbedderOptions, EmbedderTask, embedder_card, train_embedder
from fleetsight.train.embedder_net import EmbedderNet
from fleetsight.train.embedding_loss import ClassDirections, batch_contrast
from fleetsight.train.export import multiply_adds, parameters_of
from fleetsight.train.loop import LoopPlan
from fleetsight.train.samples import CropSample

DESIGNS, PICTURES = 6, 5


def coloured(seed: int) -> Iterator[CropSample]:
    rng = np.random.default_rng(seed)
    for design in range(DESIGNS):
        colour = rng.integers(0, 256, 3, dtype=np.uint8)
        for picture in range(PICTURES):
            image = np.full((50, 30, 3), colour, dtype=np.uint8)
            yield CropSample(image, seed * 100 + design, seed * 100 + design // 2, gallery=picture < 2)


def test_a_tiny_run_delivers_a_model_and_its_report(tmp_path: Path) -> None:
    loop = LoopPlan(steps=4, batch=16, warmup_steps=1, validate_every=2, threads=1)
    options = EmbedderOptions(
        catalogues=2, per_catalogue=DESIGNS * PICTURES, validation_catalogues=1, loop=loop, workers=0
    )
    report = train_embedder(coloured, tmp_path, options=options, command="a test")
    assert report.metrics["n"] == DESIGNS * 3
    assert report.metrics["n_look_alikes"] == DESIGNS * 3
    assert report.metrics["training_designs"] == 2 * DESIGNS
    assert report.model.card.pad_place == "centre"


def test_batches_hold_whole_look_alike_groups(tmp_path: Path) -> None:
    plan = CachePlan("toy", seed=1, count=DESIGNS * PICTURES, shard=DESIGNS * PICTURES, fit_wh=(80, 80))
    cache = build_cache(coloured, crop_record, plan=plan, folder=tmp_path, workers=0)
    task = EmbedderTask(cache, cache, LoopPlan(steps=1, batch=4 * VIEWS), folder=tmp_path, card=embedder_card({}))
    crops, labels = task.batch(0)
    assert crops.shape == (4 * VIEWS, 3, 64, 64)
    skus = sorted(set(labels.tolist()))
    assert [sku // 2 for sku in skus[::2]] == [sku // 2 for sku in skus[1::2]]


def test_contrast_prefers_vectors_that_agree() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    sorted_out = torch.tensor([[1.0, 0], [1.0, 0], [0, 1.0], [0, 1.0]])
    mixed_up = torch.tensor([[1.0, 0], [0, 1.0], [1.0, 0], [0, 1.0]])
    assert float(batch_contrast(sorted_out, labels)) < float(batch_contrast(mixed_up, labels))


def test_contrast_without_pairs_is_nothing() -> None:
    assert float(batch_contrast(torch.eye(3), torch.tensor([0, 1, 2]))) == 0.0


def test_class_directions_reward_the_own_class() -> None:
    directions = ClassDirections(2, 2)
    with torch.no_grad():
        directions.weight.copy_(torch.eye(2))
    right = directions(torch.eye(2), torch.tensor([0, 1]))
    wrong = directions(torch.eye(2), torch.tensor([1, 0]))
    assert float(right.detach()) < float(wrong.detach())


def test_the_bundled_size_stays_small_enough_for_the_package() -> None:
    net = EmbedderNet()
    assert parameters_of(net) < 950_000
    assert multiply_adds(net, (64, 64)) < 40_000_000
