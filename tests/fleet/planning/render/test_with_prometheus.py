"""The dashboard and the rules against a real Prometheus that scrapes a real data plane."""

import json
import time
from pathlib import Path
from typing import Any

from fleetsight.fleet.planning.render.observability import dashboard_json, rules_yaml
from fleetsight.serve.tier.plan import Variant
from tests.fleet.planning.render.pooled import POOLS
from tests.serve.http.serving import Running, running
from tests.services import prometheus

MODEL = POOLS[0].profile.model
VARIANT = POOLS[0].profile.variant
JPEG = b"\xff\xd8\xff\xd9"
WAIT_S = 60.0

QUIET = {"Refused by reason", "Deaths of backends"}
"""Panels without a line while nothing goes wrong."""


def with_traffic(service: Running, server: prometheus.Prometheus, query: str) -> list[dict[str, Any]]:
    """Send frames until a query has an answer."""
    until = time.monotonic() + WAIT_S
    found: list[dict[str, Any]] = []
    while not found and time.monotonic() < until:
        for _ in range(5):
            service.infer(JPEG, model=MODEL)
        time.sleep(0.2)
        found = server.lines(query)
    return found


def test_every_panel_and_rule_has_a_line_for_a_server_that_answers(prometheus_binary: Path, tmp_path: Path) -> None:
    variant = Variant(MODEL, VARIANT, "sleep:3", usd_per_hour=0.2)
    rules = rules_yaml(POOLS, slo_ms=1.0)  # less than the engine takes
    with (
        running(variant) as service,
        prometheus.running(prometheus_binary, tmp_path, target=f"127.0.0.1:{service.port}", rules=rules) as server,
    ):
        empty = []
        for panel in json.loads(dashboard_json(MODEL))["panels"]:
            query = panel["targets"][0]["expr"].replace("$model", MODEL)
            found = server.lines(query) if panel["title"] in QUIET else with_traffic(service, server, query)
            if not found and panel["title"] not in QUIET:
                empty.append(panel["title"])
        assert empty == []
        (recorded,) = with_traffic(service, server, f'fleetsight_pool:frames:rate1m{{pool="{POOLS[0].name}"}}')
        assert float(recorded["value"][1]) > 0
        pending = with_traffic(service, server, 'ALERTS{alertname="FleetsightLate"}')
        assert [one["metric"]["alertstate"] for one in pending] == ["pending"]
