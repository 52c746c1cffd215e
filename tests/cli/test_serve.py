"""`fleetsight serve` as an operator runs it: one command, and everything answers."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

WAIT_S = 120.0


@dataclass
class Served:
    """A service that runs."""

    process: "subprocess.Popen[str]"
    said: dict[str, str]
    data: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    data = tmp_path_factory.mktemp("served")
    environ = os.environ | {
        "FLEETSIGHT_DATA_DIR": str(data),
        "FLEETSIGHT_PORT": "0",
        "FLEETSIGHT_WORKERS": "1",
    }
    command = [sys.executable, "-m", "fleetsight", "serve", "--json"]
    with (
        (data / "log").open("w") as log,
        subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            said = json.loads(process.stdout.readline())
            limit_s = time.monotonic() + WAIT_S
            while httpx.get(f"{said['base_url']}/readyz", timeout=WAIT_S).status_code != httpx.codes.OK:
                assert time.monotonic() < limit_s, (data / "log").read_text()
                time.sleep(0.1)
            yield Served(process, said, data)
        finally:
            process.terminate()
            process.wait(WAIT_S)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json"])
def test_what_scripts_ask_for_is_there(served: Served, path: str) -> None:
    answer = httpx.get(f"{served.said['base_url']}{path}")
    assert answer.status_code == 200
    assert answer.content
    if path == "/openapi.json":
        assert "/v1/shopper/sessions" in answer.json()["paths"]
    if path == "/metrics":
        assert "fleetsight" in answer.text


def test_the_first_operator_gets_in_with_the_token_that_was_shown(served: Served) -> None:
    url, headers = served.said["base_url"], {"Authorization": f"Bearer {served.said['token']}"}
    assert httpx.get(f"{url}/v1/operator/sessions", headers=headers).json() == {"sessions": [], "cursor": None}
    assert served.said["sign_in"] == f"{url}/operator/sign-in"


def test_people_are_invited_while_it_runs(served: Served) -> None:
    environ = os.environ | {"FLEETSIGHT_DATA_DIR": str(served.data)}
    command = [sys.executable, "-m", "fleetsight", "invite", "Rita", "--role", "reviewer", "--json"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    headers = {"Authorization": f"Bearer {json.loads(done.stdout)['token']}"}
    answer = httpx.get(f"{served.said['base_url']}/v1/operator/reviews/next", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "no_case")


def test_it_ends_in_order_when_it_is_told_to(served: Served) -> None:
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(WAIT_S) == 0
    assert "Traceback" not in (served.data / "log").read_text()
