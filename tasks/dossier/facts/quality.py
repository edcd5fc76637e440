"""What the rules say of the candidate, what its KPIs keep, and how far one could go."""

from tasks.dossier.facts.base import Facts, Number, Outcome


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


def surely_kept(fact: KpiFact | SliceFact | RetentionFact) -> float:
    """Retention that is sure: the lower limit, else the estimate, else infinity (sorts last)."""
    known = (fact.retention_low, fact.retention)
    return next((value for value in known if value is not None), float("inf"))
