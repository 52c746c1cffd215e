"""Every fact about a session's money becomes a balanced entry."""

import pytest

from fleetsight.billing.ledger import Kind, check_form
from fleetsight.billing.sales import Fact, entry_of
from fleetsight.money import Money

SIDES = {
    Kind.HOLD: ("hold:s1", "held:stripe"),
    Kind.VOID: ("held:stripe", "hold:s1"),
    Kind.EXPIRE: ("held:stripe", "hold:s1"),
    Kind.CHARGE: ("clearing:stripe", "revenue"),
    Kind.REFUND: ("refunds", "clearing:stripe"),
    Kind.OWE: ("receivable:anna", "revenue"),
    Kind.PAID_LATER: ("clearing:stripe", "receivable:anna"),
    Kind.WRITE_OFF: ("writeoff", "receivable:anna"),
    Kind.DISPUTE: ("dispute:s1", "clearing:stripe"),
    Kind.DISPUTE_WON: ("clearing:stripe", "dispute:s1"),
    Kind.DISPUTE_LOST: ("dispute_losses", "dispute:s1"),
}


def fact(kind: Kind, held: Money | None = None) -> Fact:
    return Fact("k", kind, "s1", "anna", "stripe", Money(640, "EUR"), 7, of="before", held=held, note="why")


@pytest.mark.parametrize("kind", SIDES)
def test_a_fact_debits_one_account_and_credits_another(kind: Kind) -> None:
    entry = entry_of(fact(kind))
    check_form(entry)
    assert [(posting.account, posting.amount.minor) for posting in entry.postings] == [
        (SIDES[kind][0], 640),
        (SIDES[kind][1], -640),
    ]
    assert (entry.key, entry.kind, entry.session_id, entry.of, entry.at_ns, entry.note) == (
        "k",
        kind,
        "s1",
        "before",
        7,
        "why",
    )


def test_a_capture_also_releases_its_whole_hold() -> None:
    entry = entry_of(fact(Kind.CAPTURE, held=Money(2500, "EUR")))
    check_form(entry)
    assert [(posting.account, posting.amount.minor) for posting in entry.postings] == [
        ("held:stripe", 2500),
        ("hold:s1", -2500),
        ("clearing:stripe", 640),
        ("revenue", -640),
    ]
