"""What people decide on: one document a step, whose digest their signature covers."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from policies.measurements import Measurements
from policies.rules.verdict import Verdict
from policies.schema import ChangeId, Digest, Frozen, Layer, LineName, Name, Ordinal, Step


class RefusedAttempt(Frozen):
    """A candidate of the same step that the rules refused before."""

    attempt: Ordinal
    layer: Layer
    model: Digest
    failed: tuple[Name, ...]
    """The rules that it failed."""
    healing: Name | None = None
    """How it was healed, under a policy that puts several ways before the rules."""


class StepEvidence(Frozen):
    """Everything measured for one decision. Layers are numbered as in the original model."""

    format: Literal["avss-evidence-1"] = "avss-evidence-1"
    line: LineName
    change: ChangeId
    step: Step
    attempt: Ordinal
    policy: Digest
    base_model: Digest
    parent_model: Digest
    """The model before this step; for the promotion, the one that the change
    started from."""
    candidate_model: Digest
    kept_layers: tuple[Layer, ...]
    removed_layers: tuple[Layer, ...]
    """Every layer of the original model that the candidate lacks."""
    proposed_layer: Layer | None
    """The layer that this step removes; null for the promotion."""
    documents: Annotated[dict[Name, Digest], Field(min_length=1)]
    """Content-addressed documents behind the measurements, by name."""
    measurements: Measurements
    verdicts: tuple[Verdict, ...]
    passed: bool
    refused_before: tuple[RefusedAttempt, ...] = ()

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        layers = self.measurements.layers
        if layers.kept != self.kept_layers or layers.removed != set(self.removed_layers):
            raise ValueError("the measurements are of other layers than the candidate's")
        if (self.measurements.step, self.measurements.attempt) != (self.step, self.attempt):
            raise ValueError("the measurements are of another step or attempt")
        if self.passed != (bool(self.verdicts) and all(one.passed for one in self.verdicts)):
            raise ValueError("passed does not follow from the verdicts")
        return self
