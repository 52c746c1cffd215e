"""Claim: ResNet-50 in int8 answers at least 250 pictures a second on a core with AMX, and two cores at least 1.8 times one.

MLPerf Inference v4.1, Offline, closed: 197 a second and core on two Xeon 8592+ (int8). Weights are random, from a seed: the
architecture decides the speed. Every way takes turns with the others in processes of their own.
"""

import os
import tempfile
from pathlib import Path

from compile_figures import PICTURES, Goal, best, finish, length, measure, offered, photographs, resnet_folder

from fleetsight.accel.measure.flow import Way

MLPERF_PER_CORE = 197.0
BATCHES = (1, 4, 8)


def main() -> None:
    """Measure both cores and one, each precision, three batches."""
    run = length(rounds=5, seconds=3.0)
    cores = sorted(os.sched_getaffinity(0))[:2]
    batches = BATCHES[:1] if run.is_smoke else BATCHES
    ways = [
        Way("openvino", precision, batch, None) for precision in offered("f32", "bf16", "int8") for batch in batches
    ]
    ways += [Way("openvino", "int8", batch, None, cores=(cores[0],)) for batch in batches]
    with tempfile.TemporaryDirectory() as root:
        pictures = photographs(4 if run.is_smoke else PICTURES)
        report = measure(resnet_folder(Path(root), (3, 4, 6, 3)), tuple(ways), pictures=pictures, run=run)
    both, one = (best(report.rows, precision="int8", cores=held) for held in ((), (cores[0],)))
    scaling = both.images_per_s / one.images_per_s if both and one else None
    goals = [
        Goal("int8 img/s per core, both cores at work", 250.0, both.images_per_s / len(cores) if both else None),
        Goal("int8 img/s, one core pinned", 250.0, one.images_per_s if one else None),
        Goal("both cores over one core", 1.8, scaling, needs_amx=False),
    ]
    finish("compile_resnet50", [report], goals=goals, run=run, more={"mlperf_per_core": MLPERF_PER_CORE})


if __name__ == "__main__":
    main()
