"""The report card of a training run: what the exported file can do, and how to get it again."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetsight.accel.portable import PortableModel


@dataclass(frozen=True)
class Report:
    """What a run delivered.

    Args:
        model: the exported model in its folder.
        metrics: measured with that very file.
        path: where the card lies as JSON.
    """

    model: PortableModel
    metrics: dict[str, Any]
    path: Path


def report_card(model: PortableModel, path: Path) -> Report:
    """Write the report card.

    Args:
        model: exported, its card holds the metrics.
        path: JSON file to write.

    Returns:
        The report.
    """
    card = model.card
    content = {
        "model": card.name,
        "sha256": card.sha256,
        "bytes": len(model.onnx),
        "licence": card.licence,
        "lineage": dict(card.lineage),
        "metrics": dict(card.metrics),
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return Report(model, dict(card.metrics), path)


def rounded(metrics: dict[str, float]) -> dict[str, float | int]:
    """Round figures for a card: counts become whole, the rest keeps four places, what was not measurable is left out."""
    kept = {name: value for name, value in metrics.items() if math.isfinite(value)}
    return {
        name: int(value) if name.startswith("n") and value == int(value) else round(value, 4)
        for name, value in kept.items()
    }
