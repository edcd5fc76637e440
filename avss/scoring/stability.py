"""How far a ranking would move on other calibration text of the same kind."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau, rankdata

Floats = npt.NDArray[np.float64]

_CONFIDENCE = 0.95
_HALVINGS = 20
_BLOCK = 256


@dataclass(frozen=True)
class RankInterval:
    """Where a layer ranks (1 = least important) in the middle 95 % of the resamples."""

    index: int
    low: int
    high: int


@dataclass(frozen=True)
class Stability:
    """Bootstrap over calibration records.

    `kendall_tau` compares the rankings of two halves of the records, averaged over random
    halvings: 1 is the same order, 0 no relation. It is None where there are too few records.
    """

    resamples: int
    seed: int
    kendall_tau: float | None
    rank_intervals: tuple[RankInterval, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data, read back by `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Stability":
        """Read back what `to_json` wrote."""
        intervals = tuple(RankInterval(**one) for one in data["rank_intervals"])
        return cls(**{**data, "rank_intervals": intervals})


def rank_stability(
    score: Callable[[Floats], Floats],
    records: int,
    layers: tuple[int, ...],
    *,
    resamples: int,
    seed: int,
) -> Stability:
    """Bootstrap the ranking of `layers` (original numbers).

    `score` maps weights (B, records), how often each record is taken, to scores (B, layers).
    """
    random = np.random.default_rng(seed)
    even = np.full(records, 1 / records)
    ranks = np.concatenate(
        [
            rankdata(score(random.multinomial(records, even, size).astype(np.float64)), axis=1)
            for size in _blocks(resamples)
        ]
    )
    tail = (1 - _CONFIDENCE) / 2
    low = np.quantile(ranks, tail, axis=0, method="lower")
    high = np.quantile(ranks, 1 - tail, axis=0, method="higher")
    intervals = tuple(
        RankInterval(index, int(low[at]), int(np.ceil(high[at]))) for at, index in enumerate(layers)
    )
    return Stability(resamples, seed, _tau_between_halves(score, records, random), intervals)


def _tau_between_halves(
    score: Callable[[Floats], Floats], records: int, random: np.random.Generator
) -> float | None:
    if records < 4:  # halves of one record say nothing about halves
        return None
    halves = np.zeros((_HALVINGS, records))
    halves[:, : records // 2] = 1
    halves = random.permuted(halves, axis=1)
    first, second = score(halves), score(1 - halves)
    taus = [kendalltau(one, two).statistic for one, two in zip(first, second, strict=True)]
    return None if np.isnan(taus).any() else float(np.mean(taus))


def _blocks(total: int) -> list[int]:
    """Sizes that sum to `total`, each small enough to bound the memory of one block."""
    return [min(_BLOCK, total - start) for start in range(0, total, _BLOCK)]
