"""Pools as a Ray cluster: a node type for each, with the resources that replicas ask for. Field names: Ray's cluster YAML reference."""

from collections.abc import Sequence
from typing import Any

from fleetsight.fleet.planning.render.pools import Pool, object_name
from fleetsight.fleet.planning.render.yaml_text import yaml_text

HEAD_INSTANCE = "m7i.large"
"""The head runs no replica; Ray's own processes take about 0.7 GB idle and its documentation asks for 8 GB (serving reference, section 6 and 7)."""

IDLE_MINUTES = 10
"""How long an idle node stays: the memory of the scaling rule."""


def ray_yaml(pools: Sequence[Pool], *, image: str, region: str) -> str:
    """Render the cluster configuration.

    Args:
        pools: of one model, at least one.
        image: container image with fleetsight, its models and Ray.
        region: of the provider.

    Returns:
        YAML for `ray up`.
    """
    head: dict[str, Any] = {"resources": {"CPU": 0}, "node_config": {"InstanceType": HEAD_INSTANCE}}
    return yaml_text(
        {
            "cluster_name": f"fleetsight-{object_name(pools[0].profile.model)}",
            "max_workers": sum(pool.count_max for pool in pools),
            "upscaling_speed": 10.0,
            "idle_timeout_minutes": IDLE_MINUTES,
            "provider": {"type": "aws", "region": region},
            "auth": {"ssh_user": "ubuntu"},
            "docker": {"image": image, "container_name": "fleetsight"},
            "head_node_type": "head",
            "available_node_types": {"head": head, **{pool.name: _node_type(pool) for pool in pools}},
            "head_start_ray_commands": [
                "ray stop",
                "ray start --head --port=6379 --autoscaling-config=~/ray_bootstrap_config.yaml --dashboard-host=127.0.0.1",
            ],
            "worker_start_ray_commands": ["ray stop", "ray start --address=$RAY_HEAD_IP:6379"],
        }
    )


def _node_type(pool: Pool) -> dict[str, Any]:
    resources: dict[str, float] = {"CPU": pool.vcpus, f"pool_{pool.name}": pool.profile.replicas}
    if pool.gpus:
        resources["GPU"] = pool.gpus
    if pool.neuron_cores:
        resources["neuron_cores"] = pool.neuron_cores
    node: dict[str, Any] = {"InstanceType": pool.profile.instance}
    if pool.purchase == "spot":
        node["InstanceMarketOptions"] = {"MarketType": "spot"}
    return {"resources": resources, "min_workers": pool.count, "max_workers": pool.count_max, "node_config": node}
