"""Register a line's flows on the Prefect server, as `deployments/prefect.yaml` has them."""

import difflib
import re
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module, resources
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.deployments.runner import DeploymentApplyError, RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow
from prefect.schedules import Cron
from prefect.types.entrypoint import EntrypointType
from prefect.workers.process import ProcessWorker

from flows.alarms import register_alarms
from flows.server import require_prefect
from tasks.errors import DeployError
from tasks.run_file import RunFile

_PLACEHOLDER = re.compile(r"\{\{ \$(\w+) \}\}")


@dataclass(frozen=True)
class Wanted:
    """What `avss deploy` is asked for."""

    config: Path
    """The run file, read here to know that it is right."""
    seen_at: str
    """Its path where the worker sees it."""
    pool: str
    timezone: str
    crons: Mapping[str, str]
    """Schedules by flow, in place of those in the file; an empty one stands for none."""
    job_variables: Mapping[str, Any]
    """Settings of the pool's infrastructure, laid over the file's."""
    notify: Sequence[str] = ()
    """Notification blocks, as `type/name`, that are told of runs that fail or are late."""


@dataclass(frozen=True)
class Deployed:
    """One registered deployment."""

    name: str
    """`flow/line`."""
    schedule: str
    timezone: str
    pool: str


def deploy(wanted: Wanted) -> tuple[Deployed, ...]:
    """Register every deployment of the line, or bring it up to date; safe to repeat.

    Raises:
        RunFileError: the run file is wrong.
        DeployError: Prefect cannot be reached; a time zone, schedule, pool, setting or block that
            cannot be used. Nothing is registered then, or what is registered is whole.
    """
    line = RunFile.load(wanted.config).line
    check_timezone(wanted.timezone)
    planned = plan(line, wanted)
    require_prefect()
    with get_client(sync_client=True) as client:
        _ensure_pool(client, wanted.pool)
        register_alarms(client, line, wanted.notify)
    for made, _ in planned:
        try:
            made.apply()
        except DeploymentApplyError as error:
            raise DeployError(f"Prefect refused {made.full_name}: {error}") from None
    return tuple(told for _, told in planned)


def plan(line: str, wanted: Wanted) -> tuple[tuple[RunnerDeployment, Deployed], ...]:
    """What is to be registered, read from the file and checked, before anything is asked."""
    if unknown := set(wanted.crons) - {one["flow_name"] for one in _template()}:
        raise DeployError(f"There is no flow {sorted(unknown)[0]} to schedule.")
    values = {
        "AVSS_LINE": line,
        "AVSS_RUN_FILE": wanted.seen_at,
        "AVSS_WORK_POOL": wanted.pool,
        "AVSS_TIMEZONE": wanted.timezone,
    }
    return tuple(_planned(filled(one, values), wanted) for one in _template())


def check_timezone(name: str) -> None:
    """Raise DeployError where a time zone does not exist, naming the nearest ones that do."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        known = sorted(zoneinfo.available_timezones())
        near = difflib.get_close_matches(name, known, 3, 0.5) or ["Etc/UTC", "Europe/Berlin"]
        raise DeployError(
            f"There is no time zone {name!r}. Expected an IANA name such as {', '.join(near)}."
        ) from None


def filled(given: Any, values: Mapping[str, str]) -> Any:
    """The same with every `{{ $NAME }}` replaced; all names are known to the file's test."""
    if isinstance(given, str):
        return _PLACEHOLDER.sub(lambda found: values[found[1]], given)
    if isinstance(given, Mapping):
        return {key: filled(value, values) for key, value in given.items()}
    if isinstance(given, list):
        return [filled(value, values) for value in given]
    return given


def _template() -> list[dict[str, Any]]:
    text = (resources.files("deployments") / "prefect.yaml").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = yaml.safe_load(text)["deployments"]
    return found


def _planned(given: Mapping[str, Any], wanted: Wanted) -> tuple[RunnerDeployment, Deployed]:
    module, _, name = given["entrypoint"].rpartition(".")
    flow: Flow[Any, Any] = getattr(import_module(module), name)
    crons = [one["cron"] for one in given["schedules"]]
    if flow.name in wanted.crons:
        crons = [wanted.crons[flow.name]] if wanted.crons[flow.name] else []
    try:
        schedules = [Cron(cron, timezone=wanted.timezone) for cron in crons]
        made = flow.to_deployment(
            given["name"],
            schedules=schedules,
            concurrency_limit=ConcurrencyLimitConfig.model_validate(given["concurrency_limit"]),
            parameters=given["parameters"],
            description=given["description"],
            tags=given["tags"],
            work_pool_name=wanted.pool,
            job_variables=_over(given["work_pool"]["job_variables"], wanted.job_variables),
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
    except ValueError as error:
        said = str(error).splitlines()
        raise DeployError(
            f"{flow.name}: the schedule {', '.join(crons)!r} cannot be used ({said[-1].strip()}). "
            "Expected five fields such as '0 3 * * 1'."
        ) from None
    told = Deployed(f"{flow.name}/{given['name']}", ", ".join(crons), wanted.timezone, wanted.pool)
    return made, told


def _over(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Job variables with more laid over them; environments are joined."""
    return {**base, **more, "env": {**base.get("env", {}), **more.get("env", {})}}


def _ensure_pool(client: SyncPrefectClient, name: str) -> None:
    """A work pool that is missing is made, for processes: the kind that needs nothing besides."""
    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(
            WorkPoolCreate(
                name=name,
                type=ProcessWorker.type,
                base_job_template=ProcessWorker.get_default_base_job_template(),
            )
        )
