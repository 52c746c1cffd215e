"""SKUs and the catalog folder that lists them.

A catalog is a folder: `catalog.json` (SKU rows) beside the pictures it names. Pictures are read only when asked for.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from fleetsight.errors import Error

CATALOG_BYTES_MAX = 64 << 20
"""A catalog of 100,000 SKUs stays below 32 MB; more is not a catalog."""


class CatalogError(Error):
    """A catalog, planogram or gallery that cannot be used as it is."""

    code: ClassVar[str] = "catalog"


@dataclass(frozen=True)
class Sku:
    """One product that can be sold.

    Attributes:
        sku: the retailer's identifier, unique in a catalog.
        name: what a shopper reads on the receipt.
        family: look-alike group; SKUs of one family share the pack design. Empty when unknown.
        size_mm: width, height, depth as it stands on the shelf; None when not measured.
        price_minor: price in minor units of the catalog's currency.
        pictures: gallery picture files.
    """

    sku: str
    name: str
    family: str
    size_mm: tuple[float, float, float] | None
    price_minor: int
    pictures: tuple[Path, ...]


@dataclass(frozen=True)
class Catalog:
    """The SKUs of one retailer, by identifier."""

    currency: str
    skus: dict[str, Sku]

    @staticmethod
    def load(folder: Path) -> "Catalog":
        """Read `catalog.json` of a folder.

        Args:
            folder: the catalog folder.
        Returns:
            The catalog; picture paths are absolute or relative as `folder` is.
        Raises:
            CatalogError: no such file, not JSON, a row without `sku`, a SKU listed twice, a picture outside the folder.
        """
        rows = read_json(folder / "catalog.json")
        skus: dict[str, Sku] = {}
        for row in rows.get("skus", []):
            entry = _sku(row, folder)
            if entry.sku in skus:
                raise CatalogError(f"{folder}: SKU {entry.sku!r} is listed twice", hint="keep one of the rows")
            skus[entry.sku] = entry
        if not skus:
            raise CatalogError(f"{folder}: catalog.json lists no SKU", hint='expected {"skus": [{"sku": …}]}')
        return Catalog(currency=str(rows.get("currency", "EUR")), skus=skus)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file of bounded size.

    Args:
        path: the file.
    Returns:
        The object.
    Raises:
        CatalogError: missing, too large, not JSON, or not an object.
    """
    if not path.is_file():
        raise CatalogError(f"{path} does not exist", hint="name the folder or file that holds it")
    if path.stat().st_size > CATALOG_BYTES_MAX:
        raise CatalogError(f"{path} is larger than {CATALOG_BYTES_MAX} bytes", hint="split it by site")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CatalogError(f"{path} is not JSON: {error}", hint="check the file with a JSON linter") from error
    if not isinstance(value, dict):
        raise CatalogError(f"{path} holds a {type(value).__name__}, expected an object")
    return value


def _sku(row: Any, folder: Path) -> Sku:
    if not isinstance(row, dict) or not row.get("sku"):
        raise CatalogError(f"{folder}: a row has no 'sku': {str(row)[:80]}", hint='each row needs "sku"')
    try:
        size = row.get("size_mm")
        size_mm = (float(size[0]), float(size[1]), float(size[2])) if size else None
        price_minor = int(row.get("price_minor", 0))
    except (TypeError, ValueError, IndexError) as error:
        raise CatalogError(f"{folder}: SKU {row['sku']!r} has a bad size_mm or price_minor: {error}") from error
    pictures = tuple(folder / str(name) for name in row.get("pictures", []))
    for picture in pictures:
        if not picture.resolve().is_relative_to(folder.resolve()):
            raise CatalogError(f"{folder}: picture {picture} of SKU {row['sku']!r} lies outside the catalog folder")
    return Sku(
        sku=str(row["sku"]),
        name=str(row.get("name", row["sku"])),
        family=str(row.get("family", "")),
        size_mm=size_mm,
        price_minor=price_minor,
        pictures=pictures,
    )
