"""Catalog folders: what is read, and what is refused with its reason."""

import json
from pathlib import Path

import pytest

from fleetsight.catalog.sku import Catalog, CatalogError


def write(folder: Path, rows: object) -> Path:
    (folder / "catalog.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder


def test_a_catalog_reads_back_what_was_written(tmp_path: Path) -> None:
    row = {"sku": "a", "name": "A", "size_mm": [60, 120, 50], "price_minor": 199, "pictures": ["pictures/a.png"]}
    catalog = Catalog.load(write(tmp_path, {"currency": "SEK", "skus": [row]}))
    assert catalog.currency == "SEK"
    assert catalog.skus["a"].size_mm == (60.0, 120.0, 50.0)
    assert catalog.skus["a"].pictures == (tmp_path / "pictures/a.png",)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ({"skus": [{"sku": "a"}, {"sku": "a"}]}, "listed twice"),
        ({"skus": [{"name": "no identifier"}]}, "no 'sku'"),
        ({"skus": []}, "lists no SKU"),
        ({"skus": [{"sku": "a", "pictures": ["../../secret.png"]}]}, "outside the catalog"),
        ({"skus": [{"sku": "a", "size_mm": ["wide"]}]}, "bad size_mm"),
        ([1, 2], "expected an object"),
    ],
)
def test_a_bad_catalog_is_refused_with_its_reason(tmp_path: Path, rows: object, reason: str) -> None:
    with pytest.raises(CatalogError, match=reason):
        Catalog.load(write(tmp_path, rows))


def test_a_missing_or_broken_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="does not exist"):
        Catalog.load(tmp_path)
    (tmp_path / "catalog.json").write_text("{", encoding="utf-8")
    with pytest.raises(CatalogError, match="not JSON"):
        Catalog.load(tmp_path)
