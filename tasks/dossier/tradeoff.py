"""The trade-off so far: one point for the base, one a step, and how far one can go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile

from tasks.dossier.documents import EvidenceDocument
from tasks.dossier.facts.quality import ReachFact, RetentionFact, TradeoffPoint, surely_kept
from tasks.dossier.resources import cost_fact, speed
from tasks.dossier.science import KpisDocument, ProfileDocument

Measured = tuple[EvidenceDocument, KpisDocument, ProfileDocument | None]

LEVELS = (0.99, 0.97, 0.95, 0.90, 0.80)
"""Retentions at which the page says how far one can go."""


def tradeoff_points(
    steps: Sequence[Measured], refused: Sequence[Measured] = ()
) -> tuple[TradeoffPoint, ...]:
    """Points of the steps (oldest first, this one last) after the base's own, with nothing lost.

    Steps without KPIs have no point; without any there is no curve. Of points with as many layers
    removed, the later one stands: the promotion measures the last step's model anew. Of `refused`
    candidates, which would have gone further, the one whose worst KPI keeps most ends the curve.
    """
    points = [_point(step, this_step=step is steps[-1]) for step in steps]
    beyond = [_point(step, this_step=False) for step in refused]
    if any(point.kpis for point in beyond):
        best = max(
            (point for point in beyond if point.kpis), key=lambda at: _least(at, surely_kept)
        )
        points.append(best.model_copy(update={"refused": True}))
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


def reach(points: Sequence[TradeoffPoint]) -> tuple[ReachFact, ...]:
    """For each of `LEVELS`, the most layers up to which every KPI of every point keeps that much.

    Surely means by the lower confidence limit; a KPI without one counts by its estimate.
    """
    return tuple(
        ReachFact(
            kept=level,
            layers=_furthest(points, level, lambda kept: kept.retention or 0.0),
            layers_surely=_furthest(points, level, surely_kept),
        )
        for level in LEVELS
        if points
    )


_Kept = Callable[[RetentionFact], float]


def _furthest(points: Sequence[TradeoffPoint], level: float, kept: _Kept) -> int:
    ordered = sorted(points, key=lambda point: point.layers_removed)
    held = takewhile(lambda point: _least(point, kept) >= level, ordered)
    return max((point.layers_removed for point in held), default=0)


def _least(point: TradeoffPoint, kept: _Kept) -> float:
    return min(map(kept, point.kpis), default=0.0)


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
