"""Claim: a real clip of a hand at a row of bottles gives its four events and a basket of two, with public weights."""

import json
import os
import sys
import tempfile
from pathlib import Path

from record import record

from fleetsight.accel.detector import Detector
from fleetsight.accel.importing.importer import ImportOptions, import_onnx
from fleetsight.accel.importing.labels import COCO
from fleetsight.apps.cooler.flow import Engine, settle

SHARED = Path(os.environ.get("FLEETSIGHT_SHARED") or Path(__file__).resolve().parents[2] / "shared")
TOLERANCE_S = 1.0


def main() -> None:
    """Settle the clip and hold each event against its annotated window."""
    if not SHARED.is_dir():
        print(f"skipped: {SHARED} is absent (FLEETSIGHT_SHARED names another place)", file=sys.stderr)
        return
    truth = json.loads((SHARED / "data/clips/bottles.truth.json").read_text(encoding="utf-8"))
    numerator, denominator = (int(v) for v in truth["rate_hz"].split("/"))
    with tempfile.TemporaryDirectory() as store:
        options = ImportOptions("yolox-nano", "yolox", COCO)
        model = import_onnx(SHARED / "models/yolox_nano.onnx", options, store_dir=Path(store))
        engine = Engine.for_labels(Detector.open(model), ("bottle",))
        settlement = settle(SHARED / "data/clips/bottles.mp4", engine)
    rows = []
    waiting = list(settlement.events)
    for event in truth["events"]:
        low, high = (event[k] * denominator / numerator for k in ("first_frame", "last_frame"))
        hit = next(
            (e for e in waiting if e.kind == event["kind"] and low - TOLERANCE_S <= e.at_s <= high + TOLERANCE_S), None
        )
        if hit is not None:
            waiting.remove(hit)
        rows.append(
            [event["kind"], event["place"], f"{low:.2f} to {high:.2f} s", f"{hit.at_s:.2f} s" if hit else "missed"]
        )
    record(
        "real_clip",
        {
            "table": {"columns": ["event", "place", "annotated", "found"], "rows": rows},
            "n": settlement.summary.frames,
            "false_events": len(waiting),
            "basket": settlement.basket,
            "basket_exact": settlement.basket == truth["basket_at_end"],
            "decision": str(settlement.decision),
            "command": "python bench/bench_real_clip.py",
        },
    )


if __name__ == "__main__":
    main()
