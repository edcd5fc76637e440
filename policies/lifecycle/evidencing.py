"""The evidence of a decision, put together from the state: so it can be made and re-made."""

from collections.abc import Mapping

from policies.errors import LawError
from policies.evidence import RefusedAttempt, StepEvidence
from policies.lifecycle.state import Attempt, ChangeState, StepState
from policies.measurements import LayerFacts, Measurements
from policies.policy import Policy
from policies.rules import judge, passed
from policies.schema import Step


def layer_facts(change: ChangeState, step: Step) -> LayerFacts:
    """The layers of the candidate that is to be judged: the step's last attempt, or the whole."""
    current, attempt = _candidate(change, step)
    return LayerFacts(
        original_layers=change.original_layers,
        base_kept=change.opened.kept_layers,
        parent_kept=current.parent_kept if current else change.start_kept,
        kept=attempt.kept if attempt else change.kept,
    )


def make_evidence(
    change: ChangeState,
    step: Step,
    measurements: Measurements,
    documents: Mapping[str, str],
    policy: Policy,
) -> StepEvidence:
    """Judge the candidate and put its evidence together.

    Raises LawError where the measurements are of other layers than the candidate's.
    """
    current, attempt = _candidate(change, step)
    layers = layer_facts(change, step)
    if measurements.layers != layers:
        raise LawError("The measurements are of other layers than the candidate's.")
    verdicts = judge(measurements, policy)
    return StepEvidence(
        line=change.line,
        change=change.id,
        step=step,
        attempt=attempt.built.attempt if attempt else 1,
        policy=change.opened.policy,
        base_model=change.opened.base_model,
        parent_model=current.parent if current else change.start_model,
        candidate_model=attempt.built.model if attempt else change.model,
        kept_layers=layers.kept,
        removed_layers=tuple(sorted(layers.removed)),
        proposed_layer=attempt.built.layer if attempt else None,
        documents=dict(documents),
        measurements=measurements,
        verdicts=verdicts,
        passed=passed(verdicts),
        refused_before=_refused(current, policy) if current else (),
    )


def _candidate(change: ChangeState, step: Step) -> tuple[StepState | None, Attempt | None]:
    if step == "promotion":
        return None, None
    current = change.step(step)
    if current is None or not current.attempts:
        raise LawError(f"Step {step} has no candidate yet.")
    return current, current.attempts[-1]


def _refused(step: StepState, policy: Policy) -> tuple[RefusedAttempt, ...]:
    return tuple(
        RefusedAttempt(
            attempt=one.built.attempt,
            layer=one.built.layer,
            model=one.built.model,
            failed=tuple(sorted(one.failed_rules)),
            healing=one.built.healing if policy.healing.gated == "each" else None,
        )
        for one in step.attempts[:-1]
    )
