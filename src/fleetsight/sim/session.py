"""Sessions: everything that a scenario and a seed decide, and the frames that follow from it.

`plan_session` draws a world (products, shelf, camera, script, light, encoding); `render` yields its frames with their truth. The same arguments
give the same frames, byte for byte, on one build of numpy and OpenCV.

Seeds. Worlds for scoring are drawn from ("score", suite, scenario, seed), worlds for training from ("train", seed): the streams never meet. Their
products do not meet either: training catalogs are dealt from design seeds below `SCORE_DESIGN_SEED`, scoring catalogs from that number on, so that
an embedder is always scored on SKUs it has never seen.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fleetsight.sim.camera import Camera
from fleetsight.sim.cooler.furniture import Furniture
from fleetsight.sim.cooler.optics import Optics
from fleetsight.sim.cooler.shelf import Shelf, make_shelf, scaled, stock
from fleetsight.sim.cooler.views import ABOVE, FRONT, make_camera
from fleetsight.sim.designs import Design, make_designs
from fleetsight.sim.knobs import SUITES, Knobs
from fleetsight.sim.scene import FrameTruth, Scene, blank_truth, moved_truth
from fleetsight.sim.shoppers.scenarios import SCENARIOS, write_script
from fleetsight.sim.shoppers.scripts import Script
from fleetsight.sim.shoppers.stage import Stage
from fleetsight.vision.image import Image

SCORE_DESIGN_SEED = 10_000_000
"""Design seeds of scoring catalogs begin here; training uses smaller ones only."""
SESSIONS_PER_CATALOG = 20
"""So many successive training seeds share a catalog: dealing one takes longer than rendering a few frames."""
FOREIGN_DESIGN_SHIFT = 5_000_000
"""Products of no catalog are dealt from the catalog's design seed plus this."""
CATALOG_COUNT = 48
"""SKUs of a catalog; issue 2 asks for 40 or more."""
FOREIGN_COUNT = 10
"""Products of another catalog, for swaps and unknown products."""
PLAN_TRIES = 8
"""Worlds drawn until the scenario is possible in one of them."""


@dataclass(frozen=True)
class SessionPlan:
    """Everything about one session before a pixel is drawn.

    Attributes:
        scenario: one of `SCENARIOS`.
        seed: as given.
        suite: "standard" or "shifted".
        view: "front" or "above".
        designs: the catalog, then products of no catalog.
        catalog_count: how many of `designs` are the catalog.
        shelf: furniture and planogram.
        camera: the camera.
        script: what happens.
        rate_hz: frames per second, exact.
        crf: quality to encode the clip with (H.264, libx264).
        fall_off: light lost from the front to the back of a shelf.
        shutter_s: exposure time.
        optics_seed: seed of light, lens and noise.
    """

    scenario: str
    seed: int
    suite: str
    view: str
    designs: tuple[Design, ...]
    catalog_count: int
    shelf: Shelf
    camera: Camera
    script: Script
    rate_hz: Fraction
    crf: int
    fall_off: float
    shutter_s: float
    optics_seed: int

    @property
    def catalog(self) -> tuple[Design, ...]:
        """The SKUs that can be sold."""
        return self.designs[: self.catalog_count]

    @property
    def size_wh(self) -> tuple[int, int]:
        """Size of the picture in pixels."""
        return self.camera.width_px, self.camera.height_px

    @property
    def frame_count(self) -> int:
        """Frames of the session."""
        return int(self.script.end_s * self.rate_hz)

    def pts_ns(self, index: int) -> int:
        """Presentation time of a frame.

        Args:
            index: number of the frame, the first is 0.

        Returns:
            Nanoseconds since the first frame.
        """
        return round(Fraction(index) / self.rate_hz * 1_000_000_000)


@dataclass(frozen=True)
class RenderedFrame:
    """One frame and who is to be seen where.

    Attributes:
        image: (h, w, 3) uint8 RGB.
        pts_ns: presentation time, 0 for the first frame.
        truth: boxes of products and hands.
        owner: (h, w) int16, item ids, hands and forearms (`shoppers.arms`), own things (`scene`), -1 for the rest.
    """

    image: Image
    pts_ns: int
    truth: FrameTruth
    owner: NDArray[np.int16]


def plan_session(
    scenario: str, seed: int, *, suite: str = "standard", size_wh: tuple[int, int] = (640, 360)
) -> SessionPlan:
    """Draw a session for demonstration or scoring.

    Args:
        scenario: one of `SCENARIOS`.
        seed: any whole number >= 0.
        suite: "standard" or "shifted".
        size_wh: size of the picture in px, such as (640, 360) or (1280, 720).

    Returns:
        The plan.

    Raises:
        KeyError: no such scenario or suite.
    """
    knobs = SUITES[suite]
    entropy = [zlib.crc32(b"score"), zlib.crc32(suite.encode()), zlib.crc32(scenario.encode()), seed]
    catalog_seed = SCORE_DESIGN_SEED + zlib.crc32(repr(entropy).encode())
    return _plan((scenario, seed), knobs, size_wh=size_wh, entropy=entropy, design_seed=catalog_seed)


def plan_training_session(seed: int, *, size_wh: tuple[int, int] = (640, 360)) -> SessionPlan:
    """Draw a session for training: any scenario, the standard knobs.

    Args:
        seed: a whole number, 0 to 999,999.
        size_wh: size of the picture in px.

    Returns:
        The plan; its world and its products never occur in scoring.
    """
    entropy = [zlib.crc32(b"train"), seed]
    scenario = SCENARIOS[int(np.random.default_rng(entropy).integers(len(SCENARIOS)))]
    design_seed = seed // SESSIONS_PER_CATALOG
    return _plan((scenario, seed), SUITES["standard"], size_wh=size_wh, entropy=entropy, design_seed=design_seed)


def _plan(
    name: tuple[str, int], knobs: Knobs, *, size_wh: tuple[int, int], entropy: list[int], design_seed: int
) -> SessionPlan:
    scenario, seed = name
    for attempt in range(PLAN_TRIES):
        rng = np.random.default_rng([*entropy, attempt, 7])
        factor = knobs.shelf.product_scale.draw(rng)
        catalog = scaled(_dealt(design_seed, CATALOG_COUNT), factor)
        foreign = scaled(_dealt(design_seed + FOREIGN_DESIGN_SHIFT, FOREIGN_COUNT), factor)
        shelf = make_shelf(catalog, knobs.shelf, rng=rng)
        rows = stock(shelf, catalog, knobs=knobs.shelf, rng=rng)
        above = knobs.camera.above_share * (1.0 if len(shelf.boards_y_mm) < 4 else 0.5)
        view = ABOVE if rng.random() < above else FRONT
        camera = make_camera(view, shelf, knobs=knobs.camera, size_wh=size_wh, rng=rng)
        rates = knobs.encoding.rates_hz
        rate = rates[int(rng.integers(len(rates)))]
        stage = Stage(
            rng=rng,
            knobs=knobs,
            shelf=shelf,
            designs=(*catalog, *foreign),
            catalog_count=len(catalog),
            camera=camera,
            rows=rows,
            odd=bool(seed % 2),
        )
        if scenario in {"several_units", "both_hands"} and not stage.stocked(2) and attempt + 1 < PLAN_TRIES:
            continue
        break
    script = write_script(scenario, stage)
    return SessionPlan(
        scenario=scenario,
        seed=seed,
        suite=knobs.name,
        view=view,
        designs=stage.designs,
        catalog_count=len(catalog),
        shelf=shelf,
        camera=camera,
        script=script,
        rate_hz=rate,
        crf=knobs.encoding.crf.draw_int(rng),
        fall_off=knobs.light.shelf_fall_off.draw(rng),
        shutter_s=knobs.light.shutter.draw(rng) / float(rate),
        optics_seed=int(rng.integers(1 << 31)),
    )


@lru_cache(maxsize=16)
def _dealt(seed: int, count: int) -> tuple[Design, ...]:
    return make_designs(seed, count=count)


class Renderer:
    """Draws frames of one session in any order; in order of time is fastest.

    Args:
        plan: the session.
    """

    def __init__(self, plan: SessionPlan) -> None:
        self.plan = plan
        furniture = Furniture(plan.shelf, plan.camera, plan.fall_off)
        self._scene = Scene(
            furniture,
            plan.script,
            designs=plan.designs,
            catalog_count=plan.catalog_count,
            shutter_s=plan.shutter_s,
        )
        self._optics = Optics(SUITES[plan.suite].light, plan.size_wh, np.random.default_rng(plan.optics_seed))

    def frame(self, index: int) -> RenderedFrame:
        """Draw one frame.

        Args:
            index: number of the frame, 0 to `plan.frame_count` - 1.

        Returns:
            The frame and its truth.
        """
        pts_ns = self.plan.pts_ns(index)
        at_s = pts_ns / 1e9
        canvas, truth = self._scene.draw(at_s)
        image, moved, covered = self._optics.accidents(canvas.rgb, at_s, lens=self.plan.script.lens)
        owner = canvas.owner
        if covered:
            truth, owner = blank_truth(), np.full_like(owner, -1)
        elif moved != (0, 0):
            truth = moved_truth(truth, moved, image=image)
            owner = _rolled(owner, moved)
        return RenderedFrame(self._optics.apply(image, at_s, index=index), pts_ns, truth, owner)


def render(plan: SessionPlan) -> Iterator[RenderedFrame]:
    """Draw a session.

    Args:
        plan: the session.

    Yields:
        Its frames in order of time.
    """
    renderer = Renderer(plan)
    for index in range(plan.frame_count):
        yield renderer.frame(index)


def _rolled(owner: NDArray[np.int16], moved_px: tuple[int, int]) -> NDArray[np.int16]:
    moved = np.full_like(owner, -1)
    height, width = owner.shape
    x, y = moved_px
    moved[max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)] = owner[
        max(0, -y) : height - max(0, y), max(0, -x) : width - max(0, x)
    ]
    return moved
