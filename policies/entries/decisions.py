"""Entries about people: what they were asked, what they answered, and how it ended."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from policies.entries.body import Body
from policies.schema import Digest, Name, Step, Text, Time

OVERRIDDEN = "the refusal of the rules was overridden by"
"""How the reason of an approved request begins where it overrode the rules."""
Decided = Literal["approve", "reject", "withdraw"]


class DecisionRequested(Body):
    """People are asked; `override` where the rules refused what they are asked about."""

    kind = "decision.requested"

    step: Step
    evidence: Digest
    candidate: Digest
    expires: Time
    override: bool = False


class Answer(Body):
    """An answer as it came, and whether it counts."""

    envelope_digest: Digest
    envelope: Annotated[str, Field(max_length=100_000)] | None
    """The envelope's text; null where it is no envelope at all."""
    valid: bool
    fault: Name | None = None
    approver: Name | None = None
    decision: Decided | None = None
    roles: tuple[Name, ...] = ()
    """The approver's roles when the decision was recorded."""

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Self:
        if self.valid == (self.fault is not None):
            raise ValueError("a decision is valid, or has a fault")
        if self.valid and None in (self.envelope, self.approver, self.decision):
            raise ValueError("a valid decision has an envelope, an approver and a decision")
        return self


class DecisionRecorded(Answer):
    """An answer to what was asked about a step, or about the promotion."""

    kind = "decision.recorded"

    step: Step


class Settled(Body):
    """A request that is over."""

    step: Step
    evidence: Digest
    deciders: tuple[Name, ...]
    reason: Text

    @property
    def overrides(self) -> bool:
        """Whether people let pass what the rules had refused; the reason says so."""
        return self.reason.startswith(OVERRIDDEN)


class StepApproved(Settled):
    """The quorum is there."""

    kind = "step.approved"


class StepRejected(Settled):
    """Somebody entitled said no."""

    kind = "step.rejected"


class StepExpired(Settled):
    """Nobody, or too few, answered in time."""

    kind = "step.expired"
