"""What the entries of a step do to an open change, and what must have happened before."""

from dataclasses import replace

from policies.entries import (
    CandidateBuilt,
    CandidateJudged,
    CandidateMeasured,
    Entry,
    LayersRanked,
    ShortlistProbed,
    StepsEnded,
)
from policies.errors import UnlawfulTransitionError
from policies.lifecycle.handling import check_verdicts, current_step, need, with_step
from policies.lifecycle.state import Attempt, ChangeState, StepState


def ranked(change: ChangeState, entry: Entry, body: LayersRanked) -> ChangeState:
    going_on = change.base is not None and change.ended is None
    last = change.steps[-1] if change.steps else None
    need(entry, going_on and (last is None or last.approved), "no step may begin here.")
    number = len(change.steps) + 1
    need(entry, body.step == number, f"this should be step {number}.")
    need(entry, body.model == change.model, "the ranking is of another model than the current one.")
    listed = body.shortlist
    fits = 0 < len(set(listed)) == len(listed) and set(listed) <= set(change.kept)
    need(entry, fits, "the short list is not of layers that the model has.")
    step = StepState(number, change.model, change.kept, ranked=body)
    return replace(change, steps=(*change.steps, step))


def probed(change: ChangeState, entry: Entry, body: ShortlistProbed) -> ChangeState:
    step = current_step(change, entry, body.step)
    need(entry, step.probed is None, "the short list is probed already.")
    listed = step.ranked.shortlist if step.ranked else ()
    need(entry, sorted(body.order) == sorted(listed), "the probe is of another short list.")
    return with_step(change, replace(step, probed=body))


def built(change: ChangeState, entry: Entry, body: CandidateBuilt) -> ChangeState:
    step = current_step(change, entry, body.step)
    need(entry, step.probed is not None, "the short list is not probed yet.")
    last = step.attempts[-1].judged if step.attempts else None
    free = not step.attempts or (last is not None and not last.passed)
    need(entry, free, "the candidate before is not refused yet.")
    need(entry, body.attempt == len(step.attempts) + 1, "it is another attempt than the next.")
    need(entry, body.parent == step.parent, "it was cut from another model than the current one.")
    need(entry, body.layer in step.parent_kept, "the current model has no such layer.")
    known = {step.parent, *(one.built.model for one in step.attempts)}
    need(entry, body.model not in known, "this very model was tried before.")
    kept = tuple(layer for layer in step.parent_kept if layer != body.layer)
    return with_step(change, replace(step, attempts=(*step.attempts, Attempt(body, kept))))


def measured(change: ChangeState, entry: Entry, body: CandidateMeasured) -> ChangeState:
    step = current_step(change, entry, body.step)
    attempt = _last_attempt(step, entry, body.attempt)
    need(entry, attempt.measured is None, "the candidate is measured already.")
    return with_step(change, _with_last(step, replace(attempt, measured=body)))


def judged(change: ChangeState, entry: Entry, body: CandidateJudged) -> ChangeState:
    step = current_step(change, entry, body.step)
    attempt = _last_attempt(step, entry, body.attempt)
    open_for = attempt.measured is not None and attempt.judged is None
    need(entry, open_for, "there are no new measurements to judge.")
    check_verdicts(entry, body)
    return with_step(change, _with_last(step, replace(attempt, judged=body)))


def ended(change: ChangeState, entry: Entry, body: StepsEnded) -> ChangeState:
    need(entry, change.base is not None and change.ended is None, "no steps are going on.")
    request = change.steps[-1].request if change.steps else None
    open_request = request is not None and request.settled is None
    need(entry, not open_request, "people were asked and have not answered.")
    return replace(change, ended=body)


def _last_attempt(step: StepState, entry: Entry, number: int) -> Attempt:
    if not step.attempts or len(step.attempts) != number:
        raise UnlawfulTransitionError(f"attempt {number} is not going on.", entry.sequence)
    return step.attempts[-1]


def _with_last(step: StepState, attempt: Attempt) -> StepState:
    return replace(step, attempts=(*step.attempts[:-1], attempt))
