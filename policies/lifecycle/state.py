"""Where a line stands, as its record says: folded from entries, never stored."""

from dataclasses import dataclass
from datetime import datetime

from policies.entries import (
    AliasAnswered,
    AliasKept,
    AliasMoved,
    AliasRequested,
    BaseMeasured,
    CandidateBuilt,
    CandidateJudged,
    CandidateMeasured,
    ChangeOpened,
    DataValidated,
    DecisionRecorded,
    DecisionRequested,
    DriftChecked,
    HoldoutConfirmed,
    IncidentOpened,
    LayersRanked,
    ModelPromoted,
    ModelRegistered,
    MonitorChecked,
    Outcome,
    Settled,
    ShortlistProbed,
    SnapshotPinned,
    StepApproved,
    StepsEnded,
)
from policies.schema import Step


@dataclass(frozen=True)
class Attempt:
    """One candidate of a step. Its layers are the parent's without the one removed."""

    built: CandidateBuilt
    kept: tuple[int, ...]
    measured: CandidateMeasured | None = None
    judged: CandidateJudged | None = None

    @property
    def failed_rules(self) -> frozenset[str]:
        """Names of the rules that the candidate failed; empty before it is judged."""
        verdicts = self.judged.verdicts if self.judged else ()
        return frozenset(verdict.rule for verdict in verdicts if not verdict.passed)


@dataclass(frozen=True)
class Request:
    """What people were asked, what they answered, and how it ended."""

    asked: DecisionRequested
    asked_at: datetime
    decisions: tuple[DecisionRecorded, ...] = ()
    settled: Settled | None = None


@dataclass(frozen=True)
class StepState:
    """One step: from ranking to a decision."""

    number: int
    parent: str
    """Digest of the model that this step starts from."""
    parent_kept: tuple[int, ...]
    ranked: LayersRanked | None = None
    probed: ShortlistProbed | None = None
    attempts: tuple[Attempt, ...] = ()
    request: Request | None = None

    @property
    def chosen(self) -> Attempt | None:
        """The attempt that people were asked about."""
        if self.request is None:
            return None
        wanted = self.request.asked.candidate
        return next((one for one in self.attempts if one.built.model == wanted), None)

    @property
    def approved(self) -> bool:
        """Whether people let this step pass."""
        return self.request is not None and isinstance(self.request.settled, StepApproved)


@dataclass(frozen=True)
class ChangeState:
    """One change, open or just closed."""

    id: str
    opened: ChangeOpened
    opened_at: datetime
    roster: str
    """Digest of the roster in force now."""
    snapshot: SnapshotPinned | None = None
    data: DataValidated | None = None
    drift: DriftChecked | None = None
    base: BaseMeasured | None = None
    steps: tuple[StepState, ...] = ()
    ended: StepsEnded | None = None
    holdout: HoldoutConfirmed | None = None
    registered: ModelRegistered | None = None
    promotion: Request | None = None
    promoted: ModelPromoted | None = None
    faults: int = 0
    resumes: int = 0

    @property
    def line(self) -> str:
        """The line's name, which the change's id begins with."""
        return self.id.rpartition("-")[0]

    @property
    def approved_steps(self) -> tuple[StepState, ...]:
        """Steps that people let pass, in order."""
        return tuple(step for step in self.steps if step.approved)

    @property
    def model(self) -> str:
        """Digest of the current model: the last approved candidate's, or the start's."""
        approved = self.approved_steps
        chosen = approved[-1].chosen if approved else None
        return chosen.built.model if chosen else self.start_model

    @property
    def kept(self) -> tuple[int, ...]:
        """Original numbers of the current model's layers."""
        approved = self.approved_steps
        chosen = approved[-1].chosen if approved else None
        return chosen.kept if chosen else self.start_kept

    @property
    def start_model(self) -> str:
        """Digest of the model that the first step starts from."""
        return self.opened.start_model or self.opened.base_model

    @property
    def start_kept(self) -> tuple[int, ...]:
        """Original numbers of that model's layers."""
        start = self.opened.start_layers
        return self.opened.kept_layers if start is None else start

    @property
    def original_layers(self) -> int:
        """Layers of the original model."""
        return self.opened.original_layers

    def step(self, number: int) -> StepState | None:
        """The step of this number, from 1."""
        return self.steps[number - 1] if 1 <= number <= len(self.steps) else None

    def request(self, step: Step) -> Request | None:
        """What people were asked on a step, or on the promotion."""
        if step == "promotion":
            return self.promotion
        found = self.step(step)
        return found.request if found else None

    @property
    def valid_decisions(self) -> tuple[DecisionRecorded, ...]:
        """All decisions of the change that counted."""
        requests = [*(step.request for step in self.steps), self.promotion]
        return tuple(
            decision
            for request in requests
            if request
            for decision in request.decisions
            if decision.valid
        )


@dataclass(frozen=True)
class ClosedChange:
    """What is left of a change that is over."""

    change: ChangeState
    outcome: Outcome
    reason: str
    closed_at: datetime


@dataclass(frozen=True)
class MoveState:
    """A move of the alias that was asked for by hand: the answers, and how it ended."""

    change: str
    """The change whose version is moved away from (rollback) or to (promote)."""
    asked: AliasRequested
    asked_at: datetime
    decisions: tuple[AliasAnswered, ...] = ()
    over: AliasMoved | AliasKept | None = None


@dataclass(frozen=True)
class Incident:
    """The model in use was found below its floor, and is still in use and not well again."""

    change: str
    """The change that made the model."""
    sequence: int
    """Of the entry that opened it."""
    opened: IncidentOpened


@dataclass(frozen=True)
class State:
    """A line: its open change, those that are over, and the version in use."""

    line: str | None = None
    length: int = 0
    time: datetime | None = None
    change: ChangeState | None = None
    closed: tuple[ClosedChange, ...] = ()
    moves: tuple[MoveState, ...] = ()
    """Moves of the alias by hand, in the order in which they were asked for."""
    lived: tuple[str, ...] = ()
    """Changes whose version is in use (the last), or would be after as many rollbacks."""
    last_check: MonitorChecked | None = None
    """What was found when a model in use was last measured on fresh data."""
    incident: Incident | None = None
    incidents: int = 0
    """How many were ever opened."""

    @property
    def live(self) -> ChangeState | None:
        """The change whose version is in use."""
        return self.find(self.lived[-1]) if self.lived else None

    @property
    def previous(self) -> ChangeState | None:
        """The change whose version a rollback would lead to."""
        return self.find(self.lived[-2]) if len(self.lived) > 1 else None

    @property
    def open_move(self) -> MoveState | None:
        """The move of the alias that people are asked about."""
        last = self.moves[-1] if self.moves else None
        return last if last is not None and last.over is None else None

    def maker_of(self, version: str) -> ChangeState | None:
        """The change that registered a version."""
        known = (*(one.change for one in self.closed), *([self.change] if self.change else ()))
        made = (one for one in known if one.registered and one.registered.version == version)
        return next(made, None)

    @property
    def changes(self) -> int:
        """How many changes were ever opened."""
        return len(self.closed) + (self.change is not None)

    @property
    def promoted(self) -> ClosedChange | None:
        """The change whose model is in use, where it is over."""
        live = self.lived[-1] if self.lived else None
        return next((one for one in self.closed if one.change.id == live), None)

    def find(self, change: str) -> ChangeState | None:
        """A change by its id, open or over."""
        known = (*(one.change for one in self.closed), *([self.change] if self.change else ()))
        return next((one for one in known if one.id == change), None)
