"""What requests and answers do to an open change, and what must have happened before."""

from dataclasses import replace

from policies.entries import DecisionRecorded, DecisionRequested, Entry, Settled
from policies.errors import UnlawfulTransitionError
from policies.lifecycle.handling import current_step, need, with_step
from policies.lifecycle.state import ChangeState, Request
from policies.schema import Step


def requested(change: ChangeState, entry: Entry, body: DecisionRequested) -> ChangeState:
    request = Request(body, entry.time)
    need(entry, body.expires > entry.time, "the request is over before it began.")
    if body.step == "promotion":
        ready = change.registered is not None and change.promotion is None
        need(entry, ready, "there is nothing to promote.")
        evidence = change.holdout.evidence if change.holdout else None
        asked = (body.candidate, body.evidence) == (change.model, evidence)
        need(entry, asked, "it asks about another model or evidence than what was confirmed.")
        return replace(change, promotion=request)
    step = current_step(change, entry, body.step)
    about = next((one for one in step.attempts if one.built.model == body.candidate), None)
    judged = about.judged if about else None
    if judged is None or judged.evidence != body.evidence:
        raise UnlawfulTransitionError(
            "it asks about a candidate or evidence that was not judged.", entry.sequence
        )
    need(entry, judged.passed != body.override, "the rules said otherwise than it claims.")
    return with_step(change, replace(step, request=request))


def recorded(change: ChangeState, entry: Entry, body: DecisionRecorded) -> ChangeState:
    request = _request(change, entry, body.step)
    waiting = request.settled is None
    need(entry, waiting or not body.valid, "a decision counts after the request was over.")
    answered = replace(request, decisions=(*request.decisions, body))
    return _with_request(change, body.step, answered)


def settled(change: ChangeState, entry: Entry, body: Settled) -> ChangeState:
    request = _request(change, entry, body.step)
    need(entry, request.settled is None, "the request was over already.")
    need(entry, body.evidence == request.asked.evidence, "it settles other evidence.")
    return _with_request(change, body.step, replace(request, settled=body))


def _request(change: ChangeState, entry: Entry, step: Step) -> Request:
    request = change.request(step)
    if request is None:
        raise UnlawfulTransitionError("nobody was asked about this.", entry.sequence)
    return request


def _with_request(change: ChangeState, step: Step, request: Request) -> ChangeState:
    if step == "promotion":
        return replace(change, promotion=request)
    return with_step(change, replace(change.steps[step - 1], request=request))
