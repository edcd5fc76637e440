"""Answers of base and candidate side by side, as text: only where the policy allows it.

The document is evidence like any other: the record names its digest, and the text itself lies in
the work bucket, on the page and in evidence packs; never in the record, a log, Prefect or MLflow.
"""

from typing import Any

from avss.comparing.outcomes import KpiOutcomes, Outcomes
from avss.comparing.pairs import differing
from avss.kpi_file.suite import Kpi
from avss.kpis.shown import ANSWERING, show_answers
from tasks.job import Job

FORMAT = "avss-examples-1"
_LONGEST = 2000
"""Characters of a prompt or an answer that are kept; of longer ones, beginning and end."""


def examples_of(
    job: Job,
    models: tuple[str, str],
    manifest: str,
    split: Any,
    measured: tuple[Outcomes, Outcomes],
) -> dict[str, Any] | None:
    """The document, or None where the policy allows no text or no KPI has answers.

    Args:
        job: the run.
        models: digests of the base and of the candidate.
        manifest: of the snapshot.
        split: whose records are shown.
        measured: outcomes of the base and of the candidate on that split.
    """
    most = job.policy.dossier.examples
    kpis = [kpi for kpi in job.suite.kpis if kpi.kind in ANSWERING]
    if most == 0 or not kpis:
        return None
    records = job.records(manifest, split)
    chosen = {kpi.name: _chosen(*_outcomes(kpi, measured), most) for kpi in kpis}
    sides = []
    for digest in models:  # one after the other: two large models need not fit at once
        loaded = job.models.load(digest)
        sides.append(
            [
                show_answers(loaded.model, loaded.tokenizer, kpi, records, chosen[kpi.name])
                for kpi in kpis
            ]
        )
    return {
        "format": FORMAT,
        "kpis": [
            {
                "kpi": kpi.name,
                "examples": [
                    {
                        "record": one.record,
                        "asked": _short(one.asked),
                        "base": _short(one.answer),
                        "candidate": _short(other.answer),
                        "differs": one.answer != other.answer,
                    }
                    for one, other in zip(base, candidate, strict=True)
                ],
            }
            for kpi, base, candidate in zip(kpis, *sides, strict=True)
        ],
    }


def _outcomes(kpi: Kpi, measured: tuple[Outcomes, Outcomes]) -> tuple[KpiOutcomes, KpiOutcomes]:
    base, candidate = (
        next(one for one in outcomes.kpis if one.name == kpi.name) for outcomes in measured
    )
    return base, candidate


def _chosen(base: KpiOutcomes, candidate: KpiOutcomes, most: int) -> tuple[int, ...]:
    """Record numbers: half of them answered otherwise and half alike, as far as there are such.

    Within each half the split's own pseudo-random order decides, so nobody picks what is shown.
    """
    moved = differing(candidate.columns, base.columns)
    if moved is None:
        return base.records[:most]
    apart = [number for number, it in zip(base.records, moved, strict=True) if it]
    alike = [number for number, it in zip(base.records, moved, strict=True) if not it]
    few = max(most - len(alike), (most + 1) // 2)
    first = apart[:few]
    return (*first, *alike[: most - len(first)])


def _short(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"
