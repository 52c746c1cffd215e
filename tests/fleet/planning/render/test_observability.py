import json
import re
import subprocess
from pathlib import Path

import yaml

from fleetsight.fleet.planning.render.observability import PANELS, PREFIX, dashboard_json, rules_yaml
from fleetsight.serve.tier.meter import Meter
from tests.fleet.planning.render.pooled import POOLS

BOARD = json.loads(dashboard_json("pets.v2"))
RULES = yaml.safe_load(rules_yaml(POOLS, slo_ms=100.0))["groups"][0]["rules"]


def test_panels_do_not_overlap_and_each_asks_for_the_chosen_model() -> None:
    spots = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in BOARD["panels"]]
    assert len(set(spots)) == len(PANELS)
    for panel in BOARD["panels"]:
        (target,) = panel["targets"]
        assert '{model="$model"' in target["expr"]
        assert "{p}" not in target["expr"]
        assert target["expr"].count("(") == target["expr"].count(")")
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(PANELS)


def test_every_pool_is_recorded_and_every_alarm_says_what_is_wrong() -> None:
    assert [rule["labels"]["pool"] for rule in RULES if "record" in rule] == [pool.name for pool in POOLS]
    alarms = [rule for rule in RULES if "alert" in rule]
    assert len(alarms) == 4
    assert all(rule["annotations"]["summary"] and rule["for"] for rule in alarms)
    assert "> 0.1" in next(rule["expr"] for rule in alarms if rule["alert"] == "FleetsightLate")


def test_prometheus_itself_reads_rules_and_panels(prometheus_binary: Path, tmp_path: Path) -> None:
    promtool = prometheus_binary.with_name("promtool")
    panels = [
        {"record": f"panel:{number}", "expr": panel["targets"][0]["expr"]}
        for number, panel in enumerate(BOARD["panels"])
    ]
    file, board = tmp_path / "rules.yaml", tmp_path / "board.yaml"
    file.write_text(rules_yaml(POOLS, slo_ms=100.0))
    board.write_text(json.dumps({"groups": [{"name": "board", "rules": panels}]}))
    done = subprocess.run(
        [str(promtool), "check", "rules", str(file), str(board)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_that_is_asked_for_is_one_that_the_data_plane_exports() -> None:
    meter = Meter()
    meter.watch(list, lambda: 0)
    exported = set()
    for family in meter.registry.collect():
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        exported |= {family.name + suffix for suffix in suffixes}
    expressions = [rule["expr"] for rule in RULES] + [panel["targets"][0]["expr"] for panel in BOARD["panels"]]
    asked = {name for expression in expressions for name in re.findall(r"fleetsight_\w+", expression)}
    assert len(asked) >= 10
    assert asked - exported == set()
    assert all(name.startswith(PREFIX) for name in asked)
