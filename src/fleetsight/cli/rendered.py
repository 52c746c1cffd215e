"""Rendered pictures in the form that training eats. Both sources run in worker processes: heavy imports stand inside.

The stages `sim` and `train` do not know each other; this door does.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleetsight.train.samples import CropSample, DetectorSample

CATALOGUE = 48  # designs per catalogue, as in a session
CROPS_PER_DESIGN = 12
SKUS_PER_SEED = 1000  # more than any catalogue holds; keeps numbers of different seeds apart


def rendered_crops(seed: int) -> Iterator["CropSample"]:
    """Yield one made-up catalogue: gallery pictures and scene crops of each design.

    Args:
        seed: of the catalogue and its scenes.

    Yields:
        Six gallery pictures and twelve crops per design.
    """
    import numpy as np

    from fleetsight.sim.crops import crop_of
    from fleetsight.sim.designs import make_designs
    from fleetsight.sim.solids import gallery_pictures
    from fleetsight.train.samples import CropSample

    designs = make_designs(seed, count=CATALOGUE)
    families = {name: index for index, name in enumerate(dict.fromkeys(design.family for design in designs))}
    rng = np.random.default_rng([seed, 11])
    for label, design in enumerate(designs):
        number, family = seed * SKUS_PER_SEED + label, seed * SKUS_PER_SEED + families[design.family]
        for picture in gallery_pictures(design):
            yield CropSample(picture, number, family, gallery=True)
        for _ in range(CROPS_PER_DESIGN):
            yield CropSample(crop_of(designs, label, rng=rng), number, family, gallery=False)


def rendered_frames(seed: int) -> Iterator["DetectorSample"]:
    """Yield frames of rendered sessions with boxes of products (label 0) and hands (label 1).

    Args:
        seed: of the sessions.

    Yields:
        Frames without end, a few of each session.
    """
    import numpy as np

    from fleetsight.sim.samples import detector_samples
    from fleetsight.train.samples import DetectorSample

    for image, boxes, labels, ignore in detector_samples(seed):
        yield DetectorSample(image, boxes, labels.astype(np.int32), ignore)
