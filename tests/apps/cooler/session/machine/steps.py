"""A session taken through events by hand, for tests that look at one rule."""

from dataclasses import dataclass, field

from fleetsight.apps.cooler.session.machine import commands as c
from fleetsight.apps.cooler.session.machine import events as e
from fleetsight.apps.cooler.session.machine.apply import apply, begin
from fleetsight.apps.cooler.session.machine.limits import DEFAULT_LIMITS
from fleetsight.apps.cooler.session.machine.session import Basket, Segment, Session
from fleetsight.apps.cooler.session.machine.states import Action, Answer, State, Verdict
from fleetsight.apps.cooler.session.machine.transition import Refused, Transition
from tests.apps.cooler.session.machine.invariants import check_step

SECOND_NS = 1_000_000_000
HOUR_S = 3600.0
DAY_S = 86_400.0
START_NS = 1_760_000_000 * SECOND_NS
HOLD = 1500
FILM = tuple(Segment("top", index, f"{index}" * 64, 1000) for index in range(2))
COLA: Basket = (("cola", 2),)
COLA_MINOR = 500


@dataclass
class Walk:
    """One session, the clock, and what was wanted on the way."""

    session: Session
    now_ns: int = START_NS
    commands: list[c.Command] = field(default_factory=list)
    refused: Refused | None = None

    @property
    def state(self) -> State:
        return self.session.state

    @property
    def age_s(self) -> float:
        """Seconds until something is due."""
        assert self.session.deadline_ns is not None
        return (self.session.deadline_ns - self.now_ns) / SECOND_NS

    def do(self, *events: e.Event) -> "Walk":
        """Let things happen; the last refusal is kept."""
        for event in events:
            outcome = apply(self.session, event, now_ns=self.now_ns, limits=DEFAULT_LIMITS)
            self.refused = outcome if isinstance(outcome, Refused) else None
            if isinstance(outcome, Transition):
                check_step(self.session, event, outcome)
                self.session = outcome.session
                self.commands = list(outcome.commands)
        return self

    def wait(self, seconds: float) -> "Walk":
        self.now_ns += round(seconds * SECOND_NS)
        return self

    def after(self, seconds: float, *, online: bool = True) -> "Walk":
        """Time passes, then the sweeper comes."""
        return self.wait(seconds).do(e.DeadlinePassed(online))

    def answer(self, answer: Answer, *, amount: int | None = None, ends_s: float | None = 7 * DAY_S) -> "Walk":
        """The provider answers the call under way."""
        pending = self.session.payment.pending
        assert pending is not None, self.session.payment
        until_ns = None if ends_s is None else self.now_ns + round(ends_s * SECOND_NS)
        ends_ns = until_ns if answer is Answer.AUTHORIZED else None
        minor = pending.amount_minor if amount is None else amount
        return self.do(e.PaymentAnswered(pending.key, answer, minor, f"ref-{pending.key}", ends_ns, "reason"))

    def wanted(self, kind: type) -> list[str]:
        """Keys of the commands of one kind that the last event wanted."""
        return [command.key for command in self.commands if isinstance(command, kind)]

    def told(self) -> set[str]:
        """Subjects of what people were told by the last event."""
        return {command.subject for command in self.commands if isinstance(command, c.Tell)}


def created() -> Walk:
    session = Session(
        id="sid",
        tenant_id="t",
        site_id="site",
        device_id="d",
        shopper_id="p",
        provider="bank",
        method_id="m",
        currency="EUR",
        hold_minor=HOLD,
        cap_minor=3000,
        price_list_id="prices",
        assortment="a1",
        pipeline="cooler-1",
        created_ns=START_NS,
    )
    return Walk(begin(session, now_ns=START_NS))


def authorizing() -> Walk:
    return created().do(e.AuthorizationRequested())


def authorized(*, ends_s: float | None = 7 * DAY_S) -> Walk:
    return authorizing().answer(Answer.AUTHORIZED, ends_s=ends_s)


def unlocking(*, ends_s: float | None = 7 * DAY_S) -> Walk:
    walk = authorized(ends_s=ends_s)
    return walk.do(e.UnlockIssued(1, walk.now_ns + 8 * SECOND_NS))


def unlocked(*, ends_s: float | None = 7 * DAY_S) -> Walk:
    return unlocking(ends_s=ends_s).do(e.UnlockAcknowledged("boot", unlocked=True))


def opened(*, ends_s: float | None = 7 * DAY_S) -> Walk:
    return unlocked(ends_s=ends_s).wait(2).do(e.DoorOpened("boot"))


def closed(*, ends_s: float | None = 7 * DAY_S) -> Walk:
    return opened(ends_s=ends_s).wait(10).do(e.DoorClosed("boot"), e.DoorLocked("boot"))


def waiting(*, ends_s: float | None = 7 * DAY_S) -> Walk:
    return closed(ends_s=ends_s).do(e.ManifestReceived("m", FILM))


def analyzing(*, ends_s: float | None = 7 * DAY_S) -> Walk:
    return waiting(ends_s=ends_s).do(*(e.SegmentStored(piece) for piece in FILM))


def seen(
    walk: Walk,
    verdict: Verdict = Verdict.CHARGE,
    *,
    basket: Basket = COLA,
    total: int | None = COLA_MINOR,
    share: float = 1.0,
) -> Walk:
    run_id = walk.session.run_id
    sure = basket[:1]
    done = e.Analysed(run_id, verdict, basket, total, sure, 250 if sure else 0, 0.97, "seen", usable_share=share)
    return walk.do(e.AnalysisStarted(run_id), done)


def reviewed(*, ends_s: float | None = 7 * DAY_S) -> Walk:
    return seen(analyzing(ends_s=ends_s), Verdict.REVIEW)


def decided() -> Walk:
    return seen(analyzing())


def settling(*, total: int = COLA_MINOR) -> Walk:
    walk = seen(analyzing(), total=total)
    return walk.do(e.SettlementStarted(1))


def settled(*, total: int = COLA_MINOR) -> Walk:
    walk = settling(total=total)
    while walk.session.payment.pending is not None:
        walk.answer(Answer.CAPTURED)
    return walk


def released() -> Walk:
    walk = seen(analyzing(), Verdict.RELEASE, basket=(), total=0)
    return walk.do(e.SettlementStarted(1)).answer(Answer.VOIDED)


def owing() -> Walk:
    walk = settling(total=2000)
    return walk.answer(Answer.CAPTURED).answer(Answer.DECLINED)


def aborted() -> Walk:
    return unlocked().after(15)


def decision(action: Action, basket: Basket = COLA, total: int = COLA_MINOR) -> e.ReviewDecided:
    return e.ReviewDecided("op", action, basket, total, "seen")


def revision(version: int, action: Action, basket: Basket = COLA, total: int = COLA_MINOR) -> e.DecisionRevised:
    return e.DecisionRevised("op", version, action, basket, total, "late")
