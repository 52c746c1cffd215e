"""A real Prometheus that scrapes one address of the loopback."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.services.postgres import free_port

WAIT_S = 60.0


@dataclass(frozen=True)
class Prometheus:
    """A running server.

    Attributes:
        address: of its API.
    """

    address: str

    def value(self, query: str) -> float:
        """The one value that a query gives, as soon as it gives one."""
        limit = time.monotonic() + WAIT_S
        while time.monotonic() < limit:
            results = self.lines(query)
            if results:
                ((_, value),) = [result["value"] for result in results]
                return float(value)
            time.sleep(0.1)
        raise AssertionError(f"Prometheus knows nothing of {query}")

    def lines(self, query: str) -> list[dict[str, Any]]:
        """What a query gives now; nothing while the server is not up yet."""
        try:
            answer = httpx.get(f"{self.address}/api/v1/query", params={"query": query}, timeout=10)
        except httpx.TransportError:
            return []
        assert answer.status_code != 400, answer.text  # it cannot read the query
        found: list[dict[str, Any]] = answer.json()["data"]["result"] if answer.status_code == 200 else []
        return found


@contextmanager
def running(binary: Path, folder: Path, *, target: str, rules: str = "") -> Iterator[Prometheus]:
    """Run a server that scrapes ``target`` (host and port) five times a second; it also evaluates rules (YAML)."""
    port = free_port()
    (folder / "rules.yml").write_text(rules)
    config = {
        "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms", "evaluation_interval": "500ms"},
        "rule_files": ["rules.yml"] if rules else [],
        "scrape_configs": [{"job_name": "fleetsight", "static_configs": [{"targets": [target]}]}],
    }
    file = folder / "prometheus.yml"
    file.write_text(json.dumps(config))  # JSON is YAML
    command = [str(binary), f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log, cwd=folder
        )
    try:
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()
