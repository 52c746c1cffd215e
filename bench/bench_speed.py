"""Claim: frames per second end to end, time per stage, peak memory and seconds to a basket, every frame processed.

Each run is a process of its own; the first is a warm-up and not counted.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from record import record

RUNS = 5
CLIP_S = 20
SIZES = ((640, 360), (1280, 720))
RATE_HZ = 30


def make_session(folder: Path, size_wh: tuple[int, int]) -> None:
    """A rendered session whose frames are repeated, forth and back, to a clip of 20 s."""
    from fractions import Fraction

    from fleetsight.sim.session import plan_session, render
    from fleetsight.sim.truth import session_truth, write_side_files
    from fleetsight.video.encode import write_clip

    plan = plan_session("basic", 5, size_wh=size_wh)
    frames = [frame.image for frame in render(plan)]
    wave = frames + frames[::-1]
    wanted = CLIP_S * RATE_HZ
    folder.mkdir(parents=True)
    repeated = (wave[i % len(wave)] for i in range(wanted))
    write_clip(folder / "clip.mp4", repeated, rate_hz=Fraction(RATE_HZ), crf=plan.crf)
    write_side_files(plan, session_truth(plan), folder=folder)


def one_run(folder: Path) -> dict[str, Any]:
    """Settle the clip in this process and say what it took."""
    from fleetsight.apps.cooler.flow import Engine, settle
    from fleetsight.apps.cooler.models import load_detector, load_embedder
    from fleetsight.catalog.planogram import Planogram
    from fleetsight.catalog.sku import Catalog

    engine = Engine.for_catalog(load_detector(), load_embedder(), catalog=Catalog.load(folder / "catalog"))
    settlement = settle(folder / "clip.mp4", engine, planogram=Planogram.load(folder / "planogram.json"))
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return {
        "frames": settlement.summary.frames,
        "frames_per_s": settlement.frames_per_s,
        "to_basket_s": settlement.elapsed_s,
        "stages_s": settlement.stages_s,
        "peak_mb": (own + child) / 1024,
    }


def main() -> None:
    """Measure each size in fresh processes."""
    rows = []
    detail: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as root:
        for size in SIZES:
            name = f"{size[0]}x{size[1]}"
            folder = Path(root) / name
            make_session(folder, size)
            command = [sys.executable, __file__, "--one", str(folder)]
            runs = [
                json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
                for _ in range(RUNS + 1)
            ][1:]
            rates = sorted(run["frames_per_s"] for run in runs)
            middle = {
                key: statistics.median(run[key] for run in runs) for key in ("frames_per_s", "to_basket_s", "peak_mb")
            }
            stages = {s: statistics.median(run["stages_s"][s] for run in runs) for s in runs[0]["stages_s"]}
            detail[name] = middle | {"rates": rates, "stages_s": stages, "frames": runs[0]["frames"]}
            rows.append(
                [
                    name,
                    f"{middle['frames_per_s']:.0f} ({rates[0]:.0f} to {rates[-1]:.0f})",
                    f"{middle['to_basket_s']:.1f} s",
                    ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in stages.items()),
                    f"{middle['peak_mb']:.0f} MB",
                ]
            )
    columns = [
        "clip of 20 s, 600 frames",
        "frames/s (min to max)",
        "to the basket",
        "seconds waited by stage",
        "peak memory",
    ]
    record(
        "speed",
        {
            "table": {"columns": columns, "rows": rows},
            "n": RUNS,
            "detail": detail,
            "command": "python bench/bench_speed.py",
        },
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(one_run(Path(sys.argv[2]))))
    else:
        main()
