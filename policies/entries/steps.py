"""Entries of a step: ranked, probed, built, measured, judged; and of the end of all steps."""

from typing import Literal

from pydantic import Field

from policies.entries.body import Body
from policies.rules.verdict import Verdict
from policies.schema import Digest, Layer, Name, Ordinal, Text

EndReason = Literal["limit", "nothing_passes", "rejected", "expired", "refused_before"]


class LayersRanked(Body):
    """Scores of the current model's layers, and which of them are proposed."""

    kind = "layers.ranked"
    document_fields = ("scores",)

    step: Ordinal
    model: Digest
    scores: Digest
    shortlist: tuple[Layer, ...]


class ShortlistProbed(Body):
    """The short list by measured loss, least harmful first."""

    kind = "shortlist.probed"
    document_fields = ("probe",)

    step: Ordinal
    probe: Digest
    order: tuple[Layer, ...]


class CandidateBuilt(Body):
    """A model without one more layer."""

    kind = "candidate.built"
    document_fields = ("build",)

    step: Ordinal
    attempt: Ordinal
    layer: Layer
    parent: Digest
    model: Digest
    healing: Name
    """The method that won."""
    build: Digest


class CandidateMeasured(Body):
    """Everything measured about the candidate."""

    kind = "candidate.measured"
    document_fields = ("measurements",)

    step: Ordinal
    attempt: Ordinal
    measurements: Digest
    reports: dict[Name, Digest] = Field(default_factory=dict)
    """Documents behind the measurements, by name; the evidence names them again."""


class CandidateJudged(Body):
    """What the rules say of it, and the evidence that people would decide on."""

    kind = "candidate.judged"
    document_fields = ("evidence",)

    step: Ordinal
    attempt: Ordinal
    passed: bool
    evidence: Digest
    verdicts: tuple[Verdict, ...]


class StepsEnded(Body):
    """No further step will be tried."""

    kind = "steps.ended"

    reason: EndReason
    detail: Text
