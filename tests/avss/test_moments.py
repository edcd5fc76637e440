"""Statistics of any split merge to those of the whole, as NumPy computes them in float64."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from avss.scoring.moments import Moments, row_statistics

VALUES = st.floats(-1e6, 1e6, allow_nan=False, width=32)


def of(values: np.ndarray, epsilon: float) -> tuple[float, float, float, float]:
    if values.size == 0:
        return 0.0, 0.0, 0.0, 0.0
    mean = values.mean()
    return values.size, mean, ((values - mean) ** 2).sum(), float((abs(values) < epsilon).sum())


def stacked(parts: list[np.ndarray], epsilon: float) -> Moments:
    columns = zip(*(of(part, epsilon) for part in parts), strict=True)
    return Moments(*(torch.tensor(column, dtype=torch.float64) for column in columns))


@given(
    hnp.arrays(np.float64, st.integers(1, 60), elements=VALUES),
    st.lists(st.integers(0, 60), max_size=6),
    st.floats(1e-3, 10),
)
def test_any_split_merges_to_the_whole(values: np.ndarray, cuts: list[int], epsilon: float) -> None:
    merged = stacked(np.split(values, sorted(cuts)), epsilon).pooled(0)
    scale = max(1.0, float(abs(values).max()))
    assert merged.count == values.size
    assert merged.near_zero == (abs(values) < epsilon).sum()
    np.testing.assert_allclose(merged.mean, values.mean(), rtol=1e-9, atol=1e-12 * scale)
    np.testing.assert_allclose(merged.variance, values.var(), rtol=1e-9, atol=1e-12 * scale**2)


@given(
    hnp.arrays(np.float64, (5, 4), elements=st.floats(-100, 100, width=32)),
    st.lists(st.integers(0, 3), min_size=5, max_size=5).filter(any),
)
def test_resampling_is_repeating_the_sets(values: np.ndarray, times: list[int]) -> None:
    weights = torch.tensor([times], dtype=torch.float64)
    resampled = stacked(list(values), 1.0).resampled(weights)
    repeated = np.repeat(values, times, axis=0)
    np.testing.assert_allclose(resampled.variance[0], repeated.var(), rtol=1e-9, atol=1e-8)
    np.testing.assert_allclose(resampled.mean[0], repeated.mean(), rtol=1e-9, atol=1e-9)
    assert resampled.near_zero[0] == (abs(repeated) < 1).sum()


@given(
    hnp.arrays(np.float32, (4, 33), elements=st.floats(-1000, 1000, width=32)),
    st.floats(-1e5, 1e5),
)
def test_rows_far_from_zero_keep_their_variance(values: np.ndarray, offset: float) -> None:
    values = values + np.float32(offset)
    exact = values.astype(np.float64)
    mean, m2, near_zero = row_statistics(
        torch.from_numpy(values.copy()), 0.5, torch.empty(values.shape)
    )
    scale = float(abs(exact).max()) + 1
    np.testing.assert_allclose(mean, exact.mean(1), atol=1e-6 * scale)
    np.testing.assert_allclose(
        m2, exact.var(1) * 33, rtol=1e-4, atol=33 * (1e-6 * scale) ** 2 + 1e-3
    )
    np.testing.assert_array_equal(near_zero, (abs(values) < 0.5).sum(1))
