"""Deployments of a line: what is registered on a real Prefect server, and work pools' templates."""

import copy
import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import prefect
import pytest
import yaml
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.utilities.schema_tools import validate
from prefect.utilities.templating import apply_values
from prefect.workers.process import ProcessWorker

from deployments.services import TELEMETRY_OFF
from flows.deploying import Wanted, check_timezone, deploy
from flows.quiet import DEFAULTS
from tasks.compute.cluster import workers_for
from tasks.errors import DeployError, RunFileError
from tasks.run_file import Resources

ROOT = Path(__file__).parent.parent.parent
FLOWS = {
    "optimize": "0 3 * * 1",
    "monitor": "0 5 * * *",
    "attend": "20 * * * *",
    "clean": "0 1 * * 0",
    "rollback": None,
}
FIELDS = (
    "entrypoint",
    "path",
    "tags",
    "description",
    "parameters",
    "parameter_openapi_schema",
    "enforce_parameter_schema",
    "concurrency_options",
    "work_pool_name",
    "job_variables",
    "pull_steps",
)


@pytest.fixture
def line(stack, tmp_path: Path):
    """A run file, and a client of the real server."""
    run = {
        "line": stack.unique,
        "requester": "Mia",
        "model": {"source": "model"},
        "data": {"uri": "s3://data/x", "fields": {"text": "said"}},
        "kpis": "kpis.yaml",
        "buckets": {"work": stack.names.work, "ledger": stack.names.ledger},
    }
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(run))
    with (
        temporary_settings({PREFECT_API_URL: os.environ["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        yield SimpleNamespace(name=stack.unique, path=path, client=client)


def wanted(line, **changes: Any) -> Wanted:
    values: dict[str, Any] = {
        "config": line.path,
        "seen_at": "/etc/avss/run.yaml",
        "pool": f"pool-{line.name}",
        "timezone": "Asia/Tokyo",
        "crons": {},
        "job_variables": {},
    }
    return Wanted(**(values | changes))


def registered(line) -> dict[str, Any]:
    return {flow: line.client.read_deployment_by_name(f"{flow}/{line.name}") for flow in FLOWS}


def plain(deployment: Any) -> dict[str, Any]:
    found = {name: getattr(deployment, name) or None for name in FIELDS}
    schedules = [one.schedule.model_dump() | {"active": one.active} for one in deployment.schedules]
    limit = deployment.global_concurrency_limit
    return found | {"schedules": schedules, "limit": limit and limit.limit}


@pytest.mark.stack
def test_what_is_registered_is_what_prefects_own_command_registers_from_the_same_file(line):
    deploy(wanted(line))
    deploy(wanted(line))  # again: brought up to date, not doubled
    ours = {flow: plain(one) for flow, one in registered(line).items()}
    for flow, cron in FLOWS.items():
        found = ours[flow]
        schedules = [(one["cron"], one["timezone"]) for one in found["schedules"]]
        assert schedules == ([(cron, "Asia/Tokyo")] if cron else [])
        assert found["tags"] == ["avss", f"line:{line.name}"]
        assert found["parameters"] == {"config": "/etc/avss/run.yaml"}
        parameter = found["parameter_openapi_schema"]["properties"]["config"]
        assert parameter["type"] == "string"
        assert "run file" in parameter["description"]
        assert found["limit"] == 1
        assert found["enforce_parameter_schema"]
    for one in registered(line).values():
        line.client.delete_deployment(one.id)
    settings = {
        "AVSS_LINE": line.name,
        "AVSS_RUN_FILE": "/etc/avss/run.yaml",
        "AVSS_WORK_POOL": f"pool-{line.name}",
        "AVSS_TIMEZONE": "Asia/Tokyo",
    }
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    done = subprocess.run(
        [*command, "--prefect-file", str(ROOT / "deployments" / "prefect.yaml")],
        cwd=ROOT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for flow, theirs in registered(line).items():
        assert plain(theirs) == ours[flow]


@pytest.mark.stack
def test_schedules_settings_and_alarms_can_be_given(line):
    CustomWebhookNotificationBlock(name="w", url="http://127.0.0.1:9").save(f"b-{line.name}")
    given = wanted(
        line,
        crons={"optimize": "30 6 1 * *", "attend": ""},
        job_variables={"working_dir": "/srv", "env": {"AVSS_HOME": "/srv/home"}},
        notify=(f"custom-webhook/b-{line.name}",),
    )
    deploy(given)
    deploy(given)
    found = registered(line)
    assert [one.schedule.cron for one in found["optimize"].schedules] == ["30 6 1 * *"]
    assert found["attend"].schedules == []
    variables = found["optimize"].job_variables
    assert variables["working_dir"] == "/srv"
    assert variables["env"]["AVSS_HOME"] == "/srv/home"
    assert variables["env"].items() >= TELEMETRY_OFF.items()
    alarms = [one for one in line.client.read_automations() if line.name in one.name]
    assert sorted(one.name.split(": ")[1] for one in alarms) == [
        "find runs that died",
        "tell of runs that fail or are late",
    ]


@pytest.mark.stack
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"timezone": "Europe/Berlni"}, ["Europe/Berlni", "Europe/Berlin"]),
        ({"timezone": "../etc/passwd"}, ["../etc/passwd", "IANA"]),
        ({"crons": {"optimize": "every monday"}}, ["optimize", "every monday", "0 3 * * 1"]),
        ({"crons": {"optimise": "0 3 * * 1"}}, ["optimise"]),
        ({"notify": ("slack",)}, ["slack", "type/name"]),
        ({"notify": ("slack-webhook/nobody-made-it",)}, ["nobody-made-it", "prefect block ls"]),
        ({"job_variables": {"working_dir": 7}}, ["working_dir"]),
    ],
)
def test_what_cannot_be_registered_is_refused_with_exit_code_2(line, changes, words):
    with pytest.raises(DeployError) as caught:
        deploy(wanted(line, **changes))
    assert all(word in str(caught.value) for word in words), caught.value
    assert caught.value.exit_code == 2


def test_a_prefect_that_is_down_is_told_at_once(tmp_path, monkeypatch, line):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with pytest.raises(DeployError, match=r"127\.0\.0\.1:9/api cannot be reached"):
        deploy(wanted(line))
    line.path.write_text("line: Bad Name")
    with pytest.raises(RunFileError, match="line"):
        deploy(wanted(line))


def test_time_zones_are_iana_names():
    check_timezone("Etc/UTC")
    check_timezone("America/Argentina/Buenos_Aires")


def test_runs_of_workers_are_as_quiet_as_the_command_line():
    text = (resources.files("deployments") / "prefect.yaml").read_text()
    names = [one for one in DEFAULTS if "CONSOLE" not in one]
    expected = TELEMETRY_OFF | {name: DEFAULTS[name] for name in names}
    for deployment in yaml.safe_load(text)["deployments"]:
        assert deployment["work_pool"]["job_variables"]["env"].items() >= expected.items()


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
