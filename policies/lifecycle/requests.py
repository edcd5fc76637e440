"""What the record must say when people are asked, and when a request is over."""

from datetime import datetime, timedelta

from policies.approvals import (
    Expectation,
    Subject,
    read_decision,
    standing,
    tally,
    withdrawals,
)
from policies.entries import (
    OVERRIDDEN,
    DecisionRequested,
    Settled,
    StepApproved,
    StepExpired,
    StepRejected,
)
from policies.errors import LawError
from policies.lifecycle.actions import RequestDecision
from policies.lifecycle.state import ChangeState
from policies.policy import Policy
from policies.roster import Roster
from policies.schema import Step


def request_decision(
    change: ChangeState, action: RequestDecision, policy: Policy, now: datetime
) -> DecisionRequested:
    """The request that `action` asks for. Raises LawError where nothing was judged yet."""
    if action.step == "promotion":
        if change.holdout is None:
            raise LawError("The holdout was not confirmed yet.")
        evidence, candidate = change.holdout.evidence, change.model
        override = not change.holdout.passed
    else:
        step = change.step(action.step)
        attempt = step.attempts[action.attempt - 1] if step else None
        if attempt is None or attempt.judged is None:
            raise LawError(f"Attempt {action.attempt} of step {action.step} was not judged yet.")
        evidence, candidate = attempt.judged.evidence, attempt.built.model
        override = not attempt.judged.passed
    gate = policy.approval_gate(action.step, override=override)
    return DecisionRequested(
        step=action.step,
        evidence=evidence,
        candidate=candidate,
        expires=now + timedelta(hours=gate.expires_hours),
        override=override,
    )


def expectation(change: ChangeState, step: Step, policy: Policy, roster: Roster) -> Expectation:
    """What an answer to the open request must fit. Raises LawError where nothing was asked."""
    request = change.request(step)
    if request is None:
        raise LawError(f"Nobody was asked about step {step} of change {change.id}.")
    asked = request.asked
    return Expectation(
        subject=Subject(
            line=change.line,
            change=change.id,
            step=step,
            evidence=asked.evidence,
            candidate=asked.candidate,
            policy=change.opened.policy,
            override=asked.override,
        ),
        gate=policy.approval_gate(step, override=asked.override),
        roster=roster,
        requester=change.opened.requester,
        asked_at=request.asked_at,
        expires=asked.expires,
        over=request.settled is not None,
        seen_nonces=frozenset(
            read_decision(one.envelope.encode("ascii"))[0].nonce
            for one in change.valid_decisions
            if one.envelope
        ),
        withdrawn=withdrawals(request.decisions),
    )


def settle(
    change: ChangeState, step: Step, policy: Policy, roster: Roster, now: datetime
) -> Settled | None:
    """How the request ends now: approved, rejected, expired, or not yet (None).

    `roster` is the one in force: what its people said before counts as far as it still does.
    """
    request = change.request(step)
    if request is None or request.settled is not None:
        return None
    asked = request.asked
    gate = policy.approval_gate(step, override=asked.override)
    expected = expectation(change, step, policy, roster)
    counted = tally(standing(request.decisions, expected, now=now), gate)
    names = ", ".join(counted.deciders)
    common = {"step": step, "evidence": asked.evidence, "deciders": counted.deciders}
    if counted.outcome == "rejected":
        return StepRejected(**common, reason=f"rejected by {names}")
    if counted.outcome == "approved":
        how = OVERRIDDEN if asked.override else "approved by"
        return StepApproved(**common, reason=f"{how} {names}")
    if now >= asked.expires:
        reason = f"{len(counted.deciders)} of {gate.quorum} approvals came in time"
        return StepExpired(**common, reason=reason)
    return None
