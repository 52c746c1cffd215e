"""Books as rows: entries that are only ever inserted, their balances, and a hash chain over all of them.

A tenant has two: ``sales`` (what sessions earned) and ``wallet`` (what shoppers paid in before). The rules are
`fleetsight.billing.ledger`'s; the unique keys of the tables are a second wall behind them.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from fleetsight.billing.ledger import ENDS_HOLD, Entry, Kind, Ledger, LedgerError, Posting
from fleetsight.billing.provider import Refused
from fleetsight.billing.tables import BALANCES, BOOKS, ENTRIES, POSTINGS
from fleetsight.money import Money
from fleetsight.store import chain
from fleetsight.store.canonical import JsonObject
from fleetsight.store.crashpoint import crashpoint
from fleetsight.store.rows import insert_if_absent


@dataclass(frozen=True, slots=True)
class Book:
    """One book of a tenant.

    Attributes:
        tenant_id: whose.
        name: ``sales`` or ``wallet``.
    """

    tenant_id: str
    name: str

    @property
    def scope(self) -> str:
        """Name of the book's hash chain."""
        return f"ledger:{self.tenant_id}:{self.name}"

    def lock(self, connection: sa.Connection) -> None:
        """Let no one else write the book until this transaction ends. SQLite has locked everything already.

        Args:
            connection: of a write transaction.
        """
        mine = {"tenant_id": self.tenant_id, "book": self.name}
        insert_if_absent(connection, BOOKS, values=mine, keys=list(mine))
        if connection.dialect.name != "sqlite":
            connection.execute(sa.select(BOOKS).filter_by(**mine).with_for_update()).all()

    def post(self, connection: sa.Connection, entry: Entry) -> Entry | Refused:
        """Write an entry, or say which rule it breaks; then nothing is written.

        Args:
            connection: of the transaction that the entry belongs to.
            entry: what to record.
        Returns:
            the entry as it stands in the book: an earlier one when the same fact was posted before.
        Raises:
            LedgerError: it is unbalanced, or its key stands for another fact.
        """
        self.lock(connection)
        earlier = self.ledger_of(connection, entry.session_id)
        known = earlier.entries.get(entry.key) or self.entry(connection, entry.key)
        if known is not None:
            earlier.entries[entry.key] = known
        posted = earlier.post(entry)
        if isinstance(posted, Entry) and known is None:
            self._insert(connection, posted)
        return posted

    def ledger_of(self, connection: sa.Connection, session_id: str) -> Ledger:
        """The entries about one session, and what follows from them.

        Args:
            connection: reads the book.
            session_id: the session; nothing is read when it is empty.
        Returns:
            a ledger of these entries alone.
        """
        if not session_id:
            return Ledger()
        return Ledger.replay(self._read(connection, ENTRIES.c.session_id == session_id))

    def entry(self, connection: sa.Connection, key: str) -> Entry | None:
        """Read one entry.

        Args:
            connection: reads the book.
            key: of the entry.
        Returns:
            the entry; None when there is none.
        """
        return next(iter(self._read(connection, ENTRIES.c.key == key)), None)

    def entries_since(self, connection: sa.Connection, at_ns: int) -> tuple[Entry, ...]:
        """Entries that were written at or after a moment.

        Args:
            connection: reads the book.
            at_ns: UTC nanoseconds.
        Returns:
            oldest first.
        """
        return tuple(self._read(connection, ENTRIES.c.at_ns >= at_ns))

    def balance(self, connection: sa.Connection, account: str, *, currency: str) -> Money:
        """What stands on an account.

        Args:
            connection: reads the book.
            account: its name.
            currency: which of its balances.
        Returns:
            debits less credits.
        """
        found = connection.execute(
            sa.select(BALANCES.c.amount_minor).filter_by(**self._row(), account=account, currency=currency)
        ).scalar()
        return Money(found or 0, currency)

    def balances(self, connection: sa.Connection, *, prefix: str = "") -> dict[tuple[str, str], Money]:
        """What stands on every account; accounts at zero are left out.

        Args:
            connection: reads the book.
            prefix: only accounts whose name begins so, for example ``hold:``.
        Returns:
            by account and currency.
        """
        question = sa.select(BALANCES).filter_by(**self._row())
        if prefix:
            question = question.where(BALANCES.c.account.startswith(prefix, autoescape=True))
        rows = connection.execute(question.order_by(BALANCES.c.account, BALANCES.c.currency))
        return {(row.account, row.currency): Money(row.amount_minor, row.currency) for row in rows}

    def verify(self, connection: sa.Connection) -> tuple[str, ...]:
        """Check the whole book: the chain, the rules by replay, and that balances follow.

        Args:
            connection: fresh, so that on Postgres all its reads can see one moment.
        Returns:
            what is wrong, in words; empty when all is well.
        """
        if connection.dialect.name == "postgresql" and not connection.in_transaction():
            connection = connection.execution_options(isolation_level="REPEATABLE READ")
        found = []
        broken = chain.verify(connection, self.scope)
        if broken is not None:
            found.append(f"the chain {self.scope} is broken at {broken}")
        entries = list(self._read(connection, sa.true()))
        written = [link.record for link in chain.records(connection, self.scope)]
        if written != [_record(entry) for entry in entries]:
            found.append("the entries are not those of the chain")
        try:
            ledger = Ledger.replay(entries)
        except LedgerError as error:
            return (*found, error.message)
        replayed = {(name, unit): Money(minor, unit) for (name, unit), minor in ledger.balances.items() if minor}
        if replayed != self.balances(connection):
            found.append("the balances are not what the entries say")
        return (*found, *ledger.problems())

    def _row(self) -> dict[str, Any]:
        return {"tenant_id": self.tenant_id, "book": self.name}

    def _insert(self, connection: sa.Connection, entry: Entry) -> None:
        link = chain.append(connection, self.scope, record=_record(entry))
        crashpoint("books.chained")
        connection.execute(
            sa.insert(ENTRIES).values(
                **self._row(),
                key=entry.key,
                position=link.position,
                kind=entry.kind,
                session_id=entry.session_id,
                amount_minor=entry.amount.minor,
                currency=entry.amount.currency,
                of_key=entry.of,
                ends_hold=entry.of if entry.kind in ENDS_HOLD else None,
                note=entry.note,
                at_ns=entry.at_ns,
            )
        )
        sums: defaultdict[tuple[str, str], int] = defaultdict(int)
        for line, posting in enumerate(entry.postings):
            sums[posting.account, posting.amount.currency] += posting.amount.minor
            connection.execute(
                sa.insert(POSTINGS).values(
                    **self._row(),
                    entry_key=entry.key,
                    line=line,
                    account=posting.account,
                    amount_minor=posting.amount.minor,
                    currency=posting.amount.currency,
                )
            )
        crashpoint("books.posted")
        for (account, currency), minor in sums.items():
            self._add(connection, account, Money(minor, currency))

    def _add(self, connection: sa.Connection, account: str, amount: Money) -> None:
        mine = {**self._row(), "account": account, "currency": amount.currency}
        insert_if_absent(connection, BALANCES, values={**mine, "amount_minor": 0}, keys=list(mine))
        connection.execute(
            sa.update(BALANCES).filter_by(**mine).values(amount_minor=BALANCES.c.amount_minor + amount.minor)
        )
        connection.execute(sa.delete(BALANCES).filter_by(**mine, amount_minor=0))

    def _read(self, connection: sa.Connection, which: sa.ColumnElement[bool]) -> Iterable[Entry]:
        mine = sa.and_(ENTRIES.c.tenant_id == self.tenant_id, ENTRIES.c.book == self.name, which)
        beside = sa.and_(
            POSTINGS.c.tenant_id == ENTRIES.c.tenant_id,
            POSTINGS.c.book == ENTRIES.c.book,
            POSTINGS.c.entry_key == ENTRIES.c.key,
        )
        columns = [POSTINGS.c.account, POSTINGS.c.amount_minor.label("minor"), POSTINGS.c.currency.label("unit")]
        question = sa.select(ENTRIES, *columns).join(POSTINGS, beside).where(mine)
        lines: dict[str, list[Any]] = {}
        for row in connection.execute(question.order_by(ENTRIES.c.position, POSTINGS.c.line)):
            lines.setdefault(row.key, []).append(row)
        return [_entry(found) for found in lines.values()]


def _entry(lines: list[Any]) -> Entry:
    row = lines[0]
    return Entry(
        key=row.key,
        kind=Kind(row.kind),
        session_id=row.session_id,
        amount=Money(row.amount_minor, row.currency),
        postings=tuple(Posting(line.account, Money(line.minor, line.unit)) for line in lines),
        at_ns=row.at_ns,
        of=row.of_key,
        note=row.note,
    )


def _record(entry: Entry) -> JsonObject:
    return {
        "key": entry.key,
        "kind": str(entry.kind),
        "session_id": entry.session_id,
        "amount": str(entry.amount),
        "postings": [[posting.account, str(posting.amount)] for posting in entry.postings],
        "at_ns": entry.at_ns,
        "of": entry.of,
        "note": entry.note,
    }
