"""What a drift check says: every distance beside its threshold and beside what chance makes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Answer = Literal["no drift", "drift", "cannot tell"]


class DriftLimits(BaseModel):
    """From which distance on a shift matters to the business; one named method a column."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text_length: float = Field(
        0.25, gt=0, description="Wasserstein distance of lengths, in standard deviations."
    )
    unknown_words: float = Field(
        0.3, gt=0, description="The same of the share of words that the reference lacks."
    )
    script: float = Field(0.1, gt=0, lt=1, description="Jensen-Shannon distance of scripts.")
    language: float = Field(0.1, gt=0, lt=1, description="Jensen-Shannon distance of languages.")
    time: float = Field(
        0.15, gt=0, lt=1, description="Jensen-Shannon distance of the weekdays of the timestamps."
    )
    label: float = Field(0.1, gt=0, lt=1, description="Jensen-Shannon distance of labels.")
    segment: float = Field(0.1, gt=0, lt=1, description="Jensen-Shannon distance of segments.")
    share_change: float = Field(
        0.1, gt=0, lt=1, description="Change of the share of any one label or segment."
    )
    domain: float = Field(
        0.6, gt=0.5, lt=1, description="AUC of a classifier that tells the two sets apart."
    )
    embedding: float = Field(
        0.25,
        gt=0,
        description="Shift of the mean first-layer state, in standard deviations (root mean "
        "square over the features).",
    )
    relabelled: float = Field(
        0.02, gt=0, lt=1, description="Share of the texts in both sets that changed their label."
    )
    rank_change: float = Field(
        0.5, gt=0, le=2, description="1 - Spearman's correlation of the layers' scores."
    )
    lowest_change: float = Field(
        0.8, gt=0, le=1, description="Share of the lowest layers that is not among them any more."
    )
    score_change: float = Field(
        1.0, gt=0, description="Median |log ratio| of the layers' scores, each over their median."
    )
    confidence: float = Field(
        0.95, gt=0.5, lt=1, description="That a check of unchanged data raises no alarm at all."
    )
    most_records: int = Field(
        5000, ge=100, description="Records of each set that are compared; more change nothing."
    )


@dataclass(frozen=True)
class DriftCheck:
    """One comparison. `noise` is what the distance reaches by chance with so few records."""

    name: str
    method: str
    threshold: float
    distance: float | None
    noise: float | None
    answer: Answer
    reason: str

    @classmethod
    def judged(
        cls, name: str, method: str, threshold: float, distance: float, noise: float
    ) -> "DriftCheck":
        """Drift is what matters and is not chance; unseen drift counts only where it would show."""
        if distance >= max(threshold, noise):
            answer: Answer = "drift"
            reason = f"{distance:.3f} reaches the threshold {threshold:g}; chance makes {noise:.3f}"
        elif noise > threshold:
            answer = "cannot tell"
            reason = f"too few records: chance alone makes {noise:.3f}, more than {threshold:g}"
        else:
            answer, reason = "no drift", f"{distance:.3f} is below the threshold {threshold:g}"
        return cls(name, method, threshold, distance, noise, answer, reason)

    @classmethod
    def unsure(cls, name: str, method: str, threshold: float, reason: str) -> "DriftCheck":
        """A comparison that could not be made."""
        return cls(name, method, threshold, None, None, "cannot tell", reason)


@dataclass(frozen=True)
class DriftReport:
    """A drift check: of data, or of scores. Without a reference there is nothing to check."""

    kind: Literal["data", "score"]
    against: str | None
    sizes: Mapping[str, int]
    checks: tuple[DriftCheck, ...]
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether no alarm was raised; see `unsure` for what could not be told."""
        return not self.alarms

    @property
    def alarms(self) -> tuple[str, ...]:
        """What drifted, in words."""
        return self._that("drift")

    @property
    def unsure(self) -> tuple[str, ...]:
        """What could not be told, in words."""
        return self._that("cannot tell")

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "kind": self.kind,
            "against": self.against,
            "sizes": dict(self.sizes),
            "passed": self.passed,
            "alarms": list(self.alarms),
            "unsure": list(self.unsure),
            "checks": [asdict(check) for check in self.checks],
            "note": self.note,
        }

    def _that(self, answer: Answer) -> tuple[str, ...]:
        return tuple(f"{it.name}: {it.reason}" for it in self.checks if it.answer == answer)
