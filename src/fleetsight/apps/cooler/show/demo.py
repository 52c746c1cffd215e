"""`fleetsight cooler demo`: a handful of rendered sessions, settled, with each receipt beside the truth and a page to look at."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetsight.apps.cooler.evaluate.metrics import Outcome
from fleetsight.apps.cooler.evaluate.score import compare, settle_rendered
from fleetsight.apps.cooler.flow import Settlement
from fleetsight.apps.cooler.show import page
from fleetsight.apps.cooler.show.evidence import describe, write_evidence
from fleetsight.catalog.sku import Catalog
from fleetsight.money import Money
from fleetsight.sim.session import plan_session
from fleetsight.sim.truth import session_truth

SESSIONS: tuple[tuple[str, int], ...] = (
    ("basic", 71),
    ("look_and_return", 72),
    ("several_units", 73),
    ("look_alikes", 74),
    ("swap_foreign", 75),
    ("two_people", 76),
)
"""Scenario and seed: one plain purchase and five that are known to be hard. Seeds were not chosen by result."""


@dataclass(frozen=True)
class Shown:
    """One session of the demo.

    Attributes:
        settlement: the answer.
        outcome: the answer beside the truth.
        catalog: names and prices.
        folder: name of its folder inside the demo.
        evidence: file names by what they show.
        truth: lines of the true events: text and time in seconds.
    """

    settlement: Settlement
    outcome: Outcome
    catalog: Catalog
    folder: str
    evidence: dict[str, str]
    truth: tuple[tuple[str, float], ...]


def run(*, out: Path, as_json: bool = False) -> None:
    """Render, settle, print and write the page.

    Args:
        out: the folder of the demo; made when missing.
        as_json: print one JSON object instead of receipts.
    """
    out.mkdir(parents=True, exist_ok=True)
    shown = []
    for number, (scenario, seed) in enumerate(SESSIONS, start=1):
        print(f"[{number}/{len(SESSIONS)}] {scenario}: rendering and settling …", file=sys.stderr)
        shown.append(_session(scenario, seed, out))
        if not as_json:
            print(_receipt(shown[-1]))
    index = out / "index.html"
    index.write_text(page.render_page(shown), encoding="utf-8")
    exact = sum(item.outcome.exact for item in shown)
    summary: dict[str, Any] = {"sessions": len(shown), "basket_exact": exact, "page": str(index)}
    if as_json:
        print(json.dumps(summary))
    else:
        print(f"{exact} of {len(shown)} baskets exact. Clips, timelines and evidence: {index.resolve()}")


def _session(scenario: str, seed: int, out: Path) -> Shown:
    plan = plan_session(scenario, seed)
    name = f"{scenario}-{seed}"
    settlement = settle_rendered(plan, out / name)
    catalog = Catalog.load(out / name / "catalog")
    truth = session_truth(plan)
    lines = tuple(
        (f"{e.kind.replace('_', ' ')} {f'{e.count} x ' if e.count > 1 else ''}{e.sku or 'not in catalog'}", e.at_s)
        for e in truth.events
    )
    evidence = write_evidence(settlement, out / name)
    return Shown(settlement, compare(plan, settlement, catalog=catalog), catalog, name, evidence, lines)


def _receipt(shown: Shown) -> str:
    settlement, outcome = shown.settlement, shown.outcome
    verdict = "basket exact" if outcome.exact else "BASKET WRONG"
    lines = [f"── {shown.folder} ── {settlement.decision} ({settlement.reason}) ── {verdict}"]
    lines += [f"   {row}" for row in basket_rows(shown)]
    lines += [f"     saw   {describe(event)}  [{event.rule}, {event.confidence:.2f}]" for event in settlement.events]
    lines += [f"     truth {text} at {at_s:.1f} s" for text, at_s in shown.truth]
    return "\n".join(lines) + "\n"


def basket_rows(shown: Shown) -> list[str]:
    """The receipt's lines: units, name, price, and the true units beside them.

    Args:
        shown: a session.
    Returns:
        One line per SKU and the total; `nothing` for an empty basket.
    """
    basket, true = shown.settlement.basket, shown.outcome.true_basket
    currency = shown.catalog.currency
    rows = []
    total = Money(0, currency)
    for sku in sorted({*basket, *true}):
        entry = shown.catalog.skus.get(sku)
        price = Money(entry.price_minor if entry else 0, currency) * basket.get(sku, 0)
        total = total + price
        name = entry.name if entry else sku
        rows.append(f"{basket.get(sku, 0)} x {name:<34.34} {price!s:>12}   truth {true.get(sku, 0)}")
    if not rows:
        return ["nothing                                                   truth nothing"]
    return [*rows, f"    {'total':<34} {total!s:>12}"]
