"""Whether the layers' scores say something else than before: between steps, between snapshots."""

from collections.abc import Mapping
from math import log
from statistics import median

from scipy.stats import spearmanr

from tasks.drift.report import DriftCheck, DriftLimits, DriftReport

_FEWEST_LAYERS = 5


def score_drift(
    current: Mapping[int, float],
    reference: Mapping[int, float] | None,
    *,
    lowest: int = 5,
    against: str | None = None,
    limits: DriftLimits | None = None,
) -> DriftReport:
    """Compare the order of the layers that both rankings hold.

    Args:
        current: original layer number -> score.
        reference: the same of the step before or of the last approved change; None without one.
        lowest: how many of the least important layers should stay the same.
        against: what the reference is: a digest, or a step's name.
        limits: the policy's thresholds.
    """
    limits = limits or DriftLimits()
    if reference is None:
        sizes = {"current": len(current), "reference": 0}
        return DriftReport("score", None, sizes, (), "no reference: the first ranking")
    both = sorted(set(current) & set(reference))
    sizes = {"current": len(current), "reference": len(reference), "common": len(both)}
    now, then = [current[layer] for layer in both], [reference[layer] for layer in both]
    checks = (
        _rank_change(now, then, limits),
        _lowest_change(both, current, reference, lowest, limits),
        _score_change(now, then, limits),
    )
    return DriftReport("score", against, sizes, checks)


def _rank_change(now: list[float], then: list[float], limits: DriftLimits) -> DriftCheck:
    name, method, threshold = "rank_change", "1 - spearman", limits.rank_change
    if len(now) < _FEWEST_LAYERS:
        reason = f"only {len(now)} layers are in both rankings"
        return DriftCheck.unsure(name, method, threshold, reason)
    if len(set(now)) == 1 or len(set(then)) == 1:
        return DriftCheck.unsure(name, method, threshold, "all layers have the same score")
    distance = 1 - float(spearmanr(now, then).statistic)
    return DriftCheck.judged(name, method, threshold, distance, 0.0)


def _score_change(now: list[float], then: list[float], limits: DriftLimits) -> DriftCheck:
    """How far the scores' distribution over the layers moved, whatever their common scale."""
    name, method = "score_change", "median |log ratio| of score / median score"
    if len(now) < _FEWEST_LAYERS:
        reason = f"only {len(now)} layers are in both rankings"
        return DriftCheck.unsure(name, method, limits.score_change, reason)
    if min(*now, *then) <= 0:
        return DriftCheck.unsure(
            name, method, limits.score_change, "a layer's score is not above 0"
        )
    moved = [log(a / median(now)) - log(b / median(then)) for a, b in zip(now, then, strict=True)]
    distance = median([abs(one) for one in moved])
    return DriftCheck.judged(name, method, limits.score_change, distance, 0.0)


def _lowest_change(
    both: list[int],
    current: Mapping[int, float],
    reference: Mapping[int, float],
    lowest: int,
    limits: DriftLimits,
) -> DriftCheck:
    name, method, threshold = "lowest_change", "1 - overlap", limits.lowest_change
    if len(both) <= lowest:
        reason = f"only {len(both)} layers are in both rankings"
        return DriftCheck.unsure(name, method, threshold, reason)
    now = set(sorted(both, key=lambda layer: (current[layer], layer))[:lowest])
    then = set(sorted(both, key=lambda layer: (reference[layer], layer))[:lowest])
    return DriftCheck.judged(name, method, threshold, 1 - len(now & then) / lowest, 0.0)
