"""From the documents of a step to its layers, verdicts, repairs and data."""

from __future__ import annotations

from typing import Literal

from policies.policy import Policy
from tasks.dossier.documents import (
    EvidenceDocument,
    EvidenceVerdict,
    SnapshotDocument,
    ValidationDocument,
)
from tasks.dossier.facts.base import Outcome
from tasks.dossier.facts.choice import (
    HealingFact,
    LayerFact,
    PlainChoiceFact,
    ProbeFact,
    SearchFact,
)
from tasks.dossier.facts.data import DataFact, ExpectationFact
from tasks.dossier.facts.quality import VerdictFact
from tasks.dossier.science import (
    HealingDocument,
    ProbeDocument,
    ScoresDocument,
)


def layer_facts(
    evidence: EvidenceDocument, scores: ScoresDocument | None, policy: Policy
) -> tuple[LayerFact, ...]:
    """Every original layer with its state after this step and its score before it."""
    proposed = set() if evidence.proposed_layer is None else {evidence.proposed_layer}
    removed = set(evidence.removed_layers) - proposed
    ranks = {entry.index: rank for rank, entry in enumerate(scores.ranking if scores else (), 1)}
    scored = {layer.index: layer for layer in (scores.layers if scores else ())}
    stability = scores.stability if scores else None
    ranges = {one.index: one for one in (stability.rank_intervals if stability else ())}
    known = set(evidence.kept_layers) | removed | proposed | set(scored)
    measured = evidence.measurements
    original = measured.layers.original_layers if measured else max(known, default=-1) + 1
    protected = policy.limits.protected(original)
    facts = []
    for index in range(original):
        score, interval = scored.get(index), ranges.get(index)
        facts.append(
            LayerFact(
                index=index,
                state=_state(index, proposed, known - removed),
                protected=index in protected,
                avss=score.avss if score else None,
                share=score.share if score else None,
                block_influence=score.block_influence if score else None,
                rank=ranks.get(index),
                rank_low=interval.low if interval else None,
                rank_high=interval.high if interval else None,
            )
        )
    return tuple(facts)


def verdict_facts(verdicts: tuple[EvidenceVerdict, ...]) -> tuple[VerdictFact, ...]:
    """Verdicts; what failed because it could not be evaluated is told apart."""
    return tuple(
        VerdictFact(**verdict.model_dump(exclude={"passed"}), outcome=_verdict_outcome(verdict))
        for verdict in verdicts
    )


def probe_facts(probe: ProbeDocument | None, proposed: int | None) -> tuple[ProbeFact, ...]:
    """The short list by measured loss, least harmful first."""
    losses = sorted((probe.losses if probe else {}).items(), key=lambda item: item[1])
    return tuple(
        ProbeFact(layer=layer, loss=loss, chosen=layer == proposed) for layer, loss in losses
    )


def search_fact(probe: ProbeDocument | None) -> SearchFact | None:
    """What choosing cost; None where nothing was probed."""
    if probe is None or None in (probe.forward_equivalents, probe.sleb_forward_equivalents):
        return None
    return SearchFact(
        probing=probe.forward_equivalents,
        scoring=probe.scoring_forward_equivalents,
        exhaustive=probe.sleb_forward_equivalents,
    )


def plain_choice(
    scores: ScoresDocument | None, probe: ProbeDocument | None, proposed: int | None
) -> PlainChoiceFact | None:
    """What plain AVSS alone would have removed, with its loss where it was measured.

    Older records hold no ranking as published; there it is the lowest of the proposing scores.
    """
    if scores is None or not scores.ranking:
        return None
    published = scores.published.ranking if scores.published else ()
    plain = published[0] if published else scores.ranking[0].index
    losses = probe.losses if probe else {}
    return PlainChoiceFact(
        plain_layer=plain,
        published=bool(published),
        chosen_layer=proposed,
        base_loss=probe.base_loss if probe else None,
        plain_loss=losses.get(plain),
        chosen_loss=None if proposed is None else losses.get(proposed),
    )


def healing_facts(healing: HealingDocument | None) -> tuple[HealingFact, ...]:
    """Every way of healing that was tried; of older records, the one that was kept beside none."""
    if healing is None:
        return ()
    if healing.tried:
        return tuple(
            HealingFact(
                method=way.method,
                loss=way.loss,
                chosen=way.method == healing.method,
                reason=way.reason,
            )
            for way in healing.tried
        )
    none = HealingFact(
        method="none",
        loss=healing.loss_before,
        chosen=healing.method == "none",
        reason=healing.reason,
    )
    if healing.method == "none":
        return (none,)
    return none, HealingFact(method=healing.method, loss=healing.loss_after, chosen=True)


def data_fact(
    snapshot: SnapshotDocument | None, validation: ValidationDocument | None
) -> DataFact | None:
    """The pinned data and its contract, as far as either is known."""
    if snapshot is None and validation is None:
        return None
    checks = validation.expectations if validation else ()
    found: dict[str, tuple[ExpectationFact, ...]] = {
        outcome: tuple(
            ExpectationFact(name=check.type, column=check.column or "", detail=check.because)
            for check in checks
            if outcome == ("kept" if check.passed else check.severity)
        )
        for outcome in ("critical", "warning", "info", "kept")
    }
    return DataFact(
        uri=snapshot.source.uri if snapshot else "",
        records=snapshot.records if snapshot else None,
        splits=tuple((n, s.records) for n, s in snapshot.splits.items()) if snapshot else (),
        passed=validation.passed if validation else None,
        checks=len(checks) if validation else None,
        failures=found["critical"],
        warnings=found["warning"],
        notes=found["info"],
        kept=found["kept"],
    )


def _verdict_outcome(verdict: EvidenceVerdict) -> Outcome:
    if verdict.passed:
        return "pass"
    unsure = verdict.observed is None and verdict.reason.startswith("cannot tell")
    return "unknown" if unsure else "fail"


def _state(
    index: int, proposed: set[int], kept: set[int]
) -> Literal["kept", "removed", "proposed"]:
    if index in proposed:
        return "proposed"
    return "kept" if index in kept else "removed"
