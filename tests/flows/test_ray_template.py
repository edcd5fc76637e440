"""The template of a Ray cluster on Kubernetes: its schema, what it scales, what it keeps locked."""

import copy
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tasks.compute.cluster import workers_for
from tasks.run_file import Resources

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def ray_cluster() -> list[dict[str, Any]]:
    text = (ROOT / "deployments" / "ray" / "kuberay.yaml").read_text()
    return list(yaml.safe_load_all(text))


def test_the_ray_clusters_template_fits_what_we_know_of_its_schema(ray_cluster):
    """KubeRay's definition is not at hand offline: ours is kept by hand, strict, and smaller."""
    schema = yaml.safe_load((Path(__file__).parent / "kuberay_schema.yaml").read_text())
    cluster, _ = ray_cluster
    jsonschema.validate(cluster, schema)
    for place in (["spec"], ["spec", "headGroupSpec"], ["spec", "workerGroupSpecs", 0]):
        wrong = copy.deepcopy(cluster)
        part = wrong
        for step in place:
            part = part[step]
        part["maxReplica"] = 3
        with pytest.raises(jsonschema.ValidationError, match="maxReplica"):
            jsonschema.validate(wrong, schema)


def test_kubernetes_own_schema_knows_all_of_its_pods_and_of_its_policy(ray_cluster):
    cluster, policy = ray_cluster
    newest = kubernetes_validate.latest_version()
    kubernetes_validate.validate(policy, newest, strict=True)
    groups = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    for group in copy.deepcopy(groups):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"}, **group["template"]}
        kubernetes_validate.validate(pod, newest, strict=True)
        pod["spec"]["nodeSelectors"] = pod["spec"].pop("nodeSelector")
        with pytest.raises(kubernetes_validate.ValidationError, match="nodeSelectors"):
            kubernetes_validate.validate(pod, newest, strict=True)


def test_rays_own_autoscaler_reads_the_template(ray_cluster):
    from ray.autoscaler._private.kuberay import autoscaling_config

    derive = autoscaling_config._derive_autoscaling_config_from_ray_cr
    types = derive(ray_cluster[0])["available_node_types"]
    assert types["headgroup"]["resources"]["CPU"] == 0
    for name in ("gpu-spot", "gpu-on-demand"):
        found = types[name]
        assert (found["min_workers"], found["resources"]["GPU"]) == (0, 1)
        assert found["max_workers"] > 0
        wanted = Resources(cpus=8, gpus=1, workers=1)  # as the file tells users to ask
        assert workers_for([found["resources"]], wanted) == 1


def test_the_ray_cluster_is_locked_and_quiet_and_its_secrets_are_the_platforms(ray_cluster):
    cluster, policy = ray_cluster
    groups = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    containers = [group["template"]["spec"]["containers"][0] for group in groups]
    for env in [one["env"] for one in containers] + [cluster["spec"]["autoscalerOptions"]["env"]]:
        named = {one["name"]: one for one in env}
        assert named["RAY_AUTH_MODE"]["value"] == "token"
        assert named["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]["name"] == "avss-env"
        assert named["RAY_USAGE_STATS_ENABLED"]["value"] == "0"
    assert policy["kind"] == "NetworkPolicy"
    chosen = policy["spec"]["podSelector"]["matchLabels"]["ray.io/cluster"]
    assert chosen == cluster["metadata"]["name"]
    assert cluster["spec"]["rayVersion"] in (ROOT / "requirements.lock").read_text()
    assert cluster["spec"]["rayVersion"] in (ROOT / "deployments/ray/Dockerfile").read_text()
