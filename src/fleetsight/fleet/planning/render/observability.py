"""What people watch: Prometheus rules and a Grafana dashboard over the metrics that the inference service exports.

Metric names are those of the data plane (`fleetsight_serve_*`); a test compares them with what a server really exports.
"""

import json
from collections.abc import Sequence
from typing import Any

from fleetsight.fleet.planning.render.pools import Pool
from fleetsight.fleet.planning.render.yaml_text import yaml_text

PREFIX = "fleetsight_serve_"
REFUSED_SHARE = 0.01
"""More refusals than this are an alarm: at the knee 99 % are answered in time."""

PANELS: tuple[tuple[str, str, str, str], ...] = (
    ("Frames a second", "reqps", "{{variant}}", "sum by (variant) (rate({p}requests_total{answered}[1m]))"),
    ("Refused by reason", "reqps", "{{reason}}", "sum by (reason) (rate({p}refused_total{m}[1m]))"),
    (
        "Latency, p50",
        "s",
        "{{priority}}",
        "histogram_quantile(0.5, sum by (le, priority) (rate({p}request_duration_seconds_bucket{m}[1m])))",
    ),
    (
        "Latency, p99",
        "s",
        "{{priority}}",
        "histogram_quantile(0.99, sum by (le, priority) (rate({p}request_duration_seconds_bucket{m}[1m])))",
    ),
    ("Waiting at the router", "short", "{{variant}}", "sum by (variant) ({p}queue_frames{m})"),
    ("Age of the oldest", "s", "{{variant}}", "max by (variant) ({p}queue_age_seconds{m})"),
    (
        "Frames in a batch",
        "short",
        "{{variant}}",
        "sum by (variant) (rate({p}batch_frames_sum{m}[1m])) / sum by (variant) (rate({p}batch_frames_count{m}[1m]))",
    ),
    (
        "Service time by prediction",
        "short",
        "{{variant}}",
        "sum by (variant) (rate({p}service_time_ratio_sum{m}[5m])) / sum by (variant) (rate({p}service_time_ratio_count{m}[5m]))",
    ),
    ("Backends up", "short", "{{variant}}", "sum by (variant) ({p}backends_up{m})"),
    ("Deaths of backends", "short", "{{variant}}", "sum by (variant) (increase({p}backend_deaths_total{m}[5m]))"),
    ("Dollars an hour", "currencyUSD", "{{variant}}", "sum by (variant) ({p}usd_per_hour{m})"),
    (
        "Dollars for a million frames, as it runs",
        "currencyUSD",
        "paid",
        "sum({p}usd_per_hour{m}) / 3600 / sum(rate({p}requests_total{answered}[5m])) * 1e6",
    ),
)
"""Title, unit (Grafana's name), legend and query of each panel."""


def dashboard_json(model: str) -> str:
    """Render the dashboard.

    Args:
        model: shown first; any other can be chosen.

    Returns:
        JSON that Grafana imports.
    """
    panels = [_panel(number, *panel) for number, panel in enumerate(PANELS)]
    variable = {
        "name": "model",
        "type": "query",
        "datasource": _DATASOURCE,
        "query": f"label_values({PREFIX}requests_total, model)",
        "refresh": 2,
        "current": {"text": model, "value": model},
    }
    whole = {
        "title": "fleetsight: inference service",
        "uid": "fleetsight-serve",
        "schemaVersion": 39,
        "tags": ["fleetsight"],
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "5s",
        "templating": {"list": [{"name": "source", "type": "datasource", "query": "prometheus"}, variable]},
        "panels": panels,
    }
    return json.dumps(whole, indent=1) + "\n"


_DATASOURCE = {"type": "prometheus", "uid": "${source}"}


def _panel(number: int, title: str, unit: str, legend: str, query: str) -> dict[str, Any]:
    expression = query.replace("{p}", PREFIX).replace("{m}", '{model="$model"}')
    expression = expression.replace("{answered}", '{model="$model",variant!=""}')
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "datasource": _DATASOURCE,
        "gridPos": {"x": 12 * (number % 2), "y": 8 * (number // 2), "w": 12, "h": 8},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [{"refId": "A", "datasource": _DATASOURCE, "expr": expression, "legendFormat": legend}],
    }


def rules_yaml(pools: Sequence[Pool], *, slo_ms: float) -> str:
    """Render Prometheus rules: the rate of each pool by its knee, and alarms.

    Args:
        pools: of one model, at least one.
        slo_ms: deadline of a frame.

    Returns:
        YAML for Prometheus' `rule_files`.
    """
    model = pools[0].profile.model
    of_model = f'{{model="{model}"}}'
    records = [
        {
            "record": "fleetsight_pool:frames:rate1m",
            "expr": f'sum(rate({PREFIX}requests_total{{model="{model}",variant="{pool.profile.variant}"}}[1m]))',
            "labels": {"pool": pool.name},
        }
        for pool in pools
    ]
    refused = f"sum(rate({PREFIX}refused_total{of_model}[5m]))"
    answered = f'sum(rate({PREFIX}requests_total{{model="{model}",variant!=""}}[5m]))'
    late = f"histogram_quantile(0.99, sum by (le) (rate({PREFIX}request_duration_seconds_bucket{of_model}[5m])))"
    alarms = [
        _alarm(
            "FleetsightRefuses",
            f"{refused} / ({answered} + {refused}) > {REFUSED_SHARE}",
            "more than 1 % of the frames are refused",
        ),
        _alarm("FleetsightLate", f"{late} > {slo_ms / 1000:g}", f"the slowest hundredth takes more than {slo_ms:g} ms"),
        _alarm(
            "FleetsightPoolGone", f"sum by (variant) ({PREFIX}backends_up{of_model}) == 0", "a variant has no backend"
        ),
        _alarm(
            "FleetsightMispredicts",
            f"sum(rate({PREFIX}service_time_ratio_sum{of_model}[15m])) / sum(rate({PREFIX}service_time_ratio_count{of_model}[15m])) > 1.25",
            "batches take a quarter longer than the profile says: measure again",
        ),
    ]
    return yaml_text({"groups": [{"name": f"fleetsight-{model}", "rules": [*records, *alarms]}]})


def _alarm(name: str, expression: str, words: str) -> dict[str, Any]:
    return {
        "alert": name,
        "expr": expression,
        "for": "5m",
        "labels": {"severity": "page"},
        "annotations": {"summary": words},
    }
