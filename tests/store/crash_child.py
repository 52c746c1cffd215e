"""A process that dies at a crash point: ``python -m tests.store.crash_child ACTION FOLDER POINT NTH``."""

import os
import sys
from pathlib import Path

from fleetsight.clock import SystemClock
from fleetsight.store.blobs import Blobs
from fleetsight.store.canonical import JsonObject
from fleetsight.store.crashpoint import arm
from fleetsight.store.jobs import Jobs, Steps
from fleetsight.store.outbox import Outbox
from fleetsight.store.rows import Rows
from tests.contracts.jobs_contract import ended

CLIP = bytes(range(256)) * 10_000
DEAD = "worker-0.1"


def effect(folder: Path, key: str) -> int:
    """What the world outside sees: a line in a file."""
    with (folder / "effects").open("a") as file:
        file.write(f"{key}\n")
        file.flush()
        os.fsync(file.fileno())
    return len(key)


def settle(steps: Steps, arguments: JsonObject) -> JsonObject:
    """A job of three steps."""
    folder = Path(arguments["folder"])
    for name in ("hold", "capture", "receipt"):
        steps.run(name, lambda name=name: effect(folder, f"{steps.job_id}:{name}"))  # type: ignore[misc]
    return {"receipt": steps.job_id}


def put_blob(folder: Path) -> None:
    Blobs.open((folder / "blobs").as_uri()).put_bytes(CLIP)


def deliver(folder: Path) -> None:
    outbox = Outbox(Rows.open(f"sqlite:///{folder}/rows.db"), SystemClock())
    for letter in outbox.claim(["settle"], 10, lease_s=30):
        effect(folder, letter.key)
        outbox.finish(letter.key)


def run_job(folder: Path) -> None:
    jobs = Jobs(f"sqlite:///{folder}/jobs.db", executor_id=DEAD)
    jobs.define("settle", settle)
    jobs.launch()
    jobs.enqueue("settle", "s1", arguments={"folder": str(folder)})
    ended(jobs, "s1")
    sys.exit("the job ended before the crash")


ACTIONS = {"put_blob": put_blob, "deliver": deliver, "run_job": run_job}

if __name__ == "__main__":
    action, place, point, nth = sys.argv[1:]
    arm(point, int(nth))
    ACTIONS[action](Path(place))
