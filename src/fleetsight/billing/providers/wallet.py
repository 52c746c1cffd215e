"""Money that shoppers paid in before: a provider that is nothing but a ledger. The default, and it needs no network.

Its book is apart from the sales book, as a bank's would be. A shopper's money stands on ``wallet:<shopper>``; a hold moves it to
``hold:<key>``, a capture from there to ``settled``, which the sales book calls ``clearing:wallet``. An intent is named by its
tenant and the key of the entry that made it.
"""

from collections.abc import Iterator
from dataclasses import replace

import sqlalchemy as sa

from fleetsight.billing.books import Book
from fleetsight.billing.ledger import Entry, Kind, Ledger, LedgerError, Posting
from fleetsight.billing.provider import (
    Authorize,
    Authorized,
    Capabilities,
    Captured,
    Declined,
    Intent,
    IntentRefund,
    IntentState,
    Lookup,
    Refunded,
    Refused,
    Voided,
)
from fleetsight.billing.tables import BOOKS
from fleetsight.clock import SECOND_NS, Clock
from fleetsight.errors import Error
from fleetsight.money import Money
from fleetsight.store.rows import Rows

NAME = "wallet"
HOLD_S = 7 * 24 * 3600
"""As long as the usual hold on a card (Stripe, started by the customer), so that sessions meet one rule."""
_MAKES = frozenset({Kind.HOLD, Kind.CHARGE})
_ENDED = {Kind.CAPTURE: "already_captured", Kind.VOID: "hold_voided", Kind.EXPIRE: "hold_expired"}


class WalletError(Error):
    """A top-up of nothing."""

    code = "wallet"


class Wallet:
    """The wallets of every tenant.

    Args:
        rows: where their books are kept.
        clock: the time.
    """

    name = NAME

    def __init__(self, rows: Rows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock

    def capabilities(self) -> Capabilities:
        return Capabilities(key_kept_s=None, hold_s=HOLD_S, webhooks=False, disputes=False)

    def top_up(self, tenant_id: str, shopper_id: str, *, amount: Money, key: str) -> Money:
        """Pay money in. Repeating it changes nothing.

        Args:
            tenant_id: who keeps it.
            shopper_id: whose it is.
            amount: > 0.
            key: names the payment for ever.
        Returns:
            what the shopper can spend now.
        Raises:
            WalletError: the amount is not above zero.
            LedgerError: the key stands for another payment.
        """
        if amount.minor <= 0:
            raise WalletError(f"a top-up of {amount}", hint="pay in more than zero")
        sides = (Posting("cash", amount), Posting(_account(shopper_id), -amount))
        with self._rows.transaction() as connection:
            book = Book(tenant_id, NAME)
            book.post(connection, Entry(key, Kind.TOP_UP, "", amount, sides, self._clock.now_ns()))
            return -book.balance(connection, _account(shopper_id), currency=amount.currency)

    def balance(self, tenant_id: str, shopper_id: str, *, currency: str) -> Money:
        """What a shopper can spend; what is held is not counted.

        Args:
            tenant_id: who keeps it.
            shopper_id: whose it is.
            currency: which money.
        Returns:
            zero or more.
        """
        with self._rows.reading() as connection:
            return -Book(tenant_id, NAME).balance(connection, _account(shopper_id), currency=currency)

    def authorize(self, request: Authorize) -> Authorized | Captured | Declined | Refused:
        book, account = Book(request.tenant_id, NAME), _account(request.method_id)
        if request.amount.minor <= 0:
            return Refused("zero")
        credit = "settled" if request.capture else f"hold:{request.key}"
        entry = Entry(
            key=request.key,
            kind=Kind.CHARGE if request.capture else Kind.HOLD,
            session_id=request.session_id,
            amount=request.amount,
            postings=(Posting(account, request.amount), Posting(credit, -request.amount)),
            at_ns=self._clock.now_ns(),
        )
        with self._rows.transaction() as connection:
            book.lock(connection)
            known = book.entry(connection, request.key)
            if known is not None and not known.says_the_same(entry):
                return Refused("key_reused")
            if known is None:
                if not self._affords(connection, book, account, amount=request.amount):
                    return Declined("insufficient_funds")
                book.post(connection, entry)
            made = known or entry
        ref = f"{request.tenant_id}/{request.key}"
        return Captured(ref, made.amount) if request.capture else Authorized(ref, made.amount, _ends_ns(made))

    def capture(self, ref: str, amount: Money, *, key: str) -> Captured | Refused:
        with self._rows.transaction() as connection:
            found = self._locked(connection, ref)
            if found is None or found[1].kind is not Kind.HOLD:
                return Refused("missing")
            book, hold, ledger = found
            if key in ledger.entries:
                known = ledger.entries[key]
                return Captured(ref, known.amount) if (known.of, known.amount) == (hold.key, amount) else _REUSED
            if refused := self._amount_refused(amount, hold) or self._ended(connection, book, hold, ledger=ledger):
                return refused
            if amount.minor > hold.amount.minor:
                return Refused("above_hold")
            rest = hold.amount - amount
            back = (Posting(_payer(hold), -rest),) if rest.minor else ()
            sides = (Posting(f"hold:{hold.key}", hold.amount), Posting("settled", -amount), *back)
            self._post(connection, book, Entry(key, Kind.CAPTURE, hold.session_id, amount, sides, 0, hold.key))
            return Captured(ref, amount)

    def void(self, ref: str, *, key: str) -> Voided | Refused:
        with self._rows.transaction() as connection:
            found = self._locked(connection, ref)
            if found is None or found[1].kind is not Kind.HOLD:
                return Refused("missing")
            book, hold, ledger = found
            ended = ledger.standings[hold.key].ended_by
            if ended is Kind.CAPTURE:
                return Refused("already_captured")
            if ended is None:
                self._post(connection, book, _release(key, Kind.VOID, hold))
            return Voided()

    def refund(self, ref: str, amount: Money, *, key: str) -> Refunded | Refused:
        with self._rows.transaction() as connection:
            found = self._locked(connection, ref)
            if found is None:
                return Refused("missing")
            book, root, ledger = found
            taken = _taken(root, ledger)
            if taken is None:
                return Refused("not_captured")
            if key in ledger.entries:
                known = ledger.entries[key]
                return Refunded(key, known.amount) if (known.of, known.amount) == (taken.key, amount) else _REUSED
            if refused := self._amount_refused(amount, taken):
                return refused
            sides = (Posting("settled", amount), Posting(_payer(root), -amount))
            entry = Entry(key, Kind.REFUND, root.session_id, amount, sides, self._clock.now_ns(), taken.key)
            posted = book.post(connection, entry)
            return posted if isinstance(posted, Refused) else Refunded(key, amount)

    def get(self, lookup: Lookup) -> Intent | None:
        tenant_id, _, key = (lookup.ref or f"{lookup.tenant_id}/{lookup.key}").partition("/")
        book = Book(tenant_id, NAME)
        with self._rows.reading() as connection:
            root = book.entry(connection, key)
            if root is None or root.kind not in _MAKES:
                return None
            return self._intent(book, root, ledger=book.ledger_of(connection, root.session_id))

    def list_since(self, at_ns: int) -> Iterator[Intent]:
        with self._rows.reading() as connection:
            tenants = connection.execute(sa.select(BOOKS.c.tenant_id).where(BOOKS.c.book == NAME)).scalars().all()
            pages = [(Book(tenant, NAME), Book(tenant, NAME).entries_since(connection, at_ns)) for tenant in tenants]
        for book, entries in pages:
            whole: dict[str, Entry] = {}
            for entry in entries:  # what answers an entry of before is left out
                if not entry.of or entry.of in whole:
                    whole[entry.key] = entry
            ledger = Ledger.replay(whole.values())
            yield from (self._intent(book, root, ledger=ledger) for root in whole.values() if root.kind in _MAKES)

    def _affords(self, connection: sa.Connection, book: Book, account: str, *, amount: Money) -> bool:
        """Whether the money is there, if need be after holds that ended by themselves are given back."""

        def is_there() -> bool:
            return -book.balance(connection, account, currency=amount.currency).minor >= amount.minor

        if is_there():
            return True
        for name, _ in book.balances(connection, prefix="hold:"):
            hold = book.entry(connection, name.removeprefix("hold:"))
            if hold is not None and self._is_over(hold):
                self._post(connection, book, _release(f"{hold.key}:expired", Kind.EXPIRE, hold))
        return is_there()

    def _ended(self, connection: sa.Connection, book: Book, hold: Entry, *, ledger: Ledger) -> Refused | None:
        ended = ledger.standings[hold.key].ended_by
        if ended is None and self._is_over(hold):
            self._post(connection, book, _release(f"{hold.key}:expired", Kind.EXPIRE, hold))
            ended = Kind.EXPIRE
        return None if ended is None else Refused(_ENDED[ended])

    def _amount_refused(self, amount: Money, of: Entry) -> Refused | None:
        if amount.minor <= 0:
            return Refused("zero")
        return None if amount.currency == of.amount.currency else Refused("currency")

    def _locked(self, connection: sa.Connection, ref: str) -> tuple[Book, Entry, Ledger] | None:
        tenant_id, _, key = ref.partition("/")
        book = Book(tenant_id, NAME)
        book.lock(connection)
        root = book.entry(connection, key)
        if root is None or root.kind not in _MAKES:
            return None
        return book, root, book.ledger_of(connection, root.session_id)

    def _post(self, connection: sa.Connection, book: Book, entry: Entry) -> None:
        posted = book.post(connection, replace(entry, at_ns=self._clock.now_ns()))
        if isinstance(posted, Refused):
            raise LedgerError(f"the wallet's book refuses {entry.key}: {posted.reason}")

    def _is_over(self, hold: Entry) -> bool:
        return self._clock.now_ns() >= _ends_ns(hold)

    def _intent(self, book: Book, root: Entry, *, ledger: Ledger) -> Intent:
        taken = _taken(root, ledger)
        ended = ledger.standings[root.key].ended_by if root.kind is Kind.HOLD else Kind.CAPTURE
        states = {Kind.CAPTURE: IntentState.CAPTURED, Kind.VOID: IntentState.VOIDED, Kind.EXPIRE: IntentState.EXPIRED}
        waiting = IntentState.EXPIRED if self._is_over(root) else IntentState.HELD
        zero = Money(0, root.amount.currency)
        refunds = [e for e in ledger.entries.values() if taken and e.kind is Kind.REFUND and e.of == taken.key]
        return Intent(
            ref=f"{book.tenant_id}/{root.key}",
            key=root.key,
            tenant_id=book.tenant_id,
            session_id=root.session_id,
            state=waiting if ended is None else states[ended],
            authorized=root.amount,
            captured=taken.amount if taken else zero,
            refunds=tuple(IntentRefund(entry.key, entry.key, entry.amount) for entry in refunds),
            capture_before_ns=_ends_ns(root) if root.kind is Kind.HOLD else None,
            created_ns=root.at_ns,
        )


_REUSED = Refused("key_reused")


def _account(shopper_id: str) -> str:
    return f"wallet:{shopper_id}"


def _payer(root: Entry) -> str:
    return root.postings[0].account


def _ends_ns(hold: Entry) -> int:
    return hold.at_ns + HOLD_S * SECOND_NS


def _release(key: str, kind: Kind, hold: Entry) -> Entry:
    sides = (Posting(f"hold:{hold.key}", hold.amount), Posting(_payer(hold), -hold.amount))
    return Entry(key, kind, hold.session_id, hold.amount, sides, 0, hold.key)


def _taken(root: Entry, ledger: Ledger) -> Entry | None:
    """The entry that took the money of an intent."""
    if root.kind is Kind.CHARGE:
        return root
    captures = (e for e in ledger.entries.values() if e.kind is Kind.CAPTURE and e.of == root.key)
    return next(captures, None)
