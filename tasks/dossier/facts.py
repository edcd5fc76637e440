"""Everything the dossier shows, as one frozen value: the page is a pure function of it.

Every part may be missing. `None` and the empty tuple mean "not known", never "zero": the page says
so instead of guessing. Layers are numbered as in the original model. Ratios are fractions of one
(0.93 is shown as 93 %); retention is good when high, whatever the direction of its KPI.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Number = Annotated[float, Field(allow_inf_nan=False)]
Outcome = Literal["pass", "fail", "unknown"]
Step = int | Literal["promotion"]


class Facts(BaseModel):
    """Base of all facts: immutable, finite, and strict about the names of its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LayerFact(Facts):
    """One layer of the original model. Scores are None for a layer that is no longer there."""

    index: int
    state: Literal["kept", "removed", "proposed"] = "kept"
    protected: bool = False
    avss: Number | None = None
    share: Number | None = None
    block_influence: Number | None = None
    rank: int | None = None
    rank_low: int | None = None
    rank_high: int | None = None


class VerdictFact(Facts):
    """What one rule says; `unknown` is a rule that could not be evaluated, which fails the step."""

    rule: str
    subject: str = ""
    observed: Number | None = None
    limit: Number | None = None
    margin: Number | None = None
    outcome: Outcome
    reason: str = ""


class KpiFact(Facts):
    """One metric: value of the base, of the model before this step, and of the candidate."""

    name: str
    n: int | None = None
    base: Number | None = None
    before: Number | None = None
    after: Number | None = None
    retention: Number | None = None
    retention_low: Number | None = None
    limit: Number | None = None
    higher_is_better: bool | None = None
    outcome: Outcome | None = None
    reason: str = ""
    needed_n: int | None = None


class SliceFact(Facts):
    """One metric on one slice of the data, for example `condition=Acne`."""

    kpi: str
    slice: str
    n: int | None = None
    base: Number | None = None
    after: Number | None = None
    retention: Number | None = None
    retention_low: Number | None = None
    limit: Number | None = None
    outcome: Outcome | None = None
    reason: str = ""


class RareCaseFact(Facts):
    """A set of examples that must not break."""

    name: str
    total: int | None = None
    broken: int | None = None
    budget: int | None = None
    outcome: Outcome | None = None


class OutputFact(Facts):
    """How far the candidate's answers differ from the base's, overall or on one slice."""

    name: str
    slice: str = ""
    n: int | None = None
    same: int | None = None
    """Examples that both answer alike."""
    differ: int | None = None
    changed: Number | None = None
    divergence: Number | None = None


class ExampleFact(Facts):
    """One side-by-side output; only present where the policy allows text."""

    kpi: str = ""
    asked: str = ""
    base: str
    candidate: str
    differs: bool = False


class RetentionFact(Facts):
    """A KPI's retention at one point of the trade-off curve."""

    kpi: str
    retention: Number | None = None
    retention_low: Number | None = None


class TradeoffPoint(Facts):
    """What the change looks like after `layers_removed` layers; ratios are against the base."""

    layers_removed: int
    step: int | None = None
    this_step: bool = False
    refused: bool = False
    """Whether the rules refused this candidate, so that the change ended before it."""
    kpis: tuple[RetentionFact, ...] = ()
    speed: Number | None = None
    size: Number | None = None
    cost: Number | None = None


class ReachFact(Facts):
    """How many layers can go while every KPI keeps `kept` of the base: estimated, and surely."""

    kept: Number
    layers: int
    layers_surely: int


class CandidateFact(Facts):
    """A candidate of this step that was tried, and the rules that refused it if any did."""

    attempt: int
    layers: tuple[int, ...] = ()
    refused: bool = False
    healing: str = ""
    worst_retention_low: Number | None = None
    failed: tuple[str, ...] = ()


class ProbeFact(Facts):
    """Loss in nats a token measured with one short-listed layer taken out."""

    layer: int
    loss: Number
    chosen: bool = False


class HealingFact(Facts):
    """One way of repairing the candidate, by its loss in nats a token on held-out text."""

    method: str
    loss: Number | None = None
    chosen: bool = False
    reason: str = ""


class PlainChoiceFact(Facts):
    """The layer that plain AVSS alone would have removed, beside the one that was chosen."""

    plain_layer: int
    published: bool = False
    """By AVSS as published, on each layer's output; else by the score that proposed."""
    chosen_layer: int | None = None
    base_loss: Number | None = None
    plain_loss: Number | None = None
    chosen_loss: Number | None = None


class DriftFact(Facts):
    """One drift check; `kind` says what may have moved."""

    kind: Literal["data", "splits", "scores", "outputs"]
    name: str
    method: str = ""
    value: Number | None = None
    limit: Number | None = None
    outcome: Outcome | None = None
    reason: str = ""


class ExpectationFact(Facts):
    """An expectation of the data contract. Never holds a record's text."""

    name: str
    column: str = ""
    detail: str = ""


class DataFact(Facts):
    """The pinned business data and what its contract said."""

    uri: str = ""
    records: int | None = None
    splits: tuple[tuple[str, int], ...] = ()
    passed: bool | None = None
    checks: int | None = None
    failures: tuple[ExpectationFact, ...] = ()
    warnings: tuple[ExpectationFact, ...] = ()
    notes: tuple[ExpectationFact, ...] = ()
    kept: tuple[ExpectationFact, ...] = ()
    """Expectations that were met."""


class ProfileFact(Facts):
    """A resource, base against candidate. `name` is one of the catalogue's `resource.*` texts."""

    name: str
    base: Number | None = None
    after: Number | None = None
    ratio: Number | None = None
    ratio_low: Number | None = None
    ratio_high: Number | None = None


class CostFact(Facts):
    """Money a month; `currency` is an ISO 4217 code, `assumptions` are sentences of the profile."""

    currency: str
    base_month: Number | None = None
    after_month: Number | None = None
    saved_month: Number | None = None
    hours_month: Number | None = None
    price_hour: Number | None = None
    assumptions: tuple[str, ...] = ()


class DecisionFact(Facts):
    """One person's decision as the ledger holds it."""

    approver: str
    decision: Literal["approve", "reject", "withdraw"] | None = None
    role: str = ""
    reason: str = ""
    time: AwareDatetime | None = None
    fault: str = ""


class AskFact(Facts):
    """Who asked, who must decide, by when, and who has."""

    requester: str = ""
    requested: AwareDatetime | None = None
    expires: AwareDatetime | None = None
    quorum: int | None = None
    roles: tuple[str, ...] = ()
    override: bool = False
    """Whether the rules refused what is asked about, so that approving overrides them."""
    decisions: tuple[DecisionFact, ...] = ()


class DigestFact(Facts):
    """A named SHA-256; `name` is a document's name."""

    name: str
    digest: str


class PolicyPoint(Facts):
    """One thing that the policy asks for; `kind` is one of the catalogue's `policy.*` texts."""

    kind: Literal[
        "removed",
        "protected",
        "examples",
        "kpi",
        "slice",
        "drop",
        "report_only",
        "saved_money",
        "latency",
        "approvals",
        "at_least",
    ]
    subject: str = ""
    share: Number | None = None
    confidence: Number | None = None
    count: int | None = None
    other: int | None = None


class PolicyFact(Facts):
    """The policy that judged; every point becomes a plain sentence."""

    name: str = ""
    points: tuple[PolicyPoint, ...] = ()


class LedgerFact(Facts):
    """Where in the ledger the evidence stands."""

    sequence: int
    digest: str = ""


class UnknownFact(Facts):
    """Something we do not know; `kind` is one of the catalogue's `unknown.*` texts."""

    kind: Literal[
        "cannot_tell", "small_slices", "no_limits", "not_measured", "drift", "rank", "holdout"
    ]
    subject: str = ""
    n: int | None = None
    needed: int | None = None


class DossierFacts(Facts):
    """All that one dossier says."""

    line: str
    change: str | None = None
    step: Step | None = None
    attempt: int | None = None
    made: AwareDatetime | None = None
    original_layers: int | None = None
    evidence: str = ""
    confidence: Number | None = None
    passed: bool | None = None
    layers: tuple[LayerFact, ...] = ()
    verdicts: tuple[VerdictFact, ...] = ()
    kpis: tuple[KpiFact, ...] = ()
    slices: tuple[SliceFact, ...] = ()
    rare_cases: tuple[RareCaseFact, ...] = ()
    outputs: tuple[OutputFact, ...] = ()
    examples: tuple[ExampleFact, ...] = ()
    tradeoff: tuple[TradeoffPoint, ...] = ()
    reach: tuple[ReachFact, ...] = ()
    candidates: tuple[CandidateFact, ...] = ()
    probes: tuple[ProbeFact, ...] = ()
    base_loss: Number | None = None
    healing: tuple[HealingFact, ...] = ()
    plain_choice: PlainChoiceFact | None = None
    drift: tuple[DriftFact, ...] = ()
    data: DataFact | None = None
    profile: tuple[ProfileFact, ...] = ()
    cost: CostFact | None = None
    ask: AskFact = AskFact()
    digests: tuple[DigestFact, ...] = ()
    policy: PolicyFact = PolicyFact()
    ledger: LedgerFact | None = None
    environment: tuple[tuple[str, str], ...] = ()
    unknowns: tuple[UnknownFact, ...] = ()

    @property
    def proposed(self) -> tuple[int, ...]:
        """Original numbers of the layers that this step would remove."""
        return tuple(layer.index for layer in self.layers if layer.state == "proposed")

    @property
    def removed(self) -> tuple[int, ...]:
        """Original numbers of the layers that earlier steps removed."""
        return tuple(layer.index for layer in self.layers if layer.state == "removed")

    @property
    def gone(self) -> int:
        """How many layers would be gone in all after this step."""
        return len(self.proposed) + len(self.removed)

    @property
    def failed(self) -> tuple[VerdictFact, ...]:
        """Verdicts that speak against the step: failed, or impossible to tell."""
        return tuple(verdict for verdict in self.verdicts if verdict.outcome != "pass")

    @property
    def worst_kpi(self) -> KpiFact | None:
        """The KPI that kept least, by its lower limit where it has one."""
        return min((k for k in self.kpis if k.retention is not None), key=surely_kept, default=None)

    @property
    def worst_slices(self) -> tuple[SliceFact, ...]:
        """All slices, the one that kept least first; those without a figure last."""
        return tuple(sorted(self.slices, key=surely_kept))


def surely_kept(fact: KpiFact | SliceFact | RetentionFact) -> float:
    """Retention that is sure: the lower limit, else the estimate, else infinity (sorts last)."""
    known = (fact.retention_low, fact.retention)
    return next((value for value in known if value is not None), float("inf"))
