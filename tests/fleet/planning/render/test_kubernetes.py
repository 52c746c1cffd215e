import tomllib
from typing import Any

import yaml

from fleetsight.fleet.planning.render.kubernetes import PORT, Cluster, kubernetes_yaml
from tests.fleet.planning.render.pooled import IMAGE, POOLS

DOCUMENTS: list[dict[str, Any]] = list(yaml.safe_load_all(kubernetes_yaml(POOLS, Cluster(image=IMAGE))))

FIELDS = {  # documented fields: Kubernetes API reference (apps/v1, core/v1), KEDA ScaledObject v1alpha1
    "Deployment.spec": {"replicas", "selector", "strategy", "template"},
    "Service.spec": {"selector", "ports"},
    "ScaledObject.spec": {
        "scaleTargetRef",
        "pollingInterval",
        "cooldownPeriod",
        "minReplicaCount",
        "maxReplicaCount",
        "advanced",
        "triggers",
    },
    "container": {
        "name",
        "image",
        "command",
        "args",
        "ports",
        "resources",
        "startupProbe",
        "readinessProbe",
        "livenessProbe",
        "volumeMounts",
    },
    "probe": {"httpGet", "periodSeconds", "timeoutSeconds", "failureThreshold"},
    "pod": {"nodeSelector", "terminationGracePeriodSeconds", "containers", "volumes"},
}


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [document for document in DOCUMENTS if document["kind"] == kind]


def test_each_pool_has_its_objects_and_there_is_one_front() -> None:
    kinds = [(document["apiVersion"], document["kind"]) for document in DOCUMENTS]
    for each in (("v1", "ConfigMap"), ("apps/v1", "Deployment"), ("keda.sh/v1alpha1", "ScaledObject")):
        assert kinds.count(each) == len(POOLS)
    assert kinds.count(("v1", "Service")) == len(POOLS) + 1
    names = [(document["kind"], document["metadata"]["name"]) for document in DOCUMENTS]
    assert len(set(names)) == len(names)


def test_fields_are_those_that_are_documented() -> None:
    for document in DOCUMENTS:
        assert set(document) <= {"apiVersion", "kind", "metadata", "spec", "data"}
        if document["kind"] in ("Deployment", "Service", "ScaledObject"):
            assert set(document["spec"]) <= FIELDS[f"{document['kind']}.spec"]
    for deployment in of_kind("Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert set(pod) <= FIELDS["pod"]
        assert set(container) <= FIELDS["container"]
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert set(container[name]) <= FIELDS["probe"]


def test_selectors_find_the_pods_that_the_templates_make() -> None:
    pods = [one["spec"]["template"]["metadata"]["labels"] for one in of_kind("Deployment")]
    for deployment, labels in zip(of_kind("Deployment"), pods, strict=True):
        assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    found = [
        sum(service["spec"]["selector"].items() <= labels.items() for labels in pods) for service in of_kind("Service")
    ]
    assert found == [len(POOLS), *[1] * len(POOLS)]


def test_scaling_follows_the_knee_of_each_pool() -> None:
    for pool, scaled in zip(POOLS, of_kind("ScaledObject"), strict=True):
        (trigger,) = scaled["spec"]["triggers"]
        assert float(trigger["metadata"]["threshold"]) == pool.target_hz
        assert all(isinstance(value, str) for value in trigger["metadata"].values())
        assert f'variant="{pool.profile.variant}"' in trigger["metadata"]["query"]
        assert scaled["spec"]["scaleTargetRef"]["name"] == pool.name
        assert scaled["spec"]["pollingInterval"] <= 5


def test_accelerators_are_asked_for_and_only_where_they_are() -> None:
    limits = [
        one["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"].keys() - {"memory"}
        for one in of_kind("Deployment")
    ]
    assert limits == [set(), {"nvidia.com/gpu"}, {"aws.amazon.com/neuron"}]
    nodes = [one["spec"]["template"]["spec"]["nodeSelector"] for one in of_kind("Deployment")]
    assert [node.get("karpenter.sh/capacity-type") for node in nodes] == [None, None, "spot"]


def test_a_pod_gets_its_variant_as_toml_and_its_profile() -> None:
    for pool, config in zip(POOLS, of_kind("ConfigMap"), strict=True):
        (row,) = tomllib.loads(config["data"]["variants.toml"])["variant"]
        assert (row["model"], row["variant"], row["replicas"]) == (
            pool.profile.model,
            pool.profile.variant,
            pool.profile.replicas,
        )
    ports = {
        one["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"] for one in of_kind("Deployment")
    }
    assert ports == {PORT}
