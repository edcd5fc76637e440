"""What the evidence cannot tell, said as loudly as what it can."""

from __future__ import annotations

from tasks.dossier.facts.decision import UnknownFact
from tasks.dossier.facts.dossier import DossierFacts
from tasks.dossier.facts.quality import KpiFact
from tasks.dossier.science import KpisDocument

_WIDE_RANKS = 3


def unknown_facts(facts: DossierFacts, kpis: KpisDocument) -> tuple[UnknownFact, ...]:
    """Gaps in `facts`: KPIs first, then slices, drift, ranks, and what is still to come."""
    return (
        *(gap for kpi in facts.kpis if (gap := _of_kpi(kpi))),
        *(
            UnknownFact(kind="small_slices", subject=metric.name, n=metric.small_slices)
            for metric in kpis.kpis
            if metric.small_slices
        ),
        *(
            UnknownFact(kind="drift", subject=check.name)
            for check in facts.drift
            if check.outcome == "unknown"
        ),
        *(
            UnknownFact(
                kind="rank", subject=str(layer.index), n=layer.rank_low, needed=layer.rank_high
            )
            for layer in facts.layers
            if layer.state == "proposed"
            and layer.rank_low is not None
            and layer.rank_high is not None
            and layer.rank_high - layer.rank_low >= _WIDE_RANKS
        ),
        *((UnknownFact(kind="holdout"),) if facts.step != "promotion" else ()),
    )


def _of_kpi(kpi: KpiFact) -> UnknownFact | None:
    if kpi.retention is None:
        return UnknownFact(kind="not_measured", subject=kpi.name)
    if kpi.outcome == "unknown":
        return UnknownFact(kind="cannot_tell", subject=kpi.name, n=kpi.n, needed=kpi.needed_n)
    if kpi.retention_low is None:
        return UnknownFact(kind="no_limits", subject=kpi.name)
    return None
