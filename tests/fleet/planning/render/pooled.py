"""A plan with a CPU, a GPU and Neuron on spot; the golden files beside this module are rendered from it.

``python -m tests.fleet.planning.render.pooled`` writes them again; the difference is reviewed.
"""

from dataclasses import replace
from pathlib import Path

from fleetsight.fleet.planning.render.kubernetes import Cluster, kubernetes_yaml
from fleetsight.fleet.planning.render.observability import dashboard_json, rules_yaml
from fleetsight.fleet.planning.render.pools import Pool
from fleetsight.fleet.planning.render.ray_cluster import ray_yaml
from tests.serve.test_profile import PROFILE

GOLDEN = Path(__file__).parent / "golden"
IMAGE = "registry.example/fleetsight:1.0"


def pool(variant: str, instance: str, *, replicas: int = 2, **values: object) -> Pool:
    profile = replace(PROFILE, model="pets.v2", variant=variant, instance=instance, replicas=replicas)
    defaults = {
        "profile": profile,
        "purchase": "on_demand",
        "count": 3,
        "target_hz": 41.5,
        "vcpus": 4,
        "gpus": 0,
        "neuron_cores": 0,
        "neuron_devices": 0,
        "usd_per_hour": 0.1785,
    }
    return Pool(**(defaults | values))  # type: ignore[arg-type]


POOLS = (
    pool("openvino", "c7i.xlarge"),
    pool("cuda", "g5.xlarge", gpus=1, count=1, replicas=1, target_hz=280.0, usd_per_hour=1.006),
    pool("neuron", "inf2.xlarge", purchase="spot", neuron_cores=2, neuron_devices=1, count=2, usd_per_hour=0.21),
)


def rendered() -> dict[str, str]:
    return {
        "kubernetes.yaml": kubernetes_yaml(POOLS, Cluster(image=IMAGE)),
        "ray-cluster.yaml": ray_yaml(POOLS, image=IMAGE, region="us-east-1"),
        "prometheus-rules.yaml": rules_yaml(POOLS, slo_ms=100.0),
        "grafana-dashboard.json": dashboard_json("pets.v2"),
    }


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name, text in rendered().items():
        (GOLDEN / name).write_text(text, encoding="utf-8")
