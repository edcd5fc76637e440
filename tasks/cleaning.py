"""What finished changes left behind and nobody needs any more: found by the record, then deleted.

Kept always: the record, evidence, dossiers, approvals, every registered version, and whatever an
open change or the version in use rests on. What no record names is never touched: it may be
somebody else's.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from policies.lifecycle import ChangeState, State
from policies.policy import Policy
from policies.schema import rfc3339
from tasks import clock
from tasks.home import home
from tasks.places import Places
from tasks.record.ledger_store import LedgerStore
from tasks.record.line_view import LineView
from tasks.reporting import Report, told, untold
from tasks.s3.storage import ObjectStore


@dataclass(frozen=True)
class Leftover:
    """One thing that may go: where it is, how large, and why."""

    kind: Literal["model", "cached model", "cached snapshot"]
    digest: str
    address: str
    objects: int
    bytes: int
    change: str
    ended: str
    why: str


@dataclass(frozen=True)
class CleaningPlan:
    """What would go now, over all lines of a ledger."""

    lines: tuple[str, ...]
    models_kept: int
    leftovers: tuple[Leftover, ...]

    @property
    def bytes(self) -> int:
        """What would be freed."""
        return sum(one.bytes for one in self.leftovers)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"bytes": self.bytes}


@dataclass(frozen=True)
class _Line:
    state: State
    policy: Policy

    @property
    def changes(self) -> list[ChangeState]:
        state = self.state
        return [*(one.change for one in state.closed), *([state.change] if state.change else [])]


def plan_cleaning(places: Places, report: Report = untold) -> CleaningPlan:
    """Find what may go, by the policy of each line's last change. Deletes nothing.

    `report` is told how many lines are read.

    Raises:
        StorageError: S3 cannot be read.
        VerificationError: a record does not hold; then nothing is safe to delete.
    """
    names = LedgerStore(places.ledger).lines()
    lines = [_line(LineView(name, places)) for name in told(names, len(names), report)]
    models = {digest for line in lines for digest in _models_needed(line)}
    snapshots = {digest for line in lines for digest in _snapshots_needed(line)}
    found = [
        one
        for line in lines
        for one in (
            *_old_models(line, ObjectStore(places.work), models),
            *_old_snapshots(line, snapshots),
        )
    ]
    once = {one.address: one for one in found}
    return CleaningPlan(names, len(models), tuple(once[address] for address in sorted(once)))


def clean(plan: CleaningPlan, work: ObjectStore, report: Report = untold) -> None:
    """Delete what the plan names. Safe to repeat.

    Raises:
        StorageError: S3 is unreachable or denies.
    """
    for one in told(plan.leftovers, len(plan.leftovers), report):
        if one.kind != "model":
            shutil.rmtree(one.address, ignore_errors=True)
            continue
        folder = work.below(f"models/{one.digest}")
        for item in list(folder.list()):
            folder.delete(item.key)


def lifecycle_rules(candidate_days: int) -> list[dict[str, Any]]:
    """Rules of the work bucket for what no job sees: parts of uploads, versions that were deleted.

    In a bucket with versioning a deleted model stays as an old version until these let it go.
    """
    return [
        {
            "ID": "avss-unfinished-uploads",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        },
        {
            "ID": "avss-deleted-models",
            "Status": "Enabled",
            "Filter": {"Prefix": "models/"},
            "NoncurrentVersionExpiration": {"NoncurrentDays": candidate_days},
        },
    ]


def _line(view: LineView) -> _Line:
    state = view.state
    last = state.change or state.closed[-1].change
    return _Line(state, view.policy_of(last))


def _models_needed(line: _Line) -> Iterator[str]:
    """Digests that must stay: versions, what is in use, and all of an open change."""
    for change in line.changes:
        if change.registered is not None:
            yield change.registered.model
    if line.state.change is not None:
        yield from _models_of(line.state.change)
    if line.state.live is not None:
        yield line.state.live.opened.base_model
    yield line.changes[-1].opened.base_model


def _models_of(change: ChangeState) -> Iterator[str]:
    """Every model of a change."""
    yield from (change.opened.base_model, change.start_model)
    for step in change.steps:
        yield from (attempt.built.model for attempt in step.attempts)


def _snapshots_needed(line: _Line) -> Iterator[str]:
    """The open change's data, and the data behind the version in use: drift is measured from it."""
    for change in (line.state.change, line.state.live):
        if change is not None and change.snapshot is not None:
            yield change.snapshot.manifest


def _old(line: _Line, days: int) -> Iterator[tuple[ChangeState, datetime]]:
    until = clock.now() - timedelta(days=days)
    return ((one.change, one.closed_at) for one in line.state.closed if one.closed_at <= until)


def _old_models(line: _Line, work: ObjectStore, needed: set[str]) -> Iterator[Leftover]:
    days = line.policy.storage.candidate_days
    for change, ended in _old(line, days):
        for digest in sorted(set(_models_of(change)) - needed):
            why = f"no version, and its change ended more than {days} days ago"
            about = (digest, change.id, rfc3339(ended), why)
            folder = work.below(f"models/{digest}")
            sizes = [item.size for item in folder.list()]
            if sizes:
                yield _leftover("model", folder.uri(), sizes, about)
            yield from _on_disk("cached model", home() / "cache" / "models" / digest, about)


def _old_snapshots(line: _Line, needed: set[str]) -> Iterator[Leftover]:
    days = line.policy.storage.snapshot_days
    for change, ended in _old(line, days):
        digest = change.snapshot.manifest if change.snapshot else None
        if digest is not None and digest not in needed:
            why = f"its change ended more than {days} days ago; it can be pulled again"
            folder = home() / "cache" / "snapshots" / "snapshots" / digest
            about = (digest, change.id, rfc3339(ended), why)
            yield from _on_disk("cached snapshot", folder, about)


def _on_disk(
    kind: Literal["cached model", "cached snapshot"], folder: Path, about: tuple[str, str, str, str]
) -> Iterator[Leftover]:
    if folder.is_dir():
        sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
        yield _leftover(kind, str(folder), sizes, about)


def _leftover(
    kind: Literal["model", "cached model", "cached snapshot"],
    address: str,
    sizes: Sequence[int],
    about: tuple[str, str, str, str],
) -> Leftover:
    digest, change, ended, why = about
    return Leftover(kind, digest, address, len(sizes), sum(sizes), change, ended, why)
