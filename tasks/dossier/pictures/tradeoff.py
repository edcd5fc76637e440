"""The trade-off curve: how much of each KPI is kept as layers go, and what that buys."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from tasks.dossier.facts.quality import KpiFact, TradeoffPoint, surely_kept
from tasks.dossier.pictures.scales import Scale, scale_over

TOP, BOTTOM = 26.0, 226.0
LEFT, RIGHT = 9.0, 93.0
MOST_CURVES = 6


@dataclass(frozen=True)
class Point:
    """One measured value: across in percent, down in pixels, and where its lower limit is."""

    x: float
    y: float
    y_low: float | None
    layers: int
    value: float
    low: float | None
    refused: bool = False


@dataclass(frozen=True)
class Curve:
    """The points of one KPI or resource, and the segments between neighbours."""

    name: str
    points: tuple[Point, ...]

    @property
    def segments(self) -> tuple[tuple[Point, Point], ...]:
        """Neighbouring points, to be joined by lines."""
        return tuple(pairwise(self.points))


@dataclass(frozen=True)
class Tradeoff:
    """Curves with their axes. `gates` are the retentions that the policy asks for."""

    curves: tuple[Curve, ...]
    across: tuple[tuple[float, int], ...]
    down: tuple[tuple[float, float], ...]
    here: float | None
    gates: tuple[tuple[float, float], ...]
    left_out: int


def kpi_tradeoff(points: tuple[TradeoffPoint, ...], kpis: tuple[KpiFact, ...]) -> Tradeoff:
    """Retention against layers removed, for the KPIs that lose most (`MOST_CURVES` of them)."""
    worst: dict[str, float] = {}
    for point in points:
        for kept in point.kpis:
            if kept.retention is not None:
                worst[kept.kpi] = min(worst.get(kept.kpi, 1.0), surely_kept(kept))
    names = sorted(worst, key=lambda name: worst[name])[:MOST_CURVES]
    series = {name: _kept(points, name) for name in names}
    limits = sorted({k.limit for k in kpis if k.limit is not None and k.name in names})
    picture = _picture(points, series, extra=(1.0, *limits))
    return _tradeoff(points, series, picture, limits, len(worst) - len(names))


def gain_tradeoff(points: tuple[TradeoffPoint, ...]) -> Tradeoff:
    """Cost, size and speed against layers removed, as ratios to the base."""
    series = {
        name: [
            (point.layers_removed, value, None)
            for point in points
            if (value := getattr(point, name)) is not None
        ]
        for name in ("cost", "size", "speed")
    }
    series = {name: values for name, values in series.items() if values}
    return _tradeoff(points, series, _picture(points, series, extra=(1.0,)), [], 0)


_Values = list[tuple[int, float, float | None]]


def _kept(points: tuple[TradeoffPoint, ...], name: str) -> _Values:
    return [
        (point.layers_removed, kept.retention, kept.retention_low)
        for point in points
        for kept in point.kpis
        if kept.kpi == name and kept.retention is not None
    ]


def _picture(
    points: tuple[TradeoffPoint, ...], series: dict[str, _Values], extra: tuple[float, ...]
) -> tuple[Scale, Scale]:
    most = max((point.layers_removed for point in points), default=1)
    values = [v for curve in series.values() for row in curve for v in row[1:] if v is not None]
    across = Scale(0, max(most, 1), LEFT, RIGHT)
    return across, scale_over((*values, *extra), BOTTOM, TOP, least=0.06)


def _tradeoff(
    points: tuple[TradeoffPoint, ...],
    series: dict[str, _Values],
    picture: tuple[Scale, Scale],
    limits: list[float],
    left_out: int,
) -> Tradeoff:
    across, down = picture
    refused = {point.layers_removed for point in points if point.refused}
    here = next((point.layers_removed for point in points if point.this_step), None)
    whole = sorted({round(tick) for tick in across.ticks(8)})
    return Tradeoff(
        curves=tuple(
            Curve(
                name,
                tuple(
                    Point(
                        across(x),
                        down(y),
                        None if low is None else down(low),
                        x,
                        y,
                        low,
                        refused=x in refused,
                    )
                    for x, y, low in sorted(values, key=lambda row: row[:2])
                ),
            )
            for name, values in series.items()
        ),
        across=tuple((across(tick), tick) for tick in whole),
        down=tuple((down(tick), tick) for tick in down.ticks(4)),
        here=None if here is None else across(here),
        gates=tuple((down(limit), limit) for limit in limits),
        left_out=left_out,
    )
