"""Deployments of a line: what is registered on a real Prefect server, and work pools' templates."""

import os
import subprocess
import sys
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.services import TELEMETRY_OFF
from flows.deploying import Wanted, check_timezone, deploy
from flows.quiet import DEFAULTS
from tasks.errors import DeployError, RunFileError
from tests.flows.parts import plain_run

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
    run = plain_run(stack.unique, stack.names.work, stack.names.ledger)
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
