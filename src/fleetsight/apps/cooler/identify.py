"""Which SKU a place shows: by the detector's own labels, or by comparing its pictures with a gallery."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.embedder import Embedder
from fleetsight.apps.cooler.audit import Extent, product_pictures
from fleetsight.apps.cooler.shelf import Place, Run
from fleetsight.catalog.gallery import Gallery

TEMPERATURE = 0.045
"""Cosine that makes a factor of e; chosen on sessions that are never scored."""
UNKNOWN_COSINE = 0.57
"""A product whose best cosine is below this is more likely not in the catalog than in it, when boards or the view from above hide much of it."""
UNKNOWN_COSINE_WHOLE = 0.68
"""The same for a product seen whole: 95 of 100 known ones reach 0.81, 99 of 100 unknown ones stay below 0.72."""
WHOLE_RATIOS = (0.85, 1.12)
"""Height over width of the box, in units of the SKU's own, between which a product counts as seen whole."""
KEEP_TOP = 5


@dataclass(frozen=True)
class Reading:
    """What a run shows.

    Attributes:
        probabilities: SKU to probability, None standing for a product that is not in the catalog; most probable first.
        vector: (d,) float32 mean embedding, None when SKUs come from labels.
        cosines: of each SKU of the gallery; empty when SKUs come from labels.
        unknown_cosine: below this best cosine a product is more likely not in the catalog than in it.
    """

    probabilities: dict[str | None, float]
    vector: NDArray[np.float32] | None = None
    cosines: Mapping[str, float] = field(default_factory=dict)
    unknown_cosine: float = UNKNOWN_COSINE

    @property
    def best(self) -> str | None:
        """The most probable SKU; None when the product is not in the catalog."""
        return next(iter(self.probabilities))


class Identifier(Protocol):
    """Names the product in a run."""

    def read(self, place: Place, run: Run) -> Reading | None:
        """The SKUs a run may show.

        Args:
            place: where.
            run: a calm view of it.
        Returns:
            None when nothing stands there.
        """

    def extent(self, sku: str | None) -> Extent:
        """Proportions of a SKU."""


class LabelIdentifier:
    """The detector's labels are the SKUs.

    Args:
        labels: the detector's label names by index.
    """

    def __init__(self, labels: tuple[str, ...]) -> None:
        self._labels = labels

    def read(self, place: Place, run: Run) -> Reading | None:  # noqa: ARG002 a label needs no picture of the place
        """The label of the run; see `Identifier.read`."""
        if not run.present:
            return None
        return Reading(probabilities={self._labels[run.label]: min(0.999, max(run.score, 0.5))})

    def extent(self, sku: str | None) -> Extent:  # noqa: ARG002 labels come without sizes
        """Round products are as deep as wide."""
        return Extent()


class GalleryIdentifier:
    """Embeds the pictures of a run and compares them with the gallery.

    Args:
        embedder: makes (n, d) vectors of crops.
        gallery: vectors of the catalog's pictures.
        extents: proportions by SKU, from the catalog's sizes.
    """

    def __init__(self, embedder: Embedder, gallery: Gallery, extents: dict[str, Extent]) -> None:
        self._embedder = embedder
        self._gallery = gallery
        self._extents = extents
        self._known: dict[tuple[int, float], Reading | None] = {}

    def read(self, place: Place, run: Run) -> Reading | None:
        """SKUs by cosine to the gallery; see `Identifier.read`."""
        key = (place.place_id, run.start_s)
        if key not in self._known:
            self._known[key] = self._read(place, run)
        return self._known[key]

    def extent(self, sku: str | None) -> Extent:
        """From the catalog's sizes; that of a round product when it gives none."""
        return self._extents.get(sku or "", Extent())

    def _read(self, place: Place, run: Run) -> Reading | None:
        pictures = product_pictures(run, place.window_xyxy_px)
        if not pictures:
            return None
        vector = self._embedder.embed(pictures).mean(axis=0)
        vector = (vector / max(float(np.linalg.norm(vector)), 1e-9)).astype(np.float32)
        cosines = self._gallery.scores(vector[None])[0]
        likely = self._gallery.skus[int(cosines.argmax())]
        unknown = UNKNOWN_COSINE_WHOLE if self._whole(run)(likely) else UNKNOWN_COSINE
        known = dict(zip(self._gallery.skus, cosines.tolist(), strict=True))
        return Reading(posterior(known, unknown_cosine=unknown), vector, known, unknown)

    def _whole(self, run: Run) -> Callable[[str], bool]:
        """Whether a run's box has the proportions of a SKU seen whole."""
        assert run.box_xyxy_px is not None, "the run has a picture of a product"
        wide, high = (float(v) for v in run.box_xyxy_px[2:] - run.box_xyxy_px[:2])
        low, top = WHOLE_RATIOS
        return lambda sku: low <= high / max(wide, 1.0) * self.extent(sku).slimness <= top


def posterior(
    cosines: Mapping[str, float], *, unknown_cosine: float, odds: Mapping[str | None, float] | None = None
) -> dict[str | None, float]:
    """Probabilities of the SKUs, and of a product that is in no catalog, from the cosines of one embedding.

    Args:
        cosines: of each SKU.
        unknown_cosine: what a product of no catalog is worth.
        odds: prior odds by SKU, None standing for no catalog; 1 where none are given.
    Returns:
        The KEEP_TOP most probable ones, most probable first; they add up to 1 or less.
    """
    names: list[str | None] = [*cosines, None]
    prior = np.array([(odds or {}).get(name, 1.0) for name in names])
    logits = np.array([*cosines.values(), unknown_cosine]) / TEMPERATURE + np.log(prior)
    weights = np.exp(logits - logits.max())
    weights /= weights.sum()
    order = np.argsort(-weights, kind="stable")[:KEEP_TOP]
    return {names[i]: float(weights[i]) for i in order}
