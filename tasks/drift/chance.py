"""How large a distance between two samples of the same data gets by chance (permutation)."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from scipy.stats import norm

_PERMUTATIONS = 1000
_AT_ONCE = 50


def wasserstein_noise(
    reference: NDArray[np.float64], current: NDArray[np.float64], level: float, seed: int
) -> float:
    """The `level` quantile of the normed Wasserstein distance when the two sets are shuffled.

    Normed by the reference's standard deviation (at least 0.001), as Evidently's `wasserstein`.
    """
    pooled = np.concatenate([reference, current])
    gaps = np.diff(np.sort(pooled))
    weights = np.repeat([1 / len(reference), -1 / len(current)], [len(reference), len(current)])
    random = np.random.default_rng(seed)
    distances = []
    for _ in range(_PERMUTATIONS // _AT_ONCE):
        shuffled = random.permuted(np.tile(weights, (_AT_ONCE, 1)), axis=1)
        distances.append(np.abs(np.cumsum(shuffled, axis=1)[:, :-1]) @ gaps)
    scale = max(float(np.std(reference)), 0.001)
    return float(np.quantile(np.concatenate(distances), level)) / scale


def mean_shift(reference: NDArray[np.float64], current: NDArray[np.float64]) -> float:
    """How far the mean of rows moved, in standard deviations: root mean square over the columns.

    Columns that never vary are left out.
    """
    spread = np.concatenate([reference, current]).std(axis=0)
    varies = spread > 0
    gaps = (current.mean(axis=0) - reference.mean(axis=0))[varies] / spread[varies]
    return float(np.sqrt(np.mean(gaps**2))) if gaps.size else 0.0


def mean_shift_noise(
    reference: NDArray[np.float64], current: NDArray[np.float64], level: float, seed: int
) -> float:
    """The `level` quantile of `mean_shift` when the two sets are shuffled."""
    pooled = np.concatenate([reference, current])
    spread = pooled.std(axis=0)
    rows = (pooled[:, spread > 0] / spread[spread > 0]).astype(np.float32)
    if not rows.size:
        return 0.0
    weights = np.repeat([-1 / len(reference), 1 / len(current)], [len(reference), len(current)])
    random = np.random.default_rng(seed)
    shifts = []
    for _ in range(_PERMUTATIONS // _AT_ONCE):
        shuffled = random.permuted(np.tile(weights.astype(np.float32), (_AT_ONCE, 1)), axis=1)
        shifts.append(np.sqrt(np.mean((shuffled @ rows) ** 2, axis=1)))
    return float(np.quantile(np.concatenate(shifts), level))


def jensenshannon_noise(
    reference: NDArray[np.int64], current: NDArray[np.int64], level: float, seed: int
) -> float:
    """The same of the Jensen-Shannon distance of two rows of counts, a category each."""
    with np.errstate(invalid="ignore"):  # equal rows may round to the root of -1e-17
        distances = jensenshannon(*_shuffled_shares(reference, current, seed), axis=1)
    return float(np.quantile(np.nan_to_num(distances), level))


def largest_change(reference: NDArray[np.int64], current: NDArray[np.int64]) -> float:
    """The largest change of any category's share, between two rows of counts."""
    return float(np.abs(reference / reference.sum() - current / current.sum()).max())


def largest_change_noise(
    reference: NDArray[np.int64], current: NDArray[np.int64], level: float, seed: int
) -> float:
    """The `level` quantile of `largest_change` when the two sets are shuffled."""
    first, second = _shuffled_shares(reference, current, seed)
    return float(np.quantile(np.abs(first - second).max(axis=1), level))


def auc_noise(references: int, currents: int, level: float) -> float:
    """The `level` quantile of the AUC of a classifier that knows nothing (Mann-Whitney)."""
    spread = np.sqrt((references + currents + 1) / (12 * references * currents))
    return float(0.5 + norm.ppf(level) * spread)


def _shuffled_shares(
    reference: NDArray[np.int64], current: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares of the categories when records change sets at random: exact, by counts."""
    random = np.random.default_rng(seed)
    pooled, size = reference + current, int(reference.sum())
    drawn = random.multivariate_hypergeometric(pooled, size, size=_PERMUTATIONS)
    return drawn / size, (pooled - drawn) / int(current.sum())
