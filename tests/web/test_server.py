"""The API process serves an installation on the socket it was given, and ends in order."""

import signal
import subprocess
import sys
from pathlib import Path

import httpx

from fleetsight import settings
from fleetsight.fleet.processes.tree import listen

WAIT_S = 60.0


def test_the_api_answers_and_ends_in_order(tmp_path: Path) -> None:
    environ = settings.environment_with({"data_dir": tmp_path, "workers": 0, "port": 0})
    with listen("127.0.0.1", 0) as listening:
        command = [sys.executable, "-m", "fleetsight", "serve", "--only", "api", "--listen-fd", str(listening.fileno())]
        process = subprocess.Popen(command, env=environ, pass_fds=[listening.fileno()], stderr=subprocess.PIPE)
        try:
            address = f"http://127.0.0.1:{listening.getsockname()[1]}"
            assert httpx.get(f"{address}/healthz", timeout=WAIT_S).json() == {"status": "ok"}
            ready = httpx.get(f"{address}/readyz", timeout=WAIT_S)
            assert (ready.status_code, ready.json()["worker"]) == (503, "no worker holds a lease")
            assert "fleetsight_requests_total" in httpx.get(f"{address}/metrics", timeout=WAIT_S).text
            assert httpx.get(f"{address}/openapi.json", timeout=WAIT_S).json()["info"]["title"] == "fleetsight"
            process.send_signal(signal.SIGTERM)
            assert process.wait(WAIT_S) == 0
        finally:
            process.kill()
            process.communicate()
