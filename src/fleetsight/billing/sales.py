"""The sales book: which accounts each fact about a session's money touches. Pure.

| account | kind | what stands there |
|---|---|---|
| ``hold:<session>``, ``held:<provider>`` | memo | what is reserved and not ours yet; always equal and opposite |
| ``clearing:<provider>`` | asset | what the provider took for us and still has to pay out |
| ``receivable:<shopper>`` | asset | what a shopper owes |
| ``revenue`` | income | what was sold, tax included (receipts divide it) |
| ``refunds`` | less income | what was given back |
| ``dispute:<session>`` | asset | what a bank took back until the dispute is decided |
| ``dispute_losses``, ``writeoff`` | expense | what is gone |
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fleetsight.billing.ledger import Entry, Kind, Posting
from fleetsight.money import Money

BOOK = "sales"
_SIDES: Mapping[Kind, tuple[str, str]] = {
    Kind.HOLD: ("hold:{session_id}", "held:{provider}"),
    Kind.VOID: ("held:{provider}", "hold:{session_id}"),
    Kind.EXPIRE: ("held:{provider}", "hold:{session_id}"),
    Kind.CAPTURE: ("clearing:{provider}", "revenue"),
    Kind.CHARGE: ("clearing:{provider}", "revenue"),
    Kind.REFUND: ("refunds", "clearing:{provider}"),
    Kind.OWE: ("receivable:{shopper_id}", "revenue"),
    Kind.PAID_LATER: ("clearing:{provider}", "receivable:{shopper_id}"),
    Kind.WRITE_OFF: ("writeoff", "receivable:{shopper_id}"),
    Kind.DISPUTE: ("dispute:{session_id}", "clearing:{provider}"),
    Kind.DISPUTE_WON: ("clearing:{provider}", "dispute:{session_id}"),
    Kind.DISPUTE_LOST: ("dispute_losses", "dispute:{session_id}"),
}
"""Debit and credit by kind. A capture also releases its whole hold."""


@dataclass(frozen=True, slots=True)
class Fact:
    """What happened to a session's money.

    Attributes:
        key: names the fact for ever.
        kind: what happened.
        session_id: what was bought.
        shopper_id: who buys.
        provider: who moves the money.
        amount: > 0.
        at_ns: now.
        of: key of the entry it answers.
        held: of a capture: the whole hold.
        note: for people.
    """

    key: str
    kind: Kind
    session_id: str
    shopper_id: str
    provider: str
    amount: Money
    at_ns: int
    of: str = ""
    held: Money | None = None
    note: str = ""


def entry_of(fact: Fact) -> Entry:
    """Write a fact as a balanced entry.

    Args:
        fact: of any kind but a top-up, which is the wallet's.
    Returns:
        the entry.
    """
    postings = _postings(fact, fact.kind, fact.amount)
    if fact.held is not None:
        postings = _postings(fact, Kind.VOID, fact.held) + postings
    return Entry(fact.key, fact.kind, fact.session_id, fact.amount, postings, fact.at_ns, fact.of, fact.note)


def _postings(fact: Fact, kind: Kind, amount: Money) -> tuple[Posting, ...]:
    names = {"session_id": fact.session_id, "shopper_id": fact.shopper_id, "provider": fact.provider}
    debit, credit = (side.format_map(names) for side in _SIDES[kind])
    return Posting(debit, amount), Posting(credit, -amount)
