"""Work pools: what the templates hand to Prefect's workers fits, and names every key and secret."""

import copy
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import botocore.loaders
import botocore.model
import botocore.validate
import kubernetes_validate
import prefect
import pytest
import yaml
from prefect.utilities.schema_tools import validate
from prefect.utilities.templating import apply_values
from prefect.workers.process import ProcessWorker

ROOT = Path(__file__).parent.parent.parent


def prefects_own(kind: str) -> dict[str, Any]:
    """The base job template that Prefect ships for a kind of work pool."""
    if kind == "process":
        return ProcessWorker.get_default_base_job_template()
    path = Path(prefect.__file__).parent / "server/api/collections_data/views"
    known = json.loads((path / "aggregate-worker-metadata.json").read_text())
    workers = {name: it for workers in known.values() for name, it in workers.items()}
    return workers[kind]["default_base_job_configuration"]


def rendered(template: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The job that a worker makes of a base job template and a deployment's variables."""
    known = template["variables"]["properties"]
    defaults = {name: one["default"] for name, one in known.items() if "default" in one}
    values = defaults | {"command": "prefect flow-run execute", "name": "run"} | given
    job: dict[str, Any] = apply_values(template["job_configuration"], values, remove_notset=True)
    return job


def ours(kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The base job template for a kind of pool, ours or Prefect's, and our job variables."""
    pools = ROOT / "deployments" / "pools"
    base = pools / f"{kind.removesuffix('-gpu')}-base.json"
    template = json.loads(base.read_text()) if base.exists() else prefects_own(kind)
    return template, yaml.safe_load((pools / f"{kind}.yaml").read_text())


KINDS = ["process", "docker", "kubernetes", "kubernetes-gpu", "ecs", "ecs-gpu"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_pools_job_variables_fit_its_template_and_fill_it(kind):
    template, given = ours(kind)
    schema = template["variables"]
    assert not set(given) - set(schema["properties"])
    validate(given, schema, raise_on_error=True)
    with pytest.raises(Exception, match="7"):
        validate(given | {"env": 7}, schema, raise_on_error=True)
    job = json.dumps(rendered(template, given))
    assert "{{" not in job
    for value in given.values():
        if isinstance(value, str):
            assert json.dumps(value)[1:-1] in job


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_container_finds_both_keys_where_it_is_told_to_look(kind):
    base, given = ours(kind)
    keys = [Path(given["env"][name]) for name in ("AVSS_JOB_KEY", "AVSS_MODEL_KEY")]
    (folder,) = {str(key.parent) for key in keys}
    if kind == "docker":
        assert f"{folder}:{folder}:ro" in given["volumes"]
        return
    job = base["job_configuration"]
    if "ecs" in kind:
        (container,) = job["task_definition"]["containerDefinitions"]
        assert container["secrets"] == [
            {"name": "AVSS_JOB_KEY_TEXT", "valueFrom": "{{ job_key_secret }}"},
            {"name": "AVSS_MODEL_KEY_TEXT", "valueFrom": "{{ model_key_secret }}"},
        ]
        assert set(base["variables"]["required"]) == {"job_key_secret", "model_key_secret"}
        return
    (first,) = job["job_manifest"]["spec"]["template"]["spec"]["initContainers"]
    secret = next(one["mountPath"] for one in first["volumeMounts"] if one["name"] == "key-secret")
    copied = [f"{secret}/{key.name}" for key in keys]
    assert first["command"] == ["install", "-m", "0600", "-t", folder, *copied]


def test_the_images_entry_point_writes_keys_for_their_owner_and_forgets_the_variables(tmp_path):
    files = {name: tmp_path / name for name in ("AVSS_JOB_KEY", "AVSS_MODEL_KEY")}
    given = {name: str(path) for name, path in files.items()}
    given |= {f"{name}_TEXT": f"line 1 of {name}\nline 2" for name in files}
    command = ["sh", str(ROOT / "deployments" / "entrypoint.sh"), "env"]
    done = subprocess.run(
        command, env=os.environ | given, capture_output=True, text=True, check=True
    )
    for name, path in files.items():
        assert path.read_text() == f"line 1 of {name}\nline 2\n"
        assert path.stat().st_mode & 0o777 == 0o600
        assert f"{name}={path}" in done.stdout
    assert "line 1" not in done.stdout


@pytest.mark.parametrize("kind", ["kubernetes", "ecs"])
def test_our_base_job_templates_are_prefects_own_and_a_little_more(kind):
    template, _ = ours(kind)
    own = copy.deepcopy(prefects_own(kind))
    if (
        kind == "kubernetes"
    ):  # Prefect's puts them into the pod, where Kubernetes knows no such fields
        job = own["job_configuration"]["job_manifest"]["spec"]
        for name in ("parallelism", "completions"):
            job[name] = job["template"]["spec"].pop(name)
    assert within(own["job_configuration"], template["job_configuration"])
    assert within(own["variables"]["properties"], template["variables"]["properties"])


def within(less: Any, more: Any) -> bool:
    """Whether everything of one JSON value stands in another that may say more."""
    if isinstance(less, dict):
        return all(key in more and within(value, more[key]) for key, value in less.items())
    if isinstance(less, list):
        return len(less) == len(more) and all(map(within, less, more))
    return less == more


@pytest.mark.parametrize("kind", ["kubernetes", "ecs"])
def test_only_the_gpu_variables_ask_for_gpus(kind):
    asked = {}
    for name in (kind, f"{kind}-gpu"):
        template, values = ours(name)
        job = apply_values(template["job_configuration"], values, remove_notset=True)
        asked[name] = "gpu" in json.dumps(job).lower().replace("avss-gpu-spot", "")
    assert asked == {kind: False, f"{kind}-gpu": True}


@pytest.fixture(params=["kubernetes", "kubernetes-gpu"])
def kubernetes_job(request) -> dict[str, Any]:
    """The manifest that Prefect's worker sends: variables as a list, the command in words."""
    manifest = rendered(*ours(request.param))["job_manifest"]
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": name, "value": it} for name, it in container["env"].items()]
    container["args"] = container["args"].split()
    return manifest


def test_kubernetes_own_schema_knows_all_of_a_rendered_job(kubernetes_job):
    newest = kubernetes_validate.latest_version()
    kubernetes_validate.validate(kubernetes_job, newest, strict=True)


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        (("spec",), "backoffLimits", 0),
        (("spec", "template", "spec"), "parallelism", 1),
        (("spec", "template", "spec", "containers", 0), "resources", {"limit": {}}),
        (("spec", "template", "spec", "volumes", 0), "configMap", "avss-config"),
    ],
)
def test_kubernetes_own_schema_refuses_a_slip(kubernetes_job, place, name, value):
    part = kubernetes_job
    for step in place:
        part = part[step]
    part[name] = value
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(
            kubernetes_job, kubernetes_validate.latest_version(), strict=True
        )


def ecs_faults(operation: str, asked: dict[str, Any]) -> str:
    """What the AWS client's model of the service has against a request; empty if nothing."""
    service = botocore.model.ServiceModel(
        botocore.loaders.Loader().load_service_model("ecs", "service-2"), "ecs"
    )
    shape = service.operation_model(operation).input_shape
    report: str = botocore.validate.ParamValidator().validate(asked, shape).generate_report()
    return report


@pytest.mark.parametrize("kind", ["ecs", "ecs-gpu"])
def test_the_aws_clients_model_knows_all_of_a_rendered_ecs_task(kind):
    """As Prefect's worker sends it: a name, variables as a list, sizes of a task as text."""
    job = rendered(*ours(kind))
    task, run = job["task_definition"], job["task_run_request"]
    (container,) = task["containerDefinitions"]
    container["name"] = "prefect"
    for part in (task, run["overrides"]):
        part.update(cpu=str(part["cpu"]), memory=str(part["memory"]))
    (override,) = run["overrides"]["containerOverrides"]
    variables = override["environment"].items()
    override["environment"] = [{"name": name, "value": value} for name, value in variables]
    override |= {"name": "prefect", "command": override["command"].split()}
    assert not ecs_faults("RegisterTaskDefinition", task | {"family": "avss"})
    assert not ecs_faults("RunTask", run | {"taskDefinition": "avss:1"})
    assert '"secret", must be one of' in ecs_faults(
        "RegisterTaskDefinition",
        task | {"family": "avss", "containerDefinitions": [container | {"secret": []}]},
    )
    assert "cpu" in ecs_faults("RegisterTaskDefinition", task | {"family": "avss", "cpu": 4096})
