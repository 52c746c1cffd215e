"""A settlement as JSON for scripts and as lines for people."""

from typing import Any

from fleetsight.apps.cooler.events import Event
from fleetsight.apps.cooler.flow import Settlement


def as_json(settlement: Settlement) -> dict[str, Any]:
    """The object that `cooler settle --json` prints. Times are seconds of the clip's own presentation time.

    Args:
        settlement: the answer.
    Returns:
        Plain values only.
    """
    return {
        "clip": str(settlement.clip),
        "frames": settlement.summary.frames,
        "decoded_fraction": round(settlement.summary.decoded_fraction, 4),
        "degraded": list(settlement.degraded),
        "events": [_event(event) for event in settlement.events],
        "basket": settlement.basket,
        "decision": str(settlement.decision),
        "reason": settlement.reason,
        "confidence": round(settlement.confidence, 4),
        "stages_s": settlement.stages_s,
        "elapsed_s": round(settlement.elapsed_s, 3),
        "frames_per_s": round(settlement.frames_per_s, 1),
    }


def _event(event: Event) -> dict[str, Any]:
    return {
        "kind": str(event.kind),
        "sku": event.sku,
        "count": event.count,
        "at_s": round(event.at_s, 3),
        "window_s": [round(event.window_s[0], 3), round(event.window_s[1], 3)],
        "confidence": round(event.confidence, 4),
        "rule": event.rule,
        "alternatives": [{"sku": a.sku, "score": round(a.score, 4)} for a in event.alternatives],
        "camera": event.camera,
        "box_xyxy_px": [round(v, 1) for v in event.box_xyxy_px],
    }
