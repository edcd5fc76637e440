"""What finished changes left behind and nobody needs any more: found by the record, then deleted.

Kept always: the record, evidence, dossiers, approvals, every registered version with the base that
it is measured against, and whatever an open change or the version in use rests on. What no record
names is never touched: it may be somebody else's.
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from policies.entries import MonitorChecked
from policies.lifecycle import ChangeState, State
from policies.policy_sections import Storage
from policies.schema import rfc3339
from tasks import clock
from tasks.home import home
from tasks.places import Places
from tasks.record.ledger_store import LedgerStore
from tasks.record.line_view import LineView
from tasks.reporting import Report, told, untold
from tasks.s3.storage import ObjectStore

Kind = Literal["model", "cached model", "cached snapshot"]
_FOR_EVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Leftover:
    """One thing that may go: where it is, how large, and why."""

    kind: Kind
    digest: str
    address: str
    objects: int
    bytes: int
    change: str
    """The change that used it last."""
    ended: str
    """When that was over."""
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
class _Use:
    """What a record names by its digest, and how long it is kept for that."""

    digest: str
    change: str
    why: str = ""
    """Why it may go once that is over."""
    ended: datetime | None = None
    """When it was used last; None: it still is."""
    days: int = 0
    """How long it is kept from then on."""

    @property
    def until(self) -> datetime:
        """Until when it is kept for this; no policy's days lead beyond the calendar."""
        days = timedelta(days=min(self.days, 36_500))
        return self.ended + days if self.ended else _FOR_EVER


@dataclass(frozen=True)
class _Line:
    state: State
    storage: Storage
    checks: tuple[_Use, ...]
    """Snapshots that `monitor` read, each time that it did."""

    @property
    def changes(self) -> list[ChangeState]:
        state = self.state
        return [*(one.change for one in state.closed), *([state.change] if state.change else [])]


def plan_cleaning(places: Places, report: Report = untold) -> CleaningPlan:
    """Find what may go, by the policy of each line's last change. Deletes nothing.

    What several lines or changes named goes when the last of them lets it go. `report` is told how
    many lines are read.

    Raises:
        StorageError: S3 cannot be read.
        VerificationError: a record does not hold; then nothing is safe to delete.
    """
    lines = _lines(places, report)
    models = [use for line in lines.values() for use in _models(line)]
    snapshots = [use for line in lines.values() for use in _snapshots(line)]
    work = ObjectStore(places.work)
    found = [
        *(left for use in _over(models) for left in _model_left(use, work)),
        *(left for use in _over(snapshots) for left in _snapshot_left(use)),
    ]
    needed = {use.digest for use in models if use.ended is None}
    ordered = sorted(found, key=lambda one: one.address)
    return CleaningPlan(tuple(lines), len(needed), tuple(ordered))


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


def candidate_days(places: Places, report: Report = untold) -> int:
    """The longest that a policy of any line keeps models which are no version.

    Before there is a line: what a policy says that says nothing of it.

    Raises:
        StorageError, VerificationError: as `plan_cleaning`.
    """
    lines = _lines(places, report).values()
    return max((it.storage.candidate_days for it in lines), default=Storage().candidate_days)


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


def _lines(places: Places, report: Report) -> dict[str, _Line]:
    names = LedgerStore(places.ledger).lines()
    return {name: _line(LineView(name, places)) for name in told(names, len(names), report)}


def _line(view: LineView) -> _Line:
    state = view.state
    storage = view.policy_of(state.change or state.closed[-1].change).storage
    days = storage.snapshot_days
    why = f"`monitor` read it last more than {days} days ago; it can be pulled again"
    checks = (
        _Use(entry.body.manifest, entry.change or "", why, entry.time, days)
        for entry in view.record.entries
        if isinstance(entry.body, MonitorChecked)
    )
    return _Line(state, storage, tuple(checks))


def _models(line: _Line) -> Iterator[_Use]:
    """Versions with their bases, all of an open change, and what ended changes left behind."""
    for change in line.changes:
        if change.registered is not None:  # it may be in use again, and is then measured again
            yield _Use(change.registered.model, change.id)
            yield _Use(change.opened.base_model, change.id)
    last = line.changes[-1]
    yield _Use(last.opened.base_model, last.id)
    if line.state.change is not None:
        yield from (_Use(digest, last.id) for digest in _models_of(line.state.change))
    days = line.storage.candidate_days
    why = f"no version, and its change ended more than {days} days ago"
    for one in line.state.closed:
        for digest in _models_of(one.change):
            yield _Use(digest, one.change.id, why, one.closed_at, days)


def _models_of(change: ChangeState) -> Iterator[str]:
    """Every model of a change."""
    yield from (change.opened.base_model, change.start_model)
    for step in change.steps:
        yield from (attempt.built.model for attempt in step.attempts)


def _snapshots(line: _Line) -> Iterator[_Use]:
    """The data of changes and of checks. Drift is measured from that of the version in use."""
    for change in (line.state.change, line.state.live):
        if change is not None and change.snapshot is not None:
            yield _Use(change.snapshot.manifest, change.id)
    days = line.storage.snapshot_days
    why = f"its change ended more than {days} days ago; it can be pulled again"
    for one in line.state.closed:
        if one.change.snapshot is not None:
            yield _Use(one.change.snapshot.manifest, one.change.id, why, one.closed_at, days)
    yield from line.checks


def _over(uses: Iterable[_Use]) -> list[_Use]:
    """Of each digest that nothing keeps any more, the use that kept it longest."""
    now, longest = clock.now(), {use.digest: use for use in sorted(uses, key=lambda it: it.until)}
    return [use for use in longest.values() if use.until <= now]


def _model_left(use: _Use, work: ObjectStore) -> Iterator[Leftover]:
    folder = work.below(f"models/{use.digest}")
    sizes = [item.size for item in folder.list()]
    if sizes:
        yield _leftover("model", folder.uri(), sizes, use)
    yield from _on_disk("cached model", home() / "cache" / "models" / use.digest, use)


def _snapshot_left(use: _Use) -> Iterator[Leftover]:
    folder = home() / "cache" / "snapshots" / "snapshots" / use.digest
    return _on_disk("cached snapshot", folder, use)


def _on_disk(kind: Kind, folder: Path, use: _Use) -> Iterator[Leftover]:
    if folder.is_dir():
        sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
        yield _leftover(kind, str(folder), sizes, use)


def _leftover(kind: Kind, address: str, sizes: Sequence[int], use: _Use) -> Leftover:
    ended = rfc3339(use.ended) if use.ended else ""
    return Leftover(kind, use.digest, address, len(sizes), sum(sizes), use.change, ended, use.why)
