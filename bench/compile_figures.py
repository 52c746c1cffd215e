"""What the benches of compiled models share: models at full size, the run itself, and goals beside what was measured.

Goals are those for two cores with AMX. On another processor the same figures are recorded, and a goal that is not reached there
says that it needs AMX instead of being missed.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from record import record

from fleetsight.accel.artifacts.cache import ArtifactCache
from fleetsight.accel.measure.flow import Plan, Way, bench_model
from fleetsight.accel.measure.hardware import this_machine
from fleetsight.accel.measure.prices import Prices
from fleetsight.accel.measure.report import Priced, Report, Row
from fleetsight.accel.proving.parity import Gates
from fleetsight.accel.proving.pictures import Pictures, made_up_pictures, read_pictures
from fleetsight.accel.sources.reading import Asked

SHARED = Path(os.environ.get("FLEETSIGHT_SHARED") or Path(__file__).resolve().parents[2] / "shared")

PICTURES = 32
"""Photographs for calibration and gates: random weights have no ranges worth more of them."""

PRICED_AS = "c7i.xlarge"
"""Two cores with AMX; on another processor dollars are what the same speed would cost there."""

COLUMNS = [
    "way",
    "p50 ms",
    "p99 ms",
    "img/s (± half spread)",
    "x default eager",
    "x tuned eager",
    "parity",
    "$/million",
]


@dataclass(frozen=True)
class Goal:
    """What was promised, and what came of it.

    Attributes:
        figure: what is measured, in words.
        wanted: at least this.
        measured: what it was; None when it could not be measured.
        needs_amx: the promise is for a processor with AMX.
    """

    figure: str
    wanted: float
    measured: float | None
    needs_amx: bool = True

    def as_row(self) -> list[str]:
        """The goal as a row of the results."""
        if self.measured is None:
            verdict = "not measured"
        elif self.measured >= self.wanted:
            verdict = "met"
        else:
            verdict = "not comparable: no AMX" if self.needs_amx and not this_machine().has_amx else "missed"
        return [self.figure, f"{self.wanted:g}", "" if self.measured is None else f"{self.measured:.4g}", verdict]


@dataclass(frozen=True)
class Length:
    """How long a bench runs.

    Attributes:
        rounds: turns of each way.
        seconds: of a turn.
        is_smoke: only whether it works; nothing is recorded.
    """

    rounds: int
    seconds: float
    is_smoke: bool


def length(*, rounds: int = 7, seconds: float = 4.0) -> Length:
    """Read `--smoke` from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--smoke", action="store_true", help="one short round; nothing is recorded")
    is_smoke = parser.parse_args().smoke
    return Length(1, 0.1, True) if is_smoke else Length(rounds, seconds, False)


def resnet_folder(root: Path, depths: tuple[int, ...]) -> Path:
    """A folder as Hugging Face has it, with an architecture at full size and no weights: they are random, from a seed."""
    folder = root / f"resnet-{2 + 3 * sum(depths)}"
    folder.mkdir()
    config = {
        "model_type": "resnet",
        "architectures": ["ResNetForImageClassification"],
        "depths": list(depths),
        "hidden_sizes": [256, 512, 1024, 2048],
        "layer_type": "bottleneck",
        "num_labels": 1000,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def photographs(count: int = PICTURES) -> Pictures:
    """Photographs of the shared folder; made-up pictures where it is absent."""
    folder = SHARED / "data/grocery-store/train"
    return read_pictures(folder, limit=count) if folder.is_dir() else made_up_pictures(count)


def digest_of_names(*names: str) -> str:
    """A digest for pictures that are named and not files."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def measure(model: Path | str, ways: tuple[Way, ...], *, pictures: Pictures, run: Length) -> Report:
    """Bench one model, with an artifact cache that lives as long.

    Args:
        model: what `fleetsight bench model` takes.
        ways: how to run it.
        pictures: to calibrate and to prove on.
        run: how long.
    """
    prices = Prices.load()
    priced = Priced(PRICED_AS, prices.on_demand(PRICED_AS), 1.0, prices.dated.isoformat())
    with tempfile.TemporaryDirectory(prefix="bench-artifacts-") as folder:
        cache = ArtifactCache(Path(folder), Ed25519PrivateKey.generate())
        plan = Plan(Asked(str(model)), Path(folder) / "models", ways, rounds=run.rounds, seconds=run.seconds)
        report = bench_model(plan, Gates(pictures=pictures), cache=cache, priced=priced, tell=_tell)
    for failed in report.failed:
        _tell(f"failed: {failed.target} {failed.precision}: {failed.reason}")
    return report


def offered(*wanted: str) -> tuple[str, ...]:
    """Those precisions that OpenVINO computes natively here."""
    from fleetsight.accel.targets import openvino

    return tuple(name for name in wanted if name in openvino.precisions())


def best(rows: tuple[Row, ...], **fields: object) -> Row | None:
    """The row of most pictures a second among those with the given fields."""
    fitting = [row for row in rows if all(getattr(row, name) == value for name, value in fields.items())]
    return max(fitting, key=lambda row: row.images_per_s, default=None)


def table(*reports: Report) -> dict[str, Any]:
    """Rows of reports as a table of the results."""
    rows = []
    for report in reports:
        for kind, eager in report.baselines.items():
            rows += [[f"{report.model}: eager {kind}, batch {row.batch}", *_cells(row)] for row in eager]
        rows += [[f"{report.model}: {_way(row)}", *_cells(row)] for row in report.rows]
        rows += [
            [f"{report.model}: {one.target} {one.precision} b{one.batch}", *[""] * 5, f"failed: {one.reason}", ""]
            for one in report.failed
        ]
    return {"columns": COLUMNS, "rows": rows}


def parity_of(*reports: Report) -> dict[str, Any]:
    """What the gates measured, by model and way: accuracy beside speed."""
    return {f"{report.model}: {_way(row)}": dict(row.parity_detail) for report in reports for row in report.rows}


def finish(name: str, reports: Sequence[Report], *, goals: Sequence[Goal], run: Length, more: dict[str, Any]) -> None:
    """Record what was measured; a smoke run prints it instead.

    Args:
        name: of the results.
        reports: with all rows.
        goals: what was promised.
        run: how long it ran.
        more: what else belongs to the results.
    """
    result = {
        "table": table(*reports),
        "goals": {"columns": ["figure", "wanted", "measured", "verdict"], "rows": [goal.as_row() for goal in goals]},
        "parity": parity_of(*reports),
        "notes": [f"{report.model}: {note}" for report in reports for note in report.notes],
        "chip": reports[0].hardware,
        "software": dict(reports[0].versions),
        "n": run.rounds,
        "command": f"python bench/bench_{name}.py",
        **more,
    }
    if run.is_smoke:
        print(json.dumps(result, indent=1))
    else:
        record(name, result)


def _way(row: Row) -> str:
    streams = "auto" if row.streams is None else row.streams
    pinned = f", {len(row.cores)} core" if row.cores else ""
    return f"{row.target} {row.precision}, batch {row.batch}, streams {streams}{pinned}"


def _cells(row: Row) -> list[str]:
    return [
        f"{row.p50_ms:.1f}",
        f"{row.p99_ms:.1f}",
        f"{row.images_per_s:.1f} (± {50 * row.spread:.0f} %)",
        "" if row.ratio_default_eager is None else f"{row.ratio_default_eager:.2f}",
        "" if row.ratio_tuned_eager is None else f"{row.ratio_tuned_eager:.2f}",
        row.parity or "",
        "" if row.usd_per_million is None else f"{row.usd_per_million:.3f}",
    ]


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
