"""What a scoring pass says: a score a layer, and the ranking."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from scipy.stats import rankdata

from avss.errors import InputError
from avss.scoring.stability import Stability

SCORE_NAMES = ("avss", "block_influence", "angular_distance")


@dataclass(frozen=True)
class LayerScore:
    """Scores of one layer, by its original number; in all of them, less is less important.

    `variance` is the population variance over tokens and features, `near_zero` how many values
    are below epsilon in magnitude and `sparsity` their share; `avss = variance / max(sparsity,
    1/n)` over n values (arXiv 2411.02117, eq. 3), `floored` where no value was near zero.
    `share` is the score over the sum of all layers' scores. `block_influence` is the mean over
    tokens of `1 - cos(input, output)` (ShortGPT, arXiv 2403.03853), `angular_distance` the mean
    over records of `arccos(cos) / pi` at the last token (Gromov et al., arXiv 2403.17887).
    """

    index: int
    variance: float
    sparsity: float
    near_zero: int
    floored: bool
    avss: float
    share: float
    block_influence: float
    angular_distance: float


@dataclass(frozen=True)
class LayerScores:
    """Scores of all layers of one model over `records` texts of `tokens` tokens in all.

    `avss` is printed raw; `share` is the normalized form, and ranks alike.
    """

    model: str
    source: str
    epsilon: float
    records: int
    tokens: int
    layers: tuple[LayerScore, ...]
    stability: Stability | None = None

    def ranking(self, by: str = "avss") -> tuple[int, ...]:
        """Original layer numbers, least important first.

        `by` names a score, or several joined by "+" (`"avss+block_influence"`): their ranks are
        added (Borda's count), ties going to the first name's score, then to the later layer.
        Raises InputError for an unknown name.
        """
        names = by.split("+")
        for name in names:
            if name not in SCORE_NAMES:
                raise InputError(f"There is no score {name!r}: expected {', '.join(SCORE_NAMES)}.")
        ranks = [rankdata([getattr(one, name) for one in self.layers]) for name in names]
        keys = {
            one.index: (sum(rank[at] for rank in ranks), ranks[0][at], -one.index)
            for at, one in enumerate(self.layers)
        }
        return tuple(sorted(keys, key=lambda index: keys[index]))

    def to_json(self, by: str = "avss") -> dict[str, Any]:
        """The contract of `avss score --format json`, ranked `by`; all numbers finite."""
        shares = {one.index: one.share for one in self.layers}
        cumulative = 0.0
        ranking = []
        for index in self.ranking(by):
            cumulative += shares[index]
            ranking.append({"index": index, "share": shares[index], "cumulative_share": cumulative})
        return {
            "model": self.model,
            "source": self.source,
            "epsilon": self.epsilon,
            "records": self.records,
            "tokens": self.tokens,
            "layers": [asdict(one) for one in self.layers],
            "ranking": ranking,
            "stability": None if self.stability is None else self.stability.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "LayerScores":
        """Read back what `to_json` wrote. Raises InputError where it is something else."""
        try:
            stability = data.get("stability")
            return cls(
                **{
                    name: data[name] for name in ("model", "source", "epsilon", "records", "tokens")
                },
                layers=tuple(LayerScore(**one) for one in data["layers"]),
                stability=None if stability is None else Stability.from_json(stability),
            )
        except (KeyError, TypeError) as error:
            raise InputError(f"These are not layer scores: {error} is wrong or missing.") from error
