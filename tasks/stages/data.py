"""The business data of a change: pinned, held against its contract, compared with the last one."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avss.scoring.first_layer import first_layer_states
from policies.entries import DataValidated, DriftChecked, SnapshotPinned, Splits
from policies.lifecycle import (
    ChangeState,
    CheckDataDrift,
    PinSnapshot,
    State,
    ValidateData,
    refusals,
    still_alike,
)
from tasks import clock
from tasks.data.pull import Seen, mark
from tasks.data.snapshot import pin_snapshot, read_split
from tasks.data.validation import validate
from tasks.drift.data import States, data_drift
from tasks.drift.report import DriftReport
from tasks.errors import MissingError
from tasks.home import cache
from tasks.job import Job
from tasks.stages.now import change_of, last_manifest, pinned


def pin(job: Job, state: State, action: PinSnapshot) -> SnapshotPinned:
    """List, pin, pull and split the data; only the manifest is stored, no text."""
    snapshot = pin_snapshot(
        job.run.data,
        cache=cache("snapshots"),
        seen=_seen(job, state),
        personal=job.policy.data.personal_data,
        progress=lambda _what, *of: job.report(*of),
    )
    digests = {name: split.sha256 for name, split in snapshot.manifest.splits.items()}
    return SnapshotPinned(
        manifest=job.keep_snapshot(snapshot),
        records=snapshot.manifest.records,
        splits=Splits.model_validate(digests),
        changed_during_pull=len(snapshot.changed_during_pull),
    )


def _seen(job: Job, state: State) -> Seen:
    """What approved changes of the line read; looked up only where the run file asks for it."""
    if job.run.data.since != "last_approved":
        return frozenset()
    read = (job.manifest(pinned(it.change).manifest) for it in state.closed if it.change.promoted)
    return frozenset(
        mark(it.key, it.version_id, it.size) for manifest in read for it in manifest.objects
    )


def check_contract(job: Job, state: State, action: ValidateData) -> DataValidated:
    """Hold the snapshot against the policy's data contract."""
    previous = last_manifest(state)
    report = validate(
        job.snapshot(pinned(change_of(state)).manifest),
        job.policy.data.suite,
        now=clock.now(),
        min_records=job.policy.data.min_records,
        previous=job.manifest(previous) if previous else None,
        changed_during_pull=pinned(change_of(state)).changed_during_pull,
        personal=job.policy.data.personal_data,
    )
    return DataValidated(
        passed=report.passed,
        report=job.documents.put(report.to_json()),
        failures=report.failures,
        warnings=report.warnings,
    )


def check_drift(job: Job, state: State, action: CheckDataDrift) -> DriftChecked:
    """Compare the snapshot with that of the model in use; the first change has none.

    Also with those on which people refused what could be proposed again. Validation against
    calibration is told beside it: a split by hash that differs would point to groups that are too
    large, and is no alarm.
    """
    change, previous = change_of(state), last_manifest(state)
    current = pinned(change).manifest
    with tempfile.TemporaryDirectory() as scratch:
        page = Path(scratch) / "drift.html"
        report = _drift(job, change, previous, page)
        if page.exists():
            job.keep_page(change.id, "data-drift.html", page)
    splits = data_drift(
        read_split(job.snapshot(current), "validation"),
        read_split(job.snapshot(current), "calibration"),
        against="calibration",
        limits=job.drift_limits(),
        states=eyes(job, change),
    )
    since = still_alike(
        refusals(state, change),
        lambda earlier: _still_like(job, change, pinned(earlier).manifest),
    )
    return DriftChecked(
        against=previous,
        report=job.documents.put(report.to_json() | {"splits": splits.to_json()}),
        passed=report.passed,
        alarms=report.alarms,
        unchanged_since={name: job.documents.put(one.to_json()) for name, one in since.items()},
    )


def _drift(
    job: Job, change: ChangeState, reference: str | None, page: Path | None = None
) -> DriftReport:
    """The change's snapshot against an earlier one."""
    return data_drift(
        read_split(job.snapshot(pinned(change).manifest), "calibration"),
        read_split(job.snapshot(reference), "calibration") if reference else None,
        against=reference,
        limits=job.drift_limits(),
        states=eyes(job, change),
        html=page,
    )


def eyes(job: Job, change: ChangeState) -> States:
    """What the change's base makes of texts."""

    def states(texts: Sequence[str]) -> Any:
        base = job.models.load(change.opened.base_model)
        return first_layer_states(base.model, base.tokenizer, texts).double().numpy()

    return states


def _still_like(job: Job, change: ChangeState, earlier: str) -> DriftReport | None:
    """The comparison with an earlier snapshot; None where it drifted, or is not kept any more."""
    try:
        found = _drift(job, change, earlier)
    except MissingError:
        return None
    return found if found.passed else None
