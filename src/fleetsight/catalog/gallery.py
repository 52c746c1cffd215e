"""The gallery: one vector per picture of every SKU. A new SKU needs pictures and no training.

A crop's vector is compared with all of them by cosine; a SKU scores by its best picture. Exact search: 12,600 SKUs
of 512 dimensions take about a millisecond on one core.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetsight.catalog.sku import Catalog, CatalogError


@dataclass(frozen=True)
class Gallery:
    """Vectors of the catalog's pictures.

    Attributes:
        skus: SKU identifiers, sorted; position = column of the scores.
        vectors: (n, d) float32, L2-normalised, one row per picture.
        owner: (n,) int64, the column each row belongs to.
    """

    skus: tuple[str, ...]
    vectors: NDArray[np.float32]
    owner: NDArray[np.int64]

    def scores(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Best cosine of each SKU for each embedding.

        Args:
            embeddings: (m, d) float32, L2-normalised.
        Returns:
            (m, len(skus)) float32 in [-1, 1].
        """
        cosines = embeddings @ self.vectors.T
        best: NDArray[np.float32] = np.full((len(embeddings), len(self.skus)), -1.0, dtype=np.float32)
        np.maximum.at(best.T, self.owner, cosines.T)
        return best


def build_gallery(catalog: Catalog, embed_files: Callable[[Sequence[str]], NDArray[np.float32]]) -> Gallery:
    """Embed every picture of a catalog.

    Args:
        catalog: the SKUs with their picture files.
        embed_files: maps picture paths to (n, d) float32 L2-normalised vectors.
    Returns:
        The gallery over all SKUs that have a picture.
    Raises:
        CatalogError: no SKU has a picture.
    """
    skus = tuple(sorted(name for name, sku in catalog.skus.items() if sku.pictures))
    if not skus:
        raise CatalogError("no SKU of the catalog has a picture", hint='add "pictures" to catalog.json')
    files = [(column, str(path)) for column, name in enumerate(skus) for path in catalog.skus[name].pictures]
    vectors = embed_files([path for _, path in files])
    owner = np.array([column for column, _ in files], dtype=np.int64)
    return Gallery(skus=skus, vectors=vectors, owner=owner)
