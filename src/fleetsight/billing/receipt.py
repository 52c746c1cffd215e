"""What the shopper gets to see: lines with their evidence, tax, what was paid, what came back. Pure."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fleetsight.billing.ledger import TAKES, Kind
from fleetsight.billing.quote import Quote, TaxShare
from fleetsight.billing.session_money import SessionMoney
from fleetsight.clock import SECOND_NS
from fleetsight.money import Money

WIDTH = 40
"""Characters of a line of text; what a till roll of 80 mm takes in its larger type."""
_PAID_BY: Mapping[Kind, str] = {
    Kind.CAPTURE: "paid",
    Kind.CHARGE: "paid beyond the hold",
    Kind.PAID_LATER: "paid later",
}


@dataclass(frozen=True, slots=True)
class ReceiptFacts:
    """What a receipt says beside the money.

    Attributes:
        number: names the receipt; the session's id.
        seller: who sells, as the law wants to see it.
        place: where.
        at_ns: when the door was closed, UTC nanoseconds.
        names: of the SKUs, for people; a SKU without one is shown as it is.
        evidence: names of the evidence files, by SKU.
    """

    number: str
    seller: str
    place: str
    at_ns: int
    names: Mapping[str, str] = field(default_factory=dict)
    evidence: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReceiptLine:
    """One SKU.

    Attributes:
        sku: which.
        name: for people.
        count: units.
        unit: price of one, tax included.
        gross: price of all.
        tax_rate_bp: basis points.
        evidence: names of files that show why.
    """

    sku: str
    name: str
    count: int
    unit: Money
    gross: Money
    tax_rate_bp: int
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReceiptPayment:
    """One movement of money.

    Attributes:
        what: in words.
        amount: positive when the shopper paid, negative when money came back.
        at_ns: when, UTC nanoseconds.
        note: why, for refunds.
    """

    what: str
    amount: Money
    at_ns: int
    note: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt.

    Attributes:
        number: its name.
        seller: who sold.
        place: where.
        at_ns: when, UTC nanoseconds.
        lines: what was taken.
        total: price of all, tax included.
        tax: by rate.
        rounding: where tax was rounded.
        payments: every movement of money, oldest first.
        paid: payments less refunds.
        owed: still to be paid.
    """

    number: str
    seller: str
    place: str
    at_ns: int
    lines: tuple[ReceiptLine, ...]
    total: Money
    tax: tuple[TaxShare, ...]
    rounding: str
    payments: tuple[ReceiptPayment, ...]
    paid: Money
    owed: Money

    def as_json(self) -> dict[str, Any]:
        """Plain JSON, whole minor units, times as ISO 8601 in UTC.

        Returns:
            everything on the receipt.
        """
        return {
            "number": self.number,
            "seller": self.seller,
            "place": self.place,
            "at": _iso(self.at_ns),
            "currency": self.total.currency,
            "lines": [
                {
                    "sku": line.sku,
                    "name": line.name,
                    "count": line.count,
                    "unit_minor": line.unit.minor,
                    "gross_minor": line.gross.minor,
                    "tax_rate_bp": line.tax_rate_bp,
                    "evidence": list(line.evidence),
                }
                for line in self.lines
            ],
            "total_minor": self.total.minor,
            "tax": [
                {
                    "rate_bp": share.rate_bp,
                    "net_minor": share.net.minor,
                    "tax_minor": share.tax.minor,
                    "gross_minor": share.gross.minor,
                }
                for share in self.tax
            ],
            "rounding": self.rounding,
            "payments": [
                {"what": made.what, "amount_minor": made.amount.minor, "at": _iso(made.at_ns), "note": made.note}
                for made in self.payments
            ],
            "paid_minor": self.paid.minor,
            "owed_minor": self.owed.minor,
        }

    def as_text(self, width: int = WIDTH) -> str:
        """Plain text.

        Args:
            width: characters a line, >= 24.
        Returns:
            lines, each ended by a line feed.
        """
        rule = "-" * width
        rows = [self.seller, self.place, f"{_iso(self.at_ns)[:16].replace('T', ' ')} UTC", self.number, rule]
        for line in self.lines:
            rows.append(_row(f"{line.count} x {line.name}", str(line.gross), width))
            rows += [f"    {line.unit} each"] * (line.count > 1)
        rows += [rule] if self.lines else ["nothing was taken", rule]
        rows.append(_row("total", str(self.total), width))
        rows += [_row(f"  tax {_percent(share.rate_bp)} in it", str(share.tax), width) for share in self.tax]
        if self.payments:
            rows.append(rule)
            rows += [_row(_what(made), str(made.amount), width) for made in self.payments]
            rows.append(_row("paid in all", str(self.paid), width))
        if self.owed.minor:
            rows.append(_row("still to pay", str(self.owed), width))
        return "".join(f"{row}\n" for row in rows)


def receipt_of(quote: Quote, facts: ReceiptFacts, *, money: SessionMoney) -> Receipt:
    """Write a receipt.

    Args:
        quote: of the decided basket.
        facts: names, place and time.
        money: what became of the session's money.
    Returns:
        the receipt as of now; made again after a refund, it shows the refund.
    """
    lines = tuple(
        ReceiptLine(
            sku=line.sku,
            name=facts.names.get(line.sku, line.sku),
            count=line.count,
            unit=line.unit,
            gross=line.gross,
            tax_rate_bp=line.tax_rate_bp,
            evidence=tuple(facts.evidence.get(line.sku, ())),
        )
        for line in quote.lines
    )
    payments = []
    for entry in money.history:
        if entry.kind in TAKES:
            payments.append(ReceiptPayment(_PAID_BY[entry.kind], entry.amount, entry.at_ns, entry.note))
        elif entry.kind is Kind.REFUND:
            payments.append(ReceiptPayment("refund", -entry.amount, entry.at_ns, entry.note))
    return Receipt(
        number=facts.number,
        seller=facts.seller,
        place=facts.place,
        at_ns=facts.at_ns,
        lines=lines,
        total=quote.total,
        tax=quote.tax,
        rounding=str(quote.rounding),
        payments=tuple(payments),
        paid=money.taken - money.refunded,
        owed=money.owed,
    )


def _iso(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // SECOND_NS, UTC).isoformat()


def _percent(rate_bp: int) -> str:
    whole, part = divmod(rate_bp, 100)
    return f"{whole}.{part:02}".rstrip("0").rstrip(".") + " %"


def _what(made: ReceiptPayment) -> str:
    return f"{made.what}: {made.note}" if made.note else made.what


def _row(left: str, right: str, width: int) -> str:
    room = width - len(right) - 1
    shown = left if _columns(left) <= room else _cut(left, room - 1) + "…"
    return f"{shown}{' ' * (width - _columns(shown) - len(right))}{right}"


def _columns(text: str) -> int:
    """Columns on a screen: East Asian characters take two, combining ones none."""
    return sum(0 if unicodedata.combining(sign) else 1 + (unicodedata.east_asian_width(sign) in "WF") for sign in text)


def _cut(text: str, columns: int) -> str:
    while _columns(text) > columns:
        text = text[:-1]
    return text
