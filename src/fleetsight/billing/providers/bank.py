"""A made-up bank for tests and the chaos command: the truth about money that a provider would hold, and the ways in which it fails.

State is one SQLite file, so that several processes meet one bank, or memory. `Desk` is its front: it remembers answers by
idempotency key as Stripe does (also a 500; validation errors are not kept; a key is forgotten after a day, and then the same key
runs again), and it fails on demand. `Bank.truth` is the oracle: what really happened to each session's money.
"""

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fleetsight.billing.provider import DisputeState, Hint, Intent, IntentRefund, IntentState
from fleetsight.clock import SECOND_NS, Clock
from fleetsight.errors import Error
from fleetsight.money import Money

HOLD_S = 7 * 24 * 3600
"""Stripe: a hold that the customer started lasts seven days on most cards."""
BUSY_S = 30.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS intents (
    ref TEXT PRIMARY KEY, key TEXT, tenant_id TEXT, session_id TEXT, method_id TEXT, amount INTEGER, currency TEXT, state TEXT,
    captured INTEGER, capture_before_ns INTEGER, created_ns INTEGER, reason TEXT, dispute TEXT, disputed INTEGER);
CREATE INDEX IF NOT EXISTS intents_key ON intents (key);
CREATE TABLE IF NOT EXISTS refunds (
    ref TEXT PRIMARY KEY, intent TEXT, key TEXT, amount INTEGER, failed INTEGER);
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY, kind TEXT, ref TEXT, at_ns INTEGER);
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, question TEXT, status INTEGER, body TEXT, at_ns INTEGER);
CREATE TABLE IF NOT EXISTS visits (
    kind TEXT, key TEXT, count INTEGER, PRIMARY KEY (kind, key));
"""
DECLINING = {
    "card_declined": "generic_decline",
    "card_insufficient": "insufficient_funds",
    "card_expired": "expired_card",
}
"""Means of payment that the bank refuses, with its reason; every other name is good."""


class BankError(Error):
    """A dispute about nothing."""

    code = "bank"


@dataclass(frozen=True, slots=True)
class No:
    """The bank refuses.

    Attributes:
        code: why.
        declined: it is the shopper's means of payment that is refused.
    """

    code: str
    declined: bool = False


@dataclass(frozen=True, slots=True)
class SessionTruth:
    """What really happened to one session's money, in minor units.

    Attributes:
        currency: of all amounts.
        held_minor: held now.
        captured_minor: taken in all.
        refunded_minor: given back in all.
        captures: how often money was taken.
        intents: how many there are, declined ones left out.
    """

    currency: str
    held_minor: int
    captured_minor: int
    refunded_minor: int
    captures: int
    intents: int


class Bank:
    """Intents and what becomes of them. Every method is one transaction.

    Args:
        path: the SQLite file; ``:memory:`` for this object alone.
        clock: the bank's time.
        hold_s: a hold ends by itself after this.
    """

    def __init__(self, path: Path | str, clock: Clock, *, hold_s: int = HOLD_S) -> None:
        self.clock = clock
        self.hold_s = hold_s
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        with self._lock:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; inside another it is part of that one.

        Yields:
            the connection; holds that are over have ended.
        """
        with self._lock:
            if self._connection.in_transaction:
                yield self._connection
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._expire()
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def authorize(self, key: str, *, who: Mapping[str, str], amount: Money, capture: bool) -> Intent | No:
        """Hold money, or take it at once. Each call makes a new intent: keys are the desk's business.

        Args:
            key: kept with the intent.
            who: tenant_id, session_id and method_id.
            amount: > 0.
            capture: take it at once.
        Returns:
            the intent, or why not; a declined intent is kept too.
        """
        reason = DECLINING.get(who["method_id"], "")
        state = IntentState.CAPTURED if capture else IntentState.HELD
        now_ns = self.clock.now_ns()
        with self.transaction() as connection:
            count = connection.execute("SELECT count(*) FROM intents").fetchone()[0]
            ref = f"pi_{count + 1:06}"
            connection.execute(
                "INSERT INTO intents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, 0)",
                (
                    ref,
                    key,
                    who["tenant_id"],
                    who["session_id"],
                    who["method_id"],
                    amount.minor,
                    amount.currency,
                    IntentState.DECLINED if reason else state,
                    amount.minor if capture and not reason else 0,
                    None if capture else now_ns + self.hold_s * SECOND_NS,
                    now_ns,
                    reason,
                ),
            )
            self._tell("payment_failed" if reason else f"{state}", ref)
            intent = self.intent(ref)
        return No(reason, declined=True) if reason else _there(intent)

    def capture(self, ref: str, amount: Money) -> Intent | No:
        """Take held money.

        Args:
            ref: the intent.
            amount: > 0, at most the hold.
        Returns:
            the intent, or why not.
        """
        with self.transaction() as connection:
            intent = self.intent(ref)
            refused = _refused(intent, amount)
            if intent is None or refused:
                return No(refused)
            if amount.minor > intent.authorized.minor:
                return No("above_hold")
            connection.execute("UPDATE intents SET state = 'captured', captured = ? WHERE ref = ?", (amount.minor, ref))
            self._tell("captured", ref)
            return _there(self.intent(ref))

    def void(self, ref: str) -> Intent | No:
        """Give a hold back.

        Args:
            ref: the intent.
        Returns:
            the intent, or why not.
        """
        with self.transaction() as connection:
            intent = self.intent(ref)
            if intent is None:
                return No("missing")
            if intent.state is not IntentState.HELD:
                return No(_ENDED[intent.state])
            connection.execute("UPDATE intents SET state = 'voided' WHERE ref = ?", (ref,))
            self._tell("voided", ref)
            return _there(self.intent(ref))

    def refund(self, ref: str, amount: Money, *, key: str) -> IntentRefund | No:
        """Give taken money back. Each call is a new refund: keys are the desk's business.

        Args:
            ref: the intent.
            amount: > 0, at most what is left.
            key: kept with the refund.
        Returns:
            the refund, or why not.
        """
        with self.transaction() as connection:
            intent = self.intent(ref)
            if intent is None or intent.state is not IntentState.CAPTURED:
                return No("missing" if intent is None else "not_captured")
            if amount.currency != intent.authorized.currency or amount.minor <= 0:
                return No("zero" if amount.minor <= 0 else "currency")
            if intent.dispute in (DisputeState.OPEN, DisputeState.LOST):
                return No("disputed")
            if amount.minor > (intent.captured - intent.refunded).minor:
                return No("above_captured")
            made = IntentRefund(f"re_{ref}_{len(intent.refunds) + 1}", key, amount)
            connection.execute("INSERT INTO refunds VALUES (?, ?, ?, ?, 0)", (made.ref, ref, key, amount.minor))
            self._tell("refunded", ref)
            return made

    def dispute(self, ref: str, state: DisputeState, *, minor: int | None = None) -> None:
        """Let the shopper's bank open a dispute, or decide it.

        Args:
            ref: the intent.
            state: what it becomes.
            minor: what is disputed; all that was taken when None.
        Raises:
            BankError: nothing was taken.
        """
        with self.transaction() as connection:
            intent = self.intent(ref)
            if intent is None or intent.state is not IntentState.CAPTURED:
                raise BankError(f"no payment {ref} to dispute")
            about = intent.captured.minor if minor is None else minor
            if intent.disputed is not None:
                about = intent.disputed.minor
            connection.execute("UPDATE intents SET dispute = ?, disputed = ? WHERE ref = ?", (state, about, ref))
            self._tell(f"dispute_{state}", ref)

    def intent(self, ref: str) -> Intent | None:
        """Read one intent.

        Args:
            ref: its name.
        Returns:
            the intent; None when there is none.
        """
        return next(iter(self.intents("ref = ?", ref)), None)

    def intents(self, condition: str = "1", *values: object) -> list[Intent]:
        """Read intents.

        Args:
            condition: SQL over the table ``intents``; a constant of the caller.
            *values: for its question marks.
        Returns:
            oldest first.
        """
        with self.transaction() as connection:
            rows = connection.execute(f"SELECT * FROM intents WHERE {condition} ORDER BY ref", values).fetchall()
            return [_intent(row, self._refunds_of(row)) for row in rows]

    def truth(self) -> dict[str, SessionTruth]:
        """The oracle: what really happened.

        Returns:
            by session.
        """
        found: dict[str, SessionTruth] = {}
        for intent in self.intents("state <> 'declined'"):
            held = intent.authorized.minor if intent.state is IntentState.HELD else 0
            before = found.get(intent.session_id) or SessionTruth(intent.authorized.currency, 0, 0, 0, 0, 0)
            found[intent.session_id] = SessionTruth(
                currency=before.currency,
                held_minor=before.held_minor + held,
                captured_minor=before.captured_minor + intent.captured.minor,
                refunded_minor=before.refunded_minor + intent.refunded.minor,
                captures=before.captures + (intent.captured.minor > 0),
                intents=before.intents + 1,
            )
        return found

    def hints(self, *, provider: str) -> list[Hint]:
        """Every webhook so far, as a provider would send them: some twice, the newest of each pair first.

        Args:
            provider: whose name they carry.
        Returns:
            the hints; the same events again at the next call.
        """
        with self.transaction() as connection:
            rows = connection.execute("SELECT * FROM events ORDER BY id").fetchall()
        made = [Hint(provider, f"evt_{row['id']}", row["kind"], row["ref"], row["at_ns"]) for row in rows]
        swapped = [hint for pair in zip(made[1::2], made[0::2], strict=False) for hint in pair]
        return [*swapped, *made[len(swapped) :], *made[::3]]

    def _refunds_of(self, row: sqlite3.Row) -> tuple[IntentRefund, ...]:
        found = self._connection.execute("SELECT * FROM refunds WHERE intent = ? ORDER BY rowid", (row["ref"],))
        unit = row["currency"]
        return tuple(IntentRefund(r["ref"], r["key"], Money(r["amount"], unit), bool(r["failed"])) for r in found)

    def _expire(self) -> None:
        over = (self.clock.now_ns(),)
        self._connection.execute(
            "INSERT INTO events (kind, ref, at_ns) SELECT 'expired', ref, capture_before_ns FROM intents "
            "WHERE state = 'held' AND capture_before_ns <= ?",
            over,
        )
        self._connection.execute(
            "UPDATE intents SET state = 'expired' WHERE state = 'held' AND capture_before_ns <= ?", over
        )

    def _tell(self, kind: str, ref: str) -> None:
        self._connection.execute(
            "INSERT INTO events (kind, ref, at_ns) VALUES (?, ?, ?)", (kind, ref, self.clock.now_ns())
        )


_ENDED = {
    IntentState.CAPTURED: "already_captured",
    IntentState.VOIDED: "hold_voided",
    IntentState.EXPIRED: "hold_expired",
    IntentState.DECLINED: "hold_missing",
    IntentState.PENDING: "hold_missing",
}


def _refused(intent: Intent | None, amount: Money) -> str:
    if intent is None:
        return "missing"
    if amount.minor <= 0 or amount.currency != intent.authorized.currency:
        return "zero" if amount.minor <= 0 else "currency"
    return "" if intent.state is IntentState.HELD else _ENDED[intent.state]


def _there(intent: Intent | None) -> Intent:
    assert intent is not None  # it was written in this transaction
    return intent


def _intent(row: sqlite3.Row, refunds: tuple[IntentRefund, ...]) -> Intent:
    unit = row["currency"]
    return Intent(
        ref=row["ref"],
        key=row["key"],
        tenant_id=row["tenant_id"],
        session_id=row["session_id"],
        state=IntentState(row["state"]),
        authorized=Money(row["amount"], unit),
        captured=Money(row["captured"], unit),
        refunds=refunds,
        capture_before_ns=row["capture_before_ns"],
        created_ns=row["created_ns"],
        dispute=DisputeState(row["dispute"]) if row["dispute"] else None,
        disputed=Money(row["disputed"], unit) if row["dispute"] else None,
        reason=row["reason"],
    )
