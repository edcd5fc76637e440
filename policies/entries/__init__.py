"""What the ledger can say: one typed body for each kind of entry.

Every digest names a content-addressed document, except those of models, which name model folders.
No body holds text of business records.
"""

from typing import Any, Literal

from pydantic import SerializeAsAny, ValidationInfo, field_validator

from policies.entries.aliases import (
    AliasAnswered,
    AliasBody,
    AliasKept,
    AliasMoved,
    AliasRequested,
    Move,
    move_evidence,
)
from policies.entries.body import Body
from policies.entries.decisions import (
    OVERRIDDEN,
    Answer,
    Decided,
    DecisionRecorded,
    DecisionRequested,
    Settled,
    StepApproved,
    StepExpired,
    StepRejected,
)
from policies.entries.ending import (
    ChangeClosed,
    HoldoutConfirmed,
    ModelPromoted,
    ModelRegistered,
    Outcome,
)
from policies.entries.opening import (
    BaseMeasured,
    ChangeOpened,
    DataValidated,
    DriftChecked,
    SnapshotPinned,
    Splits,
)
from policies.entries.running import FaultRecorded, JobKeyChanged, RosterChanged, RunResumed
from policies.entries.steps import (
    CandidateBuilt,
    CandidateJudged,
    CandidateMeasured,
    EndReason,
    LayersRanked,
    ShortlistProbed,
    StepsEnded,
)
from policies.entries.watching import IncidentClosed, IncidentOpened, MonitorChecked, WatchBody
from policies.schema import ChangeId, Count, Digest, Frozen, LineName, Name, Time

__all__ = [
    "BODIES",
    "OVERRIDDEN",
    "AliasAnswered",
    "AliasBody",
    "AliasKept",
    "AliasMoved",
    "AliasRequested",
    "Answer",
    "BaseMeasured",
    "Body",
    "CandidateBuilt",
    "CandidateJudged",
    "CandidateMeasured",
    "ChangeClosed",
    "ChangeOpened",
    "DataValidated",
    "Decided",
    "DecisionRecorded",
    "DecisionRequested",
    "DriftChecked",
    "EndReason",
    "Entry",
    "FaultRecorded",
    "HoldoutConfirmed",
    "IncidentClosed",
    "IncidentOpened",
    "JobKeyChanged",
    "LayersRanked",
    "ModelPromoted",
    "ModelRegistered",
    "MonitorChecked",
    "Move",
    "Outcome",
    "RosterChanged",
    "RunResumed",
    "Settled",
    "ShortlistProbed",
    "SnapshotPinned",
    "Splits",
    "StepApproved",
    "StepExpired",
    "StepRejected",
    "StepsEnded",
    "WatchBody",
    "move_evidence",
]

BODIES: dict[str, type[Body]] = {
    body.kind: body
    for body in (
        ChangeOpened,
        SnapshotPinned,
        DataValidated,
        DriftChecked,
        BaseMeasured,
        LayersRanked,
        ShortlistProbed,
        CandidateBuilt,
        CandidateMeasured,
        CandidateJudged,
        DecisionRequested,
        DecisionRecorded,
        StepApproved,
        StepRejected,
        StepExpired,
        StepsEnded,
        HoldoutConfirmed,
        ModelRegistered,
        ModelPromoted,
        ChangeClosed,
        RosterChanged,
        JobKeyChanged,
        RunResumed,
        FaultRecorded,
        AliasRequested,
        AliasAnswered,
        AliasMoved,
        AliasKept,
        MonitorChecked,
        IncidentOpened,
        IncidentClosed,
    )
}


class Entry(Frozen):
    """One line of the record. `previous` is the digest of the entry before, null for the first."""

    format: Literal["avss-ledger-1"] = "avss-ledger-1"
    sequence: Count
    line: LineName
    change: ChangeId | None
    type: Name
    time: Time
    previous: Digest | None
    body: SerializeAsAny[Body]

    @field_validator("type")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind not in BODIES:
            raise ValueError("no known type of entry")
        return kind

    @field_validator("body", mode="wrap")
    @classmethod
    def _typed(cls, given: Any, _: Any, info: ValidationInfo) -> Body:
        expected = BODIES.get(info.data.get("type", ""))
        if expected is None:
            raise ValueError("its type is not known")
        return expected.model_validate(given)
