"""Retention of one metric with a lower confidence limit, from paired examples."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from scipy import stats

from avss.comparing.metrics import Columns, Floats, Metric

BCA_EXAMPLES = 2000
"""Above this many examples BCa's jackknife costs more than its correction is worth."""

BATCH_NUMBERS = 1 << 22


@dataclass(frozen=True)
class Retention:
    """A retention with its one-sided lower limit; what is None has its reason."""

    value: float | None
    base_value: float | None
    retention: float | None
    low: float | None
    reason: str | None


def paired_retention(
    metric: Metric,
    candidate: Columns,
    base: Columns,
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> Retention:
    """Retention of `metric`, its limit by a paired bootstrap of the examples.

    Where lower is better, a candidate's value of 0 cannot be worse: it counts as a retention of 1.

    The limit is BCa (Efron 1987) where that is defined, else the percentile; a resample in which
    the metric is undefined counts as the worst. Where no resample can tell of a loss, as when all
    answers agree, a bounded metric takes the exact binomial limit for no event among n examples.
    """
    value, base_value = metric.value(candidate), metric.value(base)
    told = Retention(_finite(value), _finite(base_value), None, None, None)
    if math.isnan(value) or math.isnan(base_value):
        return _because(told, metric.undefined)
    reason = _no_ratio(metric, value, base_value)
    if reason:
        return _because(told, reason)
    retention = float(_retentions(metric, np.array([value]), np.array([base_value]))[0])
    told = Retention(told.value, told.base_value, retention, None, None)
    size = len(next(iter(candidate.values())))
    if size < 2:
        return _because(told, "one example gives no confidence limit")
    low = _low(metric, candidate, base, size, retention, (confidence, resamples, seed))
    if low is None or _nothing_broke(metric, candidate, base):
        weighty = _examples(metric, base, size)
        unseen = _unanimous(metric, value, base_value, retention, weighty, confidence)
        low = unseen if low is None else min(low, unseen)
    if not math.isfinite(low):
        return _because(told, f"too few examples: in many resamples, {metric.undefined}")
    reason = None if told.value is not None else "the value is too large for a float"
    return Retention(told.value, told.base_value, retention, low, reason)


def needed_examples(n: int, retention: float, low: float, threshold: float) -> int | None:
    """How many examples would lift the lower limit to `threshold`, if the retention stayed.

    The distance to the limit shrinks with the square root of n. None where even infinitely many
    examples would not do: the retention itself is not above the threshold.
    """
    if low >= threshold:
        return n
    if retention <= threshold:
        return None
    return math.ceil(n * ((retention - low) / (retention - threshold)) ** 2)


def _low(
    metric: Metric,
    candidate: Columns,
    base: Columns,
    size: int,
    retention: float,
    settings: tuple[float, int, int],
) -> float | None:
    confidence, resamples, seed = settings

    def statistic(drawn: Floats, axis: int = -1) -> Floats:
        rows = drawn.reshape(-1, drawn.shape[axis]).astype(np.int64)
        weights = _counts(rows, size)
        found = _retentions(
            metric, metric.statistic(candidate, weights), metric.statistic(base, weights)
        )
        return found.reshape(drawn.shape[:-1])

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # BCa where it is degenerate: seen from its NaN below
        result = stats.bootstrap(
            (np.arange(size),),
            statistic,
            n_resamples=resamples,
            batch=max(1, BATCH_NUMBERS // size),
            vectorized=True,
            axis=-1,
            confidence_level=confidence,
            alternative="greater",
            method="BCa" if size <= BCA_EXAMPLES else "percentile",
            rng=np.random.default_rng(seed),
        )
    drawn = np.nan_to_num(result.bootstrap_distribution, nan=-np.inf)
    if np.all(np.abs(drawn - retention) <= 1e-12 * abs(retention)):
        return None
    low = float(result.confidence_interval.low)
    if math.isnan(low) or np.isneginf(drawn).any():
        low = float(np.quantile(drawn, 1 - confidence, method="lower"))
    return min(low, retention)


def _counts(rows: np.ndarray[tuple[int, int], np.dtype[np.int64]], size: int) -> Floats:
    """How often each of `size` examples was drawn in each resample: (R, size)."""
    offsets = rows + np.arange(len(rows))[:, None] * size
    flat = np.bincount(offsets.ravel(), minlength=len(rows) * size)
    return flat.reshape(len(rows), size).astype(np.float64)


def _retentions(metric: Metric, candidate: Floats, base: Floats) -> Floats:
    top, bottom = (candidate, base) if metric.higher_is_better else (base, candidate)
    perfect = (candidate == 0) & (not metric.higher_is_better)
    ratios = np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)
    return np.where(perfect, 1.0, ratios)


def _no_ratio(metric: Metric, value: float, base_value: float) -> str | None:
    perfect = value == 0 and not metric.higher_is_better
    rate = metric.bounded and not metric.higher_is_better
    if base_value < 0 or value < 0:
        return "a value is below 0, so there is no ratio"
    if math.isinf(base_value):
        return "the base's value is too large for a float"
    if base_value == 0 and not (rate or perfect):
        return "the base's value is 0, so there is no ratio; judge the value itself"
    return None


def _nothing_broke(metric: Metric, candidate: Columns, base: Columns) -> bool:
    """No example was right with the base and is wrong now: a bootstrap would rule losses out."""
    column = "correct" if metric.by_class else metric.right
    return column is not None and bool(np.all(candidate[column] >= base[column]))


def _examples(metric: Metric, base: Columns, size: int) -> int:
    """How many examples count for the limit: over classes, as if all were as rare as the rarest."""
    if not metric.by_class:
        return size
    counts = np.bincount(base["truth"].astype(np.int64))
    return int(counts[counts > 0].min() * (counts > 0).sum())


def _unanimous(
    metric: Metric, value: float, base_value: float, retention: float, size: int, confidence: float
) -> float:
    """The limit where no resample differs: an event unseen in n examples may still be as frequent
    as 1 - (1 - confidence) ** (1 / n) (the rule of three)."""
    if not metric.bounded:
        return retention
    unseen = -math.expm1(math.log1p(-confidence) / size)
    if metric.higher_is_better:
        return max(0.0, value - unseen) / base_value
    if value == 0:
        return 1 - unseen
    return base_value / (value + unseen)


def _because(told: Retention, reason: str) -> Retention:
    return Retention(told.value, told.base_value, told.retention, told.low, reason)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
