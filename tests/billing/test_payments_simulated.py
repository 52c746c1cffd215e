"""Hundreds of purchases with faults, crashes, late workers and disputes by chance: nobody pays twice, nothing is lost.

Everything follows from the seed: a failing one fails again.
"""

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import stripe

from fleetsight.billing.operations import Capture, Charge, Debt, Hold, Planned, Refund, Request, Void
from fleetsight.billing.payments import Payments
from fleetsight.billing.provider import (
    Authorized,
    Captured,
    Declined,
    DisputeState,
    Outcome,
    Refunded,
    Refused,
    Unknown,
    Voided,
)
from fleetsight.billing.providers.bank import Bank
from fleetsight.billing.providers.desk import Fault, Seeded, no_faults
from fleetsight.billing.providers.stripe_provider import StripeProvider
from fleetsight.billing.reconciliation.reconciler import Reconciler
from fleetsight.clock import SECOND_NS, VirtualClock
from fleetsight.store.crashpoint import Crash, SimulatedCrashError, arm, disarm
from fleetsight.store.rows import Rows
from tests.billing.providers.stripe_transport import API_KEY, StripeTransport
from tests.billing.till import HOUR_NS, Till, euro

SESSIONS = 40
RATES = {
    Fault.LOST_BEFORE: 0.08,
    Fault.LOST_AFTER: 0.12,
    Fault.ERROR_BEFORE: 0.03,
    Fault.ERROR_AFTER: 0.05,
    Fault.CONFLICT: 0.05,
    Fault.DOWN: 0.05,
}
POINTS = ("payments.begun", "payments.called", "payments.concluded", "books.chained", "books.posted")


@dataclass
class Shop:
    """Runs purchases as workers and a sweeper would."""

    till: Till
    dice: random.Random
    method: str = "card"
    expected: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Taken and given back, by session."""

    def ask(self, request: Request) -> Outcome | Refused:
        """Plan, and come back until the end is known, whatever crashes."""
        planned = self.till.plan(request)
        if isinstance(planned, Refused):
            return planned
        for round_ in range(16):
            if self.dice.random() < 0.3:
                arm(self.dice.choice(POINTS), how=Crash.RAISE)
            with suppress(SimulatedCrashError):
                outcome = self.till.run(request.key)
                if not isinstance(outcome, Unknown):
                    disarm()
                    return outcome
            disarm()
            pause_ns = 24 * HOUR_NS if round_ in (8, 10, 12) else 30 * SECOND_NS  # a saved error goes when its key does
            self.till.clock.advance(pause_ns)
        raise AssertionError(f"{request.key} has no end")

    def purchase(self, number: int) -> None:
        session = f"s{number}"
        provider = self.till.provider.name

        def new(kind: type[Hold] | type[Charge], key: str, minor: int) -> Hold | Charge:
            return kind(f"{session}:{key}", "t1", session, "anna", provider, self.method, euro(minor))

        taken, given = 0, 0
        if isinstance(self.ask(new(Hold, "auth:1", 2500)), Authorized):
            taken = self.settle(session, self.dice.choice([0, 0, 1, 640, 2500, 2650]), new(Charge, "extra", 150))
        if taken and self.dice.random() < 0.4:
            given = self.give_back(session)
        self.expected[session] = (taken, given)

    def settle(self, session: str, minor: int, extra: Hold | Charge) -> int:
        hold = f"{session}:auth:1"
        if minor == 0:
            assert self.ask(Void(f"{session}:void", hold)) == Voided()
            return 0
        taken = min(minor, 2500)
        assert isinstance(self.ask(Capture(f"{session}:capture:1", hold, euro(taken))), Captured)
        if minor > taken:
            answer = self.ask(extra)
            if isinstance(answer, Declined):
                return taken + self.owe(session, minor - taken)
            assert isinstance(answer, Captured)
        return minor

    def owe(self, session: str, minor: int) -> int:
        """What the provider did not answer for a day is owed, and charged under the next key."""
        debt = Debt(f"{session}:owe:1", "t1", session, "anna", euro(minor), "declined")
        with self.till.rows.transaction() as connection:
            self.till.payments.owe(connection, debt)
        name = self.till.provider.name
        retry = Charge(f"{session}:retry:1", "t1", session, "anna", name, self.method, euro(minor), debt.key)
        return minor if isinstance(self.ask(retry), Captured) else 0

    def give_back(self, session: str) -> int:
        of, given = f"{session}:capture:1", 0
        for number in range(2):
            with self.till.rows.reading() as connection:
                left = dict(self.till.payments.refundable(connection, "t1", session_id=session)).get(of, euro(0))
            minor = self.dice.randint(1, max(1, left.minor))
            answer = self.ask(Refund(f"{session}:refund:{number}", of, euro(minor), "contested"))
            given += minor if isinstance(answer, Refunded) else 0
        return given

    def dispute_some(self) -> None:
        """Banks take money back; the webhooks are all lost, and reconciliation finds out."""
        for intent in self.till.bank.intents("state = 'captured'"):
            if self.dice.random() < 0.1:
                self.till.bank.dispute(intent.ref, DisputeState.OPEN)
                if self.dice.random() < 0.5:
                    self.till.bank.dispute(intent.ref, self.dice.choice([DisputeState.WON, DisputeState.LOST]))

    def check(self) -> None:
        """The bank, our book and what was meant agree for each session, and nothing is left over."""
        till, truth = self.till, self.till.bank.truth()
        for session, (taken, given) in self.expected.items():
            with till.rows.reading() as connection:
                money = till.payments.money_of(connection, "t1", session_id=session, currency="EUR")
            assert (money.held.minor, money.taken.minor, money.refunded.minor) == (0, taken, given), session
            there = truth.get(session)
            assert (there.captured_minor if there else 0, there.refunded_minor if there else 0) == (taken, given)
            assert not there or there.captures <= 2 + (there.captured_minor > 2500)
        with till.rows.reading() as connection:
            assert till.book.verify(connection) == ()
            assert till.payments.unsettled(connection, older_than_ns=till.clock.now_ns() + 1) == ()
            assert till.payments.frozen(connection, "t1") == ()

    def reconcile(self) -> None:
        """Differences are carried out until there are none: lost webhooks, and holds that came too late."""
        self.till.clock.advance(120 * SECOND_NS)
        for _ in range(3):
            reconciler = Reconciler(
                self.till.rows, self.till.clock, payments=self.till.payments, provider=self.till.provider
            )
            report = reconciler.run(0)
            for difference in report.differences:
                reconciler.carry_out(difference.proposal)
        assert report.differences == ()
        assert report.moving == 0
        assert all(truth.held_minor == 0 for truth in self.till.bank.truth().values())


@pytest.fixture
def bank(clock: VirtualClock) -> Iterator[Bank]:
    with closing(Bank(":memory:", clock)) as bank:
        yield bank


@pytest.fixture(autouse=True)
def alive() -> Iterator[None]:
    yield
    disarm()


@pytest.mark.parametrize("seed", range(2))
def test_nobody_pays_twice_and_nothing_is_lost(sqlite_rows: Rows, clock: VirtualClock, bank: Bank, seed: int) -> None:
    shop = Shop(Till(sqlite_rows, clock, bank, Seeded(seed, RATES)), random.Random(seed))
    for number in range(SESSIONS):
        shop.purchase(number)
    shop.check()
    shop.dispute_some()
    shop.till = Till(sqlite_rows, clock, bank)
    shop.reconcile()
    shop.check()


def test_stripe_neither(sqlite_rows: Rows, clock: VirtualClock, bank: Bank) -> None:
    till = Till(sqlite_rows, clock, bank)
    transport = StripeTransport(bank, faults=Seeded(5, RATES))
    till.provider = StripeProvider(stripe.StripeClient(API_KEY, http_client=transport, max_network_retries=0))
    till.payments = Payments(sqlite_rows, clock, providers=[till.provider])
    shop = Shop(till, random.Random(5), method="cus_1/pm_card_visa")
    for number in range(SESSIONS):
        shop.purchase(number)
    shop.check()
    transport.faults = no_faults
    shop.dispute_some()
    shop.reconcile()
    shop.check()


CHILD = """
import sys
from fleetsight.billing.payments import Payments
from fleetsight.billing.providers.bank import Bank
from fleetsight.billing.providers.faulty import FaultyProvider
from fleetsight.clock import SystemClock
from fleetsight.store.crashpoint import arm
from fleetsight.store.rows import Rows

url, bank, key, point = sys.argv[1:]
rows, clock = Rows.open(url), SystemClock()
payments = Payments(rows, clock, providers=[FaultyProvider(Bank(bank, clock))])
if point:
    arm(point)
outcome = payments.perform(key)
with rows.transaction() as connection:
    payments.conclude(connection, key, outcome=outcome)
"""


@pytest.mark.parametrize("point", POINTS)
def test_a_process_that_is_killed_is_followed_by_one_that_ends_the_work(
    rows: Rows, rows_url: str, tmp_path: Path, point: str
) -> None:
    clock = VirtualClock(1_800_000_000_000_000_000)
    with closing(Bank(tmp_path / "bank.db", clock)) as bank:
        bank.hold_s = 10**8  # the children live in the present
        till = Till(rows, clock, bank)
        till.do(Hold("s1:auth:1", "t1", "s1", "anna", "faulty", "card", euro(2500)))
        assert isinstance(till.plan(Capture("s1:capture:1", "s1:auth:1", euro(640))), Planned)

        def child(point: str) -> int:
            command = [sys.executable, "-c", CHILD, rows_url, str(tmp_path / "bank.db"), "s1:capture:1", point]
            return subprocess.run(command, check=False, timeout=60).returncode

        assert child(point) == -signal.SIGKILL
        assert child("") == 0
        till.agrees(taken=640)
