"""The process that looks at clips: it loads the models once per assortment and settles one clip after the other.

It reads one task a line from its standard input and writes one answer a line to its standard output. It ends with its whole
process group when its input ends, so that neither it nor a decoder outlives the worker. Its one argument says with how many threads
the bundled models will be wanted (0: every core): they are loaded before the first task comes.
"""

import json
import logging
import os
import queue
import resource
import signal
import sys
import threading
import time
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from fleetsight.errors import Error
from fleetsight.video.media_error import MediaCrashedError, MediaEncodeError, MediaError, MediaTimeoutError

if TYPE_CHECKING:
    from fleetsight.apps.cooler.flow import Engine

ENGINES = 4
"""Loaded at a time; one takes about 100 MB, and a worker serves the coolers of a few retailers."""
_TRANSIENT = (MediaCrashedError, MediaTimeoutError, MediaEncodeError)
"""The machine's fault rather than the clip's."""

NICE = 10
"""Requests and whoever holds locks of the database go first: an unlock must not wait for a video."""

LOG = logging.getLogger(__name__)


def main() -> None:
    """Answer tasks until the input ends."""
    os.nice(NICE)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is talk
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    tasks: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin, tasks), daemon=True).start()
    _load(int(sys.argv[1]) or None)
    while True:
        answers.write(json.dumps(answer(tasks.get())) + "\n")
        answers.flush()


def answer(task: dict[str, Any]) -> dict[str, Any]:
    """Do one task.

    Args:
        task: `clip`, `catalog`, `out` and `planogram` (paths; the last may be None), `model` (empty: the bundled detector), `threads`.
    Returns:
        `kind` found, unusable or failed, with what belongs to it.
    """
    begin = time.monotonic()
    try:
        found = _settle(task)
    except _TRANSIENT as error:
        return {"kind": "failed", "reason": f"{error.code}: {error}"}
    except MediaError as error:
        return {"kind": "unusable", "code": error.code, "reason": str(error)}
    except Error as error:
        return {"kind": "failed", "reason": f"{error.code}: {error}"}
    except Exception as error:
        LOG.exception("analysis failed clip=%s", task.get("clip"))
        return {"kind": "failed", "reason": f"{type(error).__name__}: {error}"}
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"kind": "found", **found, "elapsed_s": time.monotonic() - begin, "peak_ram_bytes": peak_kb * 1024}


def _load(threads: int | None) -> None:
    """Do now what the first clip would wait for; what is wrong with a model is that clip's answer."""
    from fleetsight.apps.cooler import flow  # noqa: F401 - takes a second to import
    from fleetsight.apps.cooler.models import load_detector, load_embedder

    try:
        load_detector(threads=threads)
        load_embedder(threads=threads)
    except Error as error:
        LOG.warning("models not loaded reason=%s", error)


def _settle(task: dict[str, Any]) -> dict[str, Any]:
    from fleetsight.apps.cooler import flow
    from fleetsight.apps.cooler.show import evidence, report
    from fleetsight.catalog.planogram import Planogram

    engine = _engine(task["catalog"], task["model"], task["threads"], trusted=tuple(task["trusted"]))
    planogram = Planogram.load(Path(task["planogram"])) if task["planogram"] else None
    settlement = flow.settle(Path(task["clip"]), engine, planogram=planogram)
    written = evidence.write_evidence(settlement, Path(task["out"]))
    return {"report": report.as_json(settlement), "evidence": written, "end_s": settlement.end_s}


@lru_cache(maxsize=ENGINES)
def _engine(catalog: str, model: str, threads: int | None, *, trusted: tuple[str, ...]) -> "Engine":
    from fleetsight.accel.artifacts.opening import open_detector
    from fleetsight.apps.cooler.flow import Engine
    from fleetsight.apps.cooler.models import load_detector, load_embedder
    from fleetsight.catalog.sku import Catalog

    detector = (
        open_detector(Path(model), models_dir=None, trusted=trusted, threads=threads)
        if model
        else load_detector(threads=threads)
    )
    return Engine.for_catalog(detector, load_embedder(threads=threads), catalog=Catalog.load(Path(catalog)))


def _listen(source: IO[str], tasks: "queue.SimpleQueue[dict[str, Any]]") -> None:
    for line in source:
        tasks.put(json.loads(line))
    os.killpg(0, signal.SIGKILL)  # the worker is gone; decoders are of this group


if __name__ == "__main__":
    main()
