"""What the records of lines name in models and snapshots, and how long each is kept for that.

A version may be put in use again, and is then measured against its base again: both stay. So does
whatever an open change or the version in use rests on. The rest stays as long as policies say.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from policies.entries import MonitorChecked
from policies.lifecycle import ChangeState, State
from policies.policy_sections import Storage
from tasks.places import Places
from tasks.record.lease import held_by
from tasks.record.ledger_store import LedgerStore
from tasks.record.line_view import LineView
from tasks.reporting import Report, told, untold

_FOR_EVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Use:
    """Something that a record names by its digest, and how long it is kept for that."""

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
class LineUses:
    """What one line's record names, and what its last change's policy says of that."""

    name: str
    storage: Storage
    models: tuple[Use, ...]
    snapshots: tuple[Use, ...]


def uses_of_lines(places: Places, report: Report = untold) -> tuple[LineUses, ...]:
    """All lines of a ledger; `report` is told how many are read.

    Raises:
        StorageError: S3 cannot be read.
        VerificationError: a record does not hold.
    """
    names = LedgerStore(places.ledger).lines()
    return tuple(_uses(LineView(name, places)) for name in told(names, len(names), report))


def _uses(view: LineView) -> LineUses:
    state = view.state
    storage = view.policy_of(state.change or state.closed[-1].change).storage
    models = tuple(_models(state, storage.candidate_days))
    snapshots = (
        *_snapshots(state, storage.snapshot_days),
        *_checks(view, storage.snapshot_days),
    )
    if _at_work(view):
        return LineUses(view.line, storage, _still(models), _still(snapshots))
    return LineUses(view.line, storage, models, snapshots)


def _at_work(view: LineView) -> bool:
    """Whether a run may be about to use again what the record names; it says so only later."""
    return any(held_by(view.work, name) for name in (view.line, f"{view.line}.monitor"))


def _still(uses: tuple[Use, ...]) -> tuple[Use, ...]:
    return tuple(replace(use, ended=None) for use in uses)


def _models(state: State, days: int) -> Iterator[Use]:
    """Versions with their bases, all of an open change, and what ended changes left behind."""
    changes = [*(one.change for one in state.closed), *([state.change] if state.change else [])]
    for change in changes:
        if change.registered is not None:
            yield Use(change.registered.model, change.id)
            yield Use(change.opened.base_model, change.id)
    yield Use(changes[-1].opened.base_model, changes[-1].id)
    if state.change is not None:
        for digest in _models_of(state.change):
            yield Use(digest, state.change.id)
    why = f"no version, and its change ended more than {days} days ago"
    for one in state.closed:
        for digest in _models_of(one.change):
            yield Use(digest, one.change.id, why, one.closed_at, days)


def _models_of(change: ChangeState) -> Iterator[str]:
    """Every model of a change."""
    yield from (change.opened.base_model, change.start_model)
    for step in change.steps:
        yield from (attempt.built.model for attempt in step.attempts)


def _snapshots(state: State, days: int) -> Iterator[Use]:
    """The data of changes. Drift is measured from that of the version in use."""
    for change in (state.change, state.live):
        if change is not None and change.snapshot is not None:
            yield Use(change.snapshot.manifest, change.id)
    why = f"its change ended more than {days} days ago; it can be pulled again"
    for one in state.closed:
        if one.change.snapshot is not None:
            yield Use(one.change.snapshot.manifest, one.change.id, why, one.closed_at, days)


def _checks(view: LineView, days: int) -> Iterator[Use]:
    """The fresh data that `monitor` read, each time that it did."""
    why = f"`monitor` read it last more than {days} days ago; it can be pulled again"
    for entry in view.record.entries:
        if isinstance(entry.body, MonitorChecked):
            yield Use(entry.body.manifest, entry.change or "", why, entry.time, days)
