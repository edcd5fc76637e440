"""The model in use, measured on fresh data on a schedule; below its floor an incident is opened."""

import os
from collections.abc import Callable
from contextlib import closing
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from prefect.runtime import deployment, flow_run
from prefect.states import Completed
from prefect.states import State as RunState
from rich.console import Console

from flows.narrative import Narrator
from flows.notices import found_otherwise, incident_opened, move_asked, move_over, tell
from flows.optimize import ConfigParameter, job_of, line_in_name
from flows.progress import progress
from flows.recording import append
from flows.server import require_prefect
from flows.stages import run_stage
from flows.terminal import terminal
from policies.entries import Body, Entry, MonitorChecked
from policies.errors import PolicyError
from policies.lifecycle import ChangeState, State, Wish, advance, closing_due, incident_due
from policies.watching import WatchFacts
from tasks import clock
from tasks.errors import LeaseError, RegistryError
from tasks.faults import public_message
from tasks.job import Job
from tasks.models.audit import AuditReport, audit_line
from tasks.models.moving import move_alias
from tasks.places import Places
from tasks.record.keeper import Keeper
from tasks.record.lease import Lease
from tasks.record.site import publish_index
from tasks.run_file import RunFile
from tasks.watching import check_in_use, log_check


@dataclass(frozen=True)
class Watched:
    """What one look at the model in use found."""

    line: str
    version: str | None
    """The version in use; None where nothing was promoted yet."""
    passed: bool | None
    incident: int | None
    """Number of the incident that is open now."""
    rollback: str | None
    """Where the rollback stands that an incident led to: `waiting`, `moved`, `rejected` ..."""
    findings: tuple[str, ...]
    """What the registry or its files say otherwise than the record."""
    fault: str = ""
    """Why the model could not be measured, where there are findings to tell beside it."""

    @property
    def exit_code(self) -> int:
        """0 well or nothing to watch, 3 below its floor, 5 something moved behind our back."""
        if self.findings:
            return 5
        return 3 if self.passed is False or self.incident is not None else 0


_CONSOLE: ContextVar[Console | None] = ContextVar("monitor_console", default=None)


def run_monitor(config: Path, console: Console) -> Watched:
    """The flow from the command line, told on `console`."""
    RunFile.load(config)
    if os.environ.get("PREFECT_API_URL"):
        require_prefect()
    _CONSOLE.set(console)
    found = monitor(str(config.resolve()))
    if not isinstance(found, Watched):
        raise TypeError("only a deployment's run ends without a look")
    return found


@flow(name="monitor", flow_run_name=line_in_name, persist_result=False)
def monitor(config: ConfigParameter) -> Watched | RunState[Watched]:
    """Measure the model in use on fresh data, compare registry and record, act on what is found.

    Args:
        config: path of the run file.

    Raises:
        LeaseError: another look at the same line is going on; a deployment's run ends and says so.
    """
    job = job_of(Path(config))
    narrator = Narrator(_CONSOLE.get() or terminal(), job.documents.get)
    holder = f"run {flow_run.name}"
    try:
        with closing(job.compute), Lease(job.work, f"{job.run.line}.monitor", holder=holder):
            job.journal.refresh()
            return look(job, narrator)
    except LeaseError as busy:
        if not deployment.id:
            raise
        return Completed(name="LineBusy", message=str(busy))


def look(job: Job, narrator: Narrator) -> Watched:
    """One look: registry and files, for which no fresh data is needed; then the model in use.

    Where both fail, neither hides the other: the findings are told, and why nothing was measured.
    """
    report: AuditReport = _step(job, "compare registry and record", _audit)
    found = tuple(f"{one.kind} {one.subject}: {one.message}" for one in report.findings)
    if found:
        tell(job, job.run, found_otherwise(job.run, len(found), clock.now()))
    live = job.state.live
    if live is None or live.registered is None:
        return Watched(job.run.line, None, None, None, None, found)
    try:
        checked: MonitorChecked = _step(job, "check the model in use", check_in_use, live)
    except Exception as error:
        if not found:
            raise
        get_run_logger().exception("the model in use was not measured")
        fault = public_message(error)
        return Watched(job.run.line, live.registered.version, None, None, None, found, fault)
    return _measured(job, live, checked, found, narrator)


def _measured(
    job: Job, live: ChangeState, checked: MonitorChecked, found: tuple[str, ...], narrator: Narrator
) -> Watched:
    """Record the check and do what it asks for."""
    state = _record(job, job.state, checked, live.id, narrator)
    _show(job, live, checked)
    before, state = state.incident, _settle_incident(job, state, narrator)
    if state.incident != before:
        publish_index(job)
    asked = _act(job, state, live, narrator)
    state = job.state  # another version may be in use now
    incident = state.incident.opened.number if state.incident else None
    return Watched(job.run.line, checked.version, checked.passed, incident, asked, found)


def _settle_incident(job: Job, state: State, narrator: Narrator) -> State:
    """Open or end an incident, where the check asks for it."""
    incident = state.incident
    closing = closing_due(state)
    if closing is not None and incident is not None:
        state = _record(job, state, closing, incident.change, narrator)
    opening = incident_due(state)
    if opening is not None and state.live is not None:
        state = _record(job, state, opening, state.live.id, narrator)
    if state.incident is not None:  # again by every look, where a block did not carry it yet
        tell(job, job.run, incident_opened(job.run, state.incident.opened))
    return state


def _act(job: Job, state: State, live: ChangeState, narrator: Narrator) -> str | None:
    """Ask for the rollback, or make it, where the policy that the model was promoted under says so.

    The version of before may be gone or damaged: that is told, and the incident stays open.
    """
    incident, conduct = state.incident, job.policy_of(live).monitoring.on_breach
    if incident is None or conduct == "tell":
        return None
    keeper = Keeper(job.run.line, Places.of(job.run.buckets.work, job.run.buckets.ledger))
    keeper.policy = keeper.policy_of(live)
    reason = f"incident {incident.opened.number}: {incident.opened.reason}"
    wish = Wish("avss monitor", reason[:2000], incident=incident.sequence)
    try:
        ending = move_alias(keeper, wish, narrator.tell)
    except (PolicyError, RegistryError) as error:
        get_run_logger().warning("no rollback: %s", error)
        return f"not possible: {error}"
    job.journal.refresh()
    move = job.state.moves[-1]
    if move.over is None:
        tell(job, job.run, move_asked(job.run, move))
    else:
        tell(job, job.run, move_over(job.run, move))
        _settle_incident(job, job.state, narrator)
        publish_index(job)
    return ending.state


def _record(job: Job, state: State, body: Body, change: str, narrator: Narrator) -> State:
    after, entry = append(job, state, body, change, _may_follow)
    narrator.tell(entry)
    get_run_logger().info("%s recorded as entry %d of %s", entry.type, entry.sequence, entry.line)
    return after


def _may_follow(state: State, entry: Entry) -> None:
    advance(state, entry)


def _step(job: Job, name: str, work: Callable[..., Any], *arguments: Any) -> Any:
    with progress(name.capitalize()) as job.report:
        return run_stage(name, work, job, *arguments)


def _audit(job: Job) -> AuditReport:
    return audit_line(job, report=job.report)


def _show(job: Job, live: ChangeState, checked: MonitorChecked) -> None:
    """The check where people look: Prefect's artifacts and MLflow."""
    facts = job.documents.get_model(checked.facts, WatchFacts)
    rows = [
        {
            "KPI": kpi.name,
            "n": kpi.n,
            "value": kpi.value,
            "base": kpi.base_value,
            "retention": kpi.retention.value,
            "promised": kpi.promised.value,
        }
        for kpi in facts.kpis
    ]
    create_table_artifact(
        table=rows,
        key=f"{job.run.line}-monitor",
        description=f"Version {checked.version} on {facts.sampled} fresh records: "
        f"{'passes' if checked.passed else 'below its floor'}",
    )
    log_check(job, live, checked, clock.now().date())
