"""All variants behind one model name: admit, choose, hand out, take back.

A state machine without I/O. The router (`fleetsight.serve.tier.router`) tells it what happens and does what it says; a simulation under a virtual
clock does the same (`tests/serve/queueing/test_simulation.py`). Every request that `arrive` took leaves through exactly one of
`pull` (late), `ended`, `died`, `sweep`, `forget`, or as displaced by `arrive` itself.
"""

from collections.abc import Iterable, Mapping

from fleetsight.errors import Error
from fleetsight.serve.queueing.budget import RetryBudget
from fleetsight.serve.queueing.choice import Offer, choose
from fleetsight.serve.queueing.lane import Lane, Seat
from fleetsight.serve.queueing.request import AGAIN, Answer, Outcome, Priority, Reason, Refusal, Request
from fleetsight.serve.queueing.split import WHOLE, Split
from fleetsight.serve.queueing.trial import Mode, Trial

TRIES_MAX = 2
"""The first try and one re-dispatch: a frame that kills what touches it must not walk through the fleet."""

Refused = tuple[Request, Refusal]
EXPIRED = Refusal(Reason.EXPIRED, "the deadline passed before an engine was free")


class VariantError(Error):
    """There is no such variant."""

    code = "serve_variant"


class Deployment:
    """One model.

    Args:
        model: its name.
        lanes: its variants, at least one.
    """

    def __init__(self, model: str, lanes: Iterable[Lane]) -> None:
        self.model = model
        self.lanes = {lane.variant: lane for lane in lanes}
        self.split: Split | None = None
        self.trial: Trial | None = None
        self.budget = RetryBudget()
        self._passed_over: set[str] = set()
        self._blamed: dict[int, Seat] = {}

    def foresee(self, now_ns: int, *, deadline_ns: int, priority: Priority) -> Refusal | None:
        """Say whether a request would be taken, before its body is read.

        Args:
            now_ns: monotonic.
            deadline_ns: of the request, monotonic.
            priority: its class.
        Returns:
            None when it would be; nothing is promised until `arrive`.
        """
        offers = self._offers(now_ns, priority, self._without_candidate())
        found = choose(offers, set(self._passed_over), now_ns=now_ns, deadline_ns=deadline_ns)
        return found if isinstance(found, Refusal) else None

    def arrive(self, request: Request, now_ns: int) -> tuple[list[Refused], str]:
        """Take a request in, or refuse it.

        Args:
            request: whole, its `arrived_ns` set.
            now_ns: monotonic.
        Returns:
            who has to go: the request itself when it is refused, or one of a lower class; and the variant that should get a copy, or "".
        """
        names, preferred, mirror = self._without_candidate(), "", ""
        trial = self.trial
        if trial is not None and trial.takes_part():
            is_canary = trial.mode is Mode.CANARY
            preferred, mirror = trial.candidate, trial.incumbent
            if not is_canary:
                preferred, mirror = mirror, preferred
            else:
                names = [*names, trial.candidate]
        elif trial is not None:
            preferred = trial.incumbent
        elif self.split is not None:
            preferred = self.split.deal()
        offers = self._offers(now_ns, request.priority, names)
        found = choose(offers, self._passed_over, now_ns=now_ns, deadline_ns=request.deadline_ns, preferred=preferred)
        if isinstance(found, Refusal):
            return [(request, found)], ""
        self.budget.asked()
        return self._wait(request, self.lanes[found.variant]), mirror

    def copy(self, request: Request, variant: str, *, now_ns: int) -> bool:
        """Let a copy for a trial wait, where it would be in time.

        Args:
            request: the copy, of class `Priority.MIRROR`.
            variant: that should answer it.
            now_ns: monotonic.
        Returns:
            whether it was taken.
        """
        lane = self.lanes.get(variant)
        finish_ns = None if lane is None else lane.finish_ns(now_ns, Priority.MIRROR)
        if lane is None or finish_ns is None or finish_ns > request.deadline_ns:
            return False
        request.lane = variant
        return lane.line.push(request) is None

    def pull(self, now_ns: int) -> tuple[list[tuple[Seat, Request]], list[Refused]]:
        """Hand out what backends have room for.

        Args:
            now_ns: monotonic.
        Returns:
            who goes where; and those whose deadline had passed.
        """
        moves: list[tuple[Seat, Request]] = []
        late: list[Refused] = []
        for lane in self.lanes.values():
            if len(lane.line):
                moved, expired = lane.pull(now_ns)
                moves += moved
                late += self._late(expired)
        return moves, late

    def ended(self, seat: Seat, request: Request, *, outcome: Outcome, now_ns: int) -> Outcome | None:
        """Note what a backend said.

        A failure counts against a backend when another try answers the same frame: a frame that fails everywhere is at fault itself, and
        must not put backends out of work.

        Args:
            seat: the backend.
            request: that it held.
            outcome: what it said.
            now_ns: monotonic.
        Returns:
            the outcome for the caller; None when the request waits for another try, or was not held any more.
        """
        lane = self.lanes[request.lane]
        if not lane.release(seat, request, now_ns=now_ns):
            return None
        self._tell_trial(request, failed=isinstance(outcome, Refusal) and outcome.reason in AGAIN)
        blamed = self._blamed.pop(request.number, None)
        if isinstance(outcome, Answer):
            seat.breaker.answered()
            if blamed is not None:  # it was not the frame
                blamed.breaker.failed(now_ns)
            lane.forecast.observe(outcome.times.batch, outcome.times.service)
            return outcome
        seat.breaker.untold()
        if outcome.reason in AGAIN and self._again(request, now_ns, away_from=seat):
            self._blamed[request.number] = seat
            return None
        return outcome

    def died(self, seat: Seat, *, now_ns: int) -> list[Refused]:
        """Note that a backend died; what it held waits for another one.

        Args:
            seat: the backend.
            now_ns: monotonic.
        Returns:
            those that had their second try already, or whose time is over.
        """
        lane = next(lane for lane in self.lanes.values() if seat.name in lane.seats)
        said = Refusal(Reason.BACKEND_LOST, f"backend {seat.name} died; a frame is tried twice, within its deadline")
        held = list(reversed(lane.lose(seat)))  # each goes to the front, so the last is put back first
        for request in held:
            self._blamed.pop(request.number, None)
            self._tell_trial(request, failed=True)
        return [(request, said) for request in held if not self._again(request, now_ns, away_from=seat)]

    def revived(self, seat: Seat) -> None:
        """Note that a backend was started anew and is warm."""
        seat.is_up = True
        seat.breaker.revived()

    def sweep(self, now_ns: int) -> list[Refused]:
        """Take out what is late, and move what waits where nobody works any more.

        Args:
            now_ns: monotonic.
        Returns:
            those that are late.
        """
        late = [gone for lane in self.lanes.values() for gone in self._late(lane.line.expire(now_ns))]
        for lane in self.lanes.values():
            if len(lane.line) and lane.finish_ns(now_ns, Priority.MIRROR) is None:
                other = self._soonest(now_ns)
                while other is not None and (request := lane.line.pop()) is not None:
                    other.line.push_front(request)
        return late

    def forget(self, request: Request) -> Seat | None:
        """Drop a request whose caller left.

        Args:
            request: any.
        Returns:
            the backend that runs it and should be told, if one does; its place is free when the backend says so.
        """
        self._blamed.pop(request.number, None)
        for lane in self.lanes.values():
            if lane.line.remove(request):
                return None
            for seat in lane.seats.values():
                if request.number in seat.running:
                    return seat
        return None

    def lane(self, variant: str) -> Lane:
        """The lane of a variant; `VariantError` when there is no such variant."""
        if variant not in self.lanes:
            raise VariantError(
                f"model {self.model!r} has no variant {variant!r}", hint=f"there are: {', '.join(self.lanes)}"
            )
        return self.lanes[variant]

    def set_split(self, shares: Mapping[str, int] | None) -> None:
        """Prefer variants by share from the next request on; None: by cost.

        Args:
            shares: per cent by variant.

        Raises:
            VariantError: a variant does not exist.
            SplitError: they do not add up to 100.
        """
        for variant in shares or ():
            self.lane(variant)
        split = Split(shares) if shares is not None else None
        self.split, self.trial = split, None

    def switch(self, variant: str) -> None:
        """Prefer one variant from the next request on.

        Args:
            variant: its name.

        Raises:
            VariantError: it does not exist.
        """
        self.set_split({variant: WHOLE})

    def try_out(self, trial: Trial) -> None:
        """Begin a trial.

        Args:
            trial: of two variants that exist.

        Raises:
            VariantError: one of them does not.
        """
        self.lane(trial.incumbent)
        self.lane(trial.candidate)
        self.trial = trial

    def waiting(self) -> int:
        """Requests that no backend holds."""
        return sum(len(lane.line) for lane in self.lanes.values())

    def _tell_trial(self, request: Request, *, failed: bool) -> None:
        if self.trial is not None and request.lane == self.trial.candidate:
            self.trial.answered(failed=failed)

    def _without_candidate(self) -> list[str]:
        out = "" if self.trial is None else self.trial.candidate
        return [name for name in self.lanes if name != out]

    def _offers(self, now_ns: int, priority: Priority, names: Iterable[str]) -> list[Offer]:
        lanes = [self.lanes[name] for name in names]
        return [Offer(one.variant, one.usd_per_frame(), one.finish_ns(now_ns, priority)) for one in lanes]

    def _late(self, requests: Iterable[Request]) -> list[Refused]:
        gone = []
        for request in requests:
            self._blamed.pop(request.number, None)
            gone.append((request, EXPIRED))
        return gone

    def _wait(self, request: Request, lane: Lane) -> list[Refused]:
        request.lane = lane.variant
        gone = lane.line.push(request)
        if gone is None:
            return []
        self._blamed.pop(gone.number, None)
        reason = Reason.QUEUE_FULL if gone is request else Reason.DISPLACED
        said = f"{lane.line.places} requests wait already"
        return [(gone, Refusal(reason, said, retry_after_ms=lane.forecast.service_ms(1)))]

    def _again(self, request: Request, now_ns: int, *, away_from: Seat) -> bool:
        """Whether a request that failed through no fault of its own waits for one more try."""
        is_copy = request.priority is Priority.MIRROR  # of which nobody waits for the answer
        if request.tries >= TRIES_MAX or is_copy or request.is_expired(now_ns) or not self.budget.spend():
            return False
        lane = self._soonest(now_ns, besides=away_from) or self.lanes[request.lane]
        request.lane = lane.variant
        lane.line.push_front(request)
        return True

    def _soonest(self, now_ns: int, *, besides: Seat | None = None) -> Lane | None:
        def others(lane: Lane) -> bool:
            return any(seat is not besides and seat.is_usable(now_ns) for seat in lane.seats.values())

        finishes = [(lane.finish_ns(now_ns, Priority.CHARGE), lane) for lane in self.lanes.values() if others(lane)]
        known = [(finish_ns, lane) for finish_ns, lane in finishes if finish_ns is not None]
        return min(known, key=lambda pair: pair[0])[1] if known else None
