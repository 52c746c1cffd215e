"""A simulated cooler: it obeys one unlock command, sends what its sensors say, and uploads, over a line that loses and doubles."""

from fleetsight.apps.cooler.session.machine import events as e
from fleetsight.apps.cooler.session.machine.session import Segment
from fleetsight.apps.cooler.session.machine.transition import Refusal, Refused, Transition
from tests.apps.cooler.session.machine.world import SECOND_NS, World

RELOCK_S = 14.0


class Device:
    """One visit at one cooler."""

    def __init__(self, world: World, expires_ns: int) -> None:
        self.world = world
        self.rng = world.rng
        self.odd = world.weather.odd
        self.expires_ns = expires_ns
        self.boot = "b1"
        self.seq = 0
        day_ns = 86_400 * SECOND_NS
        self.skew_ns = self.rng.choice((0, 0, 0, day_ns, -day_ns, -world.now_ns)) if self.odd else 0
        self.sync_error_ns = int(self.rng.uniform(-2, 2) * SECOND_NS) if self.odd else 0

    def receive(self) -> None:
        """The unlock command arrived."""
        if self._odd(5):
            return  # it never did
        if self.world.now_ns + self.sync_error_ns >= self.expires_ns or self._odd(8):
            self._send(e.UnlockAcknowledged(self.boot, unlocked=False, reason="expired"))
            return
        self._send(e.UnlockAcknowledged(self.boot, unlocked=True))
        opens_s = self.rng.uniform(0.5, 8.0) if self.rng.random() < 0.9 else self.rng.uniform(10, 30)
        if opens_s > RELOCK_S:
            self.world.after(RELOCK_S, lambda: self._door(e.DoorLocked))
            return
        self.world.after(opens_s, self._open)

    def _open(self) -> None:
        self._reboot()
        self.world.openings_sent += 1
        self._door(e.DoorForced if self._odd(6) else e.DoorOpened)
        if self._odd(6):
            camera = e.CameraChanged(self.boot, alive=False)
            self._send(camera)
        if self._odd(8):
            self._send(e.IntrusionSeen(self.boot))
        stays_s = self.rng.uniform(3, 60)
        if self.rng.random() < 0.05:
            stays_s = self.rng.uniform(60, 45 * 60)
        self.world.after(stays_s, self._close)

    def _close(self) -> None:
        self._reboot()
        if self._odd(10):
            self.world.device_dead = True
            self.world.online = False
            return
        self._door(e.DoorClosed)
        if self._odd(4):  # open, close, open
            self.world.after(0.1, self._reopen)
        self.world.after(0.4, lambda: self._door(e.DoorLocked))
        self.world.after(0.6, self._upload)

    def _reopen(self) -> None:
        self.world.openings_sent += 1
        self._door(e.DoorOpened)

    def _upload(self) -> None:
        wait_s = 0.0
        if self._odd(3):  # the line is down for up to four days
            self.world.online = False
            wait_s = self.rng.choice((60.0, 1800.0, 20 * 3600.0, 90 * 3600.0))
            self.world.after(wait_s, self._online)
        pieces = [
            Segment(camera, index, f"{camera}{index:063d}", 1000 + index, index * SECOND_NS, (index + 1) * SECOND_NS)
            for camera in ("a", "b")[: self.rng.randint(1, 2)]
            for index in range(self.rng.randint(0 if self._odd(10) else 1, 3))
        ]
        stored = list(pieces)
        if self._odd(6) and stored:
            stored.pop()  # one is lost for good
        self.rng.shuffle(stored)
        manifest = e.ManifestReceived("manifest", tuple(pieces))
        self._later(wait_s + self.rng.uniform(0, 2), manifest)
        if self._odd(8):
            other = e.ManifestReceived("other", tuple(pieces))
            self._later(wait_s + self.rng.uniform(0, 200), other)
        for piece in stored:
            self._later(wait_s + self.rng.uniform(0, 30), e.SegmentStored(piece))
            if self._odd(10):
                self._later(wait_s + self.rng.uniform(0, 90), e.SegmentConflicted(piece))

    def _online(self) -> None:
        self.world.online = not self.world.device_dead

    def _door(self, kind: type[e.DoorOpened] | type[e.DoorClosed] | type[e.DoorLocked] | type[e.DoorForced]) -> None:
        event = kind(self.boot, self.world.now_ns + self.skew_ns)
        self._send(event)

    def _send(self, event: e.Event) -> None:
        self._later(self.rng.expovariate(5), event)

    def _later(self, seconds: float, event: e.Event) -> None:
        """Send with retries: what is lost comes later, what is doubled comes twice under the same key."""
        self.seq += 1
        key, weather = f"{self.boot}:{self.seq}", self.world.weather
        while self.rng.random() < weather.lost:
            seconds += self.rng.expovariate(0.2)
        self.world.after(seconds, lambda: self._arrive(event, key))
        if self.rng.random() < weather.twice:
            self.world.after(seconds + self.rng.uniform(0, 30), lambda: self._arrive(event, key))

    def _arrive(self, event: e.Event, key: str) -> None:
        world = self.world
        fresh = key not in world.seen
        outcome = world.take(event, key=key)
        if not fresh:
            return
        world.seen[key] = outcome
        if isinstance(event, e.DoorOpened | e.DoorForced):
            world.openings_kept += isinstance(outcome, Transition)
            world.incidents += isinstance(outcome, Refused)
        if isinstance(outcome, Refused):
            assert outcome.code in Refusal

    def _reboot(self) -> None:
        if self._odd(8):
            self.boot += "'"

    def _odd(self, one_in: int) -> bool:
        return self.odd > 0 and self.rng.random() < self.odd / one_in
