"""What each entry does to an open change; the ones of steps and requests lie next door."""

from dataclasses import replace

from policies.entries import (
    BaseMeasured,
    Body,
    CandidateBuilt,
    CandidateJudged,
    CandidateMeasured,
    DataValidated,
    DecisionRecorded,
    DecisionRequested,
    DriftChecked,
    Entry,
    FaultRecorded,
    HoldoutConfirmed,
    LayersRanked,
    ModelPromoted,
    ModelRegistered,
    RosterChanged,
    RunResumed,
    ShortlistProbed,
    SnapshotPinned,
    StepApproved,
    StepExpired,
    StepRejected,
    StepsEnded,
)
from policies.lifecycle import request_handlers, step_handlers
from policies.lifecycle.handling import Handler, check_verdicts, need
from policies.lifecycle.state import ChangeState


def _snapshot(change: ChangeState, entry: Entry, body: SnapshotPinned) -> ChangeState:
    need(entry, change.snapshot is None, "the snapshot is pinned already.")
    return replace(change, snapshot=body)


def _data(change: ChangeState, entry: Entry, body: DataValidated) -> ChangeState:
    need(entry, change.snapshot is not None and change.data is None, "no new snapshot to validate.")
    return replace(change, data=body)


def _drift(change: ChangeState, entry: Entry, body: DriftChecked) -> ChangeState:
    valid = change.data is not None and change.data.passed
    need(entry, valid and change.drift is None, "no new valid snapshot to compare.")
    return replace(change, drift=body)


def _base(change: ChangeState, entry: Entry, body: BaseMeasured) -> ChangeState:
    need(entry, change.drift is not None and change.base is None, "the base is not to be measured.")
    return replace(change, base=body)


def _holdout(change: ChangeState, entry: Entry, body: HoldoutConfirmed) -> ChangeState:
    ready = change.ended is not None and bool(change.approved_steps) and change.holdout is None
    need(entry, ready, "there is nothing to confirm, or it was looked at before.")
    check_verdicts(entry, body)
    return replace(change, holdout=body)


def _registered(change: ChangeState, entry: Entry, body: ModelRegistered) -> ChangeState:
    ready = change.holdout is not None and change.registered is None
    need(entry, ready, "nothing was confirmed that could be registered.")
    need(entry, body.model == change.model, "this is not the model that was approved.")
    need(entry, body.name == change.line, "it is registered under another line's name.")
    return replace(change, registered=body)


def _promoted(change: ChangeState, entry: Entry, body: ModelPromoted) -> ChangeState:
    approved = change.promotion is not None and isinstance(change.promotion.settled, StepApproved)
    need(entry, approved and change.promoted is None, "the promotion was not approved.")
    version = change.registered.version if change.registered else None
    same = (body.model, body.version) == (change.model, version)
    need(entry, same, "this is not the version that was approved.")
    return replace(change, promoted=body)


def _roster(change: ChangeState, entry: Entry, body: RosterChanged) -> ChangeState:
    need(entry, body.previous == change.roster, "it replaces another roster than the one in force.")
    return replace(change, roster=body.roster)


def _resumed(change: ChangeState, _: Entry, __: RunResumed) -> ChangeState:
    return replace(change, resumes=change.resumes + 1)


def _fault(change: ChangeState, _: Entry, __: FaultRecorded) -> ChangeState:
    return replace(change, faults=change.faults + 1)


HANDLERS: dict[type[Body], Handler] = {
    SnapshotPinned: _snapshot,
    DataValidated: _data,
    DriftChecked: _drift,
    BaseMeasured: _base,
    LayersRanked: step_handlers.ranked,
    ShortlistProbed: step_handlers.probed,
    CandidateBuilt: step_handlers.built,
    CandidateMeasured: step_handlers.measured,
    CandidateJudged: step_handlers.judged,
    DecisionRequested: request_handlers.requested,
    DecisionRecorded: request_handlers.recorded,
    StepApproved: request_handlers.settled,
    StepRejected: request_handlers.settled,
    StepExpired: request_handlers.settled,
    StepsEnded: step_handlers.ended,
    HoldoutConfirmed: _holdout,
    ModelRegistered: _registered,
    ModelPromoted: _promoted,
    RosterChanged: _roster,
    RunResumed: _resumed,
    FaultRecorded: _fault,
}
