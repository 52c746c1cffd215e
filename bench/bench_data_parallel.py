"""Claim: data parallel over all cores is at least 1.8 times one core, and answers are the same, in order.

Two sessions of one compiled model: one stream on one thread, and as many of either as there are cores. Rounds alternate,
so that whatever else the machine does hits both.
"""

import argparse
import os
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from record import record

from fleetsight.accel.bundled import bundled_model
from fleetsight.accel.choose import target_module
from fleetsight.accel.session import Arrays, Session
from fleetsight.accel.sources.portable_source import portable_source
from fleetsight.accel.targets.options import Options

MODEL = "cooler-detector"
WAYS: tuple[tuple[str, dict[str, str]], ...] = (
    ("openvino", {}),
    ("onnxruntime", {}),
    ("torch", {"mode": "channels_last"}),
)
ROUNDS = 7


def rate(session: Session, batches: list[Arrays]) -> float:
    """Images per second through `map`."""
    start = time.perf_counter()
    for _ in session.map(batches):
        pass
    return len(batches) / (time.perf_counter() - start)


def measure(target: str, flags: dict[str, str], *, images: int, rounds: int) -> dict[str, Any]:
    """One target: alternating rounds on one core and on all of them."""
    module, source = target_module(target), portable_source(bundled_model(MODEL))
    cores = os.cpu_count() or 1
    precision = "bf16" if "bf16" in module.precisions() else "f32"
    shape = source.example[0].shape
    batches: list[Arrays] = [(np.random.default_rng(seed).random(shape, dtype=np.float32),) for seed in range(images)]
    with tempfile.TemporaryDirectory() as folder:
        module.compile(source, Options(precision=precision, flags=flags), folder=Path(folder))
        with (
            closing(module.load(Path(folder), streams=1, threads=1)) as one,
            closing(module.load(Path(folder), streams=cores, threads=cores)) as all_of_them,
        ):
            for session in (one, all_of_them):
                rate(session, batches)
            pairs = [(rate(one, batches), rate(all_of_them, batches)) for _ in range(rounds)]
            answers = zip(all_of_them.map(batches), (one.run(*batch) for batch in batches), strict=True)
            apart = max(float(np.abs(ours[0] - theirs[0]).max()) for ours, theirs in answers)
    ratios = sorted(wide / narrow for narrow, wide in pairs)
    return {
        "target": target,
        "precision": precision,
        "cores": cores,
        "one_core": statistics.median(pair[0] for pair in pairs),
        "all_cores": statistics.median(pair[1] for pair in pairs),
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "largest_difference": apart,
    }


def main() -> None:
    """Measure every target and record one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    told = parser.parse_args()
    found = [measure(target, flags, images=told.images, rounds=told.rounds) for target, flags in WAYS]
    rows = [
        [
            way["target"],
            way["precision"],
            f"{way['one_core']:.1f}",
            f"{way['all_cores']:.1f}",
            f"{way['ratio']:.2f} ({way['ratios'][0]:.2f} to {way['ratios'][-1]:.2f})",
            f"{way['largest_difference']:.1g}",
        ]
        for way in found
    ]
    columns = [
        "target",
        "precision",
        "images/s, one core",
        "images/s, all cores",
        "ratio (min to max)",
        "largest difference",
    ]
    record(
        "data_parallel",
        {
            "table": {"columns": columns, "rows": rows},
            "n": told.rounds,
            "detail": found,
            "model": MODEL,
            "command": f"python bench/bench_data_parallel.py --images {told.images} --rounds {told.rounds}",
        },
    )


if __name__ == "__main__":
    main()
