"""The processes of `bench_overload.py`: an API, or a worker whose look at a clip costs a fixed time of a processor and finds a basket.

``python overload_service.py api FOLDER DESCRIPTOR`` and ``python overload_service.py worker FOLDER NUMBER``.
"""

import logging
import socket
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the pretended analysis is that of the tests

from fleetsight.apps.cooler.session.analysis import Analyst, Died, Found, Task, Unusable
from fleetsight.apps.cooler.session.duties.analysis_child import NICE
from fleetsight.clock import SystemClock
from fleetsight.fleet.installation import Choices, Installation
from fleetsight.fleet.processes.supervisor import end_with_supervisor
from fleetsight.fleet.processes.worker import run_worker
from fleetsight.web.app import make_app
from fleetsight.web.server import answer, services_of
from tests.chaos.service import Pretender, addresses

LOOK_CPU_S = 2.0
"""Less than half of what a real clip costs, so that there are more sessions to measure; requests cost as much as ever."""


CHILD = f"""
import json, os, sys, time
os.nice({NICE})
for line in sys.stdin:
    begin_s = time.process_time()
    while time.process_time() - begin_s < {LOOK_CPU_S}:
        sum(range(1000))
    print(json.dumps({{"kind": "failed", "reason": "only computed"}}), flush=True)
"""


class Busy(Pretender):
    """Lets a child compute for a while, as urgent as a real one, before it finds what the pretender finds."""

    def __init__(self) -> None:
        super().__init__()
        self._computes = Analyst(command=(sys.executable, "-c", CHILD))

    def analyse(self, task: Task) -> Found | Unusable | Died:
        self._computes.analyse(task)
        return super().analyse(task)

    def close(self) -> None:
        self._computes.close()


def installation(folder: Path) -> Installation:
    """The installation of a folder, with prepaid wallets."""
    return Installation.open(addresses(folder), Choices(open_signup=True), clock=SystemClock())


def main() -> None:
    """Be one of the processes until its parent is gone."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    role, folder, number = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    end_with_supervisor()
    opened = installation(folder)
    if role == "api":
        answer(make_app(services_of(opened)), socket.socket(fileno=number))
    else:
        run_worker(opened, number, stop=threading.Event(), known_dead=True, analyst=Busy())


if __name__ == "__main__":
    main()
