"""Score, probe, measure: cut into pieces, answered by an engine, merged in the data's order."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, Protocol

from avss.batching import batch_rows
from avss.comparing.outcomes import Outcomes
from avss.kpi_file.suite import KpiSuite
from avss.kpis import shards
from avss.scoring.calibration import calibration_tokens, longest_input
from avss.scoring.observations import Observations
from avss.scoring.observer import Source
from avss.selection import ProbeLosses, ProbeResult, predictable
from tasks.compute.pieces import (
    PROBE_TOKENS,
    SCORE_TOKENS,
    KpiPiece,
    Piece,
    ProbePiece,
    Progress,
    ScorePiece,
)
from tasks.models.shelf import ModelShelf


class Engine(Protocol):
    """Answers pieces of work on a model; how many at once, and where, is its own business."""

    name: str
    """What the recorded environment says of it."""

    def answers(self, model: str, pieces: Sequence[Piece], progress: Progress) -> list[Any]:
        """The answer of every piece, in their order; raises what a piece raises."""

    def close(self) -> None:
        """Let go of what is held; the next piece takes it again."""


class Compute:
    """The passes over a model, by its digest."""

    def __init__(self, engine: Engine, models: ModelShelf) -> None:
        self.engine = engine
        self._models = models

    def close(self) -> None:
        """Let go of workers and devices."""
        self.engine.close()

    def score(
        self,
        model: str,
        texts: Sequence[str],
        *,
        source: Source = "contribution",
        max_tokens: int,
        max_length: int,
        min_texts: int = 0,
        progress: Progress,
    ) -> Observations:
        """What one pass over the texts sees of every layer; as `avss.scoring.one_pass` has it.

        `max_tokens` are read, more only where the first `min_texts` hold more.
        """
        config, tokenizer = self._models.reader(model)
        limit = min(max_length, longest_input(config, tokenizer))
        sequences = calibration_tokens(
            tokenizer, texts, max_tokens=max_tokens, max_length=limit, min_texts=min_texts
        )
        rows = list(batch_rows(sequences, batch_tokens=SCORE_TOKENS))
        pieces = [ScorePiece(_chosen(sequences, some), source) for some in rows]
        seen = self.engine.answers(model, pieces, progress)
        whole = reduce(Observations.merged, seen).placed([row for some in rows for row in some])
        return replace(whole, model=model)  # by no folder's name

    def probe(
        self,
        model: str,
        sequences: Sequence[Sequence[int]],
        layers: Sequence[int],
        *,
        progress: Progress,
    ) -> ProbeResult:
        """The loss without each of the layers; as `avss.selection.probe` has it."""
        usable = predictable(sequences)
        pieces = [
            ProbePiece(_chosen(usable, rows), tuple(layers))
            for rows in batch_rows(usable, batch_tokens=PROBE_TOKENS)
        ]
        return reduce(ProbeLosses.merged, self.engine.answers(model, pieces, progress)).result()

    def measure(
        self,
        model: str,
        suite: KpiSuite,
        records: Sequence[Mapping[str, Any]],
        *,
        progress: Progress,
    ) -> Outcomes:
        """One outcome per example for every KPI; as `avss.kpis.measure` has it."""
        cut = shards.cut(suite, records)
        parts = self.engine.answers(model, [KpiPiece(shard) for shard in cut], progress)
        return shards.merge(suite, cut, parts)


def _chosen(sequences: Sequence[Sequence[int]], rows: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(sequences[row]) for row in rows)
