"""The business data of a change: pinned, held against its contract, compared with the last one."""

from policies.entries import DataValidated, DriftChecked, SnapshotPinned, Splits
from policies.lifecycle import CheckDataDrift, PinSnapshot, State, ValidateData, refusals
from tasks import clock
from tasks.data.snapshot import pin_snapshot, read_split
from tasks.data.validation import validate
from tasks.drift.data import data_drift
from tasks.drift.report import DriftReport
from tasks.errors import MissingError
from tasks.home import cache
from tasks.job import Job
from tasks.stages.now import change_of, last_manifest, pinned


def pin(job: Job, state: State, action: PinSnapshot) -> SnapshotPinned:
    """List, pin, pull and split the data; only the manifest is stored, no text."""
    snapshot = pin_snapshot(job.run.data, cache=cache("snapshots"))
    digests = {name: split.sha256 for name, split in snapshot.manifest.splits.items()}
    return SnapshotPinned(
        manifest=job.keep_snapshot(snapshot),
        records=snapshot.manifest.records,
        splits=Splits.model_validate(digests),
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
    )
    return DataValidated(
        passed=report.passed,
        report=job.documents.put(report.to_json()),
        failures=report.failures,
        warnings=report.warnings,
    )


def check_drift(job: Job, state: State, action: CheckDataDrift) -> DriftChecked:
    """Compare the snapshot with that of the model in use; the first change has none.

    Also with those on which people refused what could be proposed again.
    """
    change, previous = change_of(state), last_manifest(state)
    report = _drift(job, pinned(change).manifest, previous)
    since = {
        earlier.id: like
        for earlier in refusals(state, change)
        if (like := _still_like(job, pinned(change).manifest, pinned(earlier).manifest))
    }
    return DriftChecked(
        against=previous,
        report=job.documents.put(report.to_json()),
        passed=report.passed,
        alarms=report.alarms,
        unchanged_since={name: job.documents.put(one.to_json()) for name, one in since.items()},
    )


def _drift(job: Job, current: str, reference: str | None) -> DriftReport:
    return data_drift(
        read_split(job.snapshot(current), "calibration"),
        read_split(job.snapshot(reference), "calibration") if reference else None,
        against=reference,
        limits=job.drift_limits(),
    )


def _still_like(job: Job, current: str, earlier: str) -> DriftReport | None:
    """The comparison with an earlier snapshot; None where it drifted, or is not kept any more."""
    try:
        found = _drift(job, current, earlier)
    except MissingError:
        return None
    return found if found.passed else None
