"""The rules of the books hold for whatever is posted, in whatever order."""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from fleetsight.billing.ledger import ENDS_HOLD, TAKES, Entry, Kind, Ledger, LedgerError, Posting
from fleetsight.billing.provider import DisputeState, Refused
from fleetsight.billing.sales import Fact, entry_of
from fleetsight.money import Money

CURRENCIES = ("EUR", "JPY", "KWD")
OPERATIONS_WANTED = 100_000
ANSWERED = {
    **dict.fromkeys(ENDS_HOLD, frozenset({Kind.HOLD})),
    **dict.fromkeys((Kind.PAID_LATER, Kind.WRITE_OFF), frozenset({Kind.OWE})),
    **dict.fromkeys((Kind.REFUND, Kind.DISPUTE, Kind.DISPUTE_WON, Kind.DISPUTE_LOST), TAKES),
}
PROGRAM = 30
"""Operations in one step of the machine."""
STEPS = 4


def fact(key: str, kind: Kind, minor: int, *, of: str = "", held: int | None = None, currency: str = "EUR") -> Fact:
    return Fact(
        key=key,
        kind=kind,
        session_id="s1",
        shopper_id="anna",
        provider="wallet",
        amount=Money(minor, currency),
        at_ns=0,
        of=of,
        held=None if held is None else Money(held, currency),
    )


def posted(ledger: Ledger, *facts: Fact) -> Ledger:
    for each in facts:
        assert isinstance(ledger.post(entry_of(each)), Entry), each
    return ledger


@dataclass
class Expected:
    """What one hold, payment or debt allows, kept by the simplest arithmetic there is."""

    kind: Kind
    currency: str
    whole: int
    is_ended: bool = False
    refunded: int = 0
    dispute: DisputeState | None = None
    disputed: int = 0
    settled: int = 0

    def allows(self, kind: Kind, minor: int, currency: str) -> bool:
        if currency != self.currency:
            return False
        frozen = self.dispute in (DisputeState.OPEN, DisputeState.LOST)
        if kind in ENDS_HOLD:
            return self.kind is Kind.HOLD and not self.is_ended and minor <= self.whole
        if kind in (Kind.PAID_LATER, Kind.WRITE_OFF):
            return self.kind is Kind.OWE and minor <= self.whole - self.settled
        if self.kind not in TAKES:
            return False
        if kind is Kind.REFUND:
            return not frozen and minor <= self.whole - self.refunded
        if kind is Kind.DISPUTE:
            return self.dispute is None and minor <= self.whole
        return self.dispute is DisputeState.OPEN and minor == self.disputed

    def take(self, kind: Kind, minor: int) -> None:
        if kind in ENDS_HOLD:
            self.is_ended = True
        elif kind in (Kind.PAID_LATER, Kind.WRITE_OFF):
            self.settled += minor
        elif kind is Kind.REFUND:
            self.refunded += minor
        elif kind is Kind.DISPUTE:
            self.dispute, self.disputed = DisputeState.OPEN, minor
        elif kind is Kind.DISPUTE_WON:
            self.dispute = DisputeState.WON
        else:
            self.dispute = DisputeState.LOST


@dataclass
class Books:
    """The ledger under test beside what is expected of it."""

    ledger: Ledger = field(default_factory=Ledger)
    expected: dict[str, Expected] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)

    def operate(self, code: bytes) -> None:
        """Post one entry that four bytes choose: kind, what it answers, amount, currency or a repetition."""
        kind = list(Kind)[code[0] % (len(Kind) - 1)]  # top-ups are the wallet's
        of = self.choose(kind, code[1], wild=code[3] % 8 == 7)
        answered = self.expected.get(of)
        minor, currency = 1 + code[2] % 40, CURRENCIES[code[3] % 3]
        if answered is not None and code[3] % 8:  # mostly of the right currency
            currency = answered.currency
        if answered is not None and kind in (Kind.DISPUTE_WON, Kind.DISPUTE_LOST) and code[3] % 4:
            minor = answered.disputed or minor
        if answered is not None and kind in (Kind.VOID, Kind.EXPIRE):
            minor = answered.whole
        key = f"{kind}:{len(self.ledger.entries)}:{len(self.order)}"
        held = answered.whole if kind is Kind.CAPTURE and answered is not None else None
        entry = entry_of(fact(key, kind, minor, of=of, held=held, currency=currency))
        before = dict(self.ledger.balances)
        result = self.ledger.post(entry)
        allowed = not of and kind in (Kind.HOLD, Kind.CHARGE, Kind.OWE)
        allowed = allowed or (answered is not None and answered.allows(kind, minor, currency))
        assert isinstance(result, Entry) is allowed, (entry, answered, result)
        if not allowed:
            assert dict(self.ledger.balances) == before
            return
        if answered is not None:
            answered.take(kind, minor)
        self.expected[key] = Expected(kind, currency, minor)
        self.order.append(key)
        if code[3] % 5 == 0:
            self.repeat(entry)

    def choose(self, kind: Kind, number: int, *, wild: bool) -> str:
        """What the entry answers: mostly something that it may answer, sometimes anything."""
        if kind in (Kind.HOLD, Kind.CHARGE, Kind.OWE):
            return ""
        fitting = self.order if wild else [key for key in self.order if self.expected[key].kind in ANSWERED[kind]]
        return fitting[number % len(fitting)] if fitting else ""

    def repeat(self, entry: Entry) -> None:
        """The same fact again, later: nothing changes."""
        balances, count = dict(self.ledger.balances), len(self.ledger.entries)
        assert self.ledger.post(replace(entry, at_ns=entry.at_ns + 1, note="again")) == entry
        assert (dict(self.ledger.balances), len(self.ledger.entries)) == (balances, count)
        with pytest.raises(LedgerError, match="stands for"):
            self.ledger.post(replace(entry, amount=entry.amount + entry.amount))

    def check(self) -> None:
        """Every invariant of the books, computed from the entries alone."""
        assert self.ledger.problems() == ()
        totals: defaultdict[str, int] = defaultdict(int)
        accounts: defaultdict[str, int] = defaultdict(int)
        for (account, currency), minor in self.ledger.balances.items():
            totals[currency] += minor
            accounts[account.partition(":")[0]] += minor
        assert not any(totals.values())
        assert accounts["hold"] == -accounts["held"] >= 0
        open_holds = sum(e.whole for e in self.expected.values() if e.kind is Kind.HOLD and not e.is_ended)
        assert accounts["hold"] == open_holds
        assert accounts["receivable"] == sum(e.whole - e.settled for e in self.expected.values() if e.kind is Kind.OWE)
        assert accounts["refunds"] == sum(e.refunded for e in self.expected.values())
        in_dispute = sum(e.disputed for e in self.expected.values() if e.dispute is DisputeState.OPEN)
        assert accounts["dispute"] == in_dispute
        for expected in self.expected.values():
            assert 0 <= expected.refunded <= expected.whole
            assert 0 <= expected.settled <= expected.whole


class LedgerMachine(RuleBasedStateMachine):
    operations: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.books = Books()

    @rule(program=st.binary(min_size=4 * PROGRAM, max_size=4 * PROGRAM))
    def run(self, program: bytes) -> None:
        for start in range(0, len(program), 4):
            self.books.operate(program[start : start + 4])
            self.books.check()
            LedgerMachine.operations += 1

    @invariant()
    def a_replay_of_the_entries_is_the_same_ledger(self) -> None:
        entries = list(self.books.ledger.entries.values())
        replayed = Ledger.replay(entries)
        assert dict(replayed.balances) == dict(self.books.ledger.balances)
        assert {k: v for k, v in replayed.standings.items() if k in self.books.ledger.standings} == dict(
            self.books.ledger.standings
        )


@pytest.mark.slow
def test_a_hundred_thousand_random_operations_keep_every_invariant() -> None:
    LedgerMachine.operations = 0
    often = settings(
        max_examples=OPERATIONS_WANTED // (PROGRAM * STEPS) + 50,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(LedgerMachine, settings=often)
    assert LedgerMachine.operations >= OPERATIONS_WANTED


def test_a_capture_moves_money_and_releases_the_rest_of_the_hold() -> None:
    ledger = posted(Ledger(), fact("h", Kind.HOLD, 2500), fact("c", Kind.CAPTURE, 640, of="h", held=2500))
    assert {account: minor for (account, _), minor in ledger.balances.items() if minor} == {
        "clearing:wallet": 640,
        "revenue": -640,
    }


def test_a_hold_ends_once() -> None:
    for first in (Kind.CAPTURE, Kind.VOID, Kind.EXPIRE):
        ledger = posted(Ledger(), fact("h", Kind.HOLD, 2500))
        posted(ledger, fact("a", first, 2500, of="h", held=2500 if first is Kind.CAPTURE else None))
        for second in ENDS_HOLD:
            assert ledger.post(entry_of(fact("b", second, 2500, of="h"))) == Refused("hold_ended")


def test_a_capture_never_exceeds_its_hold() -> None:
    ledger = posted(Ledger(), fact("h", Kind.HOLD, 2500))
    assert ledger.post(entry_of(fact("c", Kind.CAPTURE, 2501, of="h", held=2500))) == Refused("above_hold")


def test_refunds_never_exceed_the_capture() -> None:
    ledger = posted(Ledger(), fact("c", Kind.CHARGE, 700), fact("r1", Kind.REFUND, 500, of="c"))
    assert ledger.left_to_refund("c") == Money(200, "EUR")
    assert ledger.post(entry_of(fact("r2", Kind.REFUND, 201, of="c"))) == Refused("above_captured")
    posted(ledger, fact("r3", Kind.REFUND, 200, of="c"))


def test_an_open_dispute_freezes_refunds_until_it_is_won() -> None:
    ledger = posted(Ledger(), fact("c", Kind.CHARGE, 700), fact("d", Kind.DISPUTE, 700, of="c"))
    assert ledger.post(entry_of(fact("r", Kind.REFUND, 1, of="c"))) == Refused("disputed")
    assert ledger.left_to_refund("c") == Money(0, "EUR")
    posted(ledger, fact("w", Kind.DISPUTE_WON, 700, of="c"), fact("r", Kind.REFUND, 700, of="c"))


def test_a_lost_dispute_freezes_refunds_for_good() -> None:
    ledger = posted(
        Ledger(),
        fact("c", Kind.CHARGE, 700),
        fact("d", Kind.DISPUTE, 700, of="c"),
        fact("l", Kind.DISPUTE_LOST, 700, of="c"),
    )
    assert ledger.post(entry_of(fact("r", Kind.REFUND, 1, of="c"))) == Refused("disputed")
    assert ledger.balances["dispute_losses", "EUR"] == 700
    assert ledger.balances["dispute:s1", "EUR"] == 0


@pytest.mark.parametrize("minor", [599, 601])
def test_a_dispute_ends_about_what_it_began(minor: int) -> None:
    ledger = posted(Ledger(), fact("c", Kind.CHARGE, 700), fact("d", Kind.DISPUTE, 600, of="c"))
    for kind in (Kind.DISPUTE_WON, Kind.DISPUTE_LOST):
        assert ledger.post(entry_of(fact("w", kind, minor, of="c"))) == Refused("disputed")


def test_a_debt_is_paid_or_written_off_at_most_once() -> None:
    ledger = posted(Ledger(), fact("o", Kind.OWE, 900), fact("p", Kind.PAID_LATER, 600, of="o"))
    assert ledger.post(entry_of(fact("w", Kind.WRITE_OFF, 301, of="o"))) == Refused("owed")
    posted(ledger, fact("w", Kind.WRITE_OFF, 300, of="o"))
    assert ledger.left_to_pay("o") == Money(0, "EUR")
    assert ledger.balances["receivable:anna", "EUR"] == 0


def test_money_of_another_currency_answers_nothing() -> None:
    ledger = posted(Ledger(), fact("h", Kind.HOLD, 2500))
    assert ledger.post(entry_of(fact("c", Kind.CAPTURE, 640, of="h", held=2500, currency="USD"))) == Refused("currency")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(Kind.CAPTURE, "hold_missing"), (Kind.REFUND, "not_captured"), (Kind.PAID_LATER, "owed")],
)
def test_what_answers_nothing_is_refused(kind: Kind, reason: str) -> None:
    assert Ledger().post(entry_of(fact("x", kind, 5, of="nothing"))) == Refused(reason)


@pytest.mark.parametrize(
    "postings",
    [
        (),
        (Posting("cash", Money(5, "EUR")),),
        (Posting("cash", Money(5, "EUR")), Posting("revenue", Money(-4, "EUR"))),
        (Posting("cash", Money(5, "EUR")), Posting("revenue", Money(-5, "USD"))),
        (Posting("cash", Money(0, "EUR")), Posting("revenue", Money(0, "EUR"))),
        (Posting("", Money(5, "EUR")), Posting("revenue", Money(-5, "EUR"))),
    ],
)
def test_an_unbalanced_entry_is_a_bug_and_not_a_refusal(postings: tuple[Posting, ...]) -> None:
    with pytest.raises(LedgerError, match="empty"):
        Ledger().post(Entry("k", Kind.CHARGE, "s1", Money(5, "EUR"), postings, 0))


@pytest.mark.parametrize("minor", [0, -5])
def test_an_entry_is_about_more_than_nothing(minor: int) -> None:
    sides = (Posting("cash", Money(5, "EUR")), Posting("revenue", Money(-5, "EUR")))
    with pytest.raises(LedgerError, match="empty"):
        Ledger().post(Entry("k", Kind.CHARGE, "s1", Money(minor, "EUR"), sides, 0))


def test_a_replay_of_tampered_entries_fails() -> None:
    honest = posted(Ledger(), fact("h", Kind.HOLD, 2500), fact("c", Kind.CAPTURE, 640, of="h", held=2500))
    entries = list(honest.entries.values())
    with pytest.raises(LedgerError, match="breaks the rules"):
        Ledger.replay([entries[1]])


def test_a_balance_that_was_edited_is_a_problem() -> None:
    ledger = posted(Ledger(), fact("c", Kind.CHARGE, 640))
    ledger.balances["revenue", "EUR"] += 1
    assert ledger.problems() == ("balance of revenue is not what its entries say",)
