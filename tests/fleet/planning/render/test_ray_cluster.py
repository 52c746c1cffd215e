import yaml

from fleetsight.fleet.planning.render.ray_cluster import ray_yaml
from tests.fleet.planning.render.pooled import IMAGE, POOLS

CLUSTER = yaml.safe_load(ray_yaml(POOLS, image=IMAGE, region="eu-west-1"))
DOCUMENTED = {  # Ray, "Cluster YAML Configuration Options"
    "cluster_name",
    "max_workers",
    "upscaling_speed",
    "idle_timeout_minutes",
    "docker",
    "provider",
    "auth",
    "available_node_types",
    "head_node_type",
    "head_start_ray_commands",
    "worker_start_ray_commands",
}


def test_fields_are_those_that_are_documented() -> None:
    assert set(CLUSTER) == DOCUMENTED
    for node in CLUSTER["available_node_types"].values():
        assert set(node) <= {"resources", "min_workers", "max_workers", "node_config"}


def test_each_pool_is_a_node_type_with_its_accelerators() -> None:
    nodes = CLUSTER["available_node_types"]
    assert set(nodes) == {"head", *(pool.name for pool in POOLS)}
    assert CLUSTER["head_node_type"] == "head"
    assert nodes["pets-v2-cuda"]["resources"]["GPU"] == 1
    assert nodes["pets-v2-neuron"]["resources"]["neuron_cores"] == 2
    assert nodes["pets-v2-neuron"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert [nodes[pool.name]["min_workers"] for pool in POOLS] == [pool.count for pool in POOLS]
    assert CLUSTER["max_workers"] == sum(nodes[pool.name]["max_workers"] for pool in POOLS)
    assert CLUSTER["provider"] == {"type": "aws", "region": "eu-west-1"}


def test_replicas_find_their_pool_by_a_custom_resource() -> None:
    for pool in POOLS:
        assert CLUSTER["available_node_types"][pool.name]["resources"][f"pool_{pool.name}"] == pool.profile.replicas
