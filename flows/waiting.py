"""Runs that wait for people: a deployment's run suspends, and what may decide something wakes it.

A suspended run holds no process, so worker, server and machine may die meanwhile. Waking it only
makes it look at the record again: the record and the signed answers decide, never Prefect's state.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING
from uuid import uuid4

from prefect import suspend_flow_run
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import StateType
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectHTTPStatusError

from tasks.record.line_view import line_of

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

FLOW = "optimize"
GO_ON: Mapping[str, object] = MappingProxyType({"go_on": True})
"""Parameters of a rollback's run that asks for nothing new."""
_CHANGE = "change:"
_DEFAULTS: Mapping[str, object] = MappingProxyType({})


def own_change() -> str | None:
    """The change that this run suspended for; None where it is a new run."""
    run = _this_run()
    tags = run.tags if run else ()
    return next((tag.removeprefix(_CHANGE) for tag in tags if tag.startswith(_CHANGE)), None)


def suspend_for(change: str, step: str) -> str | None:
    """Suspend this run until it is woken, which ends its process here.

    Where another run of the change is suspended already, one is enough: returns that run's name.
    """
    run = _this_run()
    if run is None:
        raise RuntimeError("only a run can be suspended")
    with get_client(sync_client=True) as client:
        others = [one.name for one in _suspended(client, change) if one.id != run.id]
        if others:
            return others[0]
        kept = [tag for tag in run.tags if not tag.startswith((_CHANGE, "waits:"))]
        tags = [*kept, f"{_CHANGE}{change}", f"waits:{step}"]
        client.update_flow_run(run.id, tags=tags)
    suspend_flow_run(key=f"{change}-{step}-{uuid4().hex[:8]}", timeout=None)
    return None


def wake(change: str) -> int:
    """Wake every run that waits for the change; where none does, start one of its deployment.

    Returns:
        How many runs were woken or started; 0 where the line has no deployment.
    """
    with get_client(sync_client=True) as client:
        woken = sum(_resume(client, run) for run in _suspended(client, change))
        return woken or _start(client, line_of(change), FLOW)


def start_run(line: str, flow: str = FLOW, parameters: Mapping[str, object] = _DEFAULTS) -> int:
    """Start a run of one of the line's deployments; 0 where there is none."""
    with get_client(sync_client=True) as client:
        return _start(client, line, flow, parameters)


def _start(
    client: SyncPrefectClient, line: str, flow: str, parameters: Mapping[str, object] = _DEFAULTS
) -> int:
    deployments = client.read_deployments(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
        deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[line])),
    )
    for deployment in deployments:
        client.create_flow_run_from_deployment(deployment.id, parameters=dict(parameters))
    return len(deployments)


def let_go(change: str) -> None:
    """Wake what still waits for a change that is over, so that it ends too."""
    run = _this_run()
    with get_client(sync_client=True) as client:
        for other in _suspended(client, change):
            if run is None or other.id != run.id:
                _resume(client, other)


def _suspended(client: SyncPrefectClient, change: str) -> "list[FlowRun]":
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            tags=FlowRunFilterTags(all_=[f"{_CHANGE}{change}"]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED])),
        )
    )


def _resume(client: SyncPrefectClient, run: "FlowRun") -> bool:
    """Whether the run was still waiting."""
    try:
        return client.resume_flow_run(run.id).status.value == "ACCEPT"
    except PrefectHTTPStatusError:
        return False


def _this_run() -> "FlowRun | None":
    context = FlowRunContext.get()
    return context.flow_run if context else None
