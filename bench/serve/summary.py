"""Puts the figures N1 to N11 and the rivals' curves together: bench/results/serve/summary.json.

N1 to N4 of our own server follow from its curve beside the rivals'. Others are read from bench/results/serve/figures/*.json, each
`{"N5": {"value", "unit", "goal"}, ...}`; what is missing is left out, never guessed. Of a rival: what it keeps of the engine alone, its own overhead, and what it does at twice and five times the load.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from record import RESULTS, hardware

FOLDER = RESULTS / "serve"


def mode_row(mode: dict[str, Any], raw: dict[str, Any]) -> dict[str, Any]:
    """What one mode of one server brought with one engine.

    Args:
        mode: of `measure_rivals.curve_of`, or an error.
        raw: what the engine alone did.

    Returns:
        ratios that can be compared between servers.
    """
    if "error" in mode:
        return {"error": mode["error"]}
    curve = mode["curve"]
    carried = [row["offered_hz"] for row in curve if row["good_hz"] >= 0.99 * row["offered_hz"]]
    carried += [mode["knee_hz"]] if mode.get("knee_hz") else []
    return {
        "overhead_p50_ms": round(mode["alone"]["p50_ms"] - raw["p50_ms"], 3),
        "retained_throughput": round(max(row["answered_hz"] for row in curve) / raw["raw_hz"], 4),
        "slo_throughput": round(max(carried, default=0.0) / raw["raw_hz"], 4),
        "goodput_by_factor": {str(row["factor"]): round(row["good_hz"] / raw["raw_hz"], 4) for row in curve},
        "failed": sum(row["failed"] for row in curve),
        "cpu_ms_per_request": next((row["cpu_ms_per_request"] for row in curve if row["factor"] == 0.8), None),
        "rss_mb": mode["rss_mb"],
    }


def rival_rows(measured: dict[str, Any]) -> dict[str, Any]:
    """A server in the summary: `default` and `tuned`, each by engine."""
    rows: dict[str, Any] = {"default": {}, "tuned": {}}
    for engine, found in measured["engines"].items():
        for mode, row in rows.items():
            if mode in found:
                row[engine] = mode_row(found[mode], found["raw"])
    return rows


def own_figures(measured: dict[str, Any]) -> dict[str, Any]:
    """N1 to N4 of our own server, tuned.

    Args:
        measured: of `measure_rivals`, for the name "fleetsight".

    Returns:
        figures by name; those of an engine that was not measured are left out.
    """
    figures: dict[str, Any] = {}
    for engine, retained_goal in (("20ms", 0.95), ("5ms", 0.90)):
        mode = measured["engines"].get(engine, {}).get("tuned", {"error": "not measured"})
        if "error" in mode:
            continue
        raw, alone = measured["engines"][engine]["raw"], mode["alone"]
        row = mode_row(mode, raw)
        by_factor = {point["factor"]: point for point in mode["curve"]}
        best_hz = max(point["good_hz"] for point in mode["curve"] if point["factor"] <= 1.0) or 1.0
        suffix = "" if engine == "20ms" else f"_{engine}"
        p99_ms = round(alone["p99_ms"] - raw["p99_ms"], 3)
        figures[f"N1{suffix}"] = {"value": row["overhead_p50_ms"], "unit": "ms, p50", "goal": 0.5}
        figures[f"N1_p99{suffix}"] = {"value": p99_ms, "unit": "ms, p99", "goal": 1.0}
        figures[f"N2{suffix}"] = {"value": row["retained_throughput"], "unit": "of raw", "goal": retained_goal}
        figures[f"N3{suffix}"] = {"value": row["slo_throughput"], "unit": "of raw", "goal": 0.80}
        for factor, goal in ((2.0, 0.95), (5.0, 0.90)):
            if factor in by_factor:
                value = round(by_factor[factor]["good_hz"] / best_hz, 4)
                figures[f"N4_{factor:g}x{suffix}"] = {"value": value, "unit": "of the best goodput to 1x", "goal": goal}
    return figures


def summary(folder: Path) -> dict[str, Any]:
    """Read what was measured.

    Args:
        folder: with `figures/` and `rivals/`.

    Returns:
        the summary.
    """
    figures: dict[str, Any] = {}
    for path in sorted((folder / "figures").glob("*.json")):
        figures |= json.loads(path.read_text(encoding="utf-8"))
    measured = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((folder / "rivals").glob("*.json"))}
    if "fleetsight" in measured:
        figures = own_figures(measured["fleetsight"]) | figures
    rivals = {name: rival_rows(one) for name, one in measured.items()}
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {"hardware": hardware(), "commit": head.stdout.strip() or "unknown", "n": figures, "rivals": rivals}


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    made = summary(FOLDER)
    (FOLDER / "summary.json").write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({"bench": "serve/summary", "n": sorted(made["n"]), "rivals": sorted(made["rivals"])}))
