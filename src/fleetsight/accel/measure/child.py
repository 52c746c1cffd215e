"""A process that measures one thing and holds nothing else: `python -m fleetsight.accel.measure.child`.

Two run times in one process share threads and caches, and an eager baseline can come out thirty times too slow beside
another one. So each compiled model and each baseline gets a process of its own. It reads one JSON object a line: first what
to open, then what to measure, as often as asked; the parent lets several take turns (`rounds`). Its standard output carries
answers only; everything else that libraries print goes to standard error. The end of its input ends it.
"""

import json
import logging
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np

from fleetsight.accel.measure.latency import Latency, MeasureError
from fleetsight.accel.measure.scenarios import (
    Beat,
    Subject,
    fleet,
    multi_stream,
    offline,
    server,
    service_times,
    single_stream,
    warm_up,
)
from fleetsight.accel.session import Arrays, Session
from fleetsight.errors import Error

log = logging.getLogger(__name__)

WARM_UP_S = 1.0
"""Long enough for caches, page faults and the second network of a session."""

QUERIES_MIN = 12
"""Fewest runs behind a latency, however slow the model is."""

QUERIES_MAX = 5000


def main() -> None:
    """Serve the parent until it closes our input."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin, answers)


def serve(asked: IO[str], answers: IO[str]) -> None:
    """Answer one JSON object for each that is asked.

    Args:
        asked: lines; the first opens what is measured.
        answers: gets one line for each.
    """
    subject: Subject | None = None
    for line in asked:
        try:
            request = json.loads(line)
            if subject is None:
                subject, answer = opened(request)
            else:
                answer = measured(subject, request)
        except Error as error:
            answer = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
        # The parent waits for an answer whatever a run time or a user's module raised: a named boundary.
        except Exception as error:
            log.exception("measurement failed request=%s", line.strip()[:200])
            answer = {"error": {"code": "child", "message": f"{type(error).__name__}: {error}"[:500], "hint": ""}}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    if subject is not None:
        subject.session.close()


def opened(request: Mapping[str, Any]) -> tuple[Subject, dict[str, Any]]:
    """Open what is to be measured, and warm it up.

    Args:
        request: "inputs" (a .npz of batches), "cores" (those this process may run on; empty: all), and either
            "target", "folder" and "streams", or "eager" ("default" or "tuned") and "model" (fields of `Asked`, and "models_dir").

    Returns:
        what is measured, and an answer with "load_s", "warm_up_s", "memory_mb" and "setting".
    """
    if request.get("cores"):
        os.sched_setaffinity(0, request["cores"])
    batches = read_batches(Path(request["inputs"]))
    before_mb = _peak_mb()
    began_s = time.perf_counter()
    session, setting = _open_eager(request, batches) if "eager" in request else _open_compiled(request)
    loaded_s = time.perf_counter()
    subject = Subject(session, batches, len(batches[0][0]))
    warm_up(subject, seconds=float(request.get("warm_up_s", WARM_UP_S)))
    return subject, {
        "load_s": loaded_s - began_s,
        "warm_up_s": time.perf_counter() - loaded_s,
        "memory_mb": _peak_mb() - before_mb,
        "setting": setting,
        "precision": session.precision,
    }


def measured(subject: Subject, request: Mapping[str, Any]) -> dict[str, Any]:
    """Measure once.

    Args:
        subject: what was opened.
        request: "do": one of `MEASUREMENTS`, and what that takes.

    Returns:
        the figures.

    Raises:
        MeasureError: there is no such measurement.
    """
    name = request.get("do")
    if name not in MEASUREMENTS:
        raise MeasureError(f"there is no measurement {name!r}", hint=f"there are: {', '.join(MEASUREMENTS)}")
    return MEASUREMENTS[name](subject, request)


def _turn(subject: Subject, request: Mapping[str, Any]) -> dict[str, Any]:
    """Times of single batches, and many at once, for about "seconds" each."""
    seconds = float(request["seconds"])
    first = service_times(subject, queries=QUERIES_MIN)
    one_s = sorted(first)[len(first) // 2]
    more = min(QUERIES_MAX, max(0, round(seconds / one_s) - len(first)))
    latency = Latency.of(first + (service_times(subject, queries=more) if more else []))
    # The number of samples for "seconds" follows from one picture after the other; streams make it shorter, never longer.
    found = offline(subject, samples=max(QUERIES_MIN, round(seconds / one_s)) * subject.size)
    return {"latency": asdict(latency), "images_per_s": found.images_per_s, "memory_mb": _peak_mb()}


def _multi_stream(subject: Subject, request: Mapping[str, Any]) -> dict[str, Any]:
    return asdict(multi_stream(subject, queries=int(request["queries"])))


def _single_stream(subject: Subject, request: Mapping[str, Any]) -> dict[str, Any]:
    return asdict(single_stream(subject, queries=int(request["queries"])))


def _server(subject: Subject, request: Mapping[str, Any]) -> dict[str, Any]:
    return asdict(server(subject, bound_ms=float(request["bound_ms"]), queries=int(request["queries"])))


def _fleet(subject: Subject, request: Mapping[str, Any]) -> dict[str, Any]:
    beat = Beat(rate_hz=float(request["rate_hz"]), deadline_ms=float(request["deadline_ms"]))
    return asdict(fleet(subject, beat, seconds=float(request["seconds"])))


MEASUREMENTS: dict[str, Callable[[Subject, Mapping[str, Any]], dict[str, Any]]] = {
    "turn": _turn,
    "single_stream": _single_stream,
    "multi_stream": _multi_stream,
    "server": _server,
    "fleet": _fleet,
}


def write_batches(path: Path, batches: tuple[Arrays, ...]) -> None:
    """Write batches where a child can read them.

    Args:
        path: ends in .npz.
        batches: each a tuple of arrays.
    """
    named = {f"{row}_{column}": array for row, batch in enumerate(batches) for column, array in enumerate(batch)}
    np.savez(path, **named)  # type: ignore[arg-type]  # numpy's stub takes its own options for arrays


def read_batches(path: Path) -> tuple[Arrays, ...]:
    """Read what `write_batches` wrote.

    Args:
        path: the file.

    Returns:
        the batches.

    Raises:
        MeasureError: it holds none.
    """
    rows: dict[int, list[tuple[int, Any]]] = {}
    with np.load(path, allow_pickle=False) as stored:
        for name in stored.files:
            row, column = map(int, name.split("_"))
            rows.setdefault(row, []).append((column, stored[name]))
    if not rows:
        raise MeasureError(f"{path} holds no batches")
    return tuple(tuple(array for _, array in sorted(rows[row], key=lambda entry: entry[0])) for row in sorted(rows))


def _open_compiled(request: Mapping[str, Any]) -> tuple[Session, dict[str, Any]]:
    from fleetsight.accel.choose import target_module

    module = target_module(request["target"])
    # Some run times count the machine's processors and not those they may use.
    setting = {"streams": request.get("streams"), "threads": len(request.get("cores") or ()) or None}
    session: Session = module.load(Path(request["folder"]), **setting)
    return session, setting


def _open_eager(request: Mapping[str, Any], batches: tuple[Arrays, ...]) -> tuple[Session, dict[str, Any]]:
    from fleetsight.accel.measure.baselines import Eager, EagerSession, eager_module, tuned
    from fleetsight.accel.measure.hardware import this_machine
    from fleetsight.accel.sources.reading import Asked

    raw = dict(request["model"])
    models_dir = Path(raw.pop("models_dir"))
    raw["size_wh"] = tuple(raw["size_wh"]) if raw["size_wh"] else None
    module = eager_module(Asked(**raw), models_dir=models_dir)
    setting = Eager()
    if request["eager"] == "tuned":
        setting = tuned(module, batches[0], bf16=this_machine().has_bf16)
    return EagerSession(module, batches[0], setting=setting), setting.as_json()


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


if __name__ == "__main__":
    main()
