"""A till for tests: one session's payments on a database and a bank, with everything that must agree in the end."""

from collections.abc import Sequence
from dataclasses import dataclass

from fleetsight.billing import sales
from fleetsight.billing.books import Book
from fleetsight.billing.operations import Capture, Charge, Hold, Operation, Planned, Refund, Request, Void
from fleetsight.billing.payments import Concluded, Payments
from fleetsight.billing.provider import Outcome, Provider, Refused, Unknown
from fleetsight.billing.providers.bank import Bank
from fleetsight.billing.providers.desk import Fault, Faults, Scripted, no_faults
from fleetsight.billing.providers.faulty import FaultyProvider
from fleetsight.billing.session_money import SessionMoney
from fleetsight.clock import SECOND_NS, VirtualClock
from fleetsight.money import Money
from fleetsight.store.rows import Rows

HOUR_NS = 3600 * SECOND_NS
AUTH, CAPTURE, VOID, EXTRA, REFUND = "s1:auth:1", "s1:capture:1", "s1:void", "s1:extra", "s1:refund:1"


def euro(minor: int) -> Money:
    return Money(minor, "EUR")


def hold(
    minor: int = 2500, *, key: str = AUTH, session: str = "s1", method: str = "card", provider: str = "faulty"
) -> Hold:
    return Hold(key, "t1", session, "anna", provider, method, euro(minor))


def charge(minor: int, *, key: str = EXTRA, debt_key: str = "") -> Charge:
    return Charge(key, "t1", "s1", "anna", "faulty", "card", euro(minor), debt_key)


def capture(minor: int, *, key: str = CAPTURE, of: str = AUTH) -> Capture:
    return Capture(key, of, euro(minor))


def void(*, key: str = VOID, of: str = AUTH) -> Void:
    return Void(key, of)


def refund(minor: int, *, key: str = REFUND, of: str = CAPTURE) -> Refund:
    return Refund(key, of, euro(minor), "too warm")


def failing(**script: Fault | Sequence[Fault | None]) -> Scripted:
    """Faults at the first visits of each kind of request."""
    return Scripted({kind: (found,) if isinstance(found, Fault) else tuple(found) for kind, found in script.items()})


@dataclass
class Till:
    """Payments of a made-up bank.

    Attributes:
        rows: our database.
        clock: everybody's time.
        bank: the truth.
        faults: of the bank's front.
    """

    rows: Rows
    clock: VirtualClock
    bank: Bank
    faults: Faults = no_faults

    def __post_init__(self) -> None:
        self.provider: Provider = FaultyProvider(self.bank, faults=self.faults, wait=self.wait)
        self.payments = Payments(self.rows, self.clock, providers=[self.provider])
        self.book = Book("t1", sales.BOOK)

    def wait(self, wait_s: float) -> None:
        self.clock.advance(round(wait_s * SECOND_NS))

    def plan(self, request: Request) -> Planned | Refused:
        with self.rows.transaction() as connection:
            return self.payments.plan(connection, request)

    def conclude(self, key: str, outcome: Outcome) -> Concluded:
        with self.rows.transaction() as connection:
            return self.payments.conclude(connection, key, outcome=outcome)

    def run(self, key: str) -> Outcome:
        """Perform and conclude once, as a worker does."""
        outcome = self.payments.perform(key)
        self.conclude(key, outcome)
        return outcome

    def do(self, request: Request) -> Outcome:
        """Plan, perform and conclude."""
        planned = self.plan(request)
        assert isinstance(planned, Planned), planned
        return self.run(request.key)

    def insist(self, key: str, *, tries: int = 6, pause_ns: int = 30 * SECOND_NS) -> Outcome:
        """What a sweeper does: again and again until the end is known."""
        outcome = self.run(key)
        for _ in range(tries):
            if not isinstance(outcome, Unknown):
                break
            self.clock.advance(pause_ns)
            outcome = self.run(key)
        return outcome

    @property
    def money(self) -> SessionMoney:
        with self.rows.reading() as connection:
            return self.payments.money_of(connection, "t1", session_id="s1", currency="EUR")

    def agrees(self, *, held: int = 0, taken: int = 0, refunded: int = 0) -> None:
        """Our book and the bank show the same, and it is this; the book is whole."""
        money, truth = self.money, self.bank.truth().get("s1")
        assert (money.held.minor, money.taken.minor, money.refunded.minor) == (held, taken, refunded)
        there = (truth.held_minor, truth.captured_minor, truth.refunded_minor) if truth else (0, 0, 0)
        assert there == (held, taken, refunded)
        with self.rows.reading() as connection:
            assert self.book.verify(connection) == ()


def operation(till: Till, key: str) -> Operation:
    with till.rows.reading() as connection:
        found = till.payments.operation(connection, key)
    assert found is not None
    return found
