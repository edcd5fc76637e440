"""The pieces that work is cut into: each answered from a loaded model alone, in any order."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from avss.kpis.shards import KpiPart, KpiShard
from avss.scoring.observations import Observations
from avss.scoring.observer import Source
from avss.scoring.one_pass import observe
from avss.selection import ProbeLosses, probe_losses

Progress = Callable[[int, int], None]
Sequences = tuple[tuple[int, ...], ...]

SCORE_TOKENS = 2048
PROBE_TOKENS = 1024
"""Positions of a batch, which is a piece: fewer make more pieces, more fill a device better."""


class Piece(Protocol):
    """A part of one operation on one model."""

    @property
    def size(self) -> int:
        """How much work it is, in the operation's own unit."""

    def answer(self, model: Any, tokenizer: Any, progress: Progress | None) -> Any:
        """Do it."""


@dataclass(frozen=True)
class ScorePiece:
    """One batch of calibration text."""

    sequences: Sequences
    source: Source

    @property
    def size(self) -> int:
        """Tokens."""
        return sum(map(len, self.sequences))

    def answer(self, model: Any, tokenizer: Any, progress: Progress | None) -> Observations:
        """What the pass saw of these records, in their order."""
        return observe(
            model,
            self.sequences,
            source=self.source,
            batch_tokens=SCORE_TOKENS,
            progress=progress,
        )


@dataclass(frozen=True)
class ProbePiece:
    """One batch of the text that the short-list is tried on.

    All its layers are tried in one piece: they share the pass up to the layer that is left out,
    which a piece a layer would compute again for each.
    """

    sequences: Sequences
    layers: tuple[int, ...]

    @property
    def size(self) -> int:
        """Tokens."""
        return sum(map(len, self.sequences))

    def answer(self, model: Any, tokenizer: Any, progress: Progress | None) -> ProbeLosses:
        """The losses of these texts."""
        return probe_losses(
            model, self.sequences, self.layers, batch_tokens=PROBE_TOKENS, progress=progress
        )


@dataclass(frozen=True)
class KpiPiece:
    """One KPI on some records."""

    shard: KpiShard

    @property
    def size(self) -> int:
        """Records."""
        return max(len(self.shard.records), 1)

    def answer(self, model: Any, tokenizer: Any, progress: Progress | None) -> KpiPart:
        """The outcomes of these records."""
        return self.shard.measured(model, tokenizer, progress=progress)
