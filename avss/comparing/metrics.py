"""Metrics as weighted statistics of per-example numbers.

Every statistic takes the columns of one KPI, (n,) or (n, k) float64, and weights (R, n): how often
each of n examples was drawn in each of R resamples. It gives (R,) float64, NaN where undefined. So
a point value is one row of ones, and a bootstrap of 2000 resamples is one call.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Columns = Mapping[str, Floats]
Statistic = Callable[[Columns, Floats], Floats]


@dataclass(frozen=True)
class Metric:
    """One metric: its direction, its statistic and where it is undefined.

    `bounded`: the value lies in [0, 1] and a single example moves it by at most about 1/n.
    `right`: the 0/1 column whose mean it is, where it is one; only then can pairs of answers be
    counted as broken or mended. `by_class`: it is a mean over classes of right or wrong answers,
    the 0/1 column `correct`, so that an example of a rare class moves it by more than 1/n.
    """

    higher_is_better: bool
    statistic: Statistic
    bounded: bool = True
    right: str | None = None
    by_class: bool = False
    undefined: str = "no example has a value"

    def value(self, columns: Columns) -> float:
        """The metric on all examples, each counted once; NaN where undefined."""
        size = len(next(iter(columns.values())))
        return float(self.statistic(columns, np.ones((1, size)))[0])


def mean(columns: Columns, weights: Floats, *, column: str) -> Floats:
    """Mean of one column."""
    return _ratio(weights @ columns[column], weights.sum(axis=1))


def perplexity(columns: Columns, weights: Floats, *, unit: str) -> Floats:
    """exp of the mean loss (nats) a unit: a token, a word or a UTF-8 byte."""
    with np.errstate(over="ignore"):
        values: Floats = np.exp(_ratio(weights @ columns["loss"], weights @ columns[unit]))
    return values


def bits_per_byte(columns: Columns, weights: Floats) -> Floats:
    """Mean loss (bits) a UTF-8 byte."""
    bits: Floats = _ratio(weights @ columns["loss"], weights @ columns["bytes"]) / np.log(2.0)
    return bits


def balanced_accuracy(columns: Columns, weights: Floats) -> Floats:
    """Mean recall of the classes that occur."""
    truth = _one_hot(columns["truth"], columns["probabilities"].shape[1])
    right = weights @ (truth * columns["correct"][:, None])
    return _nan_mean(_ratio(right, weights @ truth))


def macro_f1(columns: Columns, weights: Floats) -> Floats:
    """Mean F1 of the classes that occur or are predicted."""
    classes = columns["probabilities"].shape[1]
    truth = _one_hot(columns["truth"], classes)
    predicted = _one_hot(columns["predicted"], classes)
    return _nan_mean(_ratio(2 * (weights @ (truth * predicted)), weights @ (truth + predicted)))


def auc(columns: Columns, weights: Floats) -> Floats:
    """Area under the ROC curve; for more than two classes the mean of one against the rest.

    Ties count half (the Mann-Whitney statistic). Undefined where only one class occurs.
    """
    probabilities, truth = columns["probabilities"], columns["truth"]
    classes = range(1, 2) if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    areas = [_class_auc(probabilities[:, k], truth == k, weights) for k in classes]
    return _nan_mean(np.stack(areas, axis=1))


def calibration_error(columns: Columns, weights: Floats, *, bins: int = 10) -> Floats:
    """Expected calibration error of the chosen label, bins of equal width (Guo et al. 2017)."""
    confidence = columns["probabilities"].max(axis=1)
    bin_of = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gaps = _one_hot(bin_of, bins) * (columns["correct"] - confidence)[:, None]
    return _ratio(np.abs(weights @ gaps).sum(axis=1), weights.sum(axis=1))


def _class_auc(scores: Floats, positive: NDArray[np.bool_], weights: Floats) -> Floats:
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    ordered = weights[:, order]
    above = np.add.reduceat(ordered * positive[order], starts, axis=1)
    below = np.add.reduceat(ordered * ~positive[order], starts, axis=1)
    won = above * (np.cumsum(below, axis=1) - below / 2)
    return _ratio(won.sum(axis=1), above.sum(axis=1) * below.sum(axis=1))


def _one_hot(classes: Floats | NDArray[np.int64], size: int) -> Floats:
    hot: Floats = (np.asarray(classes)[:, None] == np.arange(size)).astype(np.float64)
    return hot


def _ratio(top: Floats, bottom: Floats) -> Floats:
    undefined = np.full_like(top, np.nan, dtype=np.float64)
    ratios: Floats = np.divide(top, bottom, out=undefined, where=bottom > 0)
    return ratios


def _nan_mean(values: Floats) -> Floats:
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1).astype(np.float64))


def _share(column: str, *, higher_is_better: bool = True, right: bool = False) -> Metric:
    return Metric(higher_is_better, partial(mean, column=column), right=column if right else None)


def _perplexity(unit: str) -> Metric:
    return Metric(
        False,
        partial(perplexity, unit=unit),
        bounded=False,
        undefined="there is nothing to count, or the loss is too large for a float",
    )


METRICS: Mapping[str, Metric] = {
    "accuracy": _share("correct", right=True),
    "accuracy_normalized": _share("correct_normalized", right=True),
    "balanced_accuracy": Metric(True, balanced_accuracy, by_class=True),
    "macro_f1": Metric(True, macro_f1, by_class=True),
    "auc": Metric(True, auc, undefined="only one class occurs, and AUC needs two"),
    "calibration_error": Metric(False, calibration_error),
    "token_perplexity": _perplexity("tokens"),
    "word_perplexity": _perplexity("words"),
    "byte_perplexity": _perplexity("bytes"),
    "bits_per_byte": Metric(False, bits_per_byte, bounded=False),
    "exact_match": _share("exact_match", right=True),
    "token_f1": _share("token_f1"),
    "rouge_l": _share("rouge_l"),
    "contains": _share("contains", right=True),
    "regex": _share("regex", right=True),
    "numeric_equal": _share("numeric_equal", right=True),
    "json_valid": _share("json_valid", right=True),
    "refusal_rate": _share("refusal_rate", higher_is_better=False),
    "empty_rate": _share("empty_rate", higher_is_better=False),
    "repetition_rate": _share("repetition_rate", higher_is_better=False),
    "top1_agreement": _share("top1_agreement"),
    "label_agreement": _share("label_agreement"),
    "generation_agreement": _share("generation_agreement"),
    "next_token_kl": Metric(False, partial(mean, column="next_token_kl"), bounded=False),
}


def own_metric(column: str, *, higher_is_better: bool, judged: bool) -> Metric:
    """The mean of numbers that a user's function or task gave; `judged`: all of them 0 or 1."""
    right = column if judged and higher_is_better else None
    return Metric(higher_is_better, partial(mean, column=column), bounded=judged, right=right)
