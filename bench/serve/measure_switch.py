"""Claim N6: from the control call to every new request on the other variant, under load; and errors, and the tail, meanwhile."""

import argparse
import statistics
import threading
import time
from typing import Any

from stage import Stage, figure, payloads, publish, staged

from fleetsight.serve.client import Client, ClientError
from fleetsight.serve.tier.plan import Variant

CALLERS = 2


def ask(stage: Stage, body: bytes, *, rows: list[tuple[float, float, str]], stop: threading.Event) -> None:
    """One caller: when it asked, what it took, who answered ("" for an error)."""
    with Client(stage.url) as client:
        while not stop.is_set():
            begin_s = time.monotonic()
            try:
                variant = client.infer("m", body, deadline_ms=5000).variant
            except ClientError:
                variant = ""
            rows.append((begin_s, (time.monotonic() - begin_s) * 1000, variant))


def once(stage: Stage, body: bytes, *, to: str, seconds: float) -> dict[str, Any]:
    """Switch in the middle of a run."""
    rows: list[tuple[float, float, str]] = []
    stop = threading.Event()
    callers = [
        threading.Thread(target=ask, args=(stage, body), kwargs={"rows": rows, "stop": stop}) for _ in range(CALLERS)
    ]
    for caller in callers:
        caller.start()
    time.sleep(seconds / 2)
    with Client(stage.url) as client:
        begin_s = time.monotonic()
        client.call("PUT", "/v1/models/m/switch", told={"variant": to})
        call_ms = (time.monotonic() - begin_s) * 1000
    time.sleep(seconds / 2)
    stop.set()
    for caller in callers:
        caller.join()
    old = [asked_s for asked_s, _, variant in rows if asked_s >= begin_s and variant != to]
    before = sorted(took for asked_s, took, _ in rows if asked_s < begin_s)
    after = sorted(took for asked_s, took, _ in rows if asked_s >= begin_s)
    return {
        "call_ms": round(call_ms, 2),
        "complete_ms": round(max([call_ms, *((asked_s - begin_s) * 1000 for asked_s in old)]), 2),
        "errors": sum(variant == "" for _, _, variant in rows),
        "p99_ratio": round(after[int(0.99 * len(after))] / before[int(0.99 * len(before))], 3),
        "n": len(rows),
    }


def main() -> None:
    """Switch to and fro."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    rounds, seconds = (2, 2.0) if options.quick else (options.rounds, options.seconds)
    body = payloads()[0].body
    variants = [Variant("m", name, "sleep:20", usd_per_hour=usd) for name, usd in (("a", 0.1), ("b", 1.0))]
    with staged(variants, isolate=True) as stage:
        rows = [once(stage, body, to="ba"[number % 2], seconds=seconds) for number in range(rounds)]
    figures = {
        "N6": figure(max(row["complete_ms"] for row in rows), "ms, the slowest", goal="<= 100"),
        "N6_errors": figure(sum(row["errors"] for row in rows), "requests", goal="0"),
        "N6_p99": figure(statistics.median(row["p99_ratio"] for row in rows), "p99 after by before", goal="<= 1.5"),
    }
    publish("switch", figures, detail={"rows": rows, "command": "python bench/serve/measure_switch.py"})


if __name__ == "__main__":
    main()
