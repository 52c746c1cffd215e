"""Pools as Kubernetes manifests: for each a Deployment, a Service, its variant and profile as a ConfigMap, and a KEDA ScaledObject; one Service before them all.

Each pod is the whole service folded into one process group, one pod to an instance. Field names: Kubernetes API reference (apps/v1, v1),
KEDA `ScaledObject` v1alpha1 and its Prometheus scaler.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fleetsight.fleet.planning.render.pools import Pool, object_name
from fleetsight.fleet.planning.render.yaml_text import yaml_text

PORT = 8350
FOLDER = "/etc/fleetsight"
CPU_SHARE = 0.8
"""Share of an instance's processors a pod asks for: the rest is the node's own, and a second pod does not fit."""

POLL_S = 5
"""How often KEDA looks; its default of 30 s would decide too late (N7 of the serving reference)."""

COOL_S = 600
"""How long capacity stays after the rate fell: the memory of `fleetsight.serve.scaling.rule.ScalingRule`."""

STARTUP_S = 600
"""A pod may load and warm up so long before it is killed."""


@dataclass(frozen=True)
class Cluster:
    """Where pools run.

    Attributes:
        image: container image with fleetsight and its models.
        namespace: of all objects.
        prometheus: address that KEDA asks.
    """

    image: str
    namespace: str = "fleetsight"
    prometheus: str = "http://prometheus.monitoring:9090"


def kubernetes_yaml(pools: Sequence[Pool], cluster: Cluster) -> str:
    """Render the manifests.

    Args:
        pools: of one model, at least one.
        cluster: where they run.

    Returns:
        YAML of several documents.
    """
    documents: list[dict[str, Any]] = [_front(pools[0].profile.model, cluster)]
    for pool in pools:
        documents += [
            _variants(pool, cluster),
            _deployment(pool, cluster),
            _service(pool, cluster),
            _scaled(pool, cluster),
        ]
    return yaml_text(*documents)


def _meta(name: str, pool: Pool, cluster: Cluster) -> dict[str, Any]:
    return {"name": name, "namespace": cluster.namespace, "labels": _labels(pool)}


def _labels(pool: Pool) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "fleetsight",
        "fleetsight/pool": pool.name,
        "fleetsight/model": pool.profile.model,
    }


def _front(model: str, cluster: Cluster) -> dict[str, Any]:
    """The Service that callers use: every pod of the model."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": object_name(model), "namespace": cluster.namespace},
        "spec": {
            "selector": {"app.kubernetes.io/name": "fleetsight", "fleetsight/model": model},
            "ports": [{"name": "http", "port": PORT, "targetPort": "http"}],
        },
    }


def _variants(pool: Pool, cluster: Cluster) -> dict[str, Any]:
    rows = (
        "[[variant]]",
        f'model = "{pool.profile.model}"',
        f'variant = "{pool.profile.variant}"',
        f'source = "{pool.profile.model}"',
        f"usd_per_hour = {pool.usd_per_hour}",
        f"replicas = {pool.profile.replicas}",
        f"batch_max = {pool.profile.service[-1].batch}",
        f'profile = "{FOLDER}/profile.json"',
    )
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _meta(pool.name, pool, cluster),
        "data": {"variants.toml": "\n".join(rows) + "\n", "profile.json": pool.profile.to_json()},
    }


def _deployment(pool: Pool, cluster: Cluster) -> dict[str, Any]:
    devices = {
        name: count
        for name, count in (("nvidia.com/gpu", pool.gpus), ("aws.amazon.com/neuron", pool.neuron_devices))
        if count
    }
    container = {
        "name": "serve",
        "image": cluster.image,
        "command": ["fleetsight", "serve", "models", "--models", f"{FOLDER}/variants.toml", "--isolate"],
        "args": ["--host", "0.0.0.0", "--port", str(PORT)],
        "ports": [{"name": "http", "containerPort": PORT}],
        "resources": {
            "requests": {"cpu": f"{int(1000 * CPU_SHARE * pool.vcpus)}m", "memory": "2Gi", **devices},
            "limits": {"memory": "8Gi", **devices},
        },
        "startupProbe": _probe("/v2/health/ready", period_s=5, failures=STARTUP_S // 5),
        "readinessProbe": _probe("/v2/health/ready", period_s=1, failures=2),
        "livenessProbe": _probe("/v2/health/live", period_s=5, failures=6),
        "volumeMounts": [{"name": "variants", "mountPath": FOLDER, "readOnly": True}],
    }
    selector: dict[str, str] = {"node.kubernetes.io/instance-type": pool.profile.instance}
    if pool.purchase == "spot":
        selector["karpenter.sh/capacity-type"] = "spot"
    annotations = {"prometheus.io/scrape": "true", "prometheus.io/port": str(PORT), "prometheus.io/path": "/metrics"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(pool.name, pool, cluster),
        "spec": {
            "replicas": pool.count,
            "selector": {"matchLabels": {"fleetsight/pool": pool.name}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {"labels": _labels(pool), "annotations": annotations},
                "spec": {
                    "nodeSelector": selector,
                    "terminationGracePeriodSeconds": 30,
                    "containers": [container],
                    "volumes": [{"name": "variants", "configMap": {"name": pool.name}}],
                },
            },
        },
    }


def _probe(path: str, *, period_s: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period_s,
        "timeoutSeconds": 1,
        "failureThreshold": failures,
    }


def _service(pool: Pool, cluster: Cluster) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta(pool.name, pool, cluster),
        "spec": {
            "selector": {"fleetsight/pool": pool.name},
            "ports": [{"name": "http", "port": PORT, "targetPort": "http"}],
        },
    }


def _scaled(pool: Pool, cluster: Cluster) -> dict[str, Any]:
    query = f'sum(rate(fleetsight_serve_requests_total{{model="{pool.profile.model}",variant="{pool.profile.variant}"}}[30s]))'
    behaviour = {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "policies": [{"type": "Percent", "value": 200, "periodSeconds": POLL_S}],
        },
        "scaleDown": {"stabilizationWindowSeconds": COOL_S},
    }
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": _meta(pool.name, pool, cluster),
        "spec": {
            "scaleTargetRef": {"name": pool.name},
            "pollingInterval": POLL_S,
            "cooldownPeriod": COOL_S,
            "minReplicaCount": 1,
            "maxReplicaCount": pool.count_max,
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behaviour}},
            "triggers": [
                {
                    "type": "prometheus",
                    "metricType": "AverageValue",
                    "metadata": {
                        "serverAddress": cluster.prometheus,
                        "query": query,
                        "threshold": f"{pool.target_hz:g}",
                    },
                }
            ],
        },
    }
