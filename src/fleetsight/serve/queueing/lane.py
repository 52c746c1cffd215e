"""One variant of a model: the requests that wait for it, the backends that answer, and when a newcomer would be answered.

The backlog stays here, where it can still move to other hardware; a backend holds at most two batches: the one that runs and the one
that follows without a gap.
"""

from dataclasses import dataclass, field

from fleetsight.serve.queueing.breaker import Breaker
from fleetsight.serve.queueing.forecast import Forecast
from fleetsight.serve.queueing.line import Line
from fleetsight.serve.queueing.request import MS_NS, Priority, Request

WINDOW_BATCHES = 2
"""Batches a backend holds: one runs, one waits beside it. More would be backlog that cannot move any more."""
PLACES = 4096
"""Most requests that wait for one variant; admission refuses long before. At 100 kB a frame, 400 MB."""
HOUR_S = 3600.0


@dataclass(eq=False)
class Seat:
    """A backend as its lane sees it.

    Attributes:
        name: unique in the process.
        batch: most frames of one batch.
        streams: batches it runs at once.
        breaker: whether it may be asked.
        running: requests handed to it, by number.
        since_ns: when it last began on what it runs now.
        is_draining: it finishes what it has and takes nothing new.
        is_up: it can be reached.
    """

    name: str
    batch: int = 1
    streams: int = 1
    breaker: Breaker = field(default_factory=Breaker)
    running: dict[int, Request] = field(default_factory=dict)
    since_ns: int = 0
    is_draining: bool = False
    is_up: bool = True

    @property
    def window(self) -> int:
        """Most requests it holds."""
        return WINDOW_BATCHES * self.batch * self.streams

    def is_usable(self, now_ns: int) -> bool:
        """Whether it takes new work in principle."""
        return self.is_up and not self.is_draining and self.breaker.may_try(now_ns)


class Lane:
    """The variant of a model.

    Args:
        variant: its name.
        forecast: what its batches take.
        usd_per_hour: of one backend.
        places: most requests that wait.
    """

    def __init__(self, variant: str, forecast: Forecast, *, usd_per_hour: float = 0.0, places: int = PLACES) -> None:
        self.variant = variant
        self.forecast = forecast
        self.usd_per_hour = usd_per_hour
        self.seats: dict[str, Seat] = {}
        self.line = Line(places)

    def usd_per_frame(self) -> float:
        """What a frame costs when the backend is kept busy; 0 where the hardware is paid for already."""
        seat = next(iter(self.seats.values()), Seat(""))
        per_s = seat.streams * seat.batch * 1000.0 / max(self.forecast.service_ms(seat.batch), 1e-6)
        return self.usd_per_hour / HOUR_S / per_s

    def finish_ns(self, now_ns: int, priority: Priority) -> int | None:
        """When a newcomer would be answered.

        Args:
            now_ns: monotonic.
            priority: its class; lower classes do not count.
        Returns:
            monotonic; None when no backend can be asked.
        """
        usable = [seat for seat in self.seats.values() if seat.is_usable(now_ns)]
        if not usable:
            return None
        safe_ms = self.forecast.safe_ms
        waiting = self.line.ahead_of(priority)
        if not waiting and not all(seat.running for seat in usable):
            return now_ns + int(safe_ms(1) * MS_NS)
        boarding = sorted((self._boarding(seat, now_ns) for seat in usable), key=lambda pair: pair[0])
        rounds, left = divmod(waiting, sum(seat.batch * seat.streams for seat in usable))
        batch = usable[0].batch
        start_ms = boarding[-1][0]
        for begin_ms, room in boarding:
            if left < room:
                start_ms = begin_ms
                break
            left -= room
        # Others may still join the batch that a newcomer waits for, so it counts as a full one.
        return now_ns + int((start_ms + (rounds + 1) * safe_ms(batch)) * MS_NS)

    def _boarding(self, seat: Seat, now_ns: int) -> tuple[float, int]:
        """In how many milliseconds the batch starts that a newcomer would ride in, and the places left in it."""
        held, whole = len(seat.running), seat.batch * seat.streams
        if not held:
            return 0.0, whole
        runs = min(held, whole)
        rest_ms = self.forecast.safe_ms(-(-runs // seat.streams)) - (now_ns - seat.since_ns) / MS_NS
        rounds, boarded = divmod(held - runs, whole)
        return max(0.0, rest_ms) + rounds * self.forecast.safe_ms(seat.batch), whole - boarded

    def pull(self, now_ns: int) -> tuple[list[tuple[Seat, Request]], list[Request]]:
        """Hand waiting requests to backends with room, the least loaded first.

        Args:
            now_ns: monotonic.
        Returns:
            who goes where, noted as running; and those whose deadline had passed.
        """
        moves: list[tuple[Seat, Request]] = []
        late: list[Request] = []
        while len(self.line):
            free = [s for s in self.seats.values() if len(s.running) < s.window and s.is_usable(now_ns)]
            if not free:
                break
            request = self.line.pop()
            if request is None:
                break
            if request.is_expired(now_ns):
                late.append(request)
                continue
            seat = min(free, key=lambda s: (len(s.running) / s.window, s.since_ns))
            if not seat.running:
                seat.since_ns = now_ns
            seat.breaker.trying(now_ns)
            seat.running[request.number] = request
            request.tries += 1
            request.lane = self.variant
            moves.append((seat, request))
        return moves, late

    def release(self, seat: Seat, request: Request, *, now_ns: int) -> bool:
        """Note that a backend is through with a request.

        Args:
            seat: where it ran.
            request: that ended.
            now_ns: monotonic.
        Returns:
            whether it was running there.
        """
        seat.since_ns = now_ns
        return seat.running.pop(request.number, None) is not None

    def lose(self, seat: Seat) -> list[Request]:
        """Note that a backend died.

        Args:
            seat: the dead one.
        Returns:
            what it held, first come first.
        """
        seat.is_up = False
        held = [seat.running[number] for number in sorted(seat.running)]
        seat.running.clear()
        return held
