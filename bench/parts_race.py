"""A model compiled in parts against transformers eager: compile, race in clean processes, write the table down.

What a bench of one model says of itself is a `Study`. Its script is started again for every contender, with `--eager FOLDER KIND`
or `--compiled PLAN`.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from race import Times, middle_ms, race, serve, spread_ms
from record import record

Tasks = Mapping[str, Callable[[], Any]]


@dataclass(frozen=True)
class Study:
    """One model and what is asked of it.

    Attributes:
        name: of the result file.
        script: the bench's file.
        tasks: in the order of measuring.
        make_folder: takes a folder and `small`: writes a configuration without weights, with `small` of a tiny network.
        eager: is transformers, of one kind, until its orders end.
        compiled: what the compiled pipeline does for each task, from its sessions and settings.
        requests: takes a folder and `slow_int8`: what to compile, by contender.
        answers: compare the whole too, not the parts alone.
        turns: rounds, and runs in each.
        more: fields of the result beside the usual ones.
    """

    name: str
    script: str
    tasks: tuple[str, ...]
    make_folder: Callable[..., None]
    eager: Callable[[Path, str], None]
    compiled: Callable[[dict[str, Any], dict[str, Any]], Tasks]
    requests: Callable[..., Mapping[str, Any]]
    answers: bool
    turns: tuple[int, int]
    more: Mapping[str, Any]


def run(study: Study) -> None:
    """Be the bench, or one of its contenders, as the command line says.

    Args:
        study: what is measured.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=study.turns[0])
    parser.add_argument("--runs", type=int, default=study.turns[1])
    parser.add_argument("--small", action="store_true", help="A tiny network through the same code.")
    parser.add_argument("--int8", action="store_true", help="Quantise where it takes minutes and 10 GB too.")
    parser.add_argument("--eager", nargs=2)
    parser.add_argument("--compiled", type=Path)
    options = parser.parse_args()
    if options.eager:
        study.eager(Path(options.eager[0]), options.eager[1])
    elif options.compiled:
        _be_compiled(study, options.compiled)
    else:
        _measure(study, options)


def tuned_kinds() -> tuple[str, ...]:
    """Tuned baselines; torch's bf16 is tens of times slower than float32 where the processor has no such arithmetic."""
    return ("f32", "bf16") if native_precision() == "bf16" else ("f32",)


def native_precision() -> str:
    """The fastest float arithmetic of this processor."""
    from fleetsight.accel.targets import openvino

    return "bf16" if "bf16" in openvino.precisions() else "f32"


def picture() -> Any:
    """A 1280 x 720 picture, as a camera gives it."""
    import cv2

    from fleetsight.accel.proving.pictures import made_up_pictures

    return cv2.resize(made_up_pictures(1).images[0], (1280, 720))


def _be_compiled(study: Study, plan: Path) -> None:
    """Be the compiled pipeline; torch stays out of the process."""
    from fleetsight.accel.artifacts.artifact import Artifact

    said = json.loads(plan.read_text(encoding="utf-8"))
    sessions = {
        name: Artifact.open(folder, trusted=said["trusted"]).session() for name, folder in said["parts"].items()
    }
    serve(study.compiled(sessions, said["settings"]))
    assert "torch" not in sys.modules


def _measure(study: Study, options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        folder = root / "model"
        study.make_folder(folder, small=options.small)
        plans, detail = _compile_all(study, root, study.requests(folder, slow_int8=options.int8))
        kinds = ("default", *tuned_kinds())
        commands = {f"eager {kind}": [study.script, "--eager", str(folder), kind] for kind in kinds}
        commands |= {kind: [study.script, "--compiled", str(plan)] for kind, plan in plans.items()}
        times = race(commands, study.tasks, rounds=options.rounds, runs=options.runs)
    result = {
        "table": _table(study, times, detail),
        "note": "random weights; median (min to max), times faster than eager default / than the faster tuned eager",
        "n": options.rounds * options.runs,
        **study.more,
        "small": options.small,
        "times_s": times,
        "parity": detail,
        "command": f"python bench/{Path(study.script).name}",
    }
    record(f"{study.name}_small" if options.small else study.name, result)


def _compile_all(
    study: Study, root: Path, requests: Mapping[str, Any]
) -> tuple[dict[str, Path], dict[str, dict[str, Any]]]:
    """Gates speak; a part they refuse leaves its contender out, a whole they refuse is measured and marked."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from fleetsight.accel.artifacts.cache import ArtifactCache
    from fleetsight.accel.parts.flow import compile_parts, compile_recipe
    from fleetsight.errors import Error

    cache = ArtifactCache(root / "cache", Ed25519PrivateKey.generate())
    plans: dict[str, Path] = {}
    detail: dict[str, dict[str, Any]] = {}
    for name, request in requests.items():
        print(f"compiling {name}", file=sys.stderr, flush=True)
        try:
            parts, settings = compile_parts(request, cache)
        except Error as error:
            detail[name] = {"refused": error.message}
            continue
        detail[name] = {"parts": {part.name: dict(part.artifact.manifest.parity["outputs"]) for part in parts}}
        if study.answers:
            try:
                detail[name]["answers"] = compile_recipe(request, cache).artifact.manifest.parity["answers"]
            except Error as error:
                detail[name]["refused"] = error.message
        plan: dict[str, Any] = {"parts": {part.name: str(part.artifact.folder) for part in parts}, "settings": settings}
        plans[name] = root / f"{len(plans)}.json"
        plans[name].write_text(json.dumps(plan | {"trusted": sorted(cache.trusted)}), encoding="utf-8")
    return plans, detail


def _table(study: Study, times: Times, detail: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    best = {task: min(middle_ms(times[f"eager {kind}"][task]) for kind in tuned_kinds()) for task in study.tasks}
    rows = []
    for kind, mine in times.items():
        row = [kind]
        for task in study.tasks:
            ratio = middle_ms(times["eager default"][task]) / middle_ms(mine[task])
            row.append(f"{spread_ms(mine[task])}, {ratio:.2f}x / {best[task] / middle_ms(mine[task]):.2f}x")
        if study.answers:
            said = detail.get(kind, {})
            answers = said.get("answers")
            row.append(f"{answers['same']} of {answers['asked']}" if answers else str(said.get("refused", "")))
        rows.append(row)
    columns = ["contender", *(f"{task}, ms" for task in study.tasks)]
    return {"columns": [*columns, "answers of the original"] if study.answers else columns, "rows": rows}
