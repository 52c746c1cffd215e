"""A session in a world where things go wrong: a virtual clock, a seeded scheduler, a fake device, bank, storage and people.

Nothing here reads the machine's clock or its randomness, so a seed is a whole story: the same seed, the same log.

    world = World(seed, Device); world.run(); world.log
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple, Protocol

from fleetsight.apps.cooler.session.machine import commands as c
from fleetsight.apps.cooler.session.machine import events as e
from fleetsight.apps.cooler.session.machine.apply import apply, begin
from fleetsight.apps.cooler.session.machine.session import Session
from fleetsight.apps.cooler.session.machine.states import ENDED, Action, Answer, EvidenceState, State, Verdict
from fleetsight.apps.cooler.session.machine.transition import Refusal, Refused, Transition
from tests.apps.cooler.session.machine.bank import HOLDS_S, Bank
from tests.apps.cooler.session.machine.invariants import check_step

SECOND_NS = 1_000_000_000
START_NS = 1_760_000_000 * SECOND_NS
HOUR_S = 3600.0
DAY_S = 86_400.0
SWEEP_S = 5.0
UNLOCK_LIVES_S = 8.0
PRICES = {"cola": 250, "water": 120, "bar": 199}
STEPS_MAX = 2000


@dataclass(frozen=True)
class Weather:
    """How bad the day is; probabilities."""

    lost: float
    twice: float
    crash: float
    trouble: float
    odd: float  # of each odd thing that a device may do

    @staticmethod
    def of(rng: Random) -> "Weather":
        level = rng.choice((0.0, 0.02, 0.1, 0.3))
        return Weather(level, level, level, rng.choice((0.0, 0.05, 0.3, 0.6)), rng.choice((0.0, 0.05, 0.3)))


class Line(NamedTuple):
    at_ns: int
    event: e.Event
    outcome: Transition | Refused


class Visitor(Protocol):
    """The device at which the visit takes place."""

    def __init__(self, world: "World", expires_ns: int) -> None: ...

    def receive(self) -> None:
        """The unlock command arrived."""


class World:
    """One session from its code to its end, and everything around it."""

    def __init__(self, seed: int, device: "type[Visitor]") -> None:
        self.seed = seed
        self.device = device
        self.rng = rng = Random(seed)
        self.weather = Weather.of(rng)
        self.now_ns = START_NS
        self.log: list[Line] = []
        self.seen: dict[str, Transition | Refused] = {}
        self.stock: dict[str, int] = {}
        self.stock_keys: set[str] = set()
        self.debts: dict[str, int] = {}
        self.incidents = 0
        self.openings_sent = 0
        self.openings_kept = 0
        self.unlock_seq = 0
        self.online = True
        self.device_dead = False
        self.acted: set[str] = set()
        self._heap: list[tuple[int, int, Callable[[], object]]] = []
        self._order = 0
        self._sweep_at_ns = 0
        self.bank = Bank(
            rng,
            trouble=self.weather.trouble,
            refuses=rng.choice((0.0, 0.0, 0.1, 0.5)),
            mismatch=0.02 if rng.random() < 0.05 else 0.0,
            lives_ns=int(rng.choice(HOLDS_S) * SECOND_NS),
        )
        fresh = Session(
            id=f"s{seed}",
            tenant_id="t",
            site_id="site",
            device_id="d",
            shopper_id="p",
            provider="bank",
            method_id="m",
            currency="EUR",
            hold_minor=rng.choice((500, 1500, 2500)),
            cap_minor=3000,
            price_list_id="prices",
            assortment="a1",
            pipeline="cooler-1",
            created_ns=self.now_ns,
        )
        self.session = begin(fresh, now_ns=self.now_ns)

    def run(self) -> None:
        """Live until nothing is left to happen."""
        if self.rng.random() > self.weather.crash / 2:
            self.after(0.0, lambda: self.take(e.AuthorizationRequested()))
        if self.rng.random() < 0.05:
            self.after(self.rng.uniform(0, 60), self._bank_goes_down)
        self._sweep()
        for _ in range(STEPS_MAX):
            if not self._heap:
                return
            self.now_ns, _, action = heapq.heappop(self._heap)
            action()
        raise AssertionError(f"seed {self.seed}: no end after {STEPS_MAX} steps in {self.session.state}")

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Let something happen later."""
        self._order += 1
        heapq.heappush(self._heap, (self.now_ns + int(seconds * SECOND_NS), self._order, action))

    def take(self, event: e.Event, key: str = "") -> Transition | Refused:
        """What the shell does: one event, one transaction, the commands into the outbox."""
        if key and key in self.seen:
            return self.seen[key]
        before = self.session
        outcome = apply(before, event, now_ns=self.now_ns)
        self.log.append(Line(self.now_ns, event, outcome))
        if key and (isinstance(outcome, Transition) or outcome.code is not Refusal.NOT_NOW):
            self.seen[key] = outcome
        if isinstance(outcome, Refused):
            return outcome
        check_step(before, event, outcome)
        self.session = outcome.session
        for command in outcome.commands:
            self._commit(command)
            self._post(command)
        self._people(before)
        self._sweep()
        return outcome

    def _commit(self, command: c.Command) -> None:
        """What belongs to the transaction itself."""
        match command:
            case c.Pay():
                self.bank.plan(command.key, command.kind, amount=command.amount_minor, of=command.of)
            case c.MoveStock():
                assert command.key not in self.stock_keys
                self.stock_keys.add(command.key)
                for sku, delta in command.deltas:
                    self.stock[sku] = self.stock.get(sku, 0) + delta
            case c.Owe():
                assert command.key not in self.debts
                self.debts[command.key] = command.amount_minor
            case c.WriteOff():
                self.debts[command.debt_key] = 0
            case _:
                pass

    def _post(self, command: c.Command) -> None:
        self.after(self.rng.expovariate(10), lambda: self._deliver(command))

    def _deliver(self, command: c.Command) -> None:
        """A worker performs a letter; when it crashes, another one does it again after the lease."""
        if self.rng.random() < self.weather.crash:
            if self.rng.random() < 0.5:
                self._perform(command, answer=False)
            self.after(15.0, lambda: self._deliver(command))
            return
        self._perform(command, answer=True)

    def _perform(self, command: c.Command, *, answer: bool) -> None:
        match command:
            case c.Pay():
                self._pay(command.key, answer=answer)
            case c.AskProvider():
                self._pay(command.operation_key, answer=answer)
            case c.Unlock():
                self._unlock(answer=answer)
            case c.Analyse():
                self._analyse(command, answer=answer)
            case c.StartSettlement():
                self.take(e.SettlementStarted(command.version))
            case _:
                pass

    def _pay(self, key: str, *, answer: bool) -> None:
        outcome = self.bank.perform(key, self.now_ns)
        if self.bank.late:
            self.after(self.rng.uniform(5, 120), lambda: self.bank.late_effects(self.now_ns))
        if outcome.answer is Answer.AUTHORIZED and self.rng.random() < 0.5:
            early = self.weather.odd > 0 and self.rng.random() < 0.1
            lives_s = self.rng.uniform(60, 600) if early else self.bank.lives_ns / SECOND_NS
            self.after(lives_s, lambda: self._hold_gone(key))
        if answer:
            self.after(self.rng.expovariate(4), lambda: self.take(outcome))
            if self.rng.random() < self.weather.twice:
                self.after(self.rng.uniform(1, 60), lambda: self.take(outcome))

    def _hold_gone(self, key: str) -> None:
        """The bank lets a hold go, at its end or because the card was closed, and says so."""
        hold = self.bank.holds[key]
        if hold.state == "held":
            hold.until_ns = min(hold.until_ns, self.now_ns)
            self.take(e.PaymentAnswered(key, Answer.EXPIRED))

    def _unlock(self, *, answer: bool) -> None:
        expires_ns = self.now_ns + int(UNLOCK_LIVES_S * SECOND_NS)
        if not self.online:
            return
        seq = self.unlock_seq + 1
        outcome = self.take(e.UnlockIssued(seq, expires_ns))
        if isinstance(outcome, Transition):
            assert self.bank.held(self.now_ns), "the door was released without a hold"
            self.unlock_seq = seq
            if answer or self.rng.random() < 0.5:
                self.after(self.rng.expovariate(3), self.device(self, expires_ns).receive)

    def _analyse(self, command: c.Analyse, *, answer: bool) -> None:
        if not isinstance(self.take(e.AnalysisStarted(command.run_id)), Transition) or not answer:
            return
        if self.session.state not in (State.ANALYZING, State.REVIEW):
            return
        dice = self.rng.random()
        if dice < self.weather.crash:
            return  # the worker died; the deadline notices
        if dice < self.weather.crash + self.weather.odd / 3:
            failed = e.AnalysisFailed(command.run_id, unusable=self.rng.random() < 0.3, reason="decoder")
            self.after(self.rng.uniform(1, 20), lambda: self.take(failed))
            return
        done = self._analysed(command.run_id)
        self.after(self.rng.uniform(1, 30), lambda: self.take(done))
        if self.rng.random() < self.weather.twice:
            self.after(self.rng.uniform(1, 60), lambda: self.take(done))

    def _analysed(self, run_id: str) -> e.Analysed:
        basket = self.basket()
        sure = tuple(line for line in basket if self.rng.random() < 0.7)
        verdict = Verdict.RELEASE if not basket else self.rng.choice((Verdict.CHARGE, Verdict.CHARGE, Verdict.REVIEW))
        priced = self.rng.random() > 0.03
        return e.Analysed(
            run_id,
            verdict,
            basket,
            price(basket) if priced else None,
            sure,
            price(sure),
            self.rng.random(),
            "seen",
            usable_share=self.rng.choice((1.0, 1.0, 1.0, 0.97, 0.5)),
        )

    def basket(self) -> tuple[tuple[str, int], ...]:
        """Some SKUs, or none."""
        return tuple((sku, self.rng.randint(1, 6)) for sku in sorted(PRICES) if self.rng.random() < 0.4)

    def _people(self, before: Session) -> None:
        """People act on what they see: reviewers, shoppers, banks."""
        session, rng = self.session, self.rng
        if session.state is before.state:
            return
        if session.state is State.REVIEW and rng.random() < 0.85:
            for _ in range(rng.choice((1, 1, 1, 2))):
                self.after(rng.uniform(5, 2 * HOUR_S), self._review)
        if session.state in (State.SETTLED, State.RELEASED, State.OWED, State.REFUNDED):
            for name, action in (
                ("refund", self._refund),
                ("revise", self._revise),
                ("contest", self._contest),
                ("dispute", self._dispute),
                ("top-up", lambda: self.take(e.CollectionRequested())),
            ):
                if rng.random() < 0.08:
                    self.acted.add(name)
                    self.after(rng.uniform(1, 5 * DAY_S), action)
        if session.state in ENDED:
            self.after(HOUR_S, self._reconcile)

    def _review(self) -> None:
        basket = self.basket()
        action = Action.RELEASE if not basket else self.rng.choice((Action.CHARGE, Action.CHARGE, Action.WAIVE))
        self.take(
            e.ReviewDecided("operator", action, basket, price(basket), "seen"), key=f"review:{self.session.reviews}"
        )

    def _revise(self) -> None:
        basket = self.basket()
        action = Action.RELEASE if not basket else self.rng.choice((Action.CHARGE, Action.CHARGE, Action.WAIVE))
        version = self.session.decision.version + 1 if self.session.decision else 1
        self.take(e.DecisionRevised("operator", version, action, basket, price(basket), "late"))

    def _refund(self) -> None:
        kept = self.session.payment.kept_minor
        amount = self.rng.randint(1, max(1, kept) + 20)
        self.take(e.RefundRequested(f"r{self.now_ns}", "operator", amount, "kind"), key=f"refund:{self.now_ns}")

    def _contest(self) -> None:
        if isinstance(self.take(e.ContestOpened("c1", ("cola",), "not_mine"), key="contest"), Transition):
            self.after(self.rng.uniform(60, 6 * DAY_S), lambda: self.take(e.ContestClosed("operator", "seen")))

    def _dispute(self) -> None:
        if isinstance(self.take(e.DisputeOpened("d1", self.session.payment.kept_minor), key="evt:d1"), Transition):
            won = self.rng.random() < 0.5
            self.after(self.rng.uniform(DAY_S, 20 * DAY_S), lambda: self.take(e.DisputeClosed("d1", won), key="evt:d2"))

    def _reconcile(self) -> None:
        """The daily comparison with the bank finds a hold that came to be after it was given up."""
        payment = self.session.payment
        hold = self.bank.holds.get(payment.auth_key)
        if hold is None or hold.state != "held" or self.now_ns >= hold.until_ns:
            return
        if payment.pending is None and self.session.state in (State.DENIED, State.ABORTED):
            granted = self.bank.granted(payment.auth_key)
            self.take(granted)

    def _bank_goes_down(self) -> None:
        self.bank.down_until_ns = self.now_ns + int(self.rng.uniform(60, 6 * HOUR_S) * SECOND_NS)

    def _sweep(self) -> None:
        """The sweeper comes by within five seconds of each deadline, sometimes twice."""
        due_ns = self.session.deadline_ns
        if due_ns is None:
            return
        wait_s = max(0, due_ns - self.now_ns) / SECOND_NS + self.rng.uniform(0, SWEEP_S)
        self.after(wait_s, self._deadline)

    def _deadline(self) -> None:
        session = self.session
        if session.deadline_ns is None or session.deadline_ns > self.now_ns:
            return
        outcome = self.take(e.DeadlinePassed(self.online))
        assert isinstance(outcome, Transition), f"nothing was due in {session.state}"
        moved = (session.state, _dues(session)) != (self.session.state, _dues(self.session))
        assert moved, f"what was handled in {session.state} is due again"


def _dues(session: Session) -> tuple[int | None, int | None]:
    return session.due_ns, session.payment.pending.due_ns if session.payment.pending else None


def price(basket: tuple[tuple[str, int], ...]) -> int:
    """What a basket costs."""
    return sum(PRICES[sku] * count for sku, count in basket)


def check_end(world: World) -> None:
    """What must hold when nothing is left to happen."""
    session, payment, bank = world.session, world.session.payment, world.bank
    assert session.state in ENDED or payment.frozen, f"{session.state} is no end"
    if not payment.frozen:
        assert payment.pending is None
        assert not bank.held(world.now_ns), f"a hold lingers in {session.state}"
        assert sum(bank.taken.values()) == payment.charged_minor
        assert sum(bank.returned.values()) == payment.refunded_minor
        assert {charge.key: charge.amount_minor for charge in payment.charges} == bank.taken
        open_debts = {key: amount for key, amount in world.debts.items() if amount}
        paid = session.payment.owed_minor == 0
        assert paid
        assert len(open_debts) <= 1
    assert {sku: -count for sku, count in world.stock.items() if count} == dict(session.stocked)
    if session.evidence.segments and not payment.frozen and not session.contest:
        assert session.evidence.state is EvidenceState.EXPIRED_DELETED or payment.disputed
    assert world.openings_sent == world.openings_kept + world.incidents or world.device_dead
