"""What a rule says, and the ways to say it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from policies.measurements import Measurements
from policies.policy import Policy
from policies.schema import Frozen, Name


class Verdict(Frozen):
    """One rule on one subject. `margin` is the room left: negative where the limit is broken.

    What was not evaluated has failed: then `observed` is null and `reason` says why.
    """

    rule: Name
    subject: Annotated[str, Field(max_length=200)] = ""
    observed: float | None = None
    limit: float | None = None
    margin: float | None = None
    passed: bool
    reason: Annotated[str, Field(max_length=4000)] = ""


class Verdicts(ABC):
    """What every rule has: its name, the policy fields that decide, and the ways to say it."""

    name: ClassVar[str]
    reads: ClassVar[tuple[str, ...]]
    """The policy fields that decide, as dotted paths; `*` stands for any KPI."""

    def at_least(
        self, subject: str, observed: float | None, limit: float, reason: str = ""
    ) -> Verdict:
        """Pass where `observed` reaches `limit`."""
        return self._compared(subject, observed, limit, reason, sign=1)

    def at_most(
        self, subject: str, observed: float | None, limit: float, reason: str = ""
    ) -> Verdict:
        """Pass where `observed` does not exceed `limit`."""
        return self._compared(subject, observed, limit, reason, sign=-1)

    def cannot_tell(self, subject: str, limit: float | None, reason: str) -> Verdict:
        """Fail for want of a measurement."""
        return Verdict(
            rule=self.name,
            subject=subject,
            limit=limit,
            passed=False,
            reason=f"cannot tell: {reason or 'it was not measured'}",
        )

    def found(self, subject: str, passed: bool, reason: str) -> Verdict:
        """Pass or fail on a fact that is no number."""
        return Verdict(rule=self.name, subject=subject, passed=passed, reason=reason)

    def _compared(
        self, subject: str, observed: float | None, limit: float, reason: str, sign: int
    ) -> Verdict:
        if observed is None:
            return self.cannot_tell(subject, limit, reason)
        margin = sign * (observed - limit)
        return Verdict(
            rule=self.name,
            subject=subject,
            observed=observed,
            limit=limit,
            margin=margin,
            passed=margin >= 0,
            reason=reason,
        )


class Rule(Verdicts):
    """One requirement of a policy: a pure function from measurements to verdicts."""

    steps_only: ClassVar[bool] = False
    """Whether the rule is about one step, and so says nothing of the whole change."""

    @abstractmethod
    def judge(self, measurements: Measurements, policy: Policy) -> Iterator[Verdict]:
        """The verdicts on one candidate; none where the policy does not require anything."""

    @abstractmethod
    def explain(self, policy: Policy) -> Iterator[str]:
        """The same requirement in plain sentences."""
