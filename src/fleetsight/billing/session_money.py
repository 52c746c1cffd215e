"""What became of one session's money: a fold over its entries. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from fleetsight.billing.ledger import ENDS_HOLD, TAKES, Entry, Kind, Ledger, Standing
from fleetsight.billing.provider import DisputeState
from fleetsight.money import Money


@dataclass(frozen=True, slots=True)
class SessionMoney:
    """The money of one session, all in one currency.

    Attributes:
        held: reserved now.
        captured: taken from the hold.
        extra: taken beyond the hold.
        paid_later: of what was owed.
        refunded: given back.
        owed: still to be paid.
        written_off: given up.
        disputed: what a bank holds back now, or kept.
        dispute: None when there never was one.
        history: every entry, oldest first.
    """

    held: Money
    captured: Money
    extra: Money
    paid_later: Money
    refunded: Money
    owed: Money
    written_off: Money
    disputed: Money
    dispute: DisputeState | None
    history: tuple[Entry, ...]

    @property
    def taken(self) -> Money:
        """What the shopper paid in all, before refunds and disputes."""
        return self.captured + self.extra + self.paid_later

    @property
    def kept(self) -> Money:
        """What is left of it."""
        return self.taken - self.refunded - self.disputed


def money_of(ledger: Ledger, *, currency: str) -> SessionMoney:
    """Fold the entries of one session.

    Args:
        ledger: the entries about the session alone.
        currency: of the session.
    Returns:
        its money; all zero when there are no entries.
    """
    sums = dict.fromkeys(Kind, 0)
    for entry in ledger.entries.values():
        sums[entry.kind] += entry.amount.minor
    ended = {entry.of for entry in ledger.entries.values() if entry.kind in ENDS_HOLD}
    held = sum(e.amount.minor for e in ledger.entries.values() if e.kind is Kind.HOLD and e.key not in ended)
    disputes = [found for key, found in ledger.standings.items() if ledger.entries[key].kind in TAKES and found.dispute]
    return SessionMoney(
        held=Money(held, currency),
        captured=Money(sums[Kind.CAPTURE], currency),
        extra=Money(sums[Kind.CHARGE], currency),
        paid_later=Money(sums[Kind.PAID_LATER], currency),
        refunded=Money(sums[Kind.REFUND], currency),
        owed=Money(sums[Kind.OWE] - sums[Kind.PAID_LATER] - sums[Kind.WRITE_OFF], currency),
        written_off=Money(sums[Kind.WRITE_OFF], currency),
        disputed=Money(sum(found.disputed for found in disputes), currency),
        dispute=_worst(disputes),
        history=tuple(ledger.entries.values()),
    )


_WEIGHT: Mapping[DisputeState, int] = {DisputeState.WON: 0, DisputeState.LOST: 1, DisputeState.OPEN: 2}


def _worst(disputes: list[Standing]) -> DisputeState | None:
    states = [found.dispute for found in disputes if found.dispute is not None]
    return max(states, key=_WEIGHT.__getitem__, default=None)
