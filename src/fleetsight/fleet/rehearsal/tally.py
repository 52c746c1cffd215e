"""What a rehearsal came to: sessions by their end, money expected and charged, and the times that people felt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from fleetsight.apps.cooler.device.simulated_shopper import Purchase
from fleetsight.apps.cooler.session.machine.states import ENDED, State
from fleetsight.apps.cooler.session.tables import RECEIPTS, SESSIONS
from fleetsight.clock import SECOND_NS
from fleetsight.store.rows import Rows

DONE = frozenset({*(state.value for state in ENDED), State.REVIEW.value})
"""A session is over, or waits for a person."""
_RELEASED = frozenset({State.RELEASED.value, State.ABORTED.value, State.DENIED.value})
_MACHINES = frozenset({"", "pipeline", "deadline"})
"""Who decided, when no person did."""


@dataclass(frozen=True)
class Tally:
    """The figures.

    Attributes:
        sessions: in all.
        settled: charged without a person.
        reviewed: a person has to look, or has looked.
        released: ended without a charge.
        unfinished: none of these yet.
        expected_minor: price of what was really taken in the settled and released sessions.
        charged_minor: what was charged in them.
        wrong: of them, those charged another amount than was taken.
        receipt_s: from the last uploaded segment to the receipt, each settled session.
        unlock_ms: from a shopper's request with a code to the answer that the signed command is on its way, each session.
    """

    sessions: int
    settled: int
    reviewed: int
    released: int
    unfinished: int
    expected_minor: int
    charged_minor: int
    wrong: int
    receipt_s: tuple[float, ...]
    unlock_ms: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        """The object that scripts rely on; a percentile of nothing is null."""
        names = ("sessions", "settled", "reviewed", "released", "expected_minor", "charged_minor", "wrong")
        return {
            **{name: getattr(self, name) for name in names},
            "receipt_s": {"p50": percentile(self.receipt_s, 50), "p95": percentile(self.receipt_s, 95)},
            "unlock_ms": {"p50": percentile(self.unlock_ms, 50), "p99": percentile(self.unlock_ms, 99)},
        }


def tally(rows: Rows, purchases: Sequence[Purchase]) -> Tally:
    """Count.

    Args:
        rows: of the service.
        purchases: what shoppers know; a session that none of them saw end has no expected price and counts as wrong when charged.
    Returns:
        the figures.
    """
    known = {bought.session_id: bought for bought in purchases}
    with rows.reading() as connection:
        sessions = connection.execute(sa.select(SESSIONS)).all()
        first = sa.select(RECEIPTS.c.session_id, sa.func.min(RECEIPTS.c.at_ns)).group_by(RECEIPTS.c.session_id)
        receipts: Mapping[str, int] = {row[0]: row[1] for row in connection.execute(first)}
    reviewed = [row for row in sessions if row.state == State.REVIEW.value or row.decided_by not in _MACHINES]
    automatic = [row for row in sessions if row.state in DONE and row not in reviewed]
    released = [row for row in automatic if row.state in _RELEASED]
    settled = [row for row in automatic if row.state not in _RELEASED]
    expected = {row.id: _expected_minor(known.get(row.id)) if row.opened_ns else 0 for row in automatic}
    return Tally(
        sessions=len(sessions),
        settled=len(settled),
        reviewed=len(reviewed),
        released=len(released),
        unfinished=len([row for row in sessions if row.state not in DONE]),
        expected_minor=sum(expected.values()),
        charged_minor=sum(row.charged_minor - row.refunded_minor for row in automatic),
        wrong=sum(row.charged_minor - row.refunded_minor != expected[row.id] for row in automatic),
        receipt_s=tuple(
            (receipts[row.id] - row.complete_ns) / SECOND_NS
            for row in settled
            if row.id in receipts and row.complete_ns
        ),
        unlock_ms=tuple(bought.redeem_s * 1000 for bought in purchases),
    )


def percentile(values: Sequence[float], percent: int) -> float | None:
    """The smallest value that at least so many percent of all do not exceed.

    Args:
        values: in any order.
        percent: 1 to 100.
    Returns:
        one of the values, to the thousandth; None without values.
    """
    ordered = sorted(values)
    return round(ordered[-(-percent * len(ordered) // 100) - 1], 3) if ordered else None


def _expected_minor(bought: Purchase | None) -> int:
    return bought.expected.minor if bought is not None and bought.expected is not None else 0
