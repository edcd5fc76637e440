"""All that one dossier says."""

from pydantic import AwareDatetime

from tasks.dossier.facts.base import Facts, Number, Step
from tasks.dossier.facts.choice import (
    CandidateFact,
    HealingFact,
    LayerFact,
    PlainChoiceFact,
    ProbeFact,
    SearchFact,
)
from tasks.dossier.facts.data import DataFact, DriftFact
from tasks.dossier.facts.decision import AskFact, DigestFact, LedgerFact, PolicyFact, UnknownFact
from tasks.dossier.facts.quality import (
    ExampleFact,
    KpiFact,
    OutputFact,
    RareCaseFact,
    ReachFact,
    SliceFact,
    TradeoffPoint,
    VerdictFact,
    surely_kept,
)
from tasks.dossier.facts.resources import CostFact, ProfileFact


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
    search: SearchFact | None = None
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
