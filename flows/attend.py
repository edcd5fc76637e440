"""Look after what waits: answers that nobody told us of, requests that run out, runs that died.

Answers need nothing but PutObject, so they may come in while no run looks. This flow is small and
runs often; it decides nothing and writes no entry, it only wakes, starts and reminds.
"""

import hashlib
import itertools
from datetime import timedelta
from pathlib import Path
from typing import Literal

from prefect import flow, get_run_logger

from flows.notices import asked, move_asked, move_over, reminder, tell
from flows.optimize import ConfigParameter, line_in_name
from flows.waiting import GO_ON, start_run, wake
from policies.entries import FaultRecorded, RunResumed
from policies.lifecycle import ChangeState, MoveState, Request
from policies.schema import Step
from tasks import clock
from tasks.errors import MissingError
from tasks.places import Places
from tasks.record.deciding import asked_step
from tasks.record.lease import held_by
from tasks.record.line_view import LineView
from tasks.run_file import RunFile

_FAULTS = 3
"""After so many faults in a row a person must look; starting once more would only repeat them."""

Done = Literal["nothing", "woken", "started", "reminded", "needs a look"]


@flow(name="attend", flow_run_name=line_in_name, persist_result=False)
def attend(config: ConfigParameter) -> Done:
    """Wake a waiting change that has an answer or whose time is up; remind; restart what died.

    Args:
        config: path of the run file.
    """
    run = RunFile.load(Path(config))
    view = LineView(run.line, Places.of(run.buckets.work, run.buckets.ledger))
    try:
        state = view.state
    except MissingError:
        return "nothing"  # the line has no record yet
    change, move = state.change, state.open_move
    done: Done = "nothing" if change is None else _look_after(view, run, change)
    get_run_logger().info("%s: %s", change.id if change else run.line, done)
    if state.moves:
        last = state.moves[-1]
        tell(view, run, move_asked(run, last) if last.over is None else move_over(run, last))
    if move is not None and _move_can_go_on(view, move):
        started = start_run(run.line, "rollback", GO_ON)
        get_run_logger().info("alias: %d runs started to go on with what is asked", started)
    return done


def _look_after(view: LineView, run: RunFile, change: ChangeState) -> Done:
    step = asked_step(change)
    request = change.request(step) if step is not None else None
    if step is None or request is None or request.settled is not None:
        return _restart(view, run.line)
    now = clock.now()
    if now >= request.asked.expires or _unread(view, change, step, request):
        wake(change.id)
        return "woken"
    told = tell(view, run, asked(run, change, step))  # where the run that asked could not
    if request.asked.expires - now <= timedelta(hours=run.notifications.remind_hours):
        told += tell(view, run, reminder(run, change, step))
    return "reminded" if told else "nothing"


def _unread(view: LineView, change: ChangeState, step: Step, request: Request) -> bool:
    known = {one.envelope_digest for one in request.decisions}
    answers = view.approvals.answers(change.id, step)
    return any(hashlib.sha256(one).hexdigest() not in known for one in answers)


def _move_can_go_on(view: LineView, move: MoveState) -> bool:
    """Whether the question about the alias has an answer, or ran out of time."""
    known = {one.envelope_digest for one in move.decisions}
    answers = view.approvals.answers(move.change, "alias")
    unread = any(hashlib.sha256(one).hexdigest() not in known for one in answers)
    return unread or clock.now() >= move.asked.expires


def _restart(view: LineView, line: str) -> Done:
    """A change that waits for nobody and that nobody works on was left by a run that died."""
    if held_by(view.work, line) is not None:
        return "nothing"
    if _faults_in_a_row(view) >= _FAULTS:
        return "needs a look"
    return "started" if start_run(line) else "nothing"


def _faults_in_a_row(view: LineView) -> int:
    """Faults since the change last got anywhere."""
    bodies = (entry.body for entry in reversed(view.record.entries))
    vain = itertools.takewhile(lambda body: isinstance(body, FaultRecorded | RunResumed), bodies)
    return sum(isinstance(body, FaultRecorded) for body in vain)
