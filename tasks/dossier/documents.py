"""Evidence, and what the tasks write about data, as far as the dossier reads it; and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError

from policies.measurements import Measurements
from tasks.dossier.facts.base import Number
from tasks.dossier.science import Document
from tasks.errors import DataError


class DriftCheck(Document):
    """`tasks.drift.report.DriftCheck`."""

    name: str
    method: str = ""
    threshold: Number | None = None
    distance: Number | None = None
    answer: Literal["no drift", "drift", "cannot tell"]
    reason: str = ""


class DriftDocument(Document):
    """`tasks.drift.report.DriftReport`, of data or of scores."""

    checks: tuple[DriftCheck, ...] = ()
    splits: DriftDocument | None = None
    """Of data: validation against calibration, in the same snapshot."""


class Expectation(Document):
    """`tasks.data.validation.ExpectationOutcome`."""

    type: str
    column: str | None = None
    severity: str = "critical"
    passed: bool
    because: str = ""


class ValidationDocument(Document):
    """`tasks.data.validation.ValidationReport`."""

    passed: bool | None = None
    expectations: tuple[Expectation, ...] = ()


class SnapshotSource(Document):
    """Where a snapshot was pulled from."""

    uri: str = ""


class SnapshotSplit(Document):
    """One split of a snapshot."""

    records: int


class SnapshotDocument(Document):
    """`tasks.data.snapshot_manifest.SnapshotManifest`."""

    source: SnapshotSource = SnapshotSource()
    records: int | None = None
    splits: dict[str, SnapshotSplit] = Field(default_factory=dict)


class EvidenceVerdict(Document):
    """`policies.rules.Verdict`."""

    rule: str
    subject: str = ""
    observed: Number | None = None
    limit: Number | None = None
    margin: Number | None = None
    passed: bool
    reason: str = ""


class RefusedCandidate(Document):
    """`policies.evidence.RefusedAttempt`."""

    attempt: int
    layer: int | None = None
    failed: tuple[str, ...] = ()
    healing: str | None = None


class EvidenceDocument(Document):
    """`policies.evidence.StepEvidence`, which approvers sign by its digest."""

    line: str
    change: str
    step: int | Literal["promotion"] | None = None
    attempt: int | None = None
    policy: str = ""
    base_model: str = ""
    parent_model: str = ""
    candidate_model: str = ""
    kept_layers: tuple[int, ...] = ()
    removed_layers: tuple[int, ...] = ()
    proposed_layer: int | None = None
    documents: dict[str, str] = Field(default_factory=dict)
    measurements: Measurements | None = None
    verdicts: tuple[EvidenceVerdict, ...] = ()
    passed: bool | None = None
    refused_before: tuple[RefusedCandidate, ...] = ()


Read = TypeVar("Read", bound=Document)


def read_evidence(evidence: Mapping[str, Any]) -> EvidenceDocument:
    """The evidence of a step.

    Raises DataError that names the field that is not what it should be.
    """
    return _read(EvidenceDocument, evidence, "evidence")


def read_document(kind: type[Read], documents: Mapping[str, Any], name: str) -> Read | None:
    """The document `name` as a `kind`, or None where there is none.

    Raises DataError that names the document and the field that is not what it should be.
    """
    found = documents.get(name)
    return None if found is None else _read(kind, found, name)


def _read(kind: type[Read], found: Any, name: str) -> Read:
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the document"
        raise DataError(
            f"The evidence document {name!r} cannot be read: {field}: {first['msg']}. "
            "It was written by another version; make the dossier with that one."
        ) from None
