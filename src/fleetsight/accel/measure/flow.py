"""A bench of one model: compile every way that was asked for, prove it, measure it beside eager code, and report.

    asked -> source -> compiled folders (proved) -> children that take turns -> rows -> report

What fails (a precision that a chip lacks, a gate, a process that dies) becomes a line of the report and stops nothing else.
"""

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np

from fleetsight.accel.artifacts.artifact import COMPILED_FOLDER
from fleetsight.accel.artifacts.cache import ArtifactCache
from fleetsight.accel.choose import target_module
from fleetsight.accel.compiling import compile_int8, compile_model, with_calibration
from fleetsight.accel.measure.child import write_batches
from fleetsight.accel.measure.hardware import this_machine
from fleetsight.accel.measure.latency import MeasureError
from fleetsight.accel.measure.report import (
    EAGER_DEFAULT,
    EAGER_TUNED,
    Failed,
    Measured,
    Priced,
    Report,
    make_row,
)
from fleetsight.accel.measure.rounds import Child, ChildError, Turns, open_all, take_turns
from fleetsight.accel.measure.scenarios import Beat
from fleetsight.accel.proving.parity import GateError, Gates, compare
from fleetsight.accel.proving.proof import reference_of
from fleetsight.accel.session import Arrays
from fleetsight.accel.sources.reading import Asked, read_source
from fleetsight.accel.sources.source import Source
from fleetsight.accel.targets.options import Options
from fleetsight.errors import Error

log = logging.getLogger(__name__)

INPUT_BATCHES = 4
"""Different batches that a child cycles through: more would only fill memory, one alone would sit in the cache."""

OPEN_AT_ONCE = 6
"""Compiled models that take turns with the baselines at a time; each keeps its weights in memory."""

FLEET_S = 5.0
"""Length of the run that confirms a fleet: with five cameras 125 frames, of which one may be late."""

LIBRARIES = ("openvino", "onnxruntime", "torch", "nncf", "transformers", "numpy")


@dataclass(frozen=True)
class Way:
    """One way to run the model.

    Attributes:
        target: name of the target.
        precision: arithmetic inside.
        batch: pictures in a batch, >= 1.
        streams: requests side by side; None: the target's own choice.
        cores: processors it may run on; empty: all.
    """

    target: str
    precision: str
    batch: int = 1
    streams: int | None = 1
    cores: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """A name that no other way has."""
        pinned = f" on {','.join(map(str, self.cores))}" if self.cores else ""
        return f"{self.target} {self.precision} b{self.batch} s{self.streams}{pinned}"

    @property
    def compiled(self) -> "Way":
        """What is compiled for it; streams and cores share it."""
        return replace(self, streams=None, cores=())


@dataclass(frozen=True)
class Plan:
    """What to measure, and how long.

    Attributes:
        asked: the model.
        models_dir: the store of imported models.
        ways: how to run it.
        rounds: how often each takes its turn.
        seconds: of a turn: half for single batches, half for many at once.
        eager: kinds of eager baselines; empty: none, and no ratios.
        scenarios: also measure MLPerf's scenarios and the fleet's for each row.
        bound_ms: of the scenario Server.
        beat: of the cameras of the scenario Fleet.
    """

    asked: Asked
    models_dir: Path
    ways: tuple[Way, ...]
    rounds: int = 5
    seconds: float = 1.0
    eager: tuple[str, ...] = (EAGER_DEFAULT, EAGER_TUNED)
    scenarios: bool = False
    bound_ms: float = 100.0
    beat: Beat = field(default_factory=Beat)


@dataclass(frozen=True)
class Ready:
    """A model that was compiled, and what its gates said.

    Attributes:
        folder: what the target wrote.
        verdict: whether its answers are those of float32 eager code.
        detail: the gates' figures.
    """

    folder: Path
    verdict: Literal["pass", "fail"]
    detail: Mapping[str, Any]


Tell = Callable[[str], None]


def bench_model(
    plan: Plan, gates: Gates, *, cache: ArtifactCache, priced: Priced | None = None, tell: Tell = log.info
) -> Report:
    """Measure a model.

    Args:
        plan: what to measure.
        gates: pictures, and the limits of agreement.
        cache: compiled models are taken from it and put into it.
        priced: for dollars; None: none.
        tell: hears what is being done.

    Returns:
        the report.

    Raises:
        ModelError: there is no such model.
        SourceError: it cannot be read.
        MeasureError: there is nothing to measure.
    """
    if not plan.ways or plan.rounds < 1:
        raise MeasureError(f"nothing to measure: {len(plan.ways)} ways in {plan.rounds} rounds")
    source = read_source(plan.asked, models_dir=plan.models_dir)
    with TemporaryDirectory(prefix="fleetsight-bench-") as folder:
        desk = _Desk(plan, gates, cache, folder=Path(folder), tell=tell)
        compiled, failed = desk.compile_all(source)
        rows, eager, lost = desk.measure_all(compiled)
    return Report(
        model=source.name,
        hardware=str(this_machine()),
        rows=tuple(make_row(one, turns, priced=priced) for one, turns in rows),
        baselines={kind: tuple(make_row(one, {}, priced=priced) for one in many) for kind, many in eager.items()},
        failed=tuple(failed + lost),
        notes=_notes(source, plan, gates),
        priced=priced,
        versions=dict(_versions()),
        made_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


Rows = list[tuple[Measured, Mapping[str, Sequence[Measured]]]]


@dataclass(frozen=True)
class _Desk:
    """What the steps of one bench share."""

    plan: Plan
    gates: Gates
    cache: ArtifactCache
    folder: Path
    tell: Tell

    def compile_all(self, source: Source) -> tuple[dict[Way, Ready], list[Failed]]:
        """Compile and prove each target, precision and batch once; streams share what was compiled."""
        inputs = self.gates.inputs_of(source)
        for batch in {way.batch for way in self.plan.ways} | {1}:
            write_batches(self._inputs(batch), batches_of(inputs, batch))
        done: dict[Way, Ready | Error] = {}
        for way in self.plan.ways:
            key = way.compiled
            if key not in done:
                self.tell(f"compiling {way.target} {way.precision}, batch {way.batch}")
                done[key] = self._compile(way)
        found = {way: done[way.compiled] for way in self.plan.ways}
        good = {way: one for way, one in found.items() if isinstance(one, Ready)}
        bad = [_failed(way, one) for way, one in found.items() if isinstance(one, Error)]
        return good, bad

    def _compile(self, way: Way) -> "Ready | Error":
        try:
            source = read_source(replace(self.plan.asked, batch=way.batch), models_dir=self.plan.models_dir)
            options = Options(precision=way.precision, batch=way.batch, model_kind=source.model_kind)
            if not source.is_trained and way.precision == "int8":
                # Ranges of random weights mean nothing, so made-up pictures do for them.
                options = replace(options, calibration=tuple(self.gates.inputs_of(source)))
            make = compile_int8 if way.precision == "int8" and source.is_trained else compile_model
            try:
                artifact = make(source, way.target, options=options, gates=self.gates, cache=self.cache).artifact
            except GateError as error:
                self.tell(f"{error.message}; it is measured all the same")
                return self._refused(way, source, options)
        except Error as error:
            return error
        return Ready(artifact.folder / COMPILED_FOLDER, "pass", artifact.manifest.parity)

    def _refused(self, way: Way, source: Source, options: Options) -> Ready:
        """What failed its gates is no artifact; it lives as long as the bench, and its row says that it fails."""
        folder = self.folder / way.name.replace(" ", "-")
        folder.mkdir()
        target = target_module(way.target)
        target.compile(source, with_calibration(options, source, gates=self.gates), folder=folder)
        with closing(target.load(folder)) as session:
            parity = compare(reference_of(source, self.gates), session, source=source, gates=self.gates)
        return Ready(folder, "pass" if parity.passed else "fail", parity.as_json())

    def measure_all(self, compiled: Mapping[Way, Ready]) -> tuple[Rows, dict[str, list[Measured]], list[Failed]]:
        """Measure in groups, each with the baselines, which stay open."""
        rows: Rows = []
        failed: list[Failed] = []
        merged: dict[str, list[Measured]] = {}
        with ExitStack() as stack:
            if self.plan.eager:
                self.tell("starting eager baselines")
            baselines = self._open_baselines(stack)
            ways = list(compiled)
            for start in range(0, len(ways), OPEN_AT_ONCE):
                group = {way: compiled[way] for way in ways[start : start + OPEN_AT_ONCE]}
                found, lost, eager = self._measure_group(group, baselines)
                rows += [(one, eager) for one in found]
                failed += lost
                merged = merged or {kind: list(many) for kind, many in eager.items()}
        return rows, merged, failed

    def _open_baselines(self, stack: ExitStack) -> dict[str, Child]:
        model = asdict(self.plan.asked) | {"models_dir": str(self.plan.models_dir)}
        batches = {EAGER_DEFAULT: [1], EAGER_TUNED: sorted({way.batch for way in self.plan.ways} | {1})}
        requests = {
            f"{kind} {batch}": {**self._request(batch), "eager": kind, "model": model}
            for kind in self.plan.eager
            for batch in batches[kind]
        }
        opened = open_all(requests, stack)
        for name, one in opened.items():
            if isinstance(one, ChildError):
                raise MeasureError(
                    f"the eager baseline {name!r} failed: {one.message}", hint="leave it out: --no-eager"
                )
        return {name: one for name, one in opened.items() if isinstance(one, Child)}

    def _measure_group(
        self, group: Mapping[Way, Ready], baselines: Mapping[str, Child]
    ) -> tuple[list[Measured], list[Failed], dict[str, list[Measured]]]:
        names = {way.name: way for way in group}
        requests = {
            way.name: {
                **self._request(way.batch),
                "target": way.target,
                "folder": str(one.folder),
                "streams": way.streams,
                "cores": list(way.cores),
            }
            for way, one in group.items()
        }
        with ExitStack() as stack:
            self.tell(f"measuring {', '.join(names)}")
            opened = open_all(requests, stack)
            ready = {name: one for name, one in opened.items() if isinstance(one, Child)}
            asked = {"do": "turn", "seconds": self.plan.seconds / 2}
            turns = take_turns({**baselines, **ready}, asked, rounds=self.plan.rounds)
            more = {name: self._scenarios(names[name], child) for name, child in ready.items() if self.plan.scenarios}
        eager: dict[str, list[Measured]] = {}
        for name in baselines:
            kind, batch = name.split()
            if isinstance(found := turns[name], Turns):
                eager.setdefault(kind, []).append(Measured("torch-eager", int(batch), 1, turns=found))
        good, bad = [], []
        for name, way in names.items():
            result = turns.get(name, opened[name])
            if isinstance(result, Turns):
                one = group[way]
                good.append(
                    Measured(
                        way.target,
                        way.batch,
                        way.streams,
                        result,
                        cores=way.cores,
                        parity=one.verdict,
                        parity_detail=one.detail,
                        scenarios=more.get(name, {}),
                    )
                )
            elif isinstance(result, ChildError):
                bad.append(_failed(way, result))
        return good, bad, eager

    def _scenarios(self, way: Way, child: Child) -> dict[str, Any]:
        asked: dict[str, dict[str, Any]] = {
            "multi_stream": {"queries": 50},
            "server": {"bound_ms": self.plan.bound_ms, "queries": 200},
            "fleet": asdict(self.plan.beat) | {"seconds": FLEET_S},
        }
        if way.batch == 1:
            asked["single_stream"] = {"queries": 200}
        self.tell(f"scenarios of {way.name}")
        try:
            return {name: child.ask({"do": name, **request}) for name, request in asked.items()}
        except ChildError as error:
            return {"failed": str(error)}

    def _request(self, batch: int) -> dict[str, Any]:
        return {"inputs": str(self._inputs(batch))}

    def _inputs(self, batch: int) -> Path:
        return self.folder / f"inputs-{batch}.npz"


def batches_of(inputs: Sequence[Arrays], batch: int) -> tuple[Arrays, ...]:
    """Full batches of real inputs.

    Args:
        inputs: of batch 1, at least one.
        batch: rows in each, >= 1.

    Returns:
        at most `INPUT_BATCHES`; inputs are used again when there are too few.
    """
    count = min(INPUT_BATCHES, max(1, -(-len(inputs) // batch)))
    endless = itertools.cycle(inputs)
    groups = [list(itertools.islice(endless, batch)) for _ in range(count)]
    return tuple(tuple(np.concatenate(ports) for ports in zip(*group, strict=True)) for group in groups)


def _failed(way: Way, error: Error) -> Failed:
    return Failed(way.target, way.precision, way.batch, way.streams, str(error))


def _notes(source: Source, plan: Plan, gates: Gates) -> tuple[str, ...]:
    notes = [f"inputs: {gates.origin_of(source)}"]
    if not source.is_trained:
        notes.append("random weights: speed is that of the architecture, agreement says little about trained weights")
    if source.module is None and plan.eager:
        notes.append("eager code is made of the model's graph: there is no torch module of its author")
    if not this_machine().has_amx:
        notes.append("this processor has no AMX: int8 and bf16 gain far less here than on one that has")
    return tuple(notes)


def _versions() -> Iterator[tuple[str, str]]:
    for library in LIBRARIES:
        try:
            yield library, version(library)
        except PackageNotFoundError:
            continue
