"""Claim: ResNet-152, one picture at a time, answers at least 12 times as fast as default eager torch and 5 times tuned eager.

Weights are random, from a seed: the architecture decides the speed. Eager code is the transformers module; tuned eager is
the fastest of channels-last memory and bfloat16 autocast where the chip has it.
"""

import tempfile
from pathlib import Path

from compile_figures import PICTURES, Goal, best, finish, length, measure, offered, photographs, resnet_folder

from fleetsight.accel.measure.flow import Way


def main() -> None:
    """Measure one picture at a time in each precision."""
    run = length(rounds=7, seconds=4.0)
    ways = tuple(Way("openvino", precision) for precision in offered("f32", "bf16", "int8"))
    with tempfile.TemporaryDirectory() as root:
        pictures = photographs(4 if run.is_smoke else PICTURES)
        report = measure(resnet_folder(Path(root), (3, 8, 36, 3)), ways, pictures=pictures, run=run)
    fastest = best(report.rows)
    goals = [
        Goal("times as fast as default eager, batch 1", 12.0, fastest.ratio_default_eager if fastest else None),
        Goal("times as fast as tuned eager, batch 1", 5.0, fastest.ratio_tuned_eager if fastest else None),
    ]
    finish("compile_resnet152", [report], goals=goals, run=run, more={})


if __name__ == "__main__":
    main()
