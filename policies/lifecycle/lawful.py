"""Whether an entry may follow under the change's policy: it must be the next action, done."""

from policies.entries import (
    AliasBody,
    BaseMeasured,
    Body,
    CandidateBuilt,
    CandidateJudged,
    CandidateMeasured,
    ChangeClosed,
    DataValidated,
    DecisionRecorded,
    DecisionRequested,
    DriftChecked,
    Entry,
    FaultRecorded,
    HoldoutConfirmed,
    JobKeyChanged,
    LayersRanked,
    ModelPromoted,
    ModelRegistered,
    RosterChanged,
    RunResumed,
    Settled,
    ShortlistProbed,
    SnapshotPinned,
    StepsEnded,
    WatchBody,
)
from policies.errors import UnlawfulTransitionError
from policies.lifecycle.actions import (
    Action,
    BuildCandidate,
    CheckDataDrift,
    CloseChange,
    CollectDecisions,
    ConfirmHoldout,
    EndSteps,
    JudgeCandidate,
    MeasureBase,
    MeasureCandidate,
    PinSnapshot,
    ProbeShortlist,
    PromoteModel,
    RankLayers,
    RegisterModel,
    RequestDecision,
    ValidateData,
)
from policies.lifecycle.history import refusals
from policies.lifecycle.moves import check_move
from policies.lifecycle.planning import next_action, proposable
from policies.lifecycle.requests import request_decision, settle
from policies.lifecycle.state import ChangeState, State
from policies.policy import Policy
from policies.roster import Roster

_ALWAYS = (RunResumed, FaultRecorded, RosterChanged, JobKeyChanged)
_PLAIN: dict[type, type[Body]] = {
    PinSnapshot: SnapshotPinned,
    ValidateData: DataValidated,
    MeasureBase: BaseMeasured,
    ConfirmHoldout: HoldoutConfirmed,
    RegisterModel: ModelRegistered,
}


def check_lawful(state: State, entry: Entry, policy: Policy, roster: Roster) -> None:
    """Raise UnlawfulTransitionError unless the entry is what the policy's next action leaves.

    `state` is the one before the entry, with a change open; `roster` is in force. Faults, resumed
    runs, changes of roster or key, answers that do not count, and aborting are lawful at any time.
    """
    body, change = entry.body, state.change
    if isinstance(body, AliasBody):
        check_move(state, entry, body, policy)
        return
    if change is None or isinstance(body, (*_ALWAYS, WatchBody)):
        return
    if isinstance(body, ChangeClosed) and body.outcome == "aborted":
        return
    if isinstance(body, DecisionRecorded) and not body.valid:
        return
    action = next_action(state, policy)
    if action is None or not _answers(action, state, change, entry, policy, roster):
        due = type(action).__name__
        raise UnlawfulTransitionError(
            f"{entry.type} is not what the policy lets follow (due was {due}).", entry.sequence
        )


def _answers(
    action: Action,
    state: State,
    change: ChangeState,
    entry: Entry,
    policy: Policy,
    roster: Roster,
) -> bool:
    body = entry.body
    plain = _PLAIN.get(type(action))
    if plain is not None:
        return isinstance(body, plain)
    match action, body:
        case CheckDataDrift(), DriftChecked():
            return set(body.unchanged_since) <= {one.id for one in refusals(state, change)}
        case RankLayers(), LayersRanked():
            free = proposable(state, change, policy)
            short = len(body.shortlist) <= policy.selection.shortlist
            return body.step == action.step and short and set(body.shortlist) <= free
        case ProbeShortlist(), ShortlistProbed():
            return body.step == action.step
        case BuildCandidate(), CandidateBuilt():
            healed = body.healing in {"none", *action.methods}
            return healed and (body.step, body.attempt, body.layer) == (
                action.step,
                action.attempt,
                action.layer,
            )
        case MeasureCandidate(), CandidateMeasured():
            return (body.step, body.attempt) == (action.step, action.attempt)
        case JudgeCandidate(), CandidateJudged():
            return (body.step, body.attempt) == (action.step, action.attempt)
        case RequestDecision(), DecisionRequested():
            return body == request_decision(change, action, policy, entry.time)
        case CollectDecisions(), DecisionRecorded():
            return body.step == action.step
        case CollectDecisions(), Settled():
            return body == settle(change, action.step, policy, roster, entry.time)
        case EndSteps(), StepsEnded():
            return body.reason == action.reason
        case PromoteModel(), ModelPromoted():
            settled = change.promotion.settled if change.promotion else None
            deciders = settled.deciders if settled else ()
            return body.alias == policy.promotion.alias and body.deciders == deciders
        case CloseChange(), ChangeClosed():
            return body.outcome == action.outcome
        case _:
            return False
