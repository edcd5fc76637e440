"""Retention of many things under one scale: estimate, lower limit and what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.dossier.facts.quality import KpiFact, SliceFact
from tasks.dossier.pictures.scales import Scale, scale_over


@dataclass(frozen=True)
class Whisker:
    """Positions in percent; None where the figure is not known."""

    estimate: float | None
    low: float | None
    limit: float | None


@dataclass(frozen=True)
class Forest:
    """One whisker a row, the position of "nothing lost", and the axis."""

    rows: tuple[Whisker, ...]
    whole: float
    ticks: tuple[tuple[float, float], ...]


def forest(facts: Sequence[KpiFact | SliceFact]) -> Forest:
    """Whiskers of `facts` in their order; far outliers are held at the edge of the scale."""
    values = [v for f in facts for v in (f.retention, f.retention_low, f.limit) if v is not None]
    held = [min(max(value, 0.0), 1.5) for value in values]
    scale = scale_over((*held, 1.0), 3.0, 97.0, least=0.1)
    return Forest(
        rows=tuple(
            Whisker(_at(scale, f.retention), _at(scale, f.retention_low), _at(scale, f.limit))
            for f in facts
        ),
        whole=scale(1.0),
        ticks=tuple((scale(tick), tick) for tick in scale.ticks(3)),
    )


def _at(scale: Scale, value: float | None) -> float | None:
    return None if value is None else scale(value)
