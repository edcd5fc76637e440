"""Mergeable statistics of activations: count, mean, sum of squared deviations, near-zero count.

Any split of the values merges to the statistics of the whole (Chan, Golub and LeVeque, "Updating
formulae and a pairwise algorithm for computing sample variances", 1979), so shards, batches and
restarts give the same answer.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Moments:
    """Statistics of sets of values: four float64 tensors of one shape, one element a set.

    `count` values, their `mean`, `m2` the sum of squared deviations from that mean, `near_zero`
    the number of values below the threshold in magnitude.
    """

    count: torch.Tensor
    mean: torch.Tensor
    m2: torch.Tensor
    near_zero: torch.Tensor

    def pooled(self, dim: int) -> "Moments":
        """Merge the sets along a dimension into one; a set without values changes nothing."""
        count = self.count.sum(dim)
        safe = count.clamp(min=1)
        mean = (self.count * self.mean).sum(dim) / safe
        between = self.count * (self.mean - mean.unsqueeze(dim)).square()
        return Moments(count, mean, (self.m2 + between).sum(dim), self.near_zero.sum(dim))

    def resampled(self, weights: torch.Tensor) -> "Moments":
        """Pool over the first dimension, set `r` taken `weights[b, r]` times: shape (B, ...).

        Deviations are taken from the plain pooled mean first, which keeps the sums small.
        """
        center = self.pooled(0).mean
        shifted = self.mean - center
        count = weights @ self.count
        safe = count.clamp(min=1)
        mean = weights @ (self.count * shifted) / safe
        m2 = weights @ (self.m2 + self.count * shifted.square()) - count * mean.square()
        return Moments(count, mean + center, m2.clamp(min=0), weights @ self.near_zero)

    @property
    def variance(self) -> torch.Tensor:
        """Population variance of each set."""
        return self.m2 / self.count.clamp(min=1)

    @property
    def sparsity(self) -> torch.Tensor:
        """Share of values below the threshold in magnitude."""
        return self.near_zero / self.count.clamp(min=1)


def row_statistics(
    values: torch.Tensor, threshold: torch.Tensor | float, scratch: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean, sum of squared deviations and near-zero count of each row of (N, H) float32 values.

    `threshold` is a number or (N, 1): values below it in magnitude count as zero. Both `values`
    and `scratch`, of the same shape, are overwritten. Three float32 tensors of (N,) come back;
    counts are exact below 2**24 values a row.
    """
    torch.abs(values, out=scratch)
    torch.lt(scratch, threshold, out=scratch)
    near_zero = scratch.sum(-1)
    mean = values.mean(-1)
    values.sub_(mean.unsqueeze(-1))
    return mean, torch.linalg.vector_norm(values, dim=-1).square(), near_zero
