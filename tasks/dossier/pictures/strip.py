"""The model as a strip: one bar for every original layer, its score as height."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.dossier.facts.choice import LayerFact

BASE = 150.0
TALLEST = 112.0
STUB = 10.0
_MOST_NUMBERS = 32


@dataclass(frozen=True)
class Bar:
    """A layer: left edge and width in percent, top and height in pixels."""

    layer: LayerFact
    left: float
    width: float
    top: float
    height: float
    numbered: bool

    @property
    def middle(self) -> float:
        """Centre of the bar in percent."""
        return round(self.left + self.width / 2, 3)


def strip(layers: tuple[LayerFact, ...]) -> tuple[Bar, ...]:
    """Bars from the first layer to the last; a layer without a score is a stub."""
    slot = 100 / max(len(layers), 1)
    highest = max((score(layer) or 0.0 for layer in layers), default=0.0)
    gap = min(slot * 0.24, 0.8)
    every = -(-len(layers) // _MOST_NUMBERS)
    every = every if every == 1 else -(-every // 5) * 5
    return tuple(
        _bar(layer, position * slot + gap / 2, slot - gap, highest, every)
        for position, layer in enumerate(layers)
    )


def score(layer: LayerFact) -> float | None:
    """The height of a layer: its share of the scores, else its AVSS."""
    return layer.share if layer.share is not None else layer.avss


def _bar(layer: LayerFact, left: float, width: float, highest: float, every: int) -> Bar:
    known = score(layer)
    height = STUB
    if known is not None and highest > 0:
        height = max(3.0, round(TALLEST * max(known, 0.0) / highest, 2))
    numbered = layer.index % every == 0 or layer.state == "proposed"
    return Bar(layer, round(left, 3), round(width, 3), BASE - height, height, numbered)
