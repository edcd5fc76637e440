"""The main job: fold the ledger into a state, do the next undone thing, record it, repeat.

The ledger is the truth and Prefect only runs, shows and wakes: any process may die at any moment,
and the next run reads the ledger and goes on with the next undone action.
"""

import os
from collections.abc import Callable
from contextlib import closing
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from prefect.runtime import deployment, flow_run
from prefect.states import Completed
from prefect.states import State as RunState
from pydantic import Field
from rich.console import Console

from flows.mirrors import mirror
from flows.narrative import Narrator
from flows.progress import progress
from flows.recording import append
from flows.server import require_prefect
from flows.stages import run_stage
from flows.terminal import terminal
from flows.waiting import FLOW, let_go, own_change, suspend_for
from policies.entries import Body, Entry, FaultRecorded, RosterChanged, RunResumed
from policies.lifecycle import (
    Action,
    BuildCandidate,
    CheckDataDrift,
    CloseChange,
    CollectDecisions,
    ConfirmHoldout,
    EndSteps,
    JudgeCandidate,
    MeasureBase,
    MeasureCandidate,
    OpenChange,
    PinSnapshot,
    ProbeShortlist,
    PromoteModel,
    RankLayers,
    RegisterModel,
    RequestDecision,
    State,
    ValidateData,
    advance,
    check_lawful,
    next_action,
    open_action,
)
from tasks.errors import LeaseError, RunFileError
from tasks.faults import public_message
from tasks.fitness import check_same_rules
from tasks.job import Job
from tasks.record.journal import Dated
from tasks.record.lease import Lease
from tasks.run_file import RunFile
from tasks.stages import candidates, data, decisions, judging, opening, release
from tasks.stages.now import change_of

Stage = Callable[[Job, State, Any], Body | Dated | None]

MISSION: dict[type[Action], tuple[str, Stage]] = {
    OpenChange: ("open the change", opening.open_change),
    PinSnapshot: ("pin the data", data.pin),
    ValidateData: ("check the data contract", data.check_contract),
    CheckDataDrift: ("check data drift", data.check_drift),
    MeasureBase: ("measure the base", candidates.measure_base),
    RankLayers: ("rank layers", candidates.rank),
    ProbeShortlist: ("probe the short-list", candidates.try_shortlist),
    BuildCandidate: ("cut and heal", candidates.build),
    MeasureCandidate: ("measure the candidate", judging.measure_candidate),
    JudgeCandidate: ("gate", judging.judge_candidate),
    RequestDecision: ("ask for a decision", decisions.ask),
    CollectDecisions: ("collect decisions", decisions.collect),
    EndSteps: ("end the steps", decisions.end_steps),
    ConfirmHoldout: ("confirm on the holdout", judging.confirm),
    RegisterModel: ("register the model", release.register),
    PromoteModel: ("promote the model", release.promote),
    CloseChange: ("close the change", decisions.close),
}


@dataclass(frozen=True)
class Ending:
    """Where a run left its change: waiting for a decision, or closed with an outcome."""

    change: str
    waiting_for: str | None
    outcome: str | None

    @property
    def exit_code(self) -> int:
        """0 done, 3 somebody or something said no, 4 waiting."""
        if self.waiting_for is not None:
            return 4
        return 0 if self.outcome in ("promoted", "nothing_to_do") else 3


def line_in_name() -> str:
    """A run's name: the flow and the line it works on, or the run file where that is wrong."""
    config = Path(flow_run.parameters["config"])
    try:
        return f"{flow_run.flow_name} {RunFile.load(config).line}"
    except RunFileError:
        return f"{flow_run.flow_name} {config.name}"


ConfigParameter = Annotated[
    str, Field(min_length=1, description="Path of the line's run file, where the worker sees it.")
]


@flow(name=FLOW, flow_run_name=line_in_name, persist_result=False)
def optimize(config: ConfigParameter) -> Ending | RunState[Ending]:
    """Run or go on with a change of one model line.

    Args:
        config: path of the run file.

    Returns:
        Where the change stands. As a deployment the run suspends instead of waiting, and goes on
        from the ledger when it is woken; where another run waits already, this one says so.

    Raises:
        LeaseError: another run works on the line now; a deployment's run ends and says so.
    """
    job = job_of(Path(config))
    narrator = Narrator(_CONSOLE.get() or terminal(), job.documents.get)
    try:
        holder = f"run {flow_run.name}"
        with closing(job.compute), Lease(job.work, job.run.line, holder=holder) as lease:
            job.journal.refresh()
            ending = carry_on(job, narrator, lease, only=own_change())
    except LeaseError as busy:
        if not deployment.id:
            raise
        return Completed(name="LineBusy", message=str(busy))
    return _left_by_deployment(ending) if deployment.id else ending


def job_of(config: Path) -> Job:
    """The job of a run file; reading its line's record shows on a terminal."""
    run = RunFile.load(config)
    with progress(f"Reading the record of {run.line}") as report:
        return Job(run, report)


def _left_by_deployment(ending: Ending) -> RunState[Ending]:
    """Suspend while people decide, or end with a state that says how it ended."""
    if ending.waiting_for is None:
        let_go(ending.change)
        told = f"{ending.change} is over: {ending.outcome}"
        return Completed(message=told, data=ending)
    other = suspend_for(ending.change, ending.waiting_for)
    told = f"{ending.change} waits for a decision on {ending.waiting_for}; run {other} waits for it"
    return Completed(name="AlreadyWaiting", message=told, data=ending)


_CONSOLE: ContextVar[Console | None] = ContextVar("console", default=None)


def run_change(config: Path, console: Console) -> Ending:
    """The flow from the command line, told on `console`.

    A run file that is wrong is told before any server is asked, and a configured Prefect server
    that is down before its client tries for minutes.
    """
    RunFile.load(config)
    if os.environ.get("PREFECT_API_URL"):
        require_prefect()
    _CONSOLE.set(console)
    return optimize(str(config.resolve()))


def carry_on(
    job: Job, narrator: Narrator, lease: Lease | None = None, *, only: str | None = None
) -> Ending:
    """Do what is undone until the change is closed or people must decide.

    A run that waited for the change `only` goes on with that one and begins no other.
    """
    state = _resume(job, narrator)
    if only is not None and (state.change is None or state.change.id != only):
        return _closed(state, only)
    action: Action | None = next_action(state, job.policy) or open_action(job.run.line, state)
    while action is not None:
        if lease is not None:
            lease.check()
        body = perform(job, state, action)
        if body is None and isinstance(action, CollectDecisions):
            return Ending(change_of(state).id, str(action.step), None)
        state = record(job, state, action, body, narrator)
        action = next_action(state, job.policy)
    return _closed(state, state.closed[-1].change.id)


def _closed(state: State, change: str) -> Ending:
    over = next((one for one in state.closed if one.change.id == change), None)
    return Ending(change, None, over.outcome if over else "unknown")


def perform(job: Job, state: State, action: Action) -> Body | Dated | None:
    """One stage as a Prefect task run; what fails is recorded before it is raised."""
    name, stage = MISSION[type(action)]
    try:
        with progress(title(action)) as job.report:
            return run_stage(name, stage, job, state, action, title=title(action))
    except Exception as error:
        if state.change is not None:
            fault = FaultRecorded(
                stage=name, error=type(error).__name__, message=public_message(error)
            )
            job.journal.append(fault, state.change.id, lambda entry: advance(state, entry))
        raise


def record(job: Job, state: State, action: Action, body: Body | Dated, narrator: Narrator) -> State:
    """Append what a stage found, if it may stand there, and show it to whoever looks."""

    def lawful(before: State, entry: Entry) -> None:
        check_lawful(before, entry, job.policy, job.roster)
        advance(before, entry)

    change = action.change if isinstance(action, OpenChange) else change_of(state).id
    after, entry = append(job, state, body, change, lawful)
    narrator.tell(entry)
    mirror(job, after, entry)
    return after


def _resume(job: Job, narrator: Narrator) -> State:
    """Where the line stands; taking up a change that another process left is recorded."""
    state = job.state
    action = next_action(state, job.policy)
    if state.change is None or action is None:
        return state
    check_same_rules(job, state.change)
    if job.roster.digest != state.change.roster:
        document = job.documents.put_bytes(job.roster.document())
        changed = RosterChanged(roster=document, previous=state.change.roster)
        state = record(job, state, action, changed, narrator)
    mirror(job, state, job.journal.entries[-1])
    if isinstance(action, CollectDecisions):
        return state
    resumed = RunResumed(at=MISSION[type(action)][0], environment=job.environment())
    return record(job, state, action, resumed, narrator)


def title(action: Action) -> str:
    """A task run's name: the stage, and which step, attempt and layer it is about."""
    about = [
        f"{name} {value}"
        for name in ("step", "attempt", "layer")
        if (value := getattr(action, name, None))
    ]
    return ", ".join([MISSION[type(action)][0], *about])
