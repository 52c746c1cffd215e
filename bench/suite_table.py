"""Scores a suite and sets its figures as a table, with the risk-coverage curve as a picture."""

import sys
from pathlib import Path
from typing import Any

from record import RESULTS, percent, record

from fleetsight.apps.cooler.evaluate.metrics import Outcome
from fleetsight.apps.cooler.evaluate.score import Suite, score_suite


def measure(suite: Suite, name: str) -> None:
    """Score, record and plot.

    Args:
        suite: which sessions.
        name: of the result.
    """
    figures, outcomes = score_suite(suite, progress=_progress)
    command = f"fleetsight cooler score --suite {suite.name} --seed {suite.seed} --sessions {suite.sessions}"
    exact, auto, auto_exact = figures["basket_exact"], figures["auto_charged"], figures["auto_exact"]
    result: dict[str, Any] = figures | {
        "n": figures["sessions"],
        "command": command,
        "headline": f"{percent(exact, figures['basket_exact_wilson95'])} of {figures['sessions']} baskets exact",
        "table": {"columns": ["figure", "value (Wilson 95 %)", "goal"], "rows": _rows(figures)},
        "scenarios": {"columns": ["scenario", "n", "exact", "automatic"], "rows": _scenarios(figures)},
        "wrong": [_wrong(o) for o in outcomes if not o.exact],
    }
    record(name, result)
    _plot(
        figures["risk_coverage"], RESULTS / f"{name}.png", title=f"{suite.name}: {exact:.3f} exact, n = {len(outcomes)}"
    )
    print(f"exact {exact:.4f} automatic {auto:.4f} of those exact {auto_exact:.4f}", file=sys.stderr)


def _rows(figures: dict[str, Any]) -> list[list[str]]:
    return [
        ["basket exact", percent(figures["basket_exact"], figures["basket_exact_wilson95"]), "≥ 95 %"],
        [f"take F1 at ± 1.0 s (n = {figures['takes']['n']:.0f})", f"{figures['take_f1']:.3f}", "≥ 0.97"],
        [f"put-back F1 at ± 1.0 s (n = {figures['put_backs']['n']:.0f})", f"{figures['put_back_f1']:.3f}", "≥ 0.93"],
        ["settled without a person", percent(figures["auto_charged"], figures["auto_charged_wilson95"]), "≥ 85 %"],
        ["… possible at most (truth asks for review)", percent(figures["auto_possible"]), ""],
        ["… of those exact", percent(figures["auto_exact"], figures["auto_exact_wilson95"]), "≥ 99 %"],
        ["overcharged money, all sessions", f"{100 * figures['overcharged_share']:.2f} %", "≤ 0.3 %"],
        ["overcharged money, without a person", f"{100 * figures['auto_overcharged_share']:.2f} %", "≤ 0.3 %"],
        ["undercharged money, without a person", f"{100 * figures['auto_undercharged_share']:.2f} %", ""],
    ]


def _scenarios(figures: dict[str, Any]) -> list[list[str]]:
    return [
        [name.replace("_", " "), str(row["n"]), percent(row["basket_exact"]), percent(row["auto"])]
        for name, row in figures["by_scenario"].items()
    ]


def _wrong(outcome: Outcome) -> dict[str, Any]:
    return {
        "scenario": outcome.scenario,
        "seed": outcome.seed,
        "basket": dict(outcome.basket),
        "truth": dict(outcome.true_basket),
        "decision": outcome.decision,
        "confidence": round(outcome.confidence, 4),
    }


def _progress(done: int, outcome: Outcome) -> None:
    print(
        f"{done:4d} {outcome.scenario:16s} {'exact' if outcome.exact else 'WRONG'} {outcome.decision}", file=sys.stderr
    )


def _plot(curve: list[list[float]], path: Path, *, title: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.6), dpi=110)
    axes.plot([c for c, _ in curve], [e for _, e in curve], color="#2b6cb0", linewidth=2)
    axes.axhline(0.99, color="#999999", linewidth=1, linestyle="--")
    axes.axvline(0.85, color="#999999", linewidth=1, linestyle="--")
    axes.set(xlabel="share of sessions settled, most confident first", ylabel="share of those exact", title=title)
    axes.set_xlim(0, 1)
    axes.set_ylim(min(0.9, min(e for _, e in curve) - 0.01), 1.003)
    axes.grid(alpha=0.25)
    figure.tight_layout()
    figure.savefig(path)
