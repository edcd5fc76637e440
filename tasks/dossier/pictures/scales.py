"""Linear scales with round ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Maps the domain `low..high` onto `start..end` (pixels or percent)."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Position of `value`; a value outside the domain is held at its edge."""
        held = min(max(value, self.low), self.high)
        return round(self.start + (held - self.low) / (self.high - self.low) * self.span, 2)

    @property
    def span(self) -> float:
        """Signed length of the range."""
        return self.end - self.start

    def ticks(self, about: int = 4) -> tuple[float, ...]:
        """Round values within the domain, roughly `about` of them."""
        step = _round_step((self.high - self.low) / max(about, 1))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return tuple(round(index * step, 10) for index in range(first, last + 1))


def scale_over(values: Iterable[float], start: float, end: float, *, least: float) -> Scale:
    """A scale over `values`, padded, with a domain at least `least` wide."""
    known = list(values)
    low, high = (min(known), max(known)) if known else (0.0, least)
    missing = max(0.0, least - (high - low)) / 2
    padding = max(high - low, least) * 0.06
    return Scale(low - missing - padding, high + missing + padding, start, end)


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return power * next(nice for nice in (1, 2, 2.5, 5, 10) if nice * power >= rough * (1 - 1e-9))
