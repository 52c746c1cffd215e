"""The rules of the books: double entry, whole minor units, nothing is ever changed. Pure.

An `Entry` moves money between accounts; its postings sum to zero in each currency (a debit is positive). A correction is a new
entry. Some entries answer an earlier one (`Entry.of`), and these rules bound them:

- a hold ends at most once: captured (at most what is held; the rest is released), voided, or expired;
- refunds of a payment never exceed it, and none is made while its bank disputes it or after the dispute is lost;
- a debt is never paid or written off beyond what is owed.

`fleetsight.billing.books` keeps entries as rows and asks these same rules; `verify` there replays every row through a `Ledger`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from fleetsight.billing.provider import DisputeState, Refused
from fleetsight.errors import Error
from fleetsight.money import Money


class LedgerError(Error):
    """An entry that no correct program writes: unbalanced, or a used key with other content."""

    code = "ledger"


class Kind(StrEnum):
    """What an entry records."""

    HOLD = "hold"
    CAPTURE = "capture"
    VOID = "void"
    EXPIRE = "expire"
    CHARGE = "charge"
    """Taken without a hold: what a basket costs above its hold."""
    REFUND = "refund"
    OWE = "owe"
    PAID_LATER = "paid_later"
    WRITE_OFF = "write_off"
    DISPUTE = "dispute"
    DISPUTE_WON = "dispute_won"
    DISPUTE_LOST = "dispute_lost"
    TOP_UP = "top_up"


ENDS_HOLD = frozenset({Kind.CAPTURE, Kind.VOID, Kind.EXPIRE})
TAKES = frozenset({Kind.CAPTURE, Kind.CHARGE, Kind.PAID_LATER})
"""Entries by which money came in, and which can be refunded and disputed."""
_ANSWERS: Mapping[Kind, frozenset[Kind]] = {
    **dict.fromkeys(ENDS_HOLD, frozenset({Kind.HOLD})),
    **dict.fromkeys((Kind.REFUND, Kind.DISPUTE, Kind.DISPUTE_WON, Kind.DISPUTE_LOST), TAKES),
    **dict.fromkeys((Kind.PAID_LATER, Kind.WRITE_OFF), frozenset({Kind.OWE})),
}
"""Which kinds an entry of this kind may answer; the other kinds answer none."""


@dataclass(frozen=True, slots=True)
class Posting:
    """One side of an entry.

    Attributes:
        account: ``revenue``, ``hold:<session>``, …
        amount: a debit is positive, a credit negative; never zero.
    """

    account: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Entry:
    """One fact about money; never changed.

    Attributes:
        key: names the fact for ever; posting it twice is one fact.
        kind: what it records.
        session_id: what it is about; empty for a top-up.
        amount: how much it is about, > 0: held, taken, given back, released (the whole hold), owed.
        postings: two or more, that sum to zero in each currency.
        at_ns: when it was written, UTC nanoseconds; no part of its identity.
        of: the key of the entry it answers; empty when it answers none.
        note: for people.
    """

    key: str
    kind: Kind
    session_id: str
    amount: Money
    postings: tuple[Posting, ...]
    at_ns: int
    of: str = ""
    note: str = ""

    def says_the_same(self, other: "Entry") -> bool:
        """Whether two entries record the same fact.

        Args:
            other: an entry, perhaps written at another time or with another note.
        Returns:
            True when everything but time and note is equal.
        """
        return (self.key, self.kind, self.session_id, self.amount, self.postings, self.of) == (
            other.key,
            other.kind,
            other.session_id,
            other.amount,
            other.postings,
            other.of,
        )


@dataclass(slots=True)
class Standing:
    """What became of one entry that others answer, in minor units of its currency.

    Attributes:
        ended_by: kind of the entry that ended a hold.
        refunded: given back of a payment.
        dispute: about a payment.
        disputed: what the bank took back of it, while the dispute is open or when it is lost.
        paid: of a debt.
        written_off: of a debt.
    """

    ended_by: Kind | None = None
    refunded: int = 0
    dispute: DisputeState | None = None
    disputed: int = 0
    paid: int = 0
    written_off: int = 0


@dataclass(slots=True)
class Ledger:
    """Entries under the rules, and what follows from them. Make it empty and `post`.

    Attributes:
        entries: by key, in the order in which they were posted.
        balances: minor units by account and currency.
        standings: by key of the entry that others answer.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    balances: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    standings: dict[str, Standing] = field(default_factory=lambda: defaultdict(Standing))

    @classmethod
    def replay(cls, entries: Iterable[Entry]) -> "Ledger":
        """Post entries that were accepted before.

        Args:
            entries: in their order.
        Returns:
            the ledger.
        Raises:
            LedgerError: the rules refuse one of them: the rows were tampered with.
        """
        ledger = cls()
        for entry in entries:
            refused = ledger.post(entry)
            if isinstance(refused, Refused):
                raise LedgerError(f"entry {entry.key} breaks the rules: {refused.reason}")
        return ledger

    def post(self, entry: Entry) -> Entry | Refused:
        """Accept an entry, or say which rule it breaks; then nothing changes.

        Args:
            entry: what to record.
        Returns:
            the entry as it stands in the ledger: an earlier one when the same fact was posted before.
        Raises:
            LedgerError: it is unbalanced or malformed, or its key stands for another fact.
        """
        if known := self.entries.get(entry.key):
            if known.says_the_same(entry):
                return known
            raise LedgerError(f"key {entry.key} stands for {known.kind} of {known.amount}, not {entry.kind} again")
        check_form(entry)
        refused = self.refusal(entry)
        if refused is not None:
            return refused
        self._note(entry)
        self.entries[entry.key] = entry
        for posting in entry.postings:
            self.balances[posting.account, posting.amount.currency] += posting.amount.minor
        return entry

    def refusal(self, entry: Entry) -> Refused | None:
        """Which rule an entry breaks that answers an earlier one.

        Args:
            entry: well formed.
        Returns:
            None when it may be posted.
        """
        if entry.kind not in _ANSWERS:
            return None
        answered = self.entries.get(entry.of)
        if answered is None or answered.kind not in _ANSWERS[entry.kind]:
            return Refused(_MISSING.get(entry.kind, "not_captured"))
        if answered.amount.currency != entry.amount.currency:
            return Refused("currency")
        return _bounded(entry, answered, self.standings.get(entry.of) or Standing())

    def left_to_refund(self, key: str) -> Money:
        """What can still be given back of a payment.

        Args:
            key: of an entry that took money.
        Returns:
            zero while it is disputed, and after a lost dispute.
        """
        entry, standing = self.entries[key], self.standings.get(key) or Standing()
        frozen = standing.dispute in (DisputeState.OPEN, DisputeState.LOST)
        return Money(0 if frozen else entry.amount.minor - standing.refunded, entry.amount.currency)

    def left_to_pay(self, key: str) -> Money:
        """What is still owed of a debt.

        Args:
            key: of the entry that recorded it.
        Returns:
            zero when it is paid or written off.
        """
        entry, standing = self.entries[key], self.standings.get(key) or Standing()
        return Money(entry.amount.minor - standing.paid - standing.written_off, entry.amount.currency)

    def problems(self) -> tuple[str, ...]:
        """Check from scratch that balances follow from the entries and that no bound is passed.

        Returns:
            what is wrong, in words; empty when all is well.
        """
        found = []
        totals: defaultdict[str, int] = defaultdict(int)
        replayed: defaultdict[tuple[str, str], int] = defaultdict(int)
        answers: defaultdict[tuple[str, Kind], int] = defaultdict(int)
        held: defaultdict[str, int] = defaultdict(int)
        for entry in self.entries.values():
            for posting in entry.postings:
                totals[posting.amount.currency] += posting.amount.minor
                replayed[posting.account, posting.amount.currency] += posting.amount.minor
            if entry.of:
                answers[entry.of, Kind.VOID if entry.kind in ENDS_HOLD else entry.kind] += (
                    1 if entry.kind in ENDS_HOLD else entry.amount.minor
                )
            if entry.kind is Kind.HOLD:
                held[entry.amount.currency] += entry.amount.minor
            elif entry.kind in ENDS_HOLD:
                held[entry.amount.currency] -= self.entries[entry.of].amount.minor
        found += [f"{minor} {currency} too much in all" for currency, minor in totals.items() if minor]
        found += [f"balance of {name} is not what its entries say" for name in _differing(replayed, self.balances)]
        found += [f"{key}: {kind} beyond its bound" for (key, kind), n in answers.items() if n > self._bound(key, kind)]
        for currency, minor in held.items():
            on_accounts = sum(
                n for (name, unit), n in replayed.items() if unit == currency and name.startswith("hold:")
            )
            if abs(on_accounts) != minor:
                found.append(f"{minor} {currency} held, {on_accounts} on the accounts")
        return tuple(found)

    def _bound(self, key: str, kind: Kind) -> int:
        return 1 if kind is Kind.VOID else self.entries[key].amount.minor

    def _note(self, entry: Entry) -> None:
        if entry.kind not in _ANSWERS:
            return
        standing, minor = self.standings[entry.of], entry.amount.minor
        if entry.kind in ENDS_HOLD:
            standing.ended_by = entry.kind
        elif entry.kind is Kind.REFUND:
            standing.refunded += minor
        elif entry.kind is Kind.DISPUTE:
            standing.dispute, standing.disputed = DisputeState.OPEN, minor
        elif entry.kind is Kind.DISPUTE_WON:
            standing.dispute, standing.disputed = DisputeState.WON, 0
        elif entry.kind is Kind.DISPUTE_LOST:
            standing.dispute = DisputeState.LOST
        elif entry.kind is Kind.PAID_LATER:
            standing.paid += minor
        elif entry.kind is Kind.WRITE_OFF:
            standing.written_off += minor


_MISSING: Mapping[Kind, str] = {
    **dict.fromkeys(ENDS_HOLD, "hold_missing"),
    **dict.fromkeys((Kind.PAID_LATER, Kind.WRITE_OFF), "owed"),
}


def _bounded(entry: Entry, answered: Entry, standing: Standing) -> Refused | None:
    asked, whole = entry.amount.minor, answered.amount.minor
    if entry.kind in ENDS_HOLD:
        broken = ((standing.ended_by is not None, "hold_ended"), (asked > whole, "above_hold"))
    elif entry.kind is Kind.REFUND:
        frozen = standing.dispute in (DisputeState.OPEN, DisputeState.LOST)
        broken = ((frozen, "disputed"), (asked > whole - standing.refunded, "above_captured"))
    elif entry.kind is Kind.DISPUTE:
        broken = ((standing.dispute is not None, "disputed"), (asked > whole, "above_captured"))
    elif entry.kind in (Kind.DISPUTE_WON, Kind.DISPUTE_LOST):
        decided = standing.dispute is not DisputeState.OPEN
        broken = ((decided, "disputed"), (asked != standing.disputed, "disputed"))
    else:
        broken = ((asked > whole - standing.paid - standing.written_off, "owed"),) * 2
    return next((Refused(reason) for is_broken, reason in broken if is_broken), None)


def check_form(entry: Entry) -> None:
    """Check what holds for every entry by itself.

    Args:
        entry: any.
    Raises:
        LedgerError: no key, no amount, an empty posting, fewer than two postings, or a sum that is not zero.
    """
    totals: defaultdict[str, int] = defaultdict(int)
    for posting in entry.postings:
        totals[posting.amount.currency] += posting.amount.minor
        if not posting.account or posting.amount.minor == 0:
            raise LedgerError(f"entry {entry.key} has an empty posting", hint="leave it out")
    if not entry.key or entry.amount.minor <= 0 or len(entry.postings) < 2 or any(totals.values()):
        raise LedgerError(
            f"entry {entry.key!r} ({entry.kind} of {entry.amount}) is unbalanced or empty: {dict(totals)}",
            hint="its postings must sum to zero in each currency",
        )


def _differing(left: Mapping[tuple[str, str], int], right: Mapping[tuple[str, str], int]) -> list[str]:
    return [name for name, _ in sorted({key for key in {*left, *right} if left.get(key, 0) != right.get(key, 0)})]
