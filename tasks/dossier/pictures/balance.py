"""Cost against quality: the manager's one picture."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.dossier.facts.quality import TradeoffPoint, surely_kept
from tasks.dossier.pictures.scales import Scale, scale_over

TOP, BOTTOM = 24.0, 236.0


@dataclass(frozen=True)
class Stop:
    """The model after some layers: across (percent) what is saved, down (pixels) what is kept."""

    x: float
    y: float
    layers: int
    saved: float
    kept: float
    here: bool


@dataclass(frozen=True)
class Balance:
    """The way from the base to this step; `by` says what the horizontal axis measures."""

    stops: tuple[Stop, ...]
    by: str
    across: tuple[tuple[float, float], ...]
    down: tuple[tuple[float, float], ...]
    gates: tuple[tuple[float, float], ...]


def balance(points: tuple[TradeoffPoint, ...], limits: frozenset[float]) -> Balance | None:
    """Worst surely kept KPI against the saving in cost, else in size; None when not measured.

    What the policy asks for is drawn only where it asks the same of every KPI: the worst KPI may
    be another one at every step.
    """
    by = next((n for n in ("cost", "size") if any(getattr(p, n) is not None for p in points)), None)
    if by is None:
        return None
    known = [
        (point, 1 - getattr(point, by), min(surely_kept(kept) for kept in point.kpis))
        for point in points
        if getattr(point, by) is not None and any(k.retention is not None for k in point.kpis)
    ]
    gates = tuple(limits) if len(limits) == 1 else ()
    saved = [0.0, *(saved for _, saved, _ in known)]
    across = Scale(min(saved), max(*saved, 0.05) * 1.06, 9.0, 94.0)
    down = scale_over((1.0, *gates, *(kept for *_, kept in known)), BOTTOM, TOP, least=0.06)
    return Balance(
        stops=tuple(
            Stop(across(x), down(y), point.layers_removed, x, y, point.this_step)
            for point, x, y in known
        ),
        by=by,
        across=tuple((across(tick), tick) for tick in across.ticks(5)),
        down=tuple((down(tick), tick) for tick in down.ticks(4)),
        gates=tuple((down(gate), gate) for gate in gates),
    )
