"""The evaluator: one event schema in, the cooler's figures out. Any decision stage is scored by the same rules.

Definitions: events match one to one when kind and SKU agree and their times differ by at most the tolerance; an event of n
units counts as n. Basket-exact compares whole baskets. Money is summed over all sessions, in minor units. Wilson's interval
(1927) at 95 % goes with every share.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

TOLERANCE_S = 1.0
Z_95 = 1.959964


@dataclass(frozen=True)
class TimedSku:
    """One unit of an event: a kind, a SKU and a time."""

    kind: str
    sku: str | None
    at_s: float


@dataclass(frozen=True)
class Outcome:
    """One scored session.

    Attributes:
        scenario: its name.
        seed: its seed.
        truth: units of the true events.
        found: units of the predicted events.
        true_basket: units by SKU.
        basket: predicted units by SKU.
        true_decision: what a perfect system decides.
        decision: what was decided.
        confidence: of the basket, 0 to 1.
        price_minor: price by SKU.
        note: anything worth printing about the session.
        doubt: features of the confidence (see `decide.Doubt`).
        gated: whether the confidence alone decided between a person and the machine.
    """

    scenario: str
    seed: int
    truth: tuple[TimedSku, ...]
    found: tuple[TimedSku, ...]
    true_basket: Mapping[str, int]
    basket: Mapping[str, int]
    true_decision: str
    decision: str
    confidence: float
    price_minor: Mapping[str, int] = field(default_factory=dict)
    note: str = ""
    doubt: tuple[float, ...] = ()
    gated: bool = True

    @property
    def exact(self) -> bool:
        """Whether the predicted basket is the true one."""
        return dict(self.basket) == dict(self.true_basket)

    @property
    def auto(self) -> bool:
        """Whether no person looks at the session."""
        return self.decision != "review"


def wilson(hits: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share.

    Args:
        hits: successes.
        total: trials.
    Returns:
        Lower and upper bound; (0, 1) without trials.
    """
    if total == 0:
        return 0.0, 1.0
    p, z2 = hits / total, Z_95**2
    centre = p + z2 / (2 * total)
    spread = Z_95 * float(np.sqrt(p * (1 - p) / total + z2 / (4 * total**2)))
    scale = 1 + z2 / total
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def match_count(truth: Sequence[TimedSku], found: Sequence[TimedSku], *, kind: str, tolerance_s: float) -> int:
    """Units that match one to one: same kind, same SKU, times within the tolerance.

    Args:
        truth: true units of one session.
        found: predicted units of the same session.
        kind: the kind to look at.
        tolerance_s: largest difference of the times, seconds.
    Returns:
        The largest possible number of pairs (a sweep in order of time is optimal for one fixed tolerance).
    """
    hits = 0
    for sku in {unit.sku for unit in truth if unit.kind == kind}:
        true_s = sorted(u.at_s for u in truth if u.kind == kind and u.sku == sku)
        found_s = sorted(u.at_s for u in found if u.kind == kind and u.sku == sku)
        i = j = 0
        while i < len(true_s) and j < len(found_s):
            if abs(true_s[i] - found_s[j]) <= tolerance_s:
                hits, i, j = hits + 1, i + 1, j + 1
            elif true_s[i] < found_s[j]:
                i += 1
            else:
                j += 1
    return hits


def event_f1(outcomes: Sequence[Outcome], kind: str, *, tolerance_s: float = TOLERANCE_S) -> dict[str, float]:
    """Precision, recall and F1 of one kind of event over sessions.

    Args:
        outcomes: scored sessions.
        kind: `take` or `put_back`.
        tolerance_s: largest difference of the times.
    Returns:
        `f1`, `precision`, `recall`, `n` (true units).
    """
    hits = sum(match_count(o.truth, o.found, kind=kind, tolerance_s=tolerance_s) for o in outcomes)
    true_n = sum(u.kind == kind for o in outcomes for u in o.truth)
    found_n = sum(u.kind == kind for o in outcomes for u in o.found)
    return {
        "f1": 2 * hits / (true_n + found_n) if true_n + found_n else 1.0,
        "precision": hits / found_n if found_n else 1.0,
        "recall": hits / true_n if true_n else 1.0,
        "n": float(true_n),
    }


def risk_coverage(outcomes: Sequence[Outcome]) -> list[list[float]]:
    """Exact share among the most confident sessions, for every coverage.

    Args:
        outcomes: scored sessions.
    Returns:
        [[coverage, exact share], …] from the most confident session to all of them.
    """
    order = sorted(outcomes, key=lambda o: -o.confidence)
    exact = np.cumsum([o.exact for o in order])
    n = len(order)
    return [[round((i + 1) / n, 4), round(float(exact[i] / (i + 1)), 4)] for i in range(n)]


def money_error(outcomes: Sequence[Outcome]) -> tuple[float, float]:
    """Money charged too much and too little, as shares of the true total.

    Args:
        outcomes: scored sessions, with prices.
    Returns:
        Overcharged and undercharged share.
    """
    over = under = total = 0
    for outcome in outcomes:
        for sku in {*outcome.basket, *outcome.true_basket}:
            price = outcome.price_minor.get(sku, 0)
            difference = outcome.basket.get(sku, 0) - outcome.true_basket.get(sku, 0)
            over += max(difference, 0) * price
            under += max(-difference, 0) * price
        total += sum(count * outcome.price_minor.get(sku, 0) for sku, count in outcome.true_basket.items())
    return over / max(total, 1), under / max(total, 1)


def summarise(outcomes: Sequence[Outcome]) -> dict[str, object]:
    """All figures of a scored suite.

    Args:
        outcomes: scored sessions.
    Returns:
        The figures that `cooler score --json` prints, with n and intervals.
    """
    n = len(outcomes)
    exact = sum(o.exact for o in outcomes)
    auto = [o for o in outcomes if o.auto]
    auto_exact = sum(o.exact for o in auto)
    takes, puts = event_f1(outcomes, "take"), event_f1(outcomes, "put_back")
    over, under = money_error(outcomes)
    auto_over, auto_under = money_error(auto)
    by_scenario = {
        name: {
            "n": len(group),
            "basket_exact": round(sum(o.exact for o in group) / len(group), 4),
            "auto": round(sum(o.auto for o in group) / len(group), 4),
            "auto_exact": round(sum(o.exact for o in group if o.auto) / max(1, sum(o.auto for o in group)), 4),
            "take_f1": round(event_f1(group, "take")["f1"], 4),
            "put_back_f1": round(event_f1(group, "put_back")["f1"], 4),
        }
        for name in dict.fromkeys(o.scenario for o in outcomes)
        if (group := [o for o in outcomes if o.scenario == name])
    }
    return {
        "sessions": n,
        "basket_exact": round(exact / max(n, 1), 4),
        "basket_exact_wilson95": _rounded(wilson(exact, n)),
        "take_f1": round(takes["f1"], 4),
        "takes": takes,
        "put_back_f1": round(puts["f1"], 4),
        "put_backs": puts,
        "auto_charged": round(len(auto) / max(n, 1), 4),
        "auto_charged_wilson95": _rounded(wilson(len(auto), n)),
        "auto_exact": round(auto_exact / max(len(auto), 1), 4),
        "auto_exact_wilson95": _rounded(wilson(auto_exact, len(auto))),
        "auto_possible": round(sum(o.true_decision != "review" for o in outcomes) / max(n, 1), 4),
        "overcharged_share": round(over, 5),
        "undercharged_share": round(under, 5),
        "auto_overcharged_share": round(auto_over, 5),
        "auto_undercharged_share": round(auto_under, 5),
        "wrongly_automatic": sum(o.auto and o.true_decision == "review" for o in outcomes),
        "by_scenario": by_scenario,
        "risk_coverage": risk_coverage(outcomes),
    }


def _rounded(bounds: tuple[float, float]) -> list[float]:
    return [round(bounds[0], 4), round(bounds[1], 4)]
