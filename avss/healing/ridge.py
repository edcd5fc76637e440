"""Ridge regression from streaming sums: no activation is kept, only its products."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass
class RidgeStatistics:
    """Weighted second moments of inputs `x` (N, P) and targets `y` (N, Q), in float64.

    `gram` = sum of x x^T (P, P), `cross` = sum of x y^T (P, Q), `power` = sum of |y|^2,
    `rows` = N. Every row counts with the square of its weight.
    """

    gram: Tensor
    cross: Tensor
    power: float = 0.0
    rows: int = 0

    @classmethod
    def empty(cls, inputs: int, targets: int, device: torch.device) -> "RidgeStatistics":
        """Sums over no rows."""
        return cls(
            torch.zeros((inputs, inputs), dtype=torch.float64, device=device),
            torch.zeros((inputs, targets), dtype=torch.float64, device=device),
        )

    def add(self, x: Tensor, y: Tensor, weight: Tensor) -> None:
        """Add rows `x` (N, P) and `y` (N, Q), float32, each multiplied by its `weight` (N,)."""
        x = x * weight[:, None]
        y = y * weight[:, None]
        self.gram += (x.T @ x).double()
        self.cross += (x.T @ y).double()
        self.power += float(y.double().square().sum())
        self.rows += len(x)

    def error(self, weights: Tensor) -> float:
        """Share of the targets' power that `weights` (P, Q) leave unexplained; 1 for all zero."""
        explained = 2.0 * (weights * self.cross).sum() - (weights * (self.gram @ weights)).sum()
        return 1.0 - float(explained) / self.power if self.power > 0 else 0.0


class Ridge:
    """All ridge solutions of one problem, shrunk towards `prior` (P, Q); Hoerl and Kennard 1970."""

    def __init__(self, statistics: RidgeStatistics, prior: Tensor) -> None:
        self._gram, self._prior = statistics.gram, prior
        self._left = statistics.cross - statistics.gram @ prior

    def solution(self, ridge: float) -> Tensor:
        """Weights (P, Q) that minimise |y - x W|^2 + penalty |W - prior|^2.

        The penalty is `ridge` times the mean of the gram matrix's diagonal, so that its strength
        does not depend on units or the number of rows. With `ridge` > 0 the solution is unique even
        when there are fewer rows than inputs. Without any input power, or with sums that are no
        numbers, it is the prior.
        """
        penalty = ridge * float(self._gram.diagonal().mean())
        if not 0.0 < penalty < math.inf:
            return self._prior
        system = self._gram.clone()
        system.diagonal().add_(penalty)
        factor, failed = torch.linalg.cholesky_ex(system)
        if failed:
            return self._prior
        return self._prior + torch.cholesky_solve(self._left, factor)


@dataclass(frozen=True)
class Choice:
    """The best weights found, their `error` on the judging rows, and the strength that gave them.

    `ridge` is None if no strength tried was better than the prior, whose error is `before`.
    Errors are shares of `power`, that of the judging rows' targets.
    """

    weights: Tensor
    error: float
    ridge: float | None
    before: float
    power: float

    @property
    def missed(self) -> float:
        """The power of the judging rows' targets that is missed: comparable between fits."""
        return self.error * self.power


def choose(
    fit: RidgeStatistics,
    judge: RidgeStatistics,
    prior: Tensor,
    ridges: Sequence[float],
    *,
    start: float | None = None,
) -> Choice:
    """Fit on one set of rows, choose the strength on another.

    Walks downhill from `start`, or the middle, of the ascending `ridges`: the error on other rows
    falls and then rises with the strength.
    """
    family, errors = Ridge(fit, prior), dict[int, float]()
    before = judge.error(prior)
    best = Choice(prior, before, None, before, judge.power)
    at, moved = len(ridges) // 2 if start is None else ridges.index(start), True
    while moved:
        near = [index for index in (at - 1, at, at + 1) if 0 <= index < len(ridges)]
        for index in near:
            if index not in errors:
                weights = family.solution(ridges[index])
                errors[index] = judge.error(weights)
                if errors[index] < best.error:
                    best = replace(best, weights=weights, error=errors[index], ridge=ridges[index])
        lowest = min(near, key=errors.__getitem__)
        moved, at = lowest != at, lowest
    return best
