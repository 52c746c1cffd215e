"""Moves money exactly once.

    plan      in the transaction of a state change: the wish is written under its key
    perform   outside of any transaction: the provider is asked, or read when it may have been asked before
    conclude  in the transaction of the next state change: what came of it, and the balanced entry in the sales book

Each may be repeated, by anyone, at any time, after any crash. The provider sees one key for one wish, for ever; what nobody heard the
answer to is read before anything is sent again.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from fleetsight.billing import sales
from fleetsight.billing.books import Book
from fleetsight.billing.exactly_once import operation_rows, planning
from fleetsight.billing.exactly_once.concluding import check_fits, facts_of
from fleetsight.billing.exactly_once.judge import KEY_SAFE_NS, SEND_WITHIN_NS, judge
from fleetsight.billing.ledger import TAKES, Kind
from fleetsight.billing.operations import (
    Debt,
    Operation,
    OperationError,
    OperationKind,
    OperationState,
    Planned,
    Request,
)
from fleetsight.billing.provider import (
    Authorize,
    Authorized,
    Captured,
    Declined,
    Intent,
    Lookup,
    Mismatch,
    Outcome,
    Provider,
    Refunded,
    Refused,
    Unknown,
)
from fleetsight.billing.session_money import SessionMoney, money_of
from fleetsight.billing.tables import OPERATIONS
from fleetsight.clock import Clock
from fleetsight.money import Money
from fleetsight.store.crashpoint import crashpoint
from fleetsight.store.rows import Rows

LOGGER = logging.getLogger(__name__)
_READ_AGAIN = frozenset({"already_captured", "hold_expired", "hold_voided", "key_reused", "above_captured", "missing"})
"""Refusals that may only mean that this very request had its effect before, or that another account was asked."""


class OutcomeConflictError(OperationError):
    """The operation ended in another way before: roll back and read it again."""

    code = "outcome_conflict"


@dataclass(frozen=True, slots=True)
class Concluded:
    """What `Payments.conclude` wrote.

    Attributes:
        operation: as it is now.
        changed: False when all of it was written before.
    """

    operation: Operation
    changed: bool


@dataclass(frozen=True, slots=True)
class _Task:
    operation: Operation  # as it was before this call began
    root: Operation
    begun_ns: int | None  # None: only read, for a void of this hold was asked since


class Payments:
    """Every way to move money.

    Args:
        rows: where operations and the sales book are kept.
        clock: the time.
        providers: who can be asked, each under its own name.
    """

    def __init__(self, rows: Rows, clock: Clock, *, providers: Sequence[Provider]) -> None:
        self._rows = rows
        self._clock = clock
        self._providers = {provider.name: provider for provider in providers}

    def plan(self, connection: sa.Connection, request: Request) -> Planned | Refused:
        """Write a wish to move money. Repeating it changes nothing.

        Args:
            connection: of the transaction of the state change that wants it.
            request: what is wanted, under a key that follows from the session.
        Returns:
            `Planned`, with the outcome when no call is needed any more (it was performed before; the hold was never asked for);
            `Refused` when the books do not allow it.
        Raises:
            OperationError: the key stands for another request.
        """
        now_ns = self._clock.now_ns()
        prepared = planning.prepare(connection, request, now_ns=now_ns)
        if not isinstance(prepared, Operation):
            return prepared
        if prepared.provider not in self._providers:
            return Refused("provider")
        operation_rows.insert(connection, prepared)
        return Planned(prepared.key, prepared.end)

    def perform(self, key: str) -> Outcome:
        """Ask the provider, or read what became of asking it. Call it outside of any transaction; it may take seconds.

        A hold or charge that the provider refuses is `Declined`; another amount than asked is a `Mismatch`.

        Args:
            key: of a planned operation.
        Returns:
            the outcome, for `conclude`; the same again when it is concluded already. After `Unknown`, call it again later.
        Raises:
            OperationError: there is no such operation.
        """
        begun = self._begin(key)
        if not isinstance(begun, _Task):
            return begun
        operation, root = begun.operation, begun.root
        provider = self._providers.get(operation.provider)
        if provider is None:
            return Unknown(f"no provider {operation.provider} is set up")
        crashpoint("payments.begun")
        ref = root.provider_ref
        age_ns = self._clock.now_ns() - operation.created_ns
        if operation.attempts > 0 or age_ns > KEY_SAFE_NS or (root.key != operation.key and not ref):
            seen = self._read(provider, begun)
            if not isinstance(seen, Intent | None):
                return seen
            ref = seen.ref if seen is not None else ref
        if begun.begun_ns is None or self._clock.now_ns() - begun.begun_ns > SEND_WITHIN_NS:
            return Unknown("not sent: its void was asked, or this process stood still")
        answer = _send(provider, operation, ref=ref)
        crashpoint("payments.called")
        if isinstance(answer, Unknown) or (isinstance(answer, Refused) and answer.reason in _READ_AGAIN):
            seen = self._read(provider, begun)
            answer = answer if isinstance(seen, Intent | Unknown | None) else seen
        return _checked(operation, answer)

    def conclude(self, connection: sa.Connection, key: str, *, outcome: Outcome) -> Concluded:
        """Write what came of an operation, and its entry in the sales book. Repeating it changes nothing.

        Args:
            connection: of the transaction of the next state change.
            key: of the operation.
            outcome: what `perform` returned.
        Returns:
            the operation; `Unknown` leaves it open. It is frozen when the book cannot take the outcome.
        Raises:
            OutcomeConflictError: it ended in another way before.
            OperationError: no such operation, or an outcome that cannot come of it.
        """
        operation = self._locked(connection, key)
        if operation.end is not None:
            if isinstance(outcome, Unknown) or outcome == operation.end:
                return Concluded(operation, changed=False)
            raise OutcomeConflictError(f"{key} ended in {operation.end}, not in {outcome}", hint="read it again")
        check_fits(operation, outcome)
        if isinstance(outcome, Unknown) and operation.state is OperationState.UNKNOWN:
            return Concluded(
                operation, changed=False
            )  # `touched_ns` stays at the last call: voids wait for its silence
        now_ns = self._clock.now_ns()
        book = Book(operation.tenant_id, sales.BOOK)
        ledger = book.ledger_of(connection, operation.session_id)
        for fact in facts_of(operation, outcome, ledger=ledger, now_ns=now_ns):
            posted = book.post(connection, sales.entry_of(fact))
            if isinstance(posted, Refused):
                outcome = Mismatch(f"the book takes {fact.kind} of {fact.amount}", posted.reason)
        ended = operation_rows.end(connection, operation, outcome=outcome, now_ns=now_ns)
        if ended.state is OperationState.FROZEN:
            LOGGER.error("payment frozen key=%s tenant=%s outcome=%s", key, ended.tenant_id, outcome)
        if ended.kind is OperationKind.VOID and ended.state is OperationState.DONE:
            self._close_root(connection, ended, now_ns=now_ns)
        crashpoint("payments.concluded")
        return Concluded(ended, changed=True)

    def look(self, provider: str, ref: str) -> Intent | Unknown | None:
        """Read an intent at the provider; no effect. Call it outside of any transaction.

        Args:
            provider: name of the provider.
            ref: the provider's name of the intent.
        Returns:
            the intent as it is now; None when the provider knows none of that name.
        """
        if provider not in self._providers:
            return Unknown(f"no provider {provider} is set up")
        return self._providers[provider].get(Lookup(ref, key="", tenant_id="", method_id="", asked_ns=0))

    def operation(self, connection: sa.Connection, key: str) -> Operation | None:
        """Read one operation.

        Args:
            connection: reads.
            key: which.
        Returns:
            the operation; None when there is none.
        """
        return operation_rows.read(connection, key)

    def operations_of(self, connection: sa.Connection, tenant_id: str, *, session_id: str) -> tuple[Operation, ...]:
        """Read the operations of a session.

        Args:
            connection: reads.
            tenant_id: whose.
            session_id: which.
        Returns:
            oldest first.
        """
        return operation_rows.find(
            connection, OPERATIONS.c.tenant_id == tenant_id, OPERATIONS.c.session_id == session_id
        )

    def unsettled(self, connection: sa.Connection, *, older_than_ns: int, limit: int = 100) -> tuple[Operation, ...]:
        """Operations whose end nobody knows yet: perform them again.

        Args:
            connection: reads.
            older_than_ns: untouched since before this moment, UTC nanoseconds.
            limit: at most so many.
        Returns:
            oldest first.
        """
        quiet = OPERATIONS.c.touched_ns < older_than_ns
        return operation_rows.find(connection, operation_rows.is_open(), quiet, limit=limit)

    def frozen(self, connection: sa.Connection, tenant_id: str) -> tuple[Operation, ...]:
        """Operations that wait for a person.

        Args:
            connection: reads.
            tenant_id: whose.
        Returns:
            oldest first.
        """
        return operation_rows.find(
            connection, OPERATIONS.c.tenant_id == tenant_id, OPERATIONS.c.state == OperationState.FROZEN
        )

    def owe(self, connection: sa.Connection, debt: Debt) -> Refused | None:
        """Record that a shopper owes; no provider is asked. Repeating it changes nothing.

        Args:
            connection: of the transaction of the state change.
            debt: what is owed.
        Returns:
            None, or why not.
        Raises:
            LedgerError: the key stands for another fact.
        """
        if debt.amount.minor <= 0:
            return Refused("zero")
        fact = sales.Fact(
            key=debt.key,
            kind=Kind.OWE,
            session_id=debt.session_id,
            shopper_id=debt.shopper_id,
            provider="",
            amount=debt.amount,
            at_ns=self._clock.now_ns(),
            note=debt.reason,
        )
        posted = Book(debt.tenant_id, sales.BOOK).post(connection, sales.entry_of(fact))
        return posted if isinstance(posted, Refused) else None

    def write_off(self, connection: sa.Connection, debt: Debt, *, key: str) -> Money | Refused:
        """Stop asking for what is left of a debt. Repeating it changes nothing.

        Args:
            connection: of the transaction of the state change.
            debt: as it was recorded.
            key: ``{session}:writeoff``.
        Returns:
            what was given up; `Refused` when nothing is owed or a charge for it is on its way.
        """
        book = Book(debt.tenant_id, sales.BOOK)
        book.lock(connection)
        ledger = book.ledger_of(connection, debt.session_id)
        if key in ledger.entries:
            return ledger.entries[key].amount
        on_its_way = operation_rows.find(connection, operation_rows.is_open(), OPERATIONS.c.debt_key == debt.key)
        if debt.key not in ledger.entries or on_its_way or ledger.left_to_pay(debt.key).minor <= 0:
            return Refused("owed")
        fact = sales.Fact(
            key=key,
            kind=Kind.WRITE_OFF,
            session_id=debt.session_id,
            shopper_id=debt.shopper_id,
            provider="",
            amount=ledger.left_to_pay(debt.key),
            at_ns=self._clock.now_ns(),
            of=debt.key,
        )
        posted = book.post(connection, sales.entry_of(fact))
        return posted if isinstance(posted, Refused) else posted.amount

    def arrears(self, connection: sa.Connection, tenant_id: str, *, shopper_id: str) -> tuple[Money, ...]:
        """What a shopper owes a tenant; a session must not begin while there is any.

        Args:
            connection: reads.
            tenant_id: who is owed.
            shopper_id: who owes.
        Returns:
            one amount for each currency; none when nothing is owed.
        """
        account = f"receivable:{shopper_id}"
        found = Book(tenant_id, sales.BOOK).balances(connection, prefix=account)
        return tuple(amount for (name, _), amount in found.items() if name == account and amount.minor > 0)

    def money_of(self, connection: sa.Connection, tenant_id: str, *, session_id: str, currency: str) -> SessionMoney:
        """What became of a session's money.

        Args:
            connection: reads.
            tenant_id: whose.
            session_id: which.
            currency: of its price list.
        Returns:
            the fold over its entries.
        """
        return money_of(Book(tenant_id, sales.BOOK).ledger_of(connection, session_id), currency=currency)

    def refundable(
        self, connection: sa.Connection, tenant_id: str, *, session_id: str
    ) -> tuple[tuple[str, Money], ...]:
        """What can still be given back of a session's payments, refunds on their way subtracted.

        Args:
            connection: reads.
            tenant_id: whose.
            session_id: which.
        Returns:
            for each payment with something left, the key for `Refund.of` and the amount; none while it is disputed.
        """
        ledger = Book(tenant_id, sales.BOOK).ledger_of(connection, session_id)
        left = {key: ledger.left_to_refund(key) for key, entry in ledger.entries.items() if entry.kind in TAKES}
        for operation in self.operations_of(connection, tenant_id, session_id=session_id):
            if operation.kind is OperationKind.REFUND and operation.is_open and operation.of_key in left:
                left[operation.of_key] -= operation.amount
        return tuple((key, amount) for key, amount in left.items() if amount.minor > 0)

    def _begin(self, key: str) -> "_Task | Outcome":
        with self._rows.transaction() as connection:
            operation = operation_rows.read(connection, key, lock=True)
            if operation is None:
                raise OperationError(f"there is no operation {key!r}", hint="plan it first")
            if operation.end is not None:
                return operation.end
            root = operation
            if operation.root_key != operation.key:
                root = operation_rows.read(connection, operation.root_key) or operation
            if operation.kind is OperationKind.HOLD and planning.is_being_voided(connection, operation):
                return _Task(operation, root, begun_ns=None)
            now_ns = self._clock.now_ns()
            operation_rows.begin(connection, operation, now_ns=now_ns)
            return _Task(operation, root, begun_ns=now_ns)

    def _read(self, provider: Provider, task: "_Task") -> Outcome | Intent | None:
        """Read the provider: an outcome when it shows one, else the intent (or its absence), to be asked again."""
        root = task.root
        lookup = Lookup(root.provider_ref, root.key, root.tenant_id, root.method_id, root.created_ns)
        intent = provider.get(lookup)
        if isinstance(intent, Unknown):
            return intent
        return judge(task.operation, root, intent=intent, now_ns=self._clock.now_ns()) or intent

    def _locked(self, connection: sa.Connection, key: str) -> Operation:
        """Lock the book, then the operation: the order in which `plan` does."""
        operation = operation_rows.read(connection, key)
        if operation is not None:
            Book(operation.tenant_id, sales.BOOK).lock(connection)
            operation = operation_rows.read(connection, key, lock=True)
        if operation is None:
            raise OperationError(f"there is no operation {key!r}", hint="plan it first")
        return operation

    def _close_root(self, connection: sa.Connection, void: Operation, *, now_ns: int) -> None:
        """A hold whose answer nobody heard is not waited for once nothing is held any more."""
        root = operation_rows.read(connection, void.root_key, lock=True)
        if root is not None and root.is_open:
            operation_rows.end(connection, root, outcome=Declined("voided"), now_ns=now_ns)


def _send(provider: Provider, operation: Operation, *, ref: str) -> Outcome:
    if operation.kind in (OperationKind.HOLD, OperationKind.CHARGE):
        return provider.authorize(
            Authorize(
                key=operation.key,
                tenant_id=operation.tenant_id,
                session_id=operation.session_id,
                method_id=operation.method_id,
                amount=operation.amount,
                capture=operation.kind is OperationKind.CHARGE,
            )
        )
    if operation.kind is OperationKind.CAPTURE:
        return provider.capture(ref, operation.amount, key=operation.key)
    if operation.kind is OperationKind.VOID:
        return provider.void(ref, key=operation.key)
    return provider.refund(ref, operation.amount, key=operation.key)


def _checked(operation: Operation, answer: Outcome) -> Outcome:
    if isinstance(answer, Refused) and operation.kind in (OperationKind.HOLD, OperationKind.CHARGE):
        return Declined(answer.reason)
    if isinstance(answer, Authorized | Captured | Refunded) and answer.amount != operation.amount:
        return Mismatch(f"{operation.kind} of {operation.amount}", f"{answer.amount} ({answer.ref})")
    return answer
