"""How far a candidate's outputs have moved from its base's, whether for better or worse."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from avss.comparing.outcomes import KpiOutcomes, Outcomes
from avss.comparing.pairs import agreement_columns, check_same_questions, differing, divergence


@dataclass(frozen=True)
class SliceDrift:
    """Label flips on one slice of `n` examples."""

    slice: str
    n: int
    label_flip_rate: float


@dataclass(frozen=True)
class KpiDrift:
    """Drift of one KPI's outputs; None where that KPI does not tell.

    `label_flip_rate`: share of examples with another label or choice. `label_kl`: mean KL of the
    label probabilities (nats, base || candidate). `next_token_flip_rate`, `next_token_kl`: of the
    next token after the prompt. `generation_change`: mean share of the answer that is written
    differently. `differ`: number of examples with another answer: written text, else label or
    choice, else next token.
    """

    kpi: str
    n: int
    label_flip_rate: float | None
    label_kl: float | None
    next_token_flip_rate: float | None
    next_token_kl: float | None
    generation_change: float | None
    slices: tuple[SliceDrift, ...]
    differ: int | None = None


@dataclass(frozen=True)
class OutputDrift:
    """Drift of the outputs of every KPI that has outputs to compare."""

    kpis: tuple[KpiDrift, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON values; never NaN."""
        return asdict(self)


def compare_outputs(candidate: Outcomes, base: Outcomes) -> OutputDrift:
    """Output drift of paired outcomes. Raises InputError where the questions differ."""
    check_same_questions(candidate, base)
    drifts = (_drift(one, other) for one, other in zip(candidate.kpis, base.kpis, strict=True))
    return OutputDrift(tuple(drift for drift in drifts if drift is not None))


def _drift(candidate: KpiOutcomes, base: KpiOutcomes) -> KpiDrift | None:
    found = agreement_columns(candidate.columns, base.columns)
    moved = differing(candidate.columns, base.columns)
    if not found and moved is None:
        return None
    means = {name: float(column.mean()) for name, column in found.items()}
    label_kl = None
    if "probabilities" in base.columns:
        divergences = divergence(base.columns["probabilities"], candidate.columns["probabilities"])
        label_kl = float(divergences.mean())
    return KpiDrift(
        kpi=candidate.name,
        n=len(candidate.records),
        label_flip_rate=_missing(means.get("label_agreement")),
        label_kl=label_kl,
        next_token_flip_rate=_missing(means.get("top1_agreement")),
        next_token_kl=means.get("next_token_kl"),
        generation_change=_missing(means.get("generation_agreement")),
        slices=_slices(candidate, found),
        differ=None if moved is None else int(moved.sum()),
    )


def _slices(candidate: KpiOutcomes, found: dict[str, Any]) -> tuple[SliceDrift, ...]:
    if "label_agreement" not in found:
        return ()
    told = []
    for group in candidate.slices:
        labels = np.array([label or "" for label in group])
        for label in sorted({label for label in group if label is not None}):
            rows = found["label_agreement"][labels == label]
            if len(rows) >= candidate.min_support:
                told.append(SliceDrift(label, len(rows), 1 - float(rows.mean())))
    return tuple(told)


def _missing(agreement: float | None) -> float | None:
    return None if agreement is None else 1 - agreement
