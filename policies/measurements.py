"""What the rules read: everything measured about one candidate, as plain numbers.

A value that could not be measured is null with a reason; the rule that needs it then fails. Layers
are numbered as in the original model. Ratios are candidate / base; retention is 1 where nothing was
lost, whichever way the KPI points.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from policies.schema import Count, Frozen, Layer, Name, Ordinal, Step

Reason = Annotated[str, Field(max_length=2000)]


class Measured(Frozen):
    """A number, or why there is none."""

    value: float | None
    reason: Reason = ""

    @model_validator(mode="after")
    def _null_has_a_reason(self) -> Self:
        if self.value is None and not self.reason:
            raise ValueError("a value that could not be measured needs a reason")
        return self


class Ratio(Measured):
    """A ratio with its upper confidence limit; a limit that is missing counts as not measured."""

    high: float | None = None


class LayerFacts(Frozen):
    """Which layers stand: in the change's base, before this step, and in the candidate."""

    original_layers: Ordinal
    base_kept: tuple[Layer, ...]
    parent_kept: tuple[Layer, ...]
    kept: tuple[Layer, ...]

    @property
    def removed(self) -> frozenset[int]:
        """Every layer of the original model that the candidate lacks."""
        return frozenset(range(self.original_layers)) - set(self.kept)

    @property
    def proposed(self) -> frozenset[int]:
        """The layers that this candidate removes from its parent."""
        return frozenset(self.parent_kept) - set(self.kept)


class CalibrationFacts(Frozen):
    """The text that the layers were scored on."""

    records: Count
    tokens: Count
    rank_stability: Measured
    """Kendall's tau between the rankings of two halves of the records."""


class DataFacts(Frozen):
    """What the data contract said of the snapshot."""

    records: Count
    passed: bool | None
    """None: the contract could not be checked."""
    failures: tuple[Reason, ...] = ()
    warnings: tuple[Reason, ...] = ()


class DriftCheckFact(Frozen):
    """One distance; `noise` is what chance makes of it with so few records."""

    name: Name
    distance: float | None
    noise: float | None = None
    reason: Reason = ""


class DriftFacts(Frozen):
    """Distances from a reference; `against` is null where there is none yet."""

    against: str | None
    checks: tuple[DriftCheckFact, ...] = ()


class OutputDriftFact(Frozen):
    """How far answers moved from the base's on one KPI, by one measure."""

    kpi: Name
    measure: Name
    moved: Measured


class SliceFact(Frozen):
    """One KPI's retention on one slice, such as `condition=Acne`."""

    slice: Name
    n: Count
    retention: float | None
    retention_low: float | None
    reason: Reason = ""


class KpiFact(Frozen):
    """One metric, named `<kpi>.<metric>`, against the change's base."""

    name: Name
    n: Count
    value: float | None
    base_value: float | None
    retention: float | None
    retention_low: float | None
    """One-sided lower confidence limit at `confidence`."""
    confidence: Annotated[float, Field(gt=0, lt=1)]
    higher_is_better: bool
    reason: Reason = ""
    needed_n: int | None = None
    """Examples that would tell the threshold, where these were too few."""
    retention_before: Measured
    """The parent's retention against the same base; 1 where the parent is the base."""
    slices: tuple[SliceFact, ...] = ()
    worst_slice: SliceFact | None = None
    """The slice of lowest retention, with a limit that holds for all slices at once."""
    small_slices: Count = 0
    """Slices with too few examples to be told."""


class RareCaseFact(Frozen):
    """Examples that must not break; `broken` counts those that the base alone has right."""

    kpi: Name
    n: Count
    broken: int | None
    budget: Count
    reason: Reason = ""


class ResourceFacts(Frozen):
    """What the candidate needs, as ratios candidate / base."""

    parameters: Measured
    bytes_on_disk: Measured
    kv_bytes_per_token: Measured
    prefill_seconds: Ratio
    decode_seconds: Ratio
    money_per_month: Measured


class ProofFact(Frozen):
    """Whether the saved candidate, loaded anew, computes what the one in memory computed."""

    passed: bool | None
    largest_difference: float | None = None
    """Of logits, absolute."""
    reason: Reason = ""


class Measurements(Frozen):
    """All that the rules know of one candidate."""

    format: Literal["avss-measurements-1"] = "avss-measurements-1"
    step: Step
    attempt: Ordinal
    split: Literal["validation", "holdout"]
    layers: LayerFacts
    calibration: CalibrationFacts
    data: DataFacts
    data_drift: DriftFacts
    score_drift: DriftFacts
    output_drift: tuple[OutputDriftFact, ...]
    kpis: tuple[KpiFact, ...]
    rare_cases: tuple[RareCaseFact, ...] = ()
    resources: ResourceFacts
    proof: ProofFact
