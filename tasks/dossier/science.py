"""What the science writes (`avss`), as far as the dossier reads it; other fields are left alone.

All classes forgive a missing field, because a step that failed half way has a dossier too; none
forgives a field of another type.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from tasks.dossier.facts.base import Number


class Document(BaseModel):
    """Base: immutable, and no value of a document ever stands in an error."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class ScoredLayer(Document):
    """`avss.scoring.scores.LayerScore`."""

    index: int
    avss: Number | None = None
    share: Number | None = None
    block_influence: Number | None = None


class RankInterval(Document):
    """`avss.scoring.stability.RankInterval`."""

    index: int
    low: int
    high: int


class Stability(Document):
    """`avss.scoring.stability.Stability`."""

    rank_intervals: tuple[RankInterval, ...] = ()


class Ranked(Document):
    """An entry of a ranking, least important first."""

    index: int


class PublishedRanking(Document):
    """The layers as AVSS on their outputs ranks them, least important first."""

    ranking: tuple[int, ...] = ()


class ScoresDocument(Document):
    """`avss.scoring.scores.LayerScores`: the model before this step."""

    layers: tuple[ScoredLayer, ...] = ()
    ranking: tuple[Ranked, ...] = ()
    published: PublishedRanking | None = None
    stability: Stability | None = None


class ProbeDocument(Document):
    """`avss.selection.ProbeResult`, and what scoring cost in the same passes."""

    losses: dict[int, Number] = {}
    base_loss: Number | None = None
    forward_equivalents: Number | None = None
    scoring_forward_equivalents: Number | None = None
    sleb_forward_equivalents: Number | None = None


class TriedHealing(Document):
    """`avss.healing.report.Tried`."""

    method: str
    loss: Number | None = None
    reason: str = ""


class HealingDocument(Document):
    """`avss.healing.report.HealingReport`; records before version 0.2 lack `tried`.

    Where no way of healing fits the architecture there is the `reason` alone.
    """

    method: str = "none"
    reason: str = ""
    loss_before: Number | None = None
    loss_after: Number | None = None
    tried: tuple[TriedHealing, ...] = ()


class ComparedSlice(Document):
    """`avss.comparing.comparison.SliceComparison`."""

    slice: str
    n: int | None = None
    value: Number | None = None
    base_value: Number | None = None
    retention: Number | None = None
    retention_low: Number | None = None
    reason: str | None = None


class ComparedMetric(ComparedSlice):
    """`avss.comparing.comparison.MetricComparison`."""

    slice: str = ""
    name: str
    higher_is_better: bool | None = None
    needed_n: int | None = None
    slices: tuple[ComparedSlice, ...] = ()
    small_slices: int = 0


def _count(broken: object) -> object:
    return len(broken) if isinstance(broken, list | tuple) else broken


class RareCasesResult(Document):
    """`avss.comparing.comparison.RareCases`; `broken` is a count, not the record numbers."""

    kpi: str
    n: int | None = None
    broken: Annotated[int | None, BeforeValidator(_count)] = None
    budget: int | None = None


class KpisDocument(Document):
    """`avss.comparing.comparison.Comparison`: `evaluate --format json`."""

    confidence: Number | None = None
    kpis: tuple[ComparedMetric, ...] = ()
    rare_cases: tuple[RareCasesResult, ...] = ()


class SliceFlips(Document):
    """`avss.comparing.output_drift.SliceDrift`."""

    slice: str
    n: int | None = None
    label_flip_rate: Number | None = None


class OutputKpi(Document):
    """`avss.comparing.output_drift.KpiDrift`."""

    kpi: str
    n: int | None = None
    label_flip_rate: Number | None = None
    label_kl: Number | None = None
    next_token_flip_rate: Number | None = None
    next_token_kl: Number | None = None
    generation_change: Number | None = None
    slices: tuple[SliceFlips, ...] = ()
    differ: int | None = None


class OutputsDocument(Document):
    """`avss.comparing.output_drift.OutputDrift`."""

    kpis: tuple[OutputKpi, ...] = ()


class ShownExample(Document):
    """One record as `tasks.measuring.examples` keeps it."""

    asked: str = ""
    base: str
    candidate: str
    differs: bool | None = None


class ShownKpi(Document):
    """The examples of one KPI."""

    kpi: str
    examples: tuple[ShownExample, ...] = ()


class ExamplesDocument(Document):
    """`tasks.measuring.examples.examples_of`; only there where the policy allows text."""

    kpis: tuple[ShownKpi, ...] = ()


class ProfileSize(Document):
    """`avss.profiling.profile.Size`."""

    parameters: int | None = None
    bytes_on_disk: int | None = None
    resident_bytes: int | None = None
    kv_bytes_per_token: int | None = None


class ProfileSpeed(Document):
    """`avss.profiling.profile.Measured`."""

    name: str
    value: Number | None = None
    base_value: Number | None = None
    ratio: Number | None = None
    ratio_low: Number | None = None
    ratio_high: Number | None = None


class ProfileCost(Document):
    """`avss.profiling.costs.Cost`."""

    currency: str
    hours_per_month: Number | None = None
    cost_per_month: Number
    base_cost_per_month: Number | None = None
    savings_per_month: Number | None = None
    assumptions: tuple[str, ...] = ()


class ProfileDocument(Document):
    """`avss.profiling.profile.Profile`."""

    size: ProfileSize | None = None
    base_size: ProfileSize | None = None
    speeds: tuple[ProfileSpeed, ...] = ()
    cost: ProfileCost | None = None
