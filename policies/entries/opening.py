"""Entries of a change's beginning: who asked for it, on which data, against which base."""

from typing import Self

from pydantic import Field, model_validator

from policies.entries.body import Body
from policies.measurements import Reason
from policies.schema import Count, Digest, Frozen, Layer, Name, Ordinal


class ChangeOpened(Body):
    """Somebody asked for a change of the line; the rules of the game are fixed here."""

    kind = "change.opened"
    document_fields = ("policy", "kpis", "roster", "run", "environment")

    requester: Name
    base_model: Digest
    original_layers: Ordinal
    kept_layers: tuple[Layer, ...]
    """Layers of the original model that the base has."""
    policy: Digest
    kpis: Digest
    roster: Digest
    run: Digest
    environment: Digest
    start_model: Digest | None = None
    """The model that the first step starts from: the one in use where it was made from this base,
    else the base itself. What a candidate keeps is always measured against the base. Null in
    changes that were opened before there was a choice: the base."""
    start_layers: tuple[Layer, ...] | None = None
    """Layers of the original model that the start has."""

    @model_validator(mode="after")
    def _layers_exist(self) -> Self:
        kept, start = self.kept_layers, self.start_layers
        if not kept or list(kept) != sorted(set(kept)) or kept[-1] >= self.original_layers:
            raise ValueError("kept_layers must rise and lie in the original model")
        if (start is None) != (self.start_model is None):
            raise ValueError("start_model and start_layers go together")
        if start is not None and (not start or not set(start) <= set(kept)):
            raise ValueError("start_layers must be among the base's")
        if start is not None and list(start) != sorted(set(start)):
            raise ValueError("start_layers must rise")
        return self


class Splits(Frozen):
    """Digest of each split's records."""

    calibration: Digest
    validation: Digest
    holdout: Digest


class SnapshotPinned(Body):
    """The business data of the change, by version and digest."""

    kind = "snapshot.pinned"
    document_fields = ("manifest",)

    manifest: Digest
    records: Count
    splits: Splits
    changed_during_pull: Count = 0
    """Objects that got a newer version meanwhile; the pinned ones were read."""


class DataValidated(Body):
    """What the data contract said."""

    kind = "data.validated"
    document_fields = ("report",)

    passed: bool
    report: Digest
    failures: tuple[Reason, ...] = ()
    warnings: tuple[Reason, ...] = ()

    @model_validator(mode="after")
    def _follows(self) -> Self:
        if self.passed == bool(self.failures):
            raise ValueError("data passes exactly where nothing failed")
        return self


class DriftChecked(Body):
    """The snapshot against the last approved change's."""

    kind = "drift.checked"

    against: Name | None
    """Digest of the earlier manifest; null where there is none yet."""
    report: Digest
    passed: bool
    alarms: tuple[Reason, ...] = ()
    unchanged_since: dict[Name, Digest] = Field(default_factory=dict)
    """Earlier changes in which people refused something that could be proposed again, and whose
    data this is still like: the report of that comparison by the change's id."""

    @property
    def documents(self) -> tuple[str, ...]:
        """The reports of all comparisons."""
        return (self.report, *self.unchanged_since.values())

    @model_validator(mode="after")
    def _follows(self) -> Self:
        if self.passed == bool(self.alarms):
            raise ValueError("a check of drift passes exactly where there is no alarm")
        return self


class BaseMeasured(Body):
    """KPIs and resources of the base, measured once a change."""

    kind = "base.measured"
    document_fields = ("report", "start")

    report: Digest
    start: Digest | None = None
    """The same of the model that the first step starts from, where that is not the base."""
