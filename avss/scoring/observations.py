"""What a scoring pass saw, record by record, and the scores that follow from it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from avss.errors import InputError
from avss.scoring.moments import Moments
from avss.scoring.observer import Source
from avss.scoring.scores import LayerScore, LayerScores
from avss.scoring.stability import Floats, rank_stability

_MOMENTS = ("count", "mean", "m2", "near_zero")


@dataclass(frozen=True)
class Observations:
    """What one pass saw: `moments` of (records, layers), `influence` and `angle` likewise.

    `tokens[r]` counts record r's tokens; `influence` sums `1 - cos` over them, `angle` is that of
    the last one. `layers` are original numbers.
    """

    model: str
    source: Source
    epsilon: float
    layers: tuple[int, ...]
    tokens: torch.Tensor
    moments: Moments
    influence: torch.Tensor
    angle: torch.Tensor

    def merged(self, other: "Observations") -> "Observations":
        """These records followed by the other's. Raises InputError unless both saw alike."""
        for name in ("source", "epsilon", "layers"):
            if getattr(self, name) != getattr(other, name):
                raise InputError(f"Observations of different {name} cannot be merged.")
        joined = {
            name: torch.cat([getattr(self.moments, name), getattr(other.moments, name)])
            for name in _MOMENTS
        }
        return replace(
            self,
            tokens=torch.cat([self.tokens, other.tokens]),
            moments=Moments(**joined),
            influence=torch.cat([self.influence, other.influence]),
            angle=torch.cat([self.angle, other.angle]),
        )

    def placed(self, rows: Sequence[int]) -> "Observations":
        """The same in another order: record `i` of these is record `rows[i]` of what comes back.

        `rows` names every place once.
        """
        order = torch.tensor(rows).argsort()
        moved = {name: getattr(self.moments, name)[order] for name in _MOMENTS}
        return replace(
            self,
            tokens=self.tokens[order],
            moments=Moments(**moved),
            influence=self.influence[order],
            angle=self.angle[order],
        )

    def scores(self, *, bootstrap: int = 0, seed: int = 0) -> LayerScores:
        """Scores over all records; `bootstrap` resamples give the ranking's stability, 0 none."""
        records = len(self.tokens)
        pooled = self.moments.pooled(0)
        avss = avss_of(pooled)
        shares = avss / avss.sum() if avss.sum() > 0 else torch.full_like(avss, 1 / len(avss))
        influence = self.influence.sum(0) / self.tokens.sum()
        angle = self.angle.mean(0)
        layers = tuple(
            LayerScore(
                index=index,
                variance=float(pooled.variance[at]),
                sparsity=float(pooled.sparsity[at]),
                near_zero=int(pooled.near_zero[at]),
                floored=not pooled.near_zero[at],
                avss=float(avss[at]),
                share=float(shares[at]),
                block_influence=float(influence[at]),
                angular_distance=float(angle[at]),
            )
            for at, index in enumerate(self.layers)
        )
        stability = None
        if bootstrap:
            stability = rank_stability(
                self._resampled_avss, records, self.layers, resamples=bootstrap, seed=seed
            )
        tokens = int(self.tokens.sum())
        return LayerScores(
            self.model, self.source, self.epsilon, records, tokens, layers, stability
        )

    def _resampled_avss(self, weights: Floats) -> Floats:
        scores: Floats = avss_of(self.moments.resampled(torch.from_numpy(weights))).numpy()
        return scores


def avss_of(moments: Moments) -> torch.Tensor:
    """AVSS: `variance / max(sparsity, 1/n)` over n values (arXiv 2411.02117, eq. 3)."""
    floor = 1 / moments.count.clamp(min=1)
    return moments.variance / torch.maximum(moments.sparsity, floor)
