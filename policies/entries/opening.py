"""Entries of a change's beginning: who asked for it, on which data, against which base."""

from typing import Self

from pydantic import model_validator

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

    @model_validator(mode="after")
    def _layers_exist(self) -> Self:
        kept = self.kept_layers
        if not kept or list(kept) != sorted(set(kept)) or kept[-1] >= self.original_layers:
            raise ValueError("kept_layers must rise and lie in the original model")
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
    document_fields = ("report",)

    against: Name | None
    """Digest of the earlier manifest; null where there is none yet."""
    report: Digest
    passed: bool
    alarms: tuple[Reason, ...] = ()

    @model_validator(mode="after")
    def _follows(self) -> Self:
        if self.passed == bool(self.alarms):
            raise ValueError("a check of drift passes exactly where there is no alarm")
        return self


class BaseMeasured(Body):
    """KPIs and resources of the base, measured once a change."""

    kind = "base.measured"
    document_fields = ("report",)

    report: Digest
