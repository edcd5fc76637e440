"""From a state, the next action: the whole course of a change, top to bottom."""

from policies.entries import EndReason, Outcome, StepApproved, StepRejected
from policies.lifecycle.actions import (
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
    ValidateData,
)
from policies.lifecycle.history import barred, nothing_new, promotion_barred
from policies.lifecycle.state import ChangeState, State, StepState
from policies.policy import Policy
from policies.schema import Step


def open_action(line: str, state: State) -> OpenChange:
    """The action that opens the line's next change."""
    return OpenChange(f"{line}-{state.changes + 1:04d}")


def next_action(state: State, policy: Policy) -> Action | None:
    """The next undone action of the open change; None where no change is open."""
    change = state.change
    if change is None:
        return None
    return (
        _prepare(state, change, policy) or _step(state, change, policy) or _finish(change, policy)
    )


def removable(change: ChangeState, policy: Policy) -> frozenset[int]:
    """Layers that the policy lets the next step remove; empty where its limit is reached."""
    original = change.original_layers
    if original - len(change.kept) >= policy.limits.layers_allowed(original):
        return frozenset()
    return frozenset(change.kept) - policy.limits.protected(original)


def proposable(state: State, change: ChangeState, policy: Policy) -> frozenset[int]:
    """Of those, the ones that people have not refused already on what is still the same."""
    return removable(change, policy) - barred(state, change)


def overridable(failed: frozenset[str], policy: Policy) -> bool:
    """Whether people may let something pass that failed these rules."""
    override = policy.approvals.override
    return override is not None and bool(failed) and failed <= set(override.rules)


def _prepare(state: State, change: ChangeState, policy: Policy) -> Action | None:
    if change.snapshot is None:
        if change.opened.start_model is not None and not removable(change, policy):
            return _close_without_model("limit")
        return PinSnapshot()
    if change.data is None:
        if same := nothing_new(state, change):
            return CloseChange("nothing_to_do", _SAME.format(same.change.id, same.reason))
        return ValidateData()
    if not change.data.passed:
        return CloseChange("invalid_data", "the data contract is broken")
    if change.drift is None:
        return CheckDataDrift()
    if not change.drift.passed and policy.drift.data.on_alarm == "refuse":
        return CloseChange("invalid_data", "the data drifted from the last approved snapshot's")
    if refused := promotion_barred(state, change):
        return CloseChange("nothing_to_do", _REFUSED.format(refused.id))
    return MeasureBase() if change.base is None else None


_SAME = "model, rules and data are those of change {}, which ended: {}"
_REFUSED = "the promotion was refused in change {}, and the data has not changed since"


def _step(state: State, change: ChangeState, policy: Policy) -> Action | None:
    """The next action of the current step; None after the steps have ended."""
    if change.ended is not None:
        return None
    step = change.steps[-1] if change.steps else None
    if step is None or step.approved:
        if not removable(change, policy):
            return EndSteps("limit")
        if not proposable(state, change, policy):
            return EndSteps("refused_before")
        return RankLayers(len(change.steps) + 1)
    if step.request is not None:
        return _answered(step)
    if step.ranked is not None and step.probed is None:
        return ProbeShortlist(step.number, step.ranked.shortlist)
    return _attempt(step, policy)


def _answered(step: StepState) -> Action:
    settled = step.request.settled if step.request else None
    if settled is None:
        return CollectDecisions(step.number)
    return EndSteps("rejected" if isinstance(settled, StepRejected) else "expired")


def _attempt(step: StepState, policy: Policy) -> Action:
    last = step.attempts[-1] if step.attempts else None
    number = len(step.attempts)
    if last is not None:
        if last.measured is None:
            return MeasureCandidate(step.number, number)
        if last.judged is None:
            return JudgeCandidate(step.number, number)
        if last.judged.passed:
            return RequestDecision(step.number, number)
        if methods := policy.healing.ways_before(last.built.healing):
            return BuildCandidate(step.number, number + 1, last.built.layer, methods)
    order = step.probed.order if step.probed else ()
    tried = len({attempt.built.layer for attempt in step.attempts})
    if tried < min(len(order), policy.limits.attempts_per_step):
        return BuildCandidate(step.number, number + 1, order[tried], policy.healing.methods)
    for at, attempt in enumerate(step.attempts, start=1):
        if overridable(attempt.failed_rules, policy):
            return RequestDecision(step.number, at)
    return EndSteps("nothing_passes")


def _finish(change: ChangeState, policy: Policy) -> Action:
    if change.ended is None or not change.approved_steps:
        return _close_without_model(change.ended.reason if change.ended else "limit")
    if change.holdout is None:
        return ConfirmHoldout()
    failed = frozenset(one.rule for one in change.holdout.verdicts if not one.passed)
    if not change.holdout.passed and not overridable(failed, policy):
        return CloseChange("refused", "the holdout did not confirm the gain")
    if change.registered is None:
        return RegisterModel()
    return _promote(change)


def _promote(change: ChangeState) -> Action:
    promotion: Step = "promotion"
    if change.promotion is None:
        return RequestDecision(promotion)
    settled = change.promotion.settled
    if settled is None:
        return CollectDecisions(promotion)
    if isinstance(settled, StepApproved):
        if change.promoted is None:
            return PromoteModel()
        return CloseChange("promoted", settled.reason)
    rejected = isinstance(settled, StepRejected)
    return CloseChange("rejected" if rejected else "expired", settled.reason)


def _close_without_model(reason: EndReason) -> CloseChange:
    outcomes: dict[EndReason, tuple[Outcome, str]] = {
        "limit": ("nothing_to_do", "the policy's limit is reached; no layer may go"),
        "nothing_passes": ("refused", "no candidate passed the rules"),
        "rejected": ("rejected", "the first step was rejected"),
        "expired": ("expired", "nobody decided on the first step in time"),
        "refused_before": (
            "nothing_to_do",
            "people refused every layer that could go, and the data has not changed since",
        ),
    }
    return CloseChange(*outcomes[reason])
