"""The sections of a policy file; `Policy` in `policy.py` puts them together."""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from policies.schema import Frozen, Name, Ordinal

Share = Annotated[float, Field(gt=0, lt=1)]
Retention = Annotated[float, Field(gt=0, le=1)]
Distance = Annotated[float, Field(gt=0)]


class Limits(Frozen):
    """How much of the model may go, and how fast."""

    max_layers_removed: Ordinal | None = None
    """Layers of the original model that may be missing in all, over all changes of the line."""
    max_share_removed: Share | None = 0.25
    """The same as a share of the original model's layers."""
    layers_per_step: Ordinal = 1
    """Layers that one step may remove."""
    protected_layers: tuple[int, ...] = (0, -1)
    """Layers that are never removed, numbered as in the original model; -1 is the last."""
    attempts_per_step: Ordinal = 3
    """Layers that a step may try before it gives up."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.max_layers_removed is None and self.max_share_removed is None:
            raise ValueError("give max_layers_removed, max_share_removed or both")
        return self

    def layers_allowed(self, original_layers: int) -> int:
        """How many of the original layers may be missing at most."""
        share = self.max_share_removed
        by_share = original_layers if share is None else int(share * original_layers + 1e-9)
        return min(by_share, self.max_layers_removed or original_layers, original_layers - 1)

    def protected(self, original_layers: int) -> frozenset[int]:
        """The protected layers by their original numbers; numbers beyond the model are dropped."""
        layers = {
            layer + original_layers if layer < 0 else layer for layer in self.protected_layers
        }
        return frozenset(layers & set(range(original_layers)))


class Selection(Frozen):
    """How the next layer is looked for."""

    score: Literal["avss", "block_influence", "fusion"] = "avss"
    """The score that proposes: lowest first."""
    score_tokens: Ordinal = 16_384
    """Tokens of calibration text that layers are scored on, `calibration.max_tokens` allowing;
    more where `calibration.min_records` texts hold more."""
    shortlist: Ordinal = 5
    """Layers that are proposed and then measured."""
    probe_tokens: Ordinal = 8192
    """Tokens that each of them is measured on."""
    own_text_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of these tokens that the base model writes itself, once a change; the others are
    calibration text. With some, layers are chosen less at the cost of what the model knows beyond
    the business's data."""


class Calibration(Frozen):
    """The text that layers are scored on and that healing learns from."""

    min_records: Ordinal = 100
    """Records below which a score means nothing."""
    max_tokens: Ordinal = 200_000
    """Tokens of it that are read at most."""
    min_rank_stability: Annotated[float, Field(ge=-1, le=1)] | None = 0.6
    """Kendall's tau between the rankings of two halves of the records; null: not required."""


HealingMethod = Literal["none", "closed_form", "distilled"]
HEALING_METHODS: tuple[HealingMethod, ...] = get_args(HealingMethod)
"""In the order in which they follow one another."""


class Healing(Frozen):
    """How a cut model may be repaired."""

    methods: tuple[HealingMethod, ...] = ("none", "closed_form")
    """Methods to try; each starts from the best before it, on held-out text."""
    gated: Literal["best", "each"] = "best"
    """Which are put before the rules: the best on held-out text alone; or, where the rules refuse
    it, also what the methods before it came to, until one passes."""
    training_tokens: Ordinal = 250_000
    """Tokens that distillation trains on for each candidate, repeats included."""
    learning_rate: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Of distillation, at its highest; null: 3e-4 where every weight is trained, 5e-4 for adapters.
    A training that diverges wants less."""
    own_text_share: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of the distinct training text that the base model writes itself, so that what it knows
    beyond the business's data is not forgotten."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.methods or len(set(self.methods)) != len(self.methods):
            raise ValueError(
                "name each method once, and at least one (none, closed_form, distilled)"
            )
        return self

    def ways_before(self, refused: str) -> tuple[HealingMethod, ...]:
        """The methods left to put before the rules where what came of one was refused."""
        if self.gated == "best" or refused not in HEALING_METHODS:
            return ()
        before = HEALING_METHODS[: HEALING_METHODS.index(refused)]
        return tuple(one for one in before if one in self.methods)


class DataContract(Frozen):
    """What the business data must be."""

    suite: Name = "text"
    """The data contract: a shipped suite's name, or a file's path."""
    min_records: Ordinal = 300
    """Records below which a snapshot is refused."""
    personal_data: Literal["ignore", "warn", "mask", "block"] = "ignore"
    """What is done about personal data in the records: nobody looks; it is counted and put before
    the approvers; it is masked and counted; it ends the change."""


class DataDriftLimits(Frozen):
    """From which distance on a shift of the data matters; see `docs/data.md` for the measures."""

    text_length: Distance = 0.25
    """Wasserstein distance of text lengths, in standard deviations."""
    unknown_words: Distance = 0.3
    """The same of the share of words that the reference lacks."""
    script: Share = 0.1
    """Jensen-Shannon distance of scripts."""
    language: Share = 0.1
    """Jensen-Shannon distance of languages."""
    time: Share = 0.15
    """Jensen-Shannon distance of the weekdays of the timestamps."""
    label: Share = 0.1
    """Jensen-Shannon distance of labels."""
    segment: Share = 0.1
    """Jensen-Shannon distance of segments."""
    share_change: Share = 0.1
    """Change of the share of any one label or segment."""
    domain: Annotated[float, Field(gt=0.5, lt=1)] = 0.6
    """AUC of a classifier that tells the two sets apart."""
    embedding: Distance = 0.25
    """Shift of the texts' mean first-layer state in the model itself, in standard deviations."""
    relabelled: Share = 0.02
    """Share of the texts in both sets that changed their label."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """That a check of unchanged data raises no alarm at all."""
    on_alarm: Literal["refuse", "tell"] = "refuse"
    """What drift means: it ends the change, or it is put before the approvers."""
    unsure: Literal["refuse", "tell"] = "refuse"
    """The same of a check that cannot tell, for instance because records are too few."""


class ScoreDriftLimits(Frozen):
    """From which distance on a ranking is another one than in the step before.

    A change's first ranking is compared with the last one of the change whose model is in use.
    """

    rank_change: Annotated[float, Field(gt=0, le=2)] = 0.5
    """1 - Spearman's correlation of the layers' scores."""
    lowest_change: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Share of the lowest layers that is not among them any more."""
    score_change: Distance | None = None
    """Median |log ratio| of the layers' scores, each over their median; null: only shown."""


class OutputDriftLimits(Frozen):
    """How far answers may move from the base's; null: not limited."""

    label_flip_rate: Retention | None = 0.25
    """Share of examples whose label changed."""
    label_kl: Distance | None = None
    """Kullback-Leibler divergence of the labels' probabilities, in nats."""
    next_token_flip_rate: Retention | None = None
    """Share of tokens whose likeliest successor changed."""
    next_token_kl: Distance | None = 1.0
    """Kullback-Leibler divergence of the next token's distribution, in nats."""
    generation_change: Retention | None = None
    """Share of a generated text that changed."""


class Drift(Frozen):
    """Limits of what may move between changes, between steps, and from the base."""

    data: DataDriftLimits = DataDriftLimits()
    scores: ScoreDriftLimits = ScoreDriftLimits()
    outputs: OutputDriftLimits = OutputDriftLimits()


class SliceGate(Frozen):
    """What the worst slice must keep."""

    min_retention: Retention = 0.8
    """Lower confidence limit of the worst slice's retention."""
    min_support: Ordinal = 30
    """Examples below which a slice is not judged."""


class KpiGate(Frozen):
    """What one KPI must keep against the change's base."""

    min_retention: Retention = 0.95
    """Lower confidence limit of the retention, on all examples."""
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    """One-sided confidence of that limit."""
    worst_slice: SliceGate | None = SliceGate()
    """The same for the worst slice, where the KPI has slices; null: not required."""
    max_drop_per_step: Share | None = 0.05
    """How far retention may fall from one approved step to the next; null: not limited."""
    report_only: bool = False
    """Measured and shown, but not judged."""


class Cost(Frozen):
    """What a change must save to be worth its risk."""

    min_saved_parameters: Annotated[float, Field(ge=0, lt=1)] = 0.001
    """Share of the base's parameters saved for each layer removed."""
    min_saved_money: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of the base's cost a month saved in all; null: not required."""


class Latency(Frozen):
    """How slow the candidate may be: upper confidence limits of ratios to the base."""

    max_prefill_ratio: Distance | None = 1.1
    """Seconds to read a prompt, candidate / base; null: not required."""
    max_decode_ratio: Distance | None = 1.1
    """Seconds to write a token, candidate / base; null: not required."""


class Gate(Frozen):
    """Who decides. The requester never does, whatever their role."""

    quorum: Ordinal = 1
    """Different people who must approve; one rejection ends it."""
    roles: tuple[Name, ...] = ("approver",)
    """Roles of the roster whose people may decide."""
    at_least: dict[Name, Ordinal] = Field(default_factory=dict)
    """Of the approvals, how many must come from a role: {risk: 1}."""
    expires_hours: Annotated[int, Field(ge=1, le=24 * 366)] = 168
    """Hours until an unanswered request is over."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.roles:
            raise ValueError("name at least one role")
        if unknown := sorted(set(self.at_least) - set(self.roles)):
            raise ValueError(f"at_least names {unknown[0]}, which is not among roles")
        if any(count > self.quorum for count in self.at_least.values()):
            raise ValueError("at_least asks for more approvals than the quorum")
        return self


class OverrideGate(Gate):
    """Which failed rules people may override, and who."""

    rules: tuple[Name, ...]
    """Names of the rules; a candidate that failed any other rule is never put before people."""


class Approvals(Frozen):
    """The decisions that a change needs."""

    step: Gate = Gate()
    promotion: Gate = Gate()
    rollback: Gate | None = None
    """Who may lead the version in use back to the one before; null: who decides on promotions."""
    override: OverrideGate | None = None
    """Who may let a candidate pass that the rules refused; null: nobody."""


class Promotion(Frozen):
    """What becomes of the model in the end."""

    alias: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")] = "champion"
    """The registry's name for the version in use."""


class Monitoring(Frozen):
    """What the model in use must keep on fresh data, and what follows where it does not."""

    sample: Ordinal = 300
    """Fresh records that its KPIs are measured on at most."""
    min_retention: Retention = 0.9
    """What it must keep of the base's KPIs there, as measured."""
    min_of_promised: Retention | None = 0.9
    """What it must keep of the retention that it was promoted with; null: not required."""
    on_bad_data: Literal["tell", "alarm"] = "tell"
    """Whether fresh data that breaks its contract or has drifted opens an incident."""
    unsure: Literal["tell", "alarm"] = "tell"
    """The same of a KPI that cannot be measured, for instance for want of labels."""
    on_breach: Literal["tell", "ask", "rollback"] = "tell"
    """What an incident leads to: it is told, a rollback is asked for, or it is made at once."""


class Dossier(Frozen):
    """What the page for those who decide may show of the business's own texts."""

    examples: Annotated[int, Field(ge=0, le=20)] = 0
    """Records of each KPI whose text is shown there with both models' answers, and kept as
    evidence; 0: no text, only how many answers differ."""


class Storage(Frozen):
    """How long what a finished change leaves behind is kept. Evidence and record always stay."""

    candidate_days: Ordinal = 30
    """Days after a change's end that models which are no version are kept in the work bucket."""
    snapshot_days: Ordinal = 90
    """Days after a change's end that its records stay in a machine's cache."""


class Retain(Frozen):
    """How long records are kept."""

    retention_days: Annotated[int, Field(ge=1, le=36_500)] = 3650
    """Days that the store must refuse to change or delete an entry."""
