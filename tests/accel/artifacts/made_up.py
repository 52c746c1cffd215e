"""A manifest for tests, and a maker that counts how often it is called."""

from pathlib import Path
from typing import Any

from fleetsight.accel.artifacts.cache import artifact_key
from fleetsight.accel.artifacts.manifest import Manifest

KEY = artifact_key({"weights": "made up"})


def manifest(**changes: Any) -> Manifest:
    fields: dict[str, Any] = {
        "name": "tiny",
        "target": "null",
        "compiler": "null 1",
        "chip": "x86_64 made up",
        "precision": "f32",
        "batch": 1,
        "flags": {},
        "source": {"name": "tiny", "licence": "Apache-2.0", "lineage": {}},
        "parity": {"passed": True, "gates": {}},
        "preprocess": "host",
        "card": None,
        "candidates": ({"candidate": "f32", "images_per_s": 1.5},),
        "key": KEY,
        "made_at": "2026-01-01T00:00:00+00:00",
    }
    return Manifest(**(fields | changes))


class Maker:
    """Writes two files, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, folder: Path) -> Manifest:
        self.calls += 1
        (folder / "weights.bin").write_bytes(b"weights")
        (folder / "part").mkdir()
        (folder / "part" / "graph.xml").write_text("<net/>")
        return manifest()
