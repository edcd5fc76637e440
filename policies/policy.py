"""The policy file: what a change must prove, and who decides. Versioned by its digest."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from policies import canonical
from policies.errors import PolicyError
from policies.policy_sections import (
    Approvals,
    Calibration,
    Cost,
    DataContract,
    Dossier,
    Drift,
    Gate,
    Healing,
    KpiGate,
    Latency,
    Limits,
    Monitoring,
    Promotion,
    Retain,
    Selection,
    Storage,
)
from policies.schema import Frozen, MoveKind, Name, Step, faults_of
from policies.yaml_file import parse_yaml

DEFAULT_GATE = "default"
SHIPPED = ("standard", "strict", "exploratory")


class Policy(Frozen):
    """One policy with every default filled in: its canonical JSON is what a digest names."""

    format: Literal["avss-policy-1"] = "avss-policy-1"
    name: Name
    limits: Limits = Limits()
    selection: Selection = Selection()
    calibration: Calibration = Calibration()
    healing: Healing = Healing()
    data: DataContract = DataContract()
    drift: Drift = Drift()
    kpis: dict[Name, KpiGate] = Field(default_factory=lambda: {DEFAULT_GATE: KpiGate()})
    """Gates by metric, as in `sentiment.auc`. `default` is for all others; what a named gate
    leaves out, it takes from there."""
    cost: Cost = Cost()
    latency: Latency = Latency()
    approvals: Approvals = Approvals()
    promotion: Promotion = Promotion()
    monitoring: Monitoring = Monitoring()
    dossier: Dossier = Dossier()
    storage: Storage = Storage()
    ledger: Retain = Retain()

    @field_validator("kpis", mode="before")
    @classmethod
    def _inherit(cls, given: Any) -> Any:
        """Fill each named gate from the default one, so that the digest covers what counts."""
        if not isinstance(given, Mapping):
            return given
        default = given.get(DEFAULT_GATE, {})
        if not isinstance(default, Mapping):
            return given
        return {
            DEFAULT_GATE: default,
            **{name: _filled(gate, default) for name, gate in given.items()},
        }

    def gate_of(self, metric: str) -> KpiGate:
        """The gate of a metric, by its full name `<kpi>.<metric>`."""
        return self.kpis.get(metric, self.kpis[DEFAULT_GATE])

    @property
    def scored_tokens(self) -> int:
        """Tokens of calibration text that layers are scored on, where enough texts hold fewer."""
        return min(self.selection.score_tokens, self.calibration.max_tokens)

    @property
    def required_kpis(self) -> tuple[str, ...]:
        """Metrics that have a gate of their own, and so must be measured."""
        return tuple(sorted(name for name in self.kpis if name != DEFAULT_GATE))

    @property
    def confidence(self) -> float:
        """The highest confidence that any KPI's limit must hold at: measure at this one."""
        return max(gate.confidence for gate in self.kpis.values())

    def approval_gate(self, step: Step, *, override: bool = False) -> Gate:
        """Who decides on a step, on the promotion, or on a candidate that the rules refused."""
        if override:
            if self.approvals.override is None:
                raise PolicyError(f"Policy {self.name} lets nobody override its rules.")
            return self.approvals.override
        return self.approvals.promotion if step == "promotion" else self.approvals.step

    def move_gate(self, action: MoveKind) -> Gate:
        """Who decides when the alias is to be moved by hand."""
        rollback = self.approvals.rollback if action == "rollback" else None
        return rollback or self.approvals.promotion

    def document(self) -> bytes:
        """The canonical JSON that is stored as evidence; `digest` names it."""
        return canonical.canonical_bytes(self)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of `document()`."""
        return canonical.digest(self.document())


def _filled(gate: Any, default: Mapping[str, Any]) -> Any:
    if not isinstance(gate, Mapping):
        return gate
    merged = {**default, **gate}
    general, own = default.get("worst_slice"), gate.get("worst_slice")
    if isinstance(general, Mapping) and isinstance(own, Mapping):
        merged["worst_slice"] = {**general, **own}
    return merged


def parse_policy(content: str | bytes, where: str = "policy") -> Policy:
    """A policy from YAML or JSON text.

    Raises PolicyError naming `where`, every wrong field, and the nearest known name.
    """
    found = parse_yaml(content, where)
    try:
        return Policy.model_validate(found)
    except ValidationError as error:
        raise PolicyError(f"{where}: " + " ".join(faults_of(error, Policy))) from None


def load_policy(source: str | Path) -> Policy:
    """A shipped policy by its name, or one from a file.

    Raises PolicyError where there is neither, or where the file's values cannot be used.
    """
    if str(source) in SHIPPED:
        shipped = resources.files("policies") / "library" / f"{source}.yaml"
        return parse_policy(shipped.read_text(encoding="utf-8"), f"{source}.yaml")
    try:
        content = Path(source).read_bytes()
    except OSError as error:
        raise PolicyError(
            f"{source}: {error.strerror}. Name a policy file, or one of {', '.join(SHIPPED)}."
        ) from None
    return parse_policy(content, str(source))


def policy_schema() -> dict[str, Any]:
    """The JSON Schema of a policy file, for editors."""
    return Policy.model_json_schema()
