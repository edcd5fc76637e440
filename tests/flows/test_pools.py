"""Work pools: what the templates hand to Prefect's workers fits, and names every key and secret."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

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


KINDS = ["process", "docker", "kubernetes", "kubernetes-gpu", "ecs", "ecs-gpu"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_pools_job_variables_fit_its_template_and_fill_it(kind):
    pools = ROOT / "deployments" / "pools"
    given = yaml.safe_load((pools / f"{kind}.yaml").read_text())
    base = pools / f"{kind.removesuffix('-gpu')}-base.json"
    template = json.loads(base.read_text()) if base.exists() else prefects_own(kind)
    schema = template["variables"]
    assert not set(given) - set(schema["properties"])
    validate(given, schema, raise_on_error=True)
    with pytest.raises(Exception, match="7"):
        validate(given | {"env": 7}, schema, raise_on_error=True)
    defaults = {name: it["default"] for name, it in schema["properties"].items() if "default" in it}
    values = defaults | {"command": "prefect flow-run execute", "name": "run"} | given
    job = json.dumps(apply_values(template["job_configuration"], values, remove_notset=True))
    assert "{{" not in job
    for value in given.values():
        if isinstance(value, str):
            assert json.dumps(value)[1:-1] in job


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_container_finds_both_keys_where_it_is_told_to_look(kind):
    pools = ROOT / "deployments" / "pools"
    given = yaml.safe_load((pools / f"{kind}.yaml").read_text())
    keys = [Path(given["env"][name]) for name in ("AVSS_JOB_KEY", "AVSS_MODEL_KEY")]
    (folder,) = {str(key.parent) for key in keys}
    if kind == "docker":
        assert f"{folder}:{folder}:ro" in given["volumes"]
        return
    base = json.loads((pools / f"{kind.removesuffix('-gpu')}-base.json").read_text())
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
    ours = json.loads((ROOT / "deployments" / "pools" / f"{kind}-base.json").read_text())
    own = prefects_own(kind)
    assert within(own["job_configuration"], ours["job_configuration"])
    assert within(own["variables"]["properties"], ours["variables"]["properties"])


def within(less: Any, more: Any) -> bool:
    """Whether everything of one JSON value stands in another that may say more."""
    if isinstance(less, dict):
        return all(key in more and within(value, more[key]) for key, value in less.items())
    if isinstance(less, list):
        return len(less) == len(more) and all(map(within, less, more))
    return less == more


@pytest.mark.parametrize("kind", ["kubernetes", "ecs"])
def test_only_the_gpu_variables_ask_for_gpus(kind):
    pools = ROOT / "deployments" / "pools"
    template = json.loads((pools / f"{kind}-base.json").read_text())
    asked = {}
    for name in (kind, f"{kind}-gpu"):
        values = yaml.safe_load((pools / f"{name}.yaml").read_text())
        job = apply_values(template["job_configuration"], values, remove_notset=True)
        asked[name] = "gpu" in json.dumps(job).lower().replace("avss-gpu-spot", "")
    assert asked == {kind: False, f"{kind}-gpu": True}
