"""The two things of a device that are simulated, lock and camera, and the world around them.

The world goes on when the device's process dies: what its shopper does follows from the moment at which the bolt was freed, and that
moment is on disk. So a device that is killed in the middle of a sale finds the door as the shopper has left it meanwhile, and has missed
the pictures of that time, as a real one would.
"""

import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from fleetsight.apps.cooler.device.durable import make_folder, read_json, write_json
from fleetsight.apps.cooler.device.hardware import CameraFrame, Door
from fleetsight.apps.cooler.device.recording.faces import Box
from fleetsight.apps.cooler.device.simulated_films import Film
from fleetsight.clock import SECOND_NS, Clock, SystemClock
from fleetsight.video.decode import ClipReader
from fleetsight.vision.image import Image

CAMERA = "front"
REACHES_FOR_DOOR_S = 0.8
"""From the click of the bolt to the opening door."""
PPM = 1_000_000


class SkewedClock:
    """A clock that is wrong.

    Args:
        true: the right time.
        ahead_s: how far it is ahead at first; negative when it is behind.
        drift_ppm: how much it gains, parts per million; a cheap crystal is within 50.
    """

    def __init__(self, true: Clock, *, ahead_s: float = 0.0, drift_ppm: float = 0.0) -> None:
        self._true = true
        self._start_ns = true.now_ns()
        self._ahead_ns = round(ahead_s * SECOND_NS)
        self._drift_ppm = drift_ppm

    def now_ns(self) -> int:
        true_ns = self._true.now_ns()
        return true_ns + self._ahead_ns + round((true_ns - self._start_ns) * self._drift_ppm / PPM)


class World:
    """A cooler with a shelf and a shopper before it.

    Args:
        folder: where its state is kept; made when it is missing.
        pace: how many seconds pass in the world while one passes here; 1 in every measurement, more in tests.
        clock: the real time.
    """

    def __init__(self, folder: Path, *, pace: float = 1.0, clock: Clock | None = None) -> None:
        make_folder(folder)
        self._path = folder / "world.json"
        self._pace = pace
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._film: Film | None = None
        kept = read_json(self._path) or {}
        self._turns_done = int(kept.get("turns_done", 0))
        self._unlocked_ns: int | None = kept.get("unlocked_ns")
        self._bolted = bool(kept.get("bolted", True))

    @property
    def turns_done(self) -> int:
        """Shoppers who have come and gone."""
        return self._turns_done

    @property
    def interrupted(self) -> bool:
        """Whether a shopper was before the door when the state was kept last."""
        return self._unlocked_ns is not None

    @property
    def film(self) -> Film | None:
        """What the shopper does."""
        return self._film

    def stock(self, film: Film) -> None:
        """Put the shelf up for the next shopper; what an interrupted one sees stays as it was.

        Args:
            film: what will happen.
        """
        with self._lock:
            self._film = film

    def turn_over(self, *, served: bool = True) -> None:
        """The shopper is gone; nobody comes until the shelf is stocked again.

        Args:
            served: the door was opened; otherwise another one comes for the same.
        """
        with self._lock:
            self._turns_done += served
            self._unlocked_ns, self._film = None, None
            self._keep()

    def free_bolt(self) -> None:
        """Free the bolt: the shopper reaches for the door."""
        with self._lock:
            self._bolted = False
            if self._unlocked_ns is None:
                self._unlocked_ns = self._clock.now_ns()
            self._keep()

    def engage_bolt(self) -> None:
        """Engage the bolt, unless the door is open."""
        with self._lock:
            if not self._open():
                self._bolted = True
                self._keep()

    def door(self) -> Door:
        """How lock and door stand."""
        with self._lock:
            if self._open():
                return Door.OPEN
            if self._bolted:
                return Door.LOCKED
            return Door.CLOSED if self._film_s() > 0 else Door.UNLOCKED

    def film_ns(self) -> int:
        """Time of the film that is now; negative before the door opens, and without a shopper."""
        with self._lock:
            return round(self._film_s() * SECOND_NS)

    def _open(self) -> bool:
        return not self._bolted and self._film is not None and self._film.door_open(self._film_s())

    def _film_s(self) -> float:
        if self._unlocked_ns is None:
            return -REACHES_FOR_DOOR_S
        return (self._clock.now_ns() - self._unlocked_ns) / SECOND_NS * self._pace - REACHES_FOR_DOOR_S

    def _keep(self) -> None:
        kept: dict[str, Any] = {"turns_done": self._turns_done, "unlocked_ns": self._unlocked_ns}
        write_json(self._path, kept | {"bolted": self._bolted})


class SimulatedLock:
    """The lock of a simulated cooler.

    Args:
        world: the cooler.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def unlock(self) -> None:
        self._world.free_bolt()

    def lock(self) -> None:
        self._world.engage_bolt()

    def door(self) -> Door:
        return self._world.door()


class SimulatedCamera:
    """The camera of a simulated cooler: it plays the film in the world's time and shows nothing before and after it.

    Args:
        world: the cooler.
    """

    name = CAMERA

    def __init__(self, world: World) -> None:
        self._world = world
        self._missed = world.interrupted  # what was shown while nobody watched is gone
        self._playing: int | None = None
        self._frames: Generator[CameraFrame, None, None] | None = None
        self._next: CameraFrame | None = None

    def poll(self) -> CameraFrame | None:
        film, now_ns = self._world.film, self._world.film_ns()
        if film is None or now_ns < 0:
            return None
        if self._frames is None or self._playing != self._world.turns_done:
            self.close()
            self._playing = self._world.turns_done
            self._frames = frames_of(film.clip, from_ns=now_ns if self._missed else 0)
            self._missed = False
            self._next = next(self._frames, None)
        frame = self._next
        if frame is None or frame.pts_ns > now_ns:
            return None
        self._next = next(self._frames, None)
        return frame

    def close(self) -> None:
        """End the process that decodes the film."""
        if self._frames is not None:
            self._frames.close()

    def ok(self) -> bool:
        return True


def frames_of(clip: Path, *, from_ns: int) -> Generator[CameraFrame, None, None]:
    """Play a film.

    Args:
        clip: the file.
        from_ns: earlier pictures are left out.
    Yields:
        The pictures, in order of time.
    """
    with ClipReader(clip) as reader:
        for frame in reader:
            if frame.pts_ns >= from_ns:
                yield CameraFrame(frame.pts_ns, frame.image)


class NoFaces:
    """Finds no face, because rendered scenes contain none."""

    def find(self, image: Image) -> Sequence[Box]:
        del image
        return ()
