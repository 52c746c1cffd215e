"""The gallery compares by the best picture of each SKU."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fleetsight.catalog.gallery import Gallery, build_gallery
from fleetsight.catalog.sku import Catalog, CatalogError, Sku


def sku(name: str, *pictures: str) -> Sku:
    return Sku(name, name, "", None, 100, tuple(Path(p) for p in pictures))


def one_hot(names: Sequence[str]) -> NDArray[np.float32]:
    return np.eye(4, dtype=np.float32)[[int(name) for name in names]]


def test_a_sku_scores_by_its_best_picture() -> None:
    catalog = Catalog("EUR", {"b": sku("b", "2"), "a": sku("a", "0", "1")})
    gallery = build_gallery(catalog, one_hot)
    assert gallery.skus == ("a", "b")
    scores = gallery.scores(np.array([[0.0, 1.0, 0.0, 0.0], [0.0, 0.6, 0.8, 0.0]], dtype=np.float32))
    assert np.allclose(scores, [[1.0, 0.0], [0.6, 0.8]])


def test_a_sku_without_pictures_is_left_out_and_none_at_all_is_refused() -> None:
    assert build_gallery(Catalog("EUR", {"a": sku("a", "0"), "b": sku("b")}), one_hot).skus == ("a",)
    with pytest.raises(CatalogError, match="no SKU"):
        build_gallery(Catalog("EUR", {"b": sku("b")}), one_hot)


def test_scores_do_not_depend_on_the_order_of_pictures() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((6, 8)).astype(np.float32)
    owner = np.array([0, 0, 1, 1, 2, 2])
    order = rng.permutation(6)
    query = rng.standard_normal((5, 8)).astype(np.float32)
    plain = Gallery(("a", "b", "c"), vectors, owner).scores(query)
    mixed = Gallery(("a", "b", "c"), vectors[order], owner[order]).scores(query)
    assert np.allclose(plain, mixed, atol=1e-6)
