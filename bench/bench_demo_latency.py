"""Claim: while three coolers trade, receipts come within seconds of the upload, and a door unlocks at once, also while settlements queue.

The real service as `fleetsight demo` starts it, one process tree on this machine: simulated coolers film, encode and upload in real
time beside the workers that settle, and the next shopper of a cooler comes eight seconds after the last one left. Films are rendered in a first run that is not counted. Each counted session's times come from
the service's own rows, the unlock from the shopper's side of the request. ``--quick`` plays six sessions and records nothing.
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from record import record

from fleetsight.fleet.rehearsal.tally import percentile

SESSIONS = 24
QUICK_SESSIONS = 6
COOLERS = 3
WAIT_S = 1800.0
NS = 1e9


def trade(sessions: int, *, folder: Path, films: Path) -> dict[str, Any]:
    """Play it in processes of its own; the object that the command prints."""
    command = [sys.executable, "-m", "fleetsight", "demo", "--once", "--json", "--data", str(folder)]
    words = ["--sessions", str(sessions), "--coolers", str(COOLERS)]
    environ = os.environ | {"FLEETSIGHT_DATA_DIR": str(films)}
    done = subprocess.run([*command, *words], env=environ, stdout=subprocess.PIPE, timeout=WAIT_S, check=False)
    said: dict[str, Any] = json.loads(done.stdout) | {"status": done.returncode}
    return said


def queued(folder: Path) -> list[bool]:
    """For each session, in the order of their scans: whether another one waited for its receipt at that moment."""
    with sqlite3.connect(folder / "service" / "fleetsight.db") as connection:
        scans = [row[0] for row in connection.execute("SELECT created_ns FROM sessions ORDER BY created_ns")]
        spans = connection.execute(
            "SELECT s.complete_ns, min(r.at_ns) FROM sessions s JOIN session_receipts r ON r.session_id = s.id GROUP BY s.id"
        ).fetchall()
    return [any(complete_ns <= at_ns < receipt_ns for complete_ns, receipt_ns in spans) for at_ns in scans]


def analyses_s(folder: Path) -> list[float]:
    """Seconds that each analysis took by itself."""
    with sqlite3.connect(folder / "service" / "fleetsight.db") as connection:
        return [row[0] for row in connection.execute("SELECT elapsed_s FROM session_analyses")]


def main() -> None:
    """Play and record."""
    quick = "--quick" in sys.argv[1:]
    sessions = QUICK_SESSIONS if quick else SESSIONS
    with tempfile.TemporaryDirectory() as root:
        films = Path(root) / "films"
        trade(sessions, folder=Path(root) / "first", films=films)  # renders what is played
        begin_s = time.monotonic()
        said = trade(sessions, folder=Path(root) / "counted", films=films)
        lasted_s = time.monotonic() - begin_s
        busy, looked_s = queued(Path(root) / "counted"), analyses_s(Path(root) / "counted")
    if said["status"] != 0:
        raise SystemExit(f"the demo did not end well: {said}")
    receipt, unlock = said["receipt_s"], said["unlock_ms"]
    rows = [
        ["upload complete to receipt", f"{receipt['p50']:.1f} s", f"p95 {receipt['p95']:.1f} s", "15 s, p95 60 s"],
        ["scan to signed unlock command", f"{unlock['p50']:.0f} ms", f"p99 {unlock['p99']:.0f} ms", "p99 300 ms"],
        ["one analysis by itself", f"{percentile(looked_s, 50):.1f} s", f"p95 {percentile(looked_s, 95):.1f} s", ""],
    ]
    result = {
        "table": {"columns": ["three coolers trade", "p50", "tail", "goal"], "rows": rows},
        "n": said["sessions"],
        "demo": said,
        "scans_while_settlements_queued": sum(busy),
        "lasted_s": round(lasted_s, 1),
        "headline": f"{receipt['p50']:.0f} s",
        "command": "python bench/bench_demo_latency.py",
    }
    if quick:
        print(json.dumps(result))
    else:
        record("demo_latency", result)


if __name__ == "__main__":
    main()
