from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fleetsight.train.cache import CacheError, CachePlan, build_cache, crop_record, detector_record, shard_path
from fleetsight.train.samples import CropSample, DetectorSample

PLAN = CachePlan("toy", seed=3, count=10, shard=4, fit_wh=(64, 36))


def frames(seed: int) -> Iterator[DetectorSample]:
    rng = np.random.default_rng(seed)
    for count in range(100):
        image = np.full((72, 128, 3), rng.integers(0, 255), dtype=np.uint8)
        boxes = rng.uniform(0, 60, (count % 3, 4)).astype(np.float32)
        yield DetectorSample(image, boxes, np.zeros(len(boxes), np.int32), np.ones((1, 4), np.float32))


def crops(seed: int) -> Iterator[CropSample]:
    for index in range(20):
        yield CropSample(np.full((30, 20, 3), index * 10, np.uint8), seed * 10 + index, seed, gallery=index % 2 == 0)


def nothing(seed: int) -> Iterator[DetectorSample]:
    return iter(())


def test_samples_shrink_with_their_boxes(tmp_path: Path) -> None:
    cache = build_cache(frames, detector_record, plan=PLAN, folder=tmp_path, workers=0)
    assert len(cache) == 10
    assert cache[2].image.shape == (36, 64, 3)
    first = next(iter(frames(3 * 7919)))
    assert int(cache[0].image[0, 0, 0]) == pytest.approx(int(first.image[0, 0, 0]), abs=2)
    assert [len(row["boxes"]) for row in cache.arrays[:4]] == [0, 1, 2, 0]
    np.testing.assert_allclose(cache[0].arrays["ignore"], 0.5)


def test_equal_plans_give_equal_caches(tmp_path: Path) -> None:
    one = build_cache(frames, detector_record, plan=PLAN, folder=tmp_path / "a", workers=0)
    two = build_cache(frames, detector_record, plan=PLAN, folder=tmp_path / "b", workers=0)
    for index in range(len(one)):
        np.testing.assert_array_equal(one[index].image, two[index].image)
        np.testing.assert_array_equal(one[index].arrays["boxes"], two[index].arrays["boxes"])


def test_only_missing_shards_are_made_again(tmp_path: Path) -> None:
    build_cache(frames, detector_record, plan=PLAN, folder=tmp_path, workers=0)
    kept, lost = shard_path(tmp_path, 0), shard_path(tmp_path, 1)
    before = kept.stat().st_mtime_ns
    lost.unlink()
    assert len(build_cache(frames, detector_record, plan=PLAN, folder=tmp_path, workers=0)) == 10
    assert kept.stat().st_mtime_ns == before


def test_a_cache_of_another_plan_is_refused(tmp_path: Path) -> None:
    build_cache(frames, detector_record, plan=PLAN, folder=tmp_path, workers=0)
    other = CachePlan("toy", seed=4, count=10, shard=4, fit_wh=(64, 36))
    with pytest.raises(CacheError, match="another cache"):
        build_cache(frames, detector_record, plan=other, folder=tmp_path, workers=0)


def test_an_empty_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="no sample"):
        build_cache(nothing, detector_record, plan=PLAN, folder=tmp_path, workers=0)


def test_crops_keep_their_product_and_kind(tmp_path: Path) -> None:
    cache = build_cache(crops, crop_record, plan=PLAN, folder=tmp_path, workers=0)
    assert cache.column("gallery").tolist() == [True, False, True, False] * 2 + [True, False]
    assert cache.shard_spans == [(0, 4), (4, 8), (8, 10)]
    assert len(set(cache.column("design").tolist())) == 10
