"""Every knob of the rendered cooler and its range, in one table.

`STANDARD` is the world that the models are trained in and scored on; `SHIFTED` moves cameras, light, products and encoding beyond it.
A session draws each knob once, from the session's own generator. Ranges are our own choice unless a source stands beside them.
"""

from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np


@dataclass(frozen=True)
class Range:
    """An interval from which a knob is drawn uniformly."""

    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> float:
        """Draw a real number.

        Args:
            rng: the session's generator.

        Returns:
            A number in [low, high).
        """
        return float(rng.uniform(self.low, self.high))

    def draw_int(self, rng: np.random.Generator) -> int:
        """Draw a whole number.

        Args:
            rng: the session's generator.

        Returns:
            A number in [low, high], both ends possible.
        """
        return int(rng.integers(int(self.low), int(self.high) + 1))


@dataclass(frozen=True)
class ShelfKnobs:
    """The furniture and how it is stocked."""

    shelves: Range = Range(2, 4)
    facings: Range = Range(12, 30)  # all shelves together
    width_mm: Range = Range(600.0, 980.0)  # inner width
    height_budget_mm: Range = Range(520.0, 840.0)  # all shelves together
    shelf_depth_mm: Range = Range(300.0, 420.0)
    headroom_mm: Range = Range(24.0, 60.0)  # above the tallest product of a shelf
    side_gap_mm: Range = Range(4.0, 16.0)  # between neighbours
    row_gap_mm: Range = Range(3.0, 10.0)  # between the items of a row
    setback_mm: Range = Range(6.0, 26.0)  # front item behind the shelf's edge
    row_depth: Range = Range(2, 5)  # items of a row at full stock
    full_row_share: float = 0.6
    empty_row_share: float = 0.04
    look_alike_share: float = 0.7  # a family's members stand side by side
    double_facing_share: float = 0.2
    position_jitter_mm: float = 2.0  # standard deviation
    yaw_jitter_rad: float = 0.06  # standard deviation
    product_scale: Range = Range(1.0, 1.0)  # one factor for all products of the session


@dataclass(frozen=True)
class CameraKnobs:
    """Where the cameras stand."""

    above_share: float = 0.4  # of sessions seen from above the door
    front_distance_mm: Range = Range(900.0, 1400.0)
    front_hfov_deg: Range = Range(50.0, 75.0)
    front_height_mm: Range = Range(40.0, 280.0)  # above the middle of the cooler
    above_height_mm: Range = Range(240.0, 400.0)  # above the top of the cooler
    above_out_mm: Range = Range(430.0, 620.0)  # in front of the shelf edge
    above_pitch_deg: Range = Range(40.0, 60.0)
    side_mm: Range = Range(-90.0, 90.0)
    roll_deg: Range = Range(-1.5, 1.5)
    aim_mm: Range = Range(-20.0, 20.0)  # error of the aim
    margin: Range = Range(0.02, 0.09)  # free share of the picture around the shelf


@dataclass(frozen=True)
class ShopperKnobs:
    """Arms, hands and how they move."""

    peak_speed_m_s: Range = Range(0.4, 1.5)  # usual reaches
    extreme_slow_m_s: Range = Range(0.3, 0.36)
    extreme_fast_m_s: Range = Range(2.4, 3.0)
    dwell_s: Range = Range(0.15, 0.7)  # hand at the item before it lifts
    look_s: Range = Range(0.4, 1.4)  # item held in view
    gap_s: Range = Range(0.25, 0.8)  # between two acts
    free_view_s: Range = Range(0.6, 1.2)  # before the first and after the last hand
    lift_mm: Range = Range(18.0, 40.0)
    tremor_mm: Range = Range(0.2, 1.2)
    bow_mm: Range = Range(-60.0, 60.0)  # sideways bend of a path
    rest_error_mm: float = 3.0  # of an item put back, standard deviation
    rest_error_rad: float = 0.08
    short_s: float = 4.6  # a session that would end earlier is mostly filled up with reaches that take nothing
    distraction_share: float = 0.25  # sessions with an extra reach that takes nothing
    tilt_rad: Range = Range(-0.5, 0.5)  # of a carried item
    spin_rad: Range = Range(-0.7, 0.7)  # turn of the wrist while carrying
    hand_scale: Range = Range(0.88, 1.16)


@dataclass(frozen=True)
class LightKnobs:
    """What happens to light between the lamp and the file."""

    gain: Range = Range(0.78, 1.12)
    drift: Range = Range(0.0, 0.1)  # amplitude of slow exposure changes
    flicker: Range = Range(0.0, 0.03)
    white_balance: Range = Range(0.93, 1.07)  # per red and blue channel
    vignette: Range = Range(0.0, 0.28)  # loss in the corners
    glare_spots: Range = Range(0, 2)
    glare: Range = Range(15.0, 70.0)  # grey levels at a spot's centre
    haze: Range = Range(0.0, 12.0)  # grey levels of stray light
    noise: Range = Range(1.0, 4.5)  # grey levels, standard deviation
    blur_px: Range = Range(0.35, 0.75)  # sigma at 640 x 360
    shelf_fall_off: Range = Range(0.15, 0.5)  # loss of light from the front to the back of a shelf
    shutter: Range = Range(0.2, 0.55)  # exposure time as a share of the frame period


@dataclass(frozen=True)
class EncodingKnobs:
    """Frame rates and compression of the clip."""

    rates_hz: tuple[Fraction, ...] = (Fraction(15), Fraction(20), Fraction(25), Fraction(30000, 1001), Fraction(30))
    crf: Range = Range(23, 32)  # H.264, libx264
    sample_jpeg: Range = Range(28, 75)  # stands in for video compression in detector samples


@dataclass(frozen=True)
class Knobs:
    """All ranges of one suite."""

    name: str
    shelf: ShelfKnobs = field(default_factory=ShelfKnobs)
    camera: CameraKnobs = field(default_factory=CameraKnobs)
    shopper: ShopperKnobs = field(default_factory=ShopperKnobs)
    light: LightKnobs = field(default_factory=LightKnobs)
    encoding: EncodingKnobs = field(default_factory=EncodingKnobs)


STANDARD = Knobs(name="standard")

SHIFTED = Knobs(
    name="shifted",
    shelf=replace(STANDARD.shelf, yaw_jitter_rad=0.16, position_jitter_mm=3.5, product_scale=Range(0.82, 1.2)),
    camera=replace(
        STANDARD.camera,
        front_distance_mm=Range(750.0, 1700.0),
        front_hfov_deg=Range(42.0, 84.0),
        front_height_mm=Range(-120.0, 420.0),
        above_height_mm=Range(180.0, 480.0),
        above_out_mm=Range(360.0, 720.0),
        above_pitch_deg=Range(34.0, 66.0),
        side_mm=Range(-220.0, 220.0),
        roll_deg=Range(-4.0, 4.0),
    ),
    light=replace(
        STANDARD.light,
        gain=Range(0.55, 1.3),
        drift=Range(0.08, 0.18),
        flicker=Range(0.02, 0.06),
        white_balance=Range(0.85, 1.16),
        vignette=Range(0.2, 0.45),
        glare_spots=Range(1, 4),
        glare=Range(40.0, 110.0),
        noise=Range(4.0, 8.0),
        blur_px=Range(0.6, 1.1),
    ),
    encoding=EncodingKnobs(
        rates_hz=(Fraction(12), Fraction(15), Fraction(24), Fraction(25), Fraction(50)),
        crf=Range(31, 36),
        sample_jpeg=Range(20, 35),
    ),
)

SUITES = {knobs.name: knobs for knobs in (STANDARD, SHIFTED)}
