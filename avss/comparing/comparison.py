"""What a comparison says: plain values for gates, pages and JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class SliceComparison:
    """One metric on one slice. What could not be told is None, and `reason` says why."""

    slice: str
    n: int
    value: float | None
    base_value: float | None
    retention: float | None
    retention_low: float | None
    reason: str | None


@dataclass(frozen=True)
class MetricComparison:
    """One metric, named `<kpi>.<metric>`, of a candidate against its base.

    `retention` is candidate / base where higher is better, else base / candidate. `retention_low`
    is its one-sided lower confidence limit. `needed_n` estimates the examples that would tell the
    threshold, where these were too few. `worst_slice` is the slice of lowest retention, with a
    limit that holds for all slices at once. `broken` and `mended` count examples that only the
    base, or only the candidate, has right; `mcnemar_p` is the exact two-sided test of the two.
    """

    name: str
    n: int
    value: float | None
    base_value: float | None
    retention: float | None
    retention_low: float | None
    higher_is_better: bool
    reason: str | None
    needed_n: int | None
    slices: tuple[SliceComparison, ...]
    worst_slice: SliceComparison | None
    small_slices: int
    broken: int | None
    mended: int | None
    mcnemar_p: float | None
    left_out: Mapping[str, int]
    truncated: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class RareCases:
    """Examples that must not break: the record numbers of those that did.

    `passed` is None where nothing could be judged, and `reason` says why.
    """

    kpi: str
    n: int
    broken: tuple[int, ...]
    budget: int
    passed: bool | None
    reason: str | None


@dataclass(frozen=True)
class Comparison:
    """A candidate against its base; without a base, values alone."""

    confidence: float
    resamples: int
    seed: int
    kpis: tuple[MetricComparison, ...]
    rare_cases: tuple[RareCases, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON values of `evaluate --format json`; never NaN or infinity."""
        return asdict(self)
