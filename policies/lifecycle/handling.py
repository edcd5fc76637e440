"""What all handlers share: refusing, and the step that is going on."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from policies.entries import CandidateJudged, Entry, HoldoutConfirmed, MonitorChecked
from policies.errors import UnlawfulTransitionError
from policies.lifecycle.state import ChangeState, StepState

Handler = Callable[[ChangeState, Entry, Any], ChangeState]


def need(entry: Entry, holds: bool, message: str) -> None:
    """Raise UnlawfulTransitionError naming the entry where a condition does not hold."""
    if not holds:
        raise UnlawfulTransitionError(message, entry.sequence)


def current_step(change: ChangeState, entry: Entry, number: int) -> StepState:
    """The step that is going on, which must be the one of this number."""
    step = change.steps[-1] if change.steps else None
    if step is None or step.number != number or step.request or change.ended:
        raise UnlawfulTransitionError(f"step {number} is not going on.", entry.sequence)
    return step


def with_step(change: ChangeState, step: StepState) -> ChangeState:
    before, after = change.steps[: step.number - 1], change.steps[step.number :]
    return replace(change, steps=(*before, step, *after))


def check_verdicts(entry: Entry, body: CandidateJudged | HoldoutConfirmed | MonitorChecked) -> None:
    follows = bool(body.verdicts) and all(verdict.passed for verdict in body.verdicts)
    need(entry, body.passed == follows, "passed does not follow from its verdicts.")
