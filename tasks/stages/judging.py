"""Measure a candidate against the change's base, and let the rules speak."""

from policies.entries import CandidateJudged, CandidateMeasured, HoldoutConfirmed
from policies.lifecycle import (
    ChangeState,
    ConfirmHoldout,
    JudgeCandidate,
    MeasureCandidate,
    State,
    StepState,
    make_evidence,
)
from policies.measurements import Measurements
from tasks.job import Job
from tasks.measuring.candidate import measure_against_base
from tasks.stages.now import attempt_of, change_of, pinned, step_of


def measure_candidate(job: Job, state: State, action: MeasureCandidate) -> CandidateMeasured:
    """Everything the rules read about one candidate, on the validation split."""
    measurements, reports = measure_against_base(
        job, state, step_of(change_of(state), action.step), action.step, action.attempt
    )
    return CandidateMeasured(
        step=action.step,
        attempt=action.attempt,
        measurements=job.documents.put_model(measurements),
        reports=reports,
    )


def judge_candidate(job: Job, state: State, action: JudgeCandidate) -> CandidateJudged:
    """The verdict of every rule, and the evidence that people would decide on."""
    change = change_of(state)
    step = step_of(change, action.step)
    attempt = attempt_of(step, action.attempt)
    if attempt.measured is None:
        raise ValueError("an attempt is measured before it is judged")
    evidence = make_evidence(
        change,
        action.step,
        job.documents.get_model(attempt.measured.measurements, Measurements),
        _documents(change, step, action.attempt) | attempt.measured.reports,
        job.policy,
    )
    return CandidateJudged(
        step=action.step,
        attempt=action.attempt,
        passed=evidence.passed,
        evidence=job.documents.put_model(evidence),
        verdicts=evidence.verdicts,
    )


def confirm(job: Job, state: State, action: ConfirmHoldout) -> HoldoutConfirmed:
    """Judge the last approved candidate once on data that no score, fit or gate has seen."""
    change = change_of(state)
    step = change.approved_steps[-1]
    chosen = next(at for at, one in enumerate(step.attempts, 1) if one is step.chosen)
    measurements, reports = measure_against_base(job, state, step, "promotion", 1)
    documents = _documents(change, step, chosen) | reports
    evidence = make_evidence(change, "promotion", measurements, documents, job.policy)
    return HoldoutConfirmed(
        passed=evidence.passed,
        measurements=job.documents.put_model(measurements),
        evidence=job.documents.put_model(evidence),
        verdicts=evidence.verdicts,
    )


def _documents(change: ChangeState, step: StepState, attempt: int) -> dict[str, str]:
    """What was recorded on the way to a candidate, by the names that the dossier reads."""
    named = {
        "snapshot": pinned(change).manifest,
        "validation": change.data and change.data.report,
        "data_drift": change.drift and change.drift.report,
        "scores": step.ranked and step.ranked.scores,
        "probe": step.probed and step.probed.probe,
        "healing": step.attempts[attempt - 1].built.build,
    }
    return {name: digest for name, digest in named.items() if digest}
