"""From the evidence of a change's steps to the facts of the dossier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from policies.policy import Policy
from tasks.dossier import quality, reading
from tasks.dossier.documents import (
    DriftDocument,
    EvidenceDocument,
    SnapshotDocument,
    ValidationDocument,
    read_document,
    read_evidence,
)
from tasks.dossier.facts.choice import CandidateFact
from tasks.dossier.facts.decision import AskFact, DigestFact, LedgerFact
from tasks.dossier.facts.dossier import DossierFacts
from tasks.dossier.policy_points import policy_fact
from tasks.dossier.resources import cost_fact, profile_facts
from tasks.dossier.science import (
    ExamplesDocument,
    HealingDocument,
    KpisDocument,
    OutputsDocument,
    ProbeDocument,
    ProfileDocument,
    ScoresDocument,
)
from tasks.dossier.tradeoff import Measured, reach, tradeoff_points
from tasks.dossier.unknowns import unknown_facts

_DIGESTS = ("policy", "base_model", "parent_model", "candidate_model")


@dataclass(frozen=True)
class StepSource:
    """What is known of one step: its evidence and its documents, as parsed JSON.

    The documents go by name, each optional: `scores`, `probe`, `healing`, `kpis` (candidate against
    base), `outputs`, `examples`, `profile`, `data_drift`, `score_drift`, `validation`, `snapshot`.
    """

    evidence: Mapping[str, Any]
    documents: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Surroundings:
    """What the evidence does not hold: who and when, its digest, the ledger, the machine.

    `ask` may leave quorum and roles to the policy.
    """

    ask: AskFact = field(default_factory=AskFact)
    evidence: str = ""
    ledger: LedgerFact | None = None
    environment: tuple[tuple[str, str], ...] = ()
    made: datetime | None = None


@dataclass(frozen=True)
class _Step:
    """A step's source, read."""

    evidence: EvidenceDocument
    kpis: KpisDocument
    profile: ProfileDocument | None


def gather(
    source: StepSource,
    *,
    policy: Policy,
    earlier: Sequence[StepSource] = (),
    refused: Sequence[StepSource] = (),
    surroundings: Surroundings | None = None,
) -> DossierFacts:
    """The facts of the step in `source`, after the approved steps `earlier` (oldest first).

    `refused` are the judged candidates of a step that nothing passed, after all that was approved.
    Raises DataError for evidence or a document that is not what its producer writes.
    """
    around = surroundings or Surroundings()
    past, step = [_read(one) for one in earlier], _read(source)
    curve = tradeoff_points(_measured((*past, step)), _measured(map(_read, refused)))
    facts = DossierFacts(
        line=step.evidence.line,
        change=step.evidence.change,
        step=step.evidence.step,
        attempt=step.evidence.attempt,
        made=around.made,
        evidence=around.evidence,
        passed=step.evidence.passed,
        confidence=step.kpis.confidence,
        verdicts=reading.verdict_facts(step.evidence.verdicts),
        tradeoff=curve,
        reach=reach(curve),
        profile=profile_facts(step.evidence.measurements, step.profile),
        cost=cost_fact(step.profile),
        digests=_digests(step.evidence),
        ledger=around.ledger,
        environment=around.environment,
    )
    facts = facts.model_copy(
        update=_model_facts(source, step, policy, around)
        | _quality_facts(source, step, _before(step, past), policy, facts)
    )
    return facts.model_copy(update={"unknowns": unknown_facts(facts, step.kpis)})


def _read(source: StepSource) -> _Step:
    evidence = read_evidence(source.evidence)
    document = read_document(KpisDocument, source.documents, "kpis")
    profile = read_document(ProfileDocument, source.documents, "profile")
    return _Step(evidence, quality.measured_kpis(evidence, document), profile)


def _measured(steps: Iterable[_Step]) -> list[Measured]:
    return [(step.evidence, step.kpis, step.profile) for step in steps]


def _before(step: _Step, past: Sequence[_Step]) -> KpisDocument | None:
    """The KPIs of the model before; the promotion compares with the base, on other data."""
    return past[-1].kpis if past and step.evidence.step != "promotion" else None


def _model_facts(
    source: StepSource, step: _Step, policy: Policy, around: Surroundings
) -> dict[str, Any]:
    """The layers, how this one was found and healed, and who must agree."""
    scores = read_document(ScoresDocument, source.documents, "scores")
    probe = read_document(ProbeDocument, source.documents, "probe")
    healing = read_document(HealingDocument, source.documents, "healing")
    proposed = step.evidence.proposed_layer
    layers = reading.layer_facts(step.evidence, scores, policy)
    override = around.ask.override
    gate = policy.approval_gate(step.evidence.step or 1, override=override)
    asked = {"quorum": gate.quorum, "roles": gate.roles} if around.ask.quorum is None else {}
    return {
        "layers": layers,
        "original_layers": len(layers) or None,
        "probes": reading.probe_facts(probe, proposed),
        "base_loss": probe.base_loss if probe else None,
        "search": reading.search_fact(probe),
        "healing": reading.healing_facts(healing),
        "plain_choice": reading.plain_choice(scores, probe, proposed),
        "candidates": _candidates(step, healing),
        "policy": policy_fact(policy, step.evidence.step, len(layers) or None, override=override),
        "ask": around.ask.model_copy(update=asked),
    }


def _quality_facts(
    source: StepSource,
    step: _Step,
    before: KpisDocument | None,
    policy: Policy,
    facts: DossierFacts,
) -> dict[str, Any]:
    """KPIs, slices, answers, drift and data."""
    documents = source.documents
    return {
        "kpis": quality.kpi_facts(step.kpis, before, policy, facts.verdicts),
        "slices": quality.slice_facts(step.kpis, policy),
        "rare_cases": quality.rare_facts(step.kpis),
        "outputs": quality.output_facts(read_document(OutputsDocument, documents, "outputs")),
        "examples": quality.example_facts(read_document(ExamplesDocument, documents, "examples")),
        "drift": (
            *quality.drift_facts(
                read_document(DriftDocument, documents, "data_drift"),
                read_document(DriftDocument, documents, "score_drift"),
            ),
            *quality.output_drift_facts(step.evidence, policy),
        ),
        "data": reading.data_fact(
            read_document(SnapshotDocument, documents, "snapshot"),
            read_document(ValidationDocument, documents, "validation"),
        ),
    }


def _candidates(step: _Step, healing: HealingDocument | None) -> tuple[CandidateFact, ...]:
    evidence = step.evidence
    refused = tuple(
        CandidateFact(
            attempt=one.attempt,
            layers=() if one.layer is None else (one.layer,),
            refused=True,
            failed=one.failed,
            healing=one.healing or "",
        )
        for one in evidence.refused_before
    )
    if evidence.attempt is None or evidence.proposed_layer is None:
        return refused
    lows = [kpi.retention_low for kpi in step.kpis.kpis if kpi.retention_low is not None]
    this = CandidateFact(
        attempt=evidence.attempt,
        layers=(evidence.proposed_layer,),
        refused=evidence.passed is False,
        healing=healing.method if healing else "",
        worst_retention_low=min(lows, default=None),
        failed=tuple(dict.fromkeys(v.rule for v in evidence.verdicts if not v.passed)),
    )
    return (*refused, this)


def _digests(evidence: EvidenceDocument) -> tuple[DigestFact, ...]:
    own = ((name, getattr(evidence, name)) for name in _DIGESTS)
    named = (*own, *sorted(evidence.documents.items()))
    return tuple(DigestFact(name=name, digest=digest) for name, digest in named if digest)
