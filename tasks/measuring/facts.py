"""From what was measured to what the rules read: plain numbers, or the reason for none."""

from collections.abc import Mapping
from typing import Any

from avss.comparing.comparison import Comparison, MetricComparison, RareCases, SliceComparison
from avss.comparing.output_drift import KpiDrift, OutputDrift
from policies.measurements import (
    CalibrationFacts,
    DataFacts,
    DriftCheckFact,
    DriftFacts,
    KpiFact,
    Measured,
    OutputDriftFact,
    RareCaseFact,
    SliceFact,
)

_OUTPUT_MEASURES = (
    "label_flip_rate",
    "label_kl",
    "next_token_flip_rate",
    "next_token_kl",
    "generation_change",
)
_BASE_RETENTION = Measured(value=1.0)


def kpi_facts(comparison: Comparison, before: Mapping[str, Measured] | None) -> tuple[KpiFact, ...]:
    """A candidate's KPIs; `before` is its parent's retention, None where that is the base."""

    def parent(name: str) -> Measured:
        if before is None:
            return _BASE_RETENTION
        return before.get(name) or Measured(value=None, reason="the step before did not measure it")

    return tuple(_kpi(kpi, comparison.confidence, parent(kpi.name)) for kpi in comparison.kpis)


def _kpi(kpi: MetricComparison, confidence: float, before: Measured) -> KpiFact:
    return KpiFact(
        name=kpi.name,
        n=kpi.n,
        value=kpi.value,
        base_value=kpi.base_value,
        retention=kpi.retention,
        retention_low=kpi.retention_low,
        confidence=confidence,
        higher_is_better=kpi.higher_is_better,
        reason=kpi.reason or "",
        needed_n=kpi.needed_n,
        retention_before=before,
        slices=tuple(_slice(part) for part in kpi.slices),
        worst_slice=_slice(kpi.worst_slice) if kpi.worst_slice else None,
        small_slices=kpi.small_slices,
    )


def _slice(part: SliceComparison) -> SliceFact:
    return SliceFact(
        slice=part.slice[:200],
        n=part.n,
        retention=part.retention,
        retention_low=part.retention_low,
        reason=part.reason or "",
    )


def retention_of(kpi: KpiFact) -> Measured:
    """A KPI's retention as the next step's `before`."""
    return Measured(value=kpi.retention, reason=kpi.reason or ("" if kpi.retention else "unknown"))


def rare_case_facts(rare: tuple[RareCases, ...]) -> tuple[RareCaseFact, ...]:
    """The rare cases that must not break."""
    return tuple(
        RareCaseFact(
            kpi=one.kpi,
            n=one.n,
            broken=None if one.passed is None else len(one.broken),
            budget=one.budget,
            reason=one.reason or "",
        )
        for one in rare
    )


def output_drift_facts(drift: OutputDrift) -> tuple[OutputDriftFact, ...]:
    """How far the answers moved, KPI by KPI, for every measure that a KPI has."""
    return tuple(
        OutputDriftFact(kpi=kpi.kpi, measure=measure, moved=Measured(value=value))
        for kpi in drift.kpis
        for measure, value in _told(kpi)
    )


def _told(kpi: KpiDrift) -> list[tuple[str, float]]:
    values = ((measure, getattr(kpi, measure)) for measure in _OUTPUT_MEASURES)
    return [(measure, value) for measure, value in values if value is not None]


def drift_facts(report: Mapping[str, Any]) -> DriftFacts:
    """A recorded drift report (`DriftReport.to_json`)."""
    return DriftFacts(
        against=report["against"],
        checks=tuple(
            DriftCheckFact(
                name=check["name"],
                distance=check["distance"],
                noise=check["noise"],
                reason=check["reason"],
            )
            for check in report["checks"]
        ),
    )


def data_facts(report: Mapping[str, Any]) -> DataFacts:
    """A recorded validation report (`ValidationReport.to_json`)."""
    return DataFacts(
        records=report["records"],
        passed=report["passed"],
        failures=tuple(report["failures"]),
        warnings=tuple(report["warnings"]),
    )


def calibration_facts(scores: Mapping[str, Any]) -> CalibrationFacts:
    """Recorded scores (`LayerScores.to_json`)."""
    tau = (scores["stability"] or {}).get("kendall_tau")
    reason = "" if tau is not None else "there were too few records to compare two halves"
    return CalibrationFacts(
        records=scores["records"],
        tokens=scores["tokens"],
        rank_stability=Measured(value=tau, reason=reason),
    )
