"""Claim: the cooler detector keeps its mAP in every precision that is kept, and a second compile takes at most a second.

Accuracy is told for frames that neither training nor the compile has seen: one set of rendered sessions calibrates and proves,
another is scored. Speeds are of candidates that take turns in one process, for their ratio; bench_compile_yolo640 compares
them with eager code in processes of their own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from record import record
from rendered_frames import write_frames

from fleetsight.accel.artifacts.cache import ArtifactCache
from fleetsight.accel.bundled import bundled_model
from fleetsight.accel.compiling import compile_int8, compile_model
from fleetsight.accel.proving.agreement import task_metric
from fleetsight.accel.proving.parity import Gates, run_all
from fleetsight.accel.proving.pictures import Pictures, read_pictures
from fleetsight.accel.sources.fused import fused
from fleetsight.accel.sources.portable_source import portable_source
from fleetsight.accel.sources.source import Source
from fleetsight.accel.targets import openvino
from fleetsight.accel.targets.options import Options
from fleetsight.accel.tuning import Candidate, Tried, measure
from fleetsight.errors import Error

PROVED_FRAMES, SCORED_FRAMES = 96, 192
PROVED_SEED, SCORED_SEED = 7_000, 20_000
"""First seeds of both sets; sessions for scoring share no world with those for training (sim.session)."""

RESAMPLES = 200
"""Bootstrap of the loss over frames: two hundred give the ends of a 95 % interval to a tenth of its width."""


def candidates(source: Source, gates: Gates, *, cache: ArtifactCache) -> Iterator[Tried]:
    """Each precision with both kinds of preprocessing, compiled and proved."""
    for precision in openvino.precisions():
        for variant in (source, fused(source)):
            candidate = Candidate(variant, Options(precision=precision))
            way = compile_int8 if precision == "int8" else compile_model
            try:
                made = way(variant, "openvino", options=candidate.options, gates=gates, cache=cache)
            except Error as error:
                yield Tried(candidate, None, reason=error.message)
                continue
            yield Tried(candidate, made)


def scored(tried: Tried, pictures: Pictures) -> list[Any]:
    """What a candidate answers to the frames that are scored."""
    assert tried.compiled is not None
    with closing(tried.compiled.artifact.session()) as session:
        return run_all(session, Gates({}, pictures).inputs_of(tried.candidate.source))


def losses(source: Source, before: list[Any], *, after: list[Any], pictures: Pictures) -> tuple[float, list[float]]:
    """Loss of mAP in points, and its 95 % interval over frames drawn again."""

    def loss(chosen: Any) -> float:
        part = replace(pictures, boxes={int(index): pictures.boxes[int(index)] for index in chosen})
        return task_metric(source, before, pictures=part) - task_metric(source, after, pictures=part)

    rng, known = np.random.default_rng(0), np.array(sorted(pictures.boxes))
    drawn = [loss(rng.choice(known, len(known))) for _ in range(RESAMPLES)]
    return loss(known), [round(float(value), 3) for value in np.quantile(drawn, [0.025, 0.975])]


def second_compile_s(data: Path) -> list[float]:
    """Seconds that `fleetsight compile` says a hit took, each in a fresh process that may not compile."""
    with tempfile.TemporaryDirectory() as home:
        asked = ["compile", "cooler-detector", "--precision", "f32", "--data", str(data), "--json"]
        command = ["env", f"FLEETSIGHT_DATA_DIR={home}", sys.executable, "-m", "fleetsight", *asked]
        subprocess.run(command, capture_output=True, check=True)
        hits = [
            subprocess.run([*command, "--forbid-compiling"], capture_output=True, text=True, check=True).stdout
            for _ in range(5)
        ]
    found = [json.loads(hit) for hit in hits]
    assert {hit["cache"] for hit in found} == {"hit"}
    return sorted(hit["seconds"] for hit in found)


def main() -> None:
    """Compile, measure, score, record."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--smoke", action="store_true", help="a few frames; nothing is recorded")
    is_smoke = parser.parse_args().smoke
    with tempfile.TemporaryDirectory() as text:
        root = Path(text)
        write_frames(root / "proved", 8 if is_smoke else PROVED_FRAMES, first_seed=PROVED_SEED)
        write_frames(root / "scored", 8 if is_smoke else SCORED_FRAMES, first_seed=SCORED_SEED)
        source, pictures = portable_source(bundled_model("cooler-detector")), read_pictures(root / "scored")
        gates, cache = (
            Gates({}, read_pictures(root / "proved")),
            ArtifactCache(root / "c", Ed25519PrivateKey.generate()),
        )
        tried = measure(list(candidates(source, gates, cache=cache)), gates)
        done = [entry for entry in tried if entry.compiled is not None]
        answers = {entry.candidate.name: scored(entry, pictures) for entry in done}
        first = answers["f32"]
        rows, detail = list[list[str]](), dict[str, Any]()
        slowest = next(entry.images_per_s or 1.0 for entry in done if entry.candidate.name == "f32")
        for entry in done:
            name = entry.candidate.name
            lost, interval = losses(source, first, after=answers[name], pictures=pictures)
            score, rate = task_metric(source, answers[name], pictures=pictures), entry.images_per_s or 0.0
            detail[name] = {"map": round(score, 3), "lost": round(lost, 3), "lost_95": interval}
            detail[name] |= {
                "images_per_s": round(rate, 1),
                "spread": entry.spread,
                "gates": entry.compiled.parity if entry.compiled else {},
            }
            rows.append([name, f"{rate:.0f}", f"{rate / slowest:.2f}", f"{score:.2f}", f"{lost:+.2f} {interval}"])
        failed = {entry.candidate.name: entry.reason for entry in tried if entry.compiled is None}
        hits = second_compile_s(root / "proved")
    columns = ["openvino", "frames/s", "x f32", "mAP, points", "lost to f32 (95 %)"]
    result = {
        "table": {"columns": columns, "rows": rows},
        "detail": detail,
        "failed": failed,
        "second_compile_s": hits,
        "n": len(pictures.boxes),
        "command": "python bench/bench_compile_cooler.py",
    }
    if is_smoke:
        print(json.dumps(result, indent=1))
    else:
        record("compile_cooler", result)


if __name__ == "__main__":
    main()
