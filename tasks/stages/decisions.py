"""Ask people, and take their answers: whatever was typed elsewhere, only signatures count."""

import hashlib
from datetime import datetime
from functools import partial
from typing import cast

from policies.approvals import record_decision
from policies.entries import ChangeClosed, DecisionRequested, StepsEnded
from policies.lifecycle import (
    ChangeState,
    CloseChange,
    CollectDecisions,
    EndSteps,
    RequestDecision,
    State,
    expectation,
    request_decision,
    settle,
)
from policies.schema import Step
from tasks import clock
from tasks.job import Job
from tasks.record.journal import Dated
from tasks.stages.candidates import forget_healing
from tasks.stages.now import change_of
from tasks.stages.release import withdraw

_ENDINGS = {
    "limit": "the policy allows no further layer to go",
    "nothing_passes": "no candidate of the step passed the rules",
    "rejected": "the step was rejected",
    "expired": "nobody decided on the step in time",
    "refused_before": "people refused every layer that could go, and the data has not changed",
}


def ask(job: Job, state: State, action: RequestDecision) -> Dated:
    """Ask for a decision on the evidence; it is open for as long as the policy says."""
    change = change_of(state)

    def request(now: datetime) -> DecisionRequested:
        return request_decision(change, action, job.policy, now)

    return request


def collect(job: Job, state: State, action: CollectDecisions) -> Dated | None:
    """The next answer that came in, or how the request ended; None while people are awaited.

    What came in too late for an earlier step is recorded as late: no answer goes unmentioned.
    """
    change = change_of(state)
    settled = partial(settle, change, action.step, job.policy, job.roster)
    if settled(clock.now()):
        return cast(Dated, settled)
    earlier = [one.number for one in change.steps if one.request and one.number != action.step]
    for step in (action.step, *earlier):
        for envelope in job.approvals.answers(change.id, step):
            if hashlib.sha256(envelope).hexdigest() not in _known(change, step):
                expected = expectation(change, step, job.policy, job.roster)
                return lambda now: record_decision(envelope, expected, now=now)
    return None


def _known(change: ChangeState, step: Step) -> set[str]:
    request = change.request(step)
    return {one.envelope_digest for one in request.decisions} if request else set()


def end_steps(job: Job, state: State, action: EndSteps) -> StepsEnded:
    """Try no further step."""
    return StepsEnded(reason=action.reason, detail=_ENDINGS[action.reason])


def close(job: Job, state: State, action: CloseChange) -> ChangeClosed:
    """End the change."""
    change = change_of(state)
    withdraw(job, change)
    forget_healing(change)
    return ChangeClosed(outcome=action.outcome, reason=action.reason)
