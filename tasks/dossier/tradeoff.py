"""The trade-off so far: one point for the base and one a step."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.dossier.documents import EvidenceDocument
from tasks.dossier.facts import RetentionFact, TradeoffPoint
from tasks.dossier.resources import cost_fact, speed
from tasks.dossier.science import KpisDocument, ProfileDocument

Measured = tuple[EvidenceDocument, KpisDocument, ProfileDocument | None]


def tradeoff_points(steps: Sequence[Measured]) -> tuple[TradeoffPoint, ...]:
    """Points of the steps (oldest first, this one last) after the base's own, with nothing lost.

    Steps without KPIs have no point; without any there is no curve. Of points with as many layers
    removed, the later one stands: the promotion measures the last step's model anew.
    """
    points = [_point(step, this_step=step is steps[-1]) for step in steps]
    measured = list({point.layers_removed: point for point in points if point.kpis}.values())
    if not measured:
        return ()
    names = dict.fromkeys(kept.kpi for point in measured for kept in point.kpis)
    whole = tuple(RetentionFact(kpi=name, retention=1.0) for name in names)
    unchanged = {
        name: 1.0
        for name in ("speed", "size", "cost")
        if any(getattr(point, name) is not None for point in measured)
    }
    return (TradeoffPoint(layers_removed=0, kpis=whole, **unchanged), *measured)


def _point(step: Measured, *, this_step: bool) -> TradeoffPoint:
    evidence, kpis, profile = step
    proposed = set() if evidence.proposed_layer is None else {evidence.proposed_layer}
    measured = evidence.measurements
    return TradeoffPoint(
        layers_removed=len(set(evidence.removed_layers) | proposed),
        step=evidence.step if isinstance(evidence.step, int) else None,
        this_step=this_step,
        kpis=tuple(
            RetentionFact(
                kpi=metric.name, retention=metric.retention, retention_low=metric.retention_low
            )
            for metric in kpis.kpis
            if metric.retention is not None
        ),
        speed=speed(measured),
        size=measured.resources.bytes_on_disk.value if measured else None,
        cost=_cost(evidence, profile),
    )


def _cost(evidence: EvidenceDocument, profile: ProfileDocument | None) -> float | None:
    if evidence.measurements and evidence.measurements.resources.money_per_month.value is not None:
        return evidence.measurements.resources.money_per_month.value
    money = cost_fact(profile)
    if money is None or not money.base_month or money.after_month is None:
        return None
    return money.after_month / money.base_month
