"""The simulated lock and camera, and a world that goes on while nobody looks."""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import pytest

from fleetsight.apps.cooler.device.hardware import Door
from fleetsight.apps.cooler.device.simulated import (
    REACHES_FOR_DOOR_S,
    NoFaces,
    SimulatedCamera,
    SimulatedLock,
    SkewedClock,
    World,
)
from fleetsight.apps.cooler.device.simulated_films import Film, Turn
from fleetsight.clock import SECOND_NS, VirtualClock
from fleetsight.video.encode import write_clip
from tests.apps.cooler.device.stand import START_NS, scene

END_S = 4.0


@dataclass
class Scene:
    """A world with a film of four seconds: the door falls shut for a second after the first, and for good after three."""

    folder: Path
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(START_NS))

    def film(self) -> Film:
        clip = self.folder / "film.mp4"
        if not clip.exists():
            write_clip(clip, (scene(index) for index in range(round(END_S * 20))), rate_hz=Fraction(20))
        return Film(Turn("basic", 1), clip, END_S, ((1.0, 2.0), (3.0, 1e9)), {"cola": 2}, "charge", {"cola": 150})

    def world(self, pace: float = 1.0) -> World:
        world = World(self.folder, pace=pace, clock=self.clock)
        world.stock(self.film())
        return world

    def to(self, film_s: float, pace: float = 1.0) -> None:
        """Go to a moment of the film, counted from its start."""
        wanted_ns = START_NS + round((film_s + REACHES_FOR_DOOR_S) / pace * SECOND_NS)
        self.clock.advance(wanted_ns - self.clock.now_ns())


@pytest.fixture
def made(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def frames_until_now(camera: SimulatedCamera) -> list[int]:
    found = []
    while (frame := camera.poll()) is not None:
        found.append(frame.pts_ns)
    return found


def test_the_door_does_what_the_script_says(made: Scene) -> None:
    world = made.world()
    lock = SimulatedLock(world)
    assert lock.door() is Door.LOCKED
    lock.unlock()
    assert lock.door() is Door.UNLOCKED
    seen = []
    for film_s in (0.5, 1.5, 2.5, 3.5):
        made.to(film_s)
        seen.append(lock.door())
    assert seen == [Door.OPEN, Door.CLOSED, Door.OPEN, Door.CLOSED]
    lock.lock()
    assert lock.door() is Door.LOCKED
    world.turn_over()
    assert (world.turns_done, world.interrupted, lock.door()) == (1, False, Door.LOCKED)


def test_a_bolt_does_not_engage_while_the_door_is_open(made: Scene) -> None:
    lock = SimulatedLock(made.world())
    lock.unlock()
    made.to(0.5)
    lock.lock()
    assert lock.door() is Door.OPEN


def test_a_door_that_was_locked_in_between_stays_shut(made: Scene) -> None:
    lock = SimulatedLock(made.world())
    lock.unlock()
    made.to(1.5)
    lock.lock()
    made.to(2.5)
    assert lock.door() is Door.LOCKED


def test_time_can_run_faster(made: Scene) -> None:
    lock = SimulatedLock(made.world(pace=4.0))
    lock.unlock()
    made.to(2.5, pace=4.0)
    assert lock.door() is Door.OPEN
    assert made.clock.now_ns() - START_NS < SECOND_NS


def test_the_camera_plays_the_film_in_time(made: Scene) -> None:
    world = made.world()
    camera = SimulatedCamera(world)
    assert camera.ok()
    assert camera.poll() is None
    world.free_bolt()
    made.to(-0.1)
    assert camera.poll() is None
    made.to(1.0)
    first = frames_until_now(camera)
    assert first == [index * SECOND_NS // 20 for index in range(21)]
    made.to(END_S + 5)
    assert len(first) + len(frames_until_now(camera)) == END_S * 20
    world.turn_over()
    assert camera.poll() is None
    world.stock(made.film())  # the same film again, for the next shopper
    world.free_bolt()
    made.clock.advance(SECOND_NS)
    assert frames_until_now(camera)[0] == 0
    camera.close()


def test_the_world_goes_on_while_the_process_is_dead(made: Scene) -> None:
    world = made.world()
    world.free_bolt()
    made.to(0.5)
    again = made.world()
    assert again.interrupted
    assert again.door() is Door.OPEN
    made.to(2.0)
    camera = SimulatedCamera(again)
    made.to(2.5)
    played = frames_until_now(camera)
    assert played[0] >= 2 * SECOND_NS  # what was shown meanwhile is gone
    made.to(3.5)
    assert made.world().door() is Door.CLOSED
    camera.close()


def test_a_locked_world_stays_locked_over_a_restart(made: Scene) -> None:
    world = made.world()
    world.free_bolt()
    made.to(3.5)
    world.engage_bolt()
    assert made.world().door() is Door.LOCKED
    world.turn_over()
    again = made.world()
    assert (again.turns_done, again.interrupted) == (1, False)


def test_a_shopper_who_was_not_served_is_followed_by_another_for_the_same(made: Scene) -> None:
    world = made.world()
    world.free_bolt()
    made.to(-0.5)
    world.turn_over(served=False)
    again = made.world()
    assert (again.turns_done, again.interrupted) == (0, False)
    made.clock.advance(100 * SECOND_NS)
    again.free_bolt()
    assert again.door() is Door.UNLOCKED


def test_a_skewed_clock_is_ahead_and_drifts() -> None:
    true = VirtualClock(START_NS)
    clock = SkewedClock(true, ahead_s=-3600, drift_ppm=50)
    assert clock.now_ns() == START_NS - 3600 * SECOND_NS
    true.advance(1_000 * SECOND_NS)
    assert clock.now_ns() - (true.now_ns() - 3600 * SECOND_NS) == SECOND_NS // 20


def test_rendered_scenes_have_no_faces() -> None:
    assert list(NoFaces().find(scene(0))) == []
