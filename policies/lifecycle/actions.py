"""What can be next: each action names the work, and nothing of how it is done."""

from dataclasses import dataclass

from policies.entries import EndReason, Outcome
from policies.policy_sections import HealingMethod
from policies.schema import Step


@dataclass(frozen=True)
class OpenChange:
    """Open the line's next change; `change` is its id."""

    change: str


@dataclass(frozen=True)
class PinSnapshot:
    """Pin the business data and split it."""


@dataclass(frozen=True)
class ValidateData:
    """Check the snapshot against its contract."""


@dataclass(frozen=True)
class CheckDataDrift:
    """Compare the snapshot with the last approved change's."""


@dataclass(frozen=True)
class MeasureBase:
    """Measure KPIs and resources of the base."""


@dataclass(frozen=True)
class RankLayers:
    """Score the current model's layers and propose the lowest."""

    step: int


@dataclass(frozen=True)
class ProbeShortlist:
    """Measure what each proposed layer would cost."""

    step: int
    shortlist: tuple[int, ...]


@dataclass(frozen=True)
class BuildCandidate:
    """Remove one layer, heal by the methods, save, prove."""

    step: int
    attempt: int
    layer: int
    methods: tuple[HealingMethod, ...]


@dataclass(frozen=True)
class MeasureCandidate:
    """Measure everything that the rules read."""

    step: int
    attempt: int


@dataclass(frozen=True)
class JudgeCandidate:
    """Let the rules speak and put the evidence together."""

    step: int
    attempt: int


@dataclass(frozen=True)
class RequestDecision:
    """Ask people; `attempt` is the candidate that they are asked about, 0 for the promotion."""

    step: Step
    attempt: int = 0


@dataclass(frozen=True)
class CollectDecisions:
    """Record the answers that have come in, until the request is settled."""

    step: Step


@dataclass(frozen=True)
class EndSteps:
    """Try no further step."""

    reason: EndReason


@dataclass(frozen=True)
class ConfirmHoldout:
    """Judge the last approved candidate on data that nothing has seen."""


@dataclass(frozen=True)
class RegisterModel:
    """Make the model a version in the registry."""


@dataclass(frozen=True)
class PromoteModel:
    """Point the alias to it."""


@dataclass(frozen=True)
class CloseChange:
    """End the change."""

    outcome: Outcome
    reason: str


Action = (
    OpenChange
    | PinSnapshot
    | ValidateData
    | CheckDataDrift
    | MeasureBase
    | RankLayers
    | ProbeShortlist
    | BuildCandidate
    | MeasureCandidate
    | JudgeCandidate
    | RequestDecision
    | CollectDecisions
    | EndSteps
    | ConfirmHoldout
    | RegisterModel
    | PromoteModel
    | CloseChange
)
