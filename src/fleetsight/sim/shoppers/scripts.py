"""What moves in a session, as functions of time.

An arm follows keys: between two keys its hand moves with minimum jerk (Flash and Hogan 1985: 10 u^3 - 15 u^4 + 6 u^5, peak speed 1.875 times the
mean), bent sideways, with the tremor of a hand (8-12 Hz, below about 1 mm). An item's life is a list of phases: it stands, it is held, it falls;
where no phase covers an instant the item is not in sight. Everything here is plain data plus pure evaluation; `stage` writes scripts, `scene`
draws them.
"""

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fleetsight.sim.cooler.optics import Lens
from fleetsight.sim.cooler.shelf import Item
from fleetsight.sim.shoppers.arms import HandPose
from fleetsight.sim.shoppers.sleeves import ArmLook
from fleetsight.sim.solids import Pose

GRAVITY_MM_S2 = 9810.0
PEAK_OVER_MEAN = 1.875
"""Peak speed of a minimum-jerk movement divided by its mean speed."""
REACH_FORWARD = 0.6
"""How much a hand points into the shelf rather than along its forearm."""


@dataclass(frozen=True)
class Key:
    """A hand at an instant, and the path that leads there.

    Attributes:
        at_s: when.
        grip_mm: (3,) middle of the grip.
        open_share: 0 closed around the item, 1 flat.
        spin_rad: turn of the wrist about the vertical since the grasp.
        tilt_rad: lean to the side since the grasp.
        bow_mm: (3,) sideways bend of the path from the key before.
    """

    at_s: float
    grip_mm: tuple[float, float, float]
    open_share: float
    spin_rad: float = 0.0
    tilt_rad: float = 0.0
    bow_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Thing:
    """Something of the shopper's own in the hand: a phone, a wallet, a bag.

    Attributes:
        kind: "phone", "wallet" or "bag".
        size_mm: width, height, depth.
        rgb: main colour.
        detail_rgb: colour of screen, seam or print.
    """

    kind: str
    size_mm: tuple[float, float, float]
    rgb: tuple[int, int, int]
    detail_rgb: tuple[int, int, int]


@dataclass(frozen=True)
class ArmTrack:
    """One visit of one arm.

    Attributes:
        arm: number of the arm in the session.
        look: colours and size.
        keys: in order of time, at least two.
        shoulder_mm: (3,) where the arm comes from.
        normal: (3,) where the palm faces at the grasp.
        wrap_mm: half extents of what the hand closes around, along forward and along normal.
        tremor_mm: amplitude.
        tremor_seed: phases of the tremor.
        thing: own thing in the hand all the time, or None.
    """

    arm: int
    look: ArmLook
    keys: tuple[Key, ...]
    shoulder_mm: tuple[float, float, float]
    normal: tuple[float, float, float]
    wrap_mm: tuple[float, float]
    tremor_mm: float
    tremor_seed: int
    thing: Thing | None = None

    @cached_property
    def _waves(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rng = np.random.default_rng(self.tremor_seed)
        return rng.uniform([[8.0] * 3, [0.7] * 3], [[12.0] * 3, [1.6] * 3]), rng.uniform(0, 2 * np.pi, (2, 3))

    @cached_property
    def _times(self) -> list[float]:
        return [key.at_s for key in self.keys]

    def active(self, at_s: float) -> bool:
        """Whether the arm is on its visit.

        Args:
            at_s: the instant.

        Returns:
            True from the first key to the last.
        """
        return self.keys[0].at_s <= at_s <= self.keys[-1].at_s

    def state(self, at_s: float) -> tuple[NDArray[np.float64], float, float, float]:
        """Grip, opening, spin and tilt.

        Args:
            at_s: the instant; before the first key and after the last the hand rests there.

        Returns:
            grip_mm: (3,) middle of the grip.
            open_share: 0-1.
            spin_rad: turn of the wrist.
            tilt_rad: lean of the hand.
        """
        index = min(max(bisect_right(self._times, at_s), 1), len(self.keys) - 1)
        a, b = self.keys[index - 1], self.keys[index]
        u = float(np.clip((at_s - a.at_s) / max(1e-6, b.at_s - a.at_s), 0.0, 1.0))
        s = u * u * u * (10.0 + u * (6.0 * u - 15.0))
        grip = np.asarray(a.grip_mm) * (1 - s) + np.asarray(b.grip_mm) * s
        grip = grip + np.asarray(b.bow_mm) * (np.sin(np.pi * s) ** 2)
        rates, phases = self._waves
        shake = np.sin(2 * np.pi * rates * at_s + phases)
        grip = grip + self.tremor_mm * (0.35 * shake[0] + 1.2 * shake[1])
        return (
            grip,
            a.open_share + (b.open_share - a.open_share) * s,
            a.spin_rad + (b.spin_rad - a.spin_rad) * s,
            a.tilt_rad + (b.tilt_rad - a.tilt_rad) * s,
        )

    def hand(self, at_s: float) -> HandPose:
        """The hand's pose.

        Args:
            at_s: the instant.

        Returns:
            Axes are orthonormal.
        """
        grip, open_share, spin, tilt = self.state(at_s)
        shoulder = np.asarray(self.shoulder_mm)
        forward = grip - shoulder
        forward = forward / np.linalg.norm(forward) + np.array([0.0, 0.0, REACH_FORWARD])
        turn = Pose(0.0, 0.0, 0.0, yaw_rad=0.7 * spin, roll_rad=tilt).rotation
        forward = turn @ (forward / np.linalg.norm(forward))
        normal = turn @ np.asarray(self.normal)
        normal = normal - forward * float(normal @ forward)
        size = float(np.linalg.norm(normal))
        if size < 0.2:  # the palm cannot face along its own fingers: let it face the shelf's side
            normal = np.array([-1.0, 0.0, 0.0]) - forward * float(-forward[0])
            size = float(np.linalg.norm(normal))
        return HandPose(grip, forward, normal / size, open_share, self.wrap_mm, shoulder)


@dataclass(frozen=True)
class Stay:
    """An item stands; `arm` is the hand at it (then it is drawn between that hand's layers), -1 for none."""

    from_s: float
    to_s: float
    pose: Pose
    arm: int = -1


@dataclass(frozen=True)
class Held:
    """An item is carried: `offset_mm` is its base in its own frame, seen from the grip; `yaw_rad` its turn at spin 0."""

    from_s: float
    to_s: float
    arm: int
    offset_mm: tuple[float, float, float]
    yaw_rad: float


@dataclass(frozen=True)
class Fall:
    """An item falls freely from `pose` with a starting velocity (mm/s), tumbling."""

    from_s: float
    to_s: float
    pose: Pose
    velocity_mm_s: tuple[float, float, float]
    tumble_rad_s: float


Phase = Stay | Held | Fall


@dataclass(frozen=True)
class Event:
    """One physical act, as the truth tells it.

    Attributes:
        kind: "take", "put_back", "foreign_item" or "unknown".
        design: index of the product, -1 when it is not in the catalog.
        count: units moved together.
        at_s: take: it leaves its place; put_back: it rests.
        window_s: take: from then to out of the picture or outside; put_back: from coming in to rest.
        items: item ids.
        facing: index of the place.
    """

    kind: str
    design: int
    count: int
    at_s: float
    window_s: tuple[float, float]
    items: tuple[int, ...]
    facing: int


@dataclass(frozen=True)
class Script:
    """Everything that happens in a session.

    Attributes:
        items: every item, ids dense from 0.
        phases: for each item its phases in order of time.
        arms: visits of arms.
        events: in order of time.
        lens: what happens to the picture.
        end_s: length of the session.
        role: "shopper" or "restock".
    """

    items: tuple[Item, ...]
    phases: tuple[tuple[Phase, ...], ...]
    arms: tuple[ArmTrack, ...]
    events: tuple[Event, ...]
    lens: tuple[Lens, ...]
    end_s: float
    role: str

    def changes_s(self) -> list[float]:
        """Instants at which what stands untouched on the shelf changes.

        Returns:
            Sorted, without repeats.
        """
        edges = {
            edge
            for phases in self.phases
            for phase in phases
            if isinstance(phase, Stay) and phase.arm < 0
            for edge in (phase.from_s, phase.to_s)
        }
        return sorted(edge for edge in edges if 0.0 < edge < self.end_s)

    def phase(self, item: int, at_s: float) -> Phase | None:
        """The phase of an item.

        Args:
            item: item id.
            at_s: the instant.

        Returns:
            The phase, or None when the item is not in sight.
        """
        for phase in self.phases[item]:
            if phase.from_s <= at_s < phase.to_s:
                return phase
        return None


def pose_at(phase: Phase, at_s: float, *, arms: tuple[ArmTrack, ...]) -> Pose:
    """Where an item is.

    Args:
        phase: its phase at the instant.
        at_s: the instant.
        arms: the session's arms.

    Returns:
        The pose.
    """
    if isinstance(phase, Stay):
        return phase.pose
    if isinstance(phase, Held):
        grip, _, spin, tilt = arms[phase.arm].state(at_s)
        turned = Pose(0.0, 0.0, 0.0, yaw_rad=phase.yaw_rad + spin, roll_rad=tilt)
        x, y, z = grip + turned.rotation @ np.asarray(phase.offset_mm)
        return Pose(float(x), float(y), float(z), yaw_rad=turned.yaw_rad, roll_rad=tilt)
    age = at_s - phase.from_s
    vx, vy, vz = phase.velocity_mm_s
    start = phase.pose
    return Pose(
        start.x_mm + vx * age,
        start.y_mm + vy * age - 0.5 * GRAVITY_MM_S2 * age * age,
        start.z_mm + vz * age,
        yaw_rad=start.yaw_rad,
        pitch_rad=start.pitch_rad + 0.5 * phase.tumble_rad_s * age,
        roll_rad=start.roll_rad + phase.tumble_rad_s * age,
    )
