"""What must agree: a judgement with the record that it stands in, an answer with its check."""

from policies.canonical import parse_json
from policies.entries import Answer, Entry
from policies.errors import VerificationError
from policies.evidence import StepEvidence
from policies.lifecycle.state import ChangeState
from policies.measurements import Measurements
from policies.schema import plain


def same_answer(entry: Entry, given: Answer, again: Answer) -> None:
    if again != given:
        raise VerificationError(
            f"the decision is recorded as {plain(given.fault or 'valid')}, "
            f"but checking it again finds: {again.fault or 'valid'}.",
            entry.sequence,
        )


def same_evidence(entry: Entry, given: StepEvidence, again: StepEvidence) -> None:
    for name in StepEvidence.model_fields:
        if getattr(given, name) != getattr(again, name):
            raise VerificationError(
                f"the evidence says otherwise than the record about {name}.", entry.sequence
            )


def metrics_of(content: bytes) -> frozenset[str]:
    """Metrics of a recorded KPI file. Raises ValueError where it is none."""
    try:
        kpis = parse_json(content)["kpis"]
        return frozenset(f"{kpi['name']}.{metric}" for kpi in kpis for metric in kpi["metrics"])
    except (KeyError, TypeError):
        raise ValueError("no KPI file") from None


def same_data(entry: Entry, facts: Measurements, change: ChangeState) -> None:
    """The rules must have read what the record says of the change's data."""
    snapshot, data, drift = change.snapshot, change.data, change.drift
    recorded = (
        snapshot and snapshot.records,
        data and (data.passed, data.failures),
        drift and drift.against,
    )
    measured = (
        facts.data.records,
        (facts.data.passed, facts.data.failures),
        facts.data_drift.against,
    )
    if recorded != measured:
        raise VerificationError("it was measured on other data than the change's.", entry.sequence)


def same_documents(entry: Entry, given: StepEvidence, change: ChangeState) -> None:
    """What the evidence calls by a name of ours is what the record has under it."""
    step = change.step(given.step) if isinstance(given.step, int) else change.approved_steps[-1]
    attempt = step and (step.chosen or step.attempts[-1])
    recorded = {
        "snapshot": change.snapshot and change.snapshot.manifest,
        "validation": change.data and change.data.report,
        "data_drift": change.drift and change.drift.report,
        "probe": step and step.probed and step.probed.probe,
        "healing": attempt and attempt.built.build,
        # Evidence that names no snapshot is older than this name's meaning.
        "scores": step and step.ranked and "snapshot" in given.documents and step.ranked.scores,
    }
    for name, expected in recorded.items():
        if expected and given.documents.get(name, expected) != expected:
            raise VerificationError(
                f"the evidence calls another document {name} than the record.", entry.sequence
            )
