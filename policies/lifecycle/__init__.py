"""The life of a change: fold the record into a state; from a state, the next action."""

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
    OpenChange,
    PinSnapshot,
    ProbeShortlist,
    PromoteModel,
    RankLayers,
    RegisterModel,
    RequestDecision,
    ValidateData,
)
from policies.lifecycle.advance import advance, fold
from policies.lifecycle.evidencing import layer_facts, make_evidence
from policies.lifecycle.lawful import check_lawful
from policies.lifecycle.planning import next_action, open_action
from policies.lifecycle.requests import expectation, request_decision, settle
from policies.lifecycle.state import (
    Attempt,
    ChangeState,
    ClosedChange,
    Request,
    State,
    StepState,
)

__all__ = [
    "Action",
    "Attempt",
    "BuildCandidate",
    "ChangeState",
    "CheckDataDrift",
    "CloseChange",
    "ClosedChange",
    "CollectDecisions",
    "ConfirmHoldout",
    "EndSteps",
    "JudgeCandidate",
    "MeasureBase",
    "MeasureCandidate",
    "OpenChange",
    "PinSnapshot",
    "ProbeShortlist",
    "PromoteModel",
    "RankLayers",
    "RegisterModel",
    "Request",
    "RequestDecision",
    "State",
    "StepState",
    "ValidateData",
    "advance",
    "check_lawful",
    "expectation",
    "fold",
    "layer_facts",
    "make_evidence",
    "next_action",
    "open_action",
    "request_decision",
    "settle",
]
