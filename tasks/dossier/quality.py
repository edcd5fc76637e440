"""From the KPIs, answers and drift of a step to facts, held against the policy."""

from __future__ import annotations

from collections.abc import Mapping

from policies.policy import Policy
from tasks.dossier.documents import (
    DriftDocument,
    EvidenceDocument,
)
from tasks.dossier.facts.base import Outcome
from tasks.dossier.facts.data import DriftFact
from tasks.dossier.facts.quality import (
    ExampleFact,
    KpiFact,
    OutputFact,
    RareCaseFact,
    SliceFact,
    VerdictFact,
)
from tasks.dossier.science import (
    ComparedMetric,
    ComparedSlice,
    ExamplesDocument,
    KpisDocument,
    OutputsDocument,
    RareCasesResult,
    SliceFlips,
)

_ANSWERS: Mapping[str, Outcome] = {"no drift": "pass", "drift": "fail", "cannot tell": "unknown"}


def measured_kpis(evidence: EvidenceDocument, document: KpisDocument | None) -> KpisDocument:
    """The KPIs of a step: the document where there is one, else the signed measurements."""
    if document is not None:
        return document
    measured = evidence.measurements
    if measured is None:
        return KpisDocument()
    return KpisDocument(
        confidence=next((kpi.confidence for kpi in measured.kpis), None),
        kpis=tuple(ComparedMetric.model_validate(kpi.model_dump()) for kpi in measured.kpis),
        rare_cases=tuple(
            RareCasesResult(kpi=rare.kpi, n=rare.n, broken=rare.broken, budget=rare.budget)
            for rare in measured.rare_cases
        ),
    )


def kpi_facts(
    after: KpisDocument,
    before: KpisDocument | None,
    policy: Policy,
    verdicts: tuple[VerdictFact, ...],
) -> tuple[KpiFact, ...]:
    """Every metric of the candidate; without an earlier step, "before" is the base itself."""
    earlier = {metric.name: metric.value for metric in (before.kpis if before else ())}
    return tuple(
        KpiFact(
            name=metric.name,
            n=metric.n,
            base=metric.base_value,
            before=earlier.get(metric.name) if before else metric.base_value,
            after=metric.value,
            retention=metric.retention,
            retention_low=metric.retention_low,
            limit=_kpi_limit(policy, metric.name),
            higher_is_better=metric.higher_is_better,
            outcome=_kpi_outcome(metric, policy, verdicts),
            reason=metric.reason or "",
            needed_n=metric.needed_n,
        )
        for metric in after.kpis
    )


def slice_facts(kpis: KpisDocument, policy: Policy) -> tuple[SliceFact, ...]:
    """Every slice of every metric, held against what the policy asks of the worst one."""
    facts = []
    for metric in kpis.kpis:
        gate = policy.gate_of(metric.name)
        asked = None if gate.report_only else gate.worst_slice
        limit = asked.min_retention if asked else None
        facts += [
            SliceFact(
                kpi=metric.name,
                slice=part.slice,
                n=part.n,
                base=part.base_value,
                after=part.value,
                retention=part.retention,
                retention_low=part.retention_low,
                limit=limit,
                outcome=_against(part, limit),
                reason=part.reason or "",
            )
            for part in metric.slices
        ]
    return tuple(facts)


def rare_facts(kpis: KpisDocument) -> tuple[RareCaseFact, ...]:
    """The sets of examples that must not break."""
    return tuple(
        RareCaseFact(
            name=rare.kpi,
            total=rare.n,
            broken=rare.broken,
            budget=rare.budget,
            outcome=_rare_outcome(rare),
        )
        for rare in kpis.rare_cases
    )


def output_facts(outputs: OutputsDocument | None) -> tuple[OutputFact, ...]:
    """How often answers changed: labels where there are labels, else written text, else tokens."""
    facts = []
    for kpi in outputs.kpis if outputs else ():
        changes = (kpi.label_flip_rate, kpi.generation_change, kpi.next_token_flip_rate)
        changed = next((change for change in changes if change is not None), None)
        apart = kpi.label_kl if kpi.label_kl is not None else kpi.next_token_kl
        differ = _counted(kpi.label_flip_rate, kpi.n) if kpi.differ is None else kpi.differ
        facts.append(
            OutputFact(
                name=kpi.kpi,
                n=kpi.n,
                same=None if differ is None or kpi.n is None else kpi.n - differ,
                differ=differ,
                changed=changed,
                divergence=apart,
            )
        )
        facts += [_on_slice(kpi.kpi, part) for part in kpi.slices]
    return tuple(facts)


def _on_slice(kpi: str, part: SliceFlips) -> OutputFact:
    differ = _counted(part.label_flip_rate, part.n)
    return OutputFact(
        name=kpi,
        slice=part.slice,
        n=part.n,
        same=None if differ is None or part.n is None else part.n - differ,
        differ=differ,
        changed=part.label_flip_rate,
    )


def _counted(share: float | None, n: int | None) -> int | None:
    """How many examples a share of n is, each of them changed or not."""
    return None if share is None or n is None else round(share * n)


def example_facts(examples: ExamplesDocument | None) -> tuple[ExampleFact, ...]:
    """Answers side by side, KPI by KPI; none where the policy allows no text."""
    return tuple(
        ExampleFact(
            kpi=kpi.kpi,
            asked=one.asked,
            base=one.base,
            candidate=one.candidate,
            differs=one.base != one.candidate if one.differs is None else one.differs,
        )
        for kpi in (examples.kpis if examples else ())
        for one in kpi.examples
    )


def output_drift_facts(evidence: EvidenceDocument, policy: Policy) -> tuple[DriftFact, ...]:
    """How far answers moved from the base's, against the policy's limits; others are left out."""
    facts = []
    for moved in evidence.measurements.output_drift if evidence.measurements else ():
        limit = getattr(policy.drift.outputs, moved.measure, None)
        if limit is None:
            continue
        value = moved.moved.value
        outcome: Outcome = "unknown" if value is None else "pass" if value <= limit else "fail"
        facts.append(
            DriftFact(
                kind="outputs",
                name=moved.measure,
                method=moved.kpi,
                value=value,
                limit=limit,
                outcome=outcome,
                reason=moved.moved.reason,
            )
        )
    return tuple(facts)


def drift_facts(data: DriftDocument | None, scores: DriftDocument | None) -> tuple[DriftFact, ...]:
    """Checks of the data, of its two splits against each other, then of the scores."""
    both = (("data", data), ("splits", data.splits if data else None), ("scores", scores))
    return tuple(
        DriftFact.model_validate(
            {
                "kind": kind,
                "name": check.name,
                "method": check.method,
                "value": check.distance,
                "limit": check.threshold,
                "outcome": _ANSWERS[check.answer],
                "reason": check.reason if check.answer != "no drift" else "",
            }
        )
        for kind, document in both
        for check in (document.checks if document else ())
    )


def _kpi_limit(policy: Policy, name: str) -> float | None:
    gate = policy.gate_of(name)
    return None if gate.report_only else gate.min_retention


def _kpi_outcome(
    metric: ComparedMetric, policy: Policy, verdicts: tuple[VerdictFact, ...]
) -> Outcome | None:
    """The worst that any rule says of a metric; a lack of examples is "cannot tell"."""
    said = {verdict.outcome for verdict in verdicts if verdict.subject == metric.name}
    limit = _kpi_limit(policy, metric.name)
    if said == {"fail", "pass"} or said == {"fail"}:
        unsure = _against(metric, limit) == "unknown" and metric.needed_n is not None
        return "unknown" if unsure else "fail"
    worst: tuple[Outcome, ...] = ("fail", "unknown", "pass")
    return next((outcome for outcome in worst if outcome in said), None)


def _against(part: ComparedSlice, limit: float | None) -> Outcome | None:
    """Surely at or above the limit, surely short of it by its estimate, or neither."""
    if limit is None:
        return None
    if part.retention is None or part.retention_low is None:
        return "unknown"
    if part.retention_low >= limit:
        return "pass"
    return "fail" if part.retention < limit else "unknown"


def _rare_outcome(rare: RareCasesResult) -> Outcome:
    if rare.broken is None or rare.budget is None:
        return "unknown"
    return "pass" if rare.broken <= rare.budget else "fail"
