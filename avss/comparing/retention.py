"""Candidate against base, example by example: overall, on every slice, and on rare cases."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from avss.comparing.bootstrap import Retention, needed_examples, paired_retention
from avss.comparing.comparison import Comparison, MetricComparison, RareCases, SliceComparison
from avss.comparing.metrics import Columns, Metric
from avss.comparing.outcomes import KpiOutcomes, Outcomes
from avss.comparing.pairs import check_same_questions, paired_columns
from avss.errors import InputError

Rows = NDArray[np.int64]
_NEEDS = {"agreement": "agreement needs a base", "custom": "a comparison needs a base"}


@dataclass(frozen=True)
class _Settings:
    confidence: float
    resamples: int
    seed: int


def compare(
    candidate: Outcomes,
    base: Outcomes | None,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    min_retention: float | Mapping[str, float] | None = None,
) -> Comparison:
    """Compare paired outcomes; without a base, the values alone.

    `min_retention` is the gate's threshold, one for all metrics or by `<kpi>.<metric>`: where a
    lower limit does not reach it, `needed_n` says how many examples might. Raises InputError where
    the two were not asked the same questions, or for settings out of range.
    """
    if not 0.5 <= confidence < 1 or resamples < 100:
        raise InputError("Expected a confidence of at least 0.5 and below 1, and 100 resamples.")
    if base is not None:
        check_same_questions(candidate, base)
    settings = _Settings(confidence, resamples, seed)
    found, rare = [], []
    for at, kpi in enumerate(candidate.kpis):
        pair = _Pair(kpi, base.kpis[at] if base is not None else None, settings)
        for name in kpi.metrics:
            found.append(pair.metric(name, _threshold(min_retention, f"{kpi.name}.{name}")))
        if kpi.rare is not None:
            rare.append(pair.rare_cases())
    return Comparison(confidence, resamples, seed, tuple(found), tuple(rare))


class _Pair:
    """One KPI on candidate and base."""

    def __init__(self, kpi: KpiOutcomes, base: KpiOutcomes | None, settings: _Settings) -> None:
        self.kpi, self.settings = kpi, settings
        self.candidate: Columns = kpi.columns
        self.base: Columns | None = None
        if base is not None:
            self.candidate, self.base = paired_columns(kpi, base)
        self.groups, self.small = _supported(kpi)

    def metric(self, name: str, threshold: float | None) -> MetricComparison:
        """One metric overall, on the slices, and its worst slice."""
        metric = self.kpi.metric(name, self.candidate)
        everything = np.arange(len(self.kpi.records))
        whole = self._told(metric, everything)
        slices = tuple(
            _slice(label, rows, self._told(metric, rows)) for label, rows in self.groups.items()
        )
        broken, mended = self._changed(metric.right)
        return MetricComparison(
            name=f"{self.kpi.name}.{name}",
            n=len(everything),
            value=whole.value,
            base_value=whole.base_value,
            retention=whole.retention,
            retention_low=whole.low,
            higher_is_better=metric.higher_is_better,
            reason=whole.reason,
            needed_n=_needed(whole, len(everything), threshold),
            slices=slices,
            worst_slice=self._worst(metric, slices),
            small_slices=self.small,
            broken=broken,
            mended=mended,
            mcnemar_p=_mcnemar(broken, mended),
            left_out=self.kpi.left_out,
            truncated=self.kpi.truncated,
            notes=self.kpi.notes,
        )

    def rare_cases(self) -> RareCases:
        """Which rare cases the base has right and the candidate has not."""
        rare, right = self.kpi.rare, right_column(self.kpi)
        if rare is None or right is None:
            raise InputError(f"KPI {self.kpi.name}: rare_cases need a right-or-wrong metric.")
        told = RareCases(self.kpi.name, len(rare.records), (), rare.budget, None, None)
        if not rare.records:
            return replace(told, reason="none of the named rare cases is among the records")
        if self.base is None:
            return replace(told, reason="rare cases break against a base, and none was given")
        marked = set(rare.records)
        broken = tuple(
            number
            for number, was, now in zip(
                self.kpi.records, self.base[right], self.candidate[right], strict=True
            )
            if number in marked and was > now
        )
        return replace(told, broken=broken, passed=len(broken) <= rare.budget)

    def _told(self, metric: Metric, rows: Rows, share: float = 1.0) -> Retention:
        """`share` splits what may go wrong between slices (Bonferroni)."""
        mine = _take(self.candidate, rows)
        if self.base is None:
            if self.kpi.kind == "agreement" or self.kpi.pairing is not None:
                return Retention(None, None, None, None, _NEEDS[self.kpi.kind])
            value = metric.value(mine)
            known = bool(np.isfinite(value))
            return Retention(
                value if known else None, None, None, None, None if known else metric.undefined
            )
        return paired_retention(
            metric,
            mine,
            _take(self.base, rows),
            confidence=1 - (1 - self.settings.confidence) * share,
            resamples=self.settings.resamples,
            seed=self.settings.seed,
        )

    def _worst(self, metric: Metric, slices: tuple[SliceComparison, ...]) -> SliceComparison | None:
        known = [one for one in slices if one.retention is not None]
        if not known:
            return None
        worst = min(known, key=lambda one: one.retention or 0.0)
        rows = self.groups[worst.slice]
        return _slice(worst.slice, rows, self._told(metric, rows, share=1 / len(slices)))

    def _changed(self, right: str | None) -> tuple[int | None, int | None]:
        if right is None or self.base is None:
            return None, None
        was, now = self.base[right], self.candidate[right]
        return int((was > now).sum()), int((was < now).sum())


def right_column(kpi: KpiOutcomes) -> str | None:
    """The 0/1 column that says whether an example is right: of the first metric that has one."""
    if "correct" in kpi.columns:
        return "correct"
    return next((right for name in kpi.metrics if (right := kpi.metric(name).right)), None)


def _supported(kpi: KpiOutcomes) -> tuple[dict[str, Rows], int]:
    """Rows of each slice with enough examples, and how many slices have too few."""
    rows: dict[str, list[int]] = {}
    for labels in kpi.slices:
        for row, label in enumerate(labels):
            if label is not None:
                rows.setdefault(label, []).append(row)
    kept = {
        label: np.array(found)
        for label, found in sorted(rows.items())
        if len(found) >= kpi.min_support
    }
    return kept, len(rows) - len(kept)


def _slice(label: str, rows: Rows, told: Retention) -> SliceComparison:
    return SliceComparison(
        label, len(rows), told.value, told.base_value, told.retention, told.low, told.reason
    )


def _take(columns: Columns, rows: Rows) -> Columns:
    return {name: column[rows] for name, column in columns.items()}


def _threshold(given: float | Mapping[str, float] | None, name: str) -> float | None:
    return given.get(name) if isinstance(given, Mapping) else given


def _needed(told: Retention, n: int, threshold: float | None) -> int | None:
    if threshold is None or told.retention is None or told.low is None or told.low >= threshold:
        return None
    return needed_examples(n, told.retention, told.low, threshold)


def _mcnemar(broken: int | None, mended: int | None) -> float | None:
    if broken is None or mended is None:
        return None
    if broken + mended == 0:
        return 1.0
    return float(stats.binomtest(broken, broken + mended).pvalue)
