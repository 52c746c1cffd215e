"""What a device is made of, seen by the agent: a lock with a door, cameras, a clock that never jumps.

A driver implements `Lock` and `Camera`. The agent polls both from one thread, `POLL_HZ` times a second or more often, so a driver
answers at once from what it last saw and blocks nobody.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from fleetsight.clock import Clock
from fleetsight.errors import Error
from fleetsight.vision.image import Image


class HardwareError(Error):
    """A lock or camera that does not do what it was told."""

    code = "device_hardware"


class Door(StrEnum):
    """How lock and door stand."""

    LOCKED = "locked"  # shut, bolt engaged
    UNLOCKED = "unlocked"  # shut, bolt free, not opened since
    OPEN = "open"
    CLOSED = "closed"  # shut again, bolt still free


class Lock(Protocol):
    """The bolt and the door contact."""

    def unlock(self) -> None:
        """Free the bolt.

        Raises:
            HardwareError: the bolt did not move.
        """
        ...

    def lock(self) -> None:
        """Engage the bolt; without effect while the door is open. Without power the bolt engages by itself."""
        ...

    def door(self) -> Door:
        """How they stand now."""
        ...


@dataclass(frozen=True, slots=True)
class CameraFrame:
    """One picture of a camera.

    Attributes:
        pts_ns: when it was exposed, by the camera's own steady clock; rises with each picture, starts anywhere.
        image: (h, w, 3) uint8 RGB.
    """

    pts_ns: int
    image: Image


class Camera(Protocol):
    """One camera; its frames are of one size."""

    name: str

    def poll(self) -> CameraFrame | None:
        """The next picture that has not been handed out, or None when there is none yet."""
        ...

    def ok(self) -> bool:
        """Whether the camera answers."""
        ...


class SteadyClock:
    """UTC that is read once, at start, and counted on by the processor's steady counter: it may be wrong, and it never jumps.

    The times of one boot can be subtracted from each other whatever happens to the machine's clock meanwhile.

    Args:
        wall: read once.
        steady_ns: a counter of nanoseconds that only rises.
    """

    def __init__(self, wall: Clock, *, steady_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._steady_ns = steady_ns
        self._offset_ns = wall.now_ns() - steady_ns()

    def now_ns(self) -> int:
        return self._steady_ns() + self._offset_ns
