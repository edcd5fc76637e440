"""Measure business KPIs on a model: one outcome per example, shared by all metrics of a KPI."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from avss.comparing.outcomes import Outcomes
from avss.errors import InputError
from avss.kpi_file.suite import KpiSuite
from avss.kpis.agreement import measure_agreement
from avss.kpis.classification import measure_classification
from avss.kpis.custom import measure_custom
from avss.kpis.generation import measure_generation
from avss.kpis.likelihood import Progress
from avss.kpis.lm_eval import measure_lm_eval
from avss.kpis.multiple_choice import measure_multiple_choice
from avss.kpis.perplexity import measure_perplexity
from avss.kpis.subject import Subject

_MEASURES: Mapping[str, Callable[..., Any]] = {
    "classification": measure_classification,
    "perplexity": measure_perplexity,
    "multiple_choice": measure_multiple_choice,
    "generation": measure_generation,
    "agreement": measure_agreement,
    "custom": measure_custom,
    "lm_eval": measure_lm_eval,
}


def measure(
    model: Any,
    tokenizer: Any,
    suite: KpiSuite,
    records: Sequence[Mapping[str, Any]],
    *,
    batch_tokens: int = 8192,
    progress: Progress | None = None,
) -> Outcomes:
    """Measure every KPI of a suite on records.

    The result depends on `batch_tokens` (positions a batch, memory) only by rounding: in float32
    log-likelihoods differ by less than 1e-4 nats. `progress(done, all)` is called after batches,
    for each KPI anew. Records are never kept, and no message holds their text.

    Raises InputError that names the KPI, the record (counted from 1) and the field.
    """
    if batch_tokens < 1:
        raise InputError(f"batch_tokens is {batch_tokens}: expected at least 1.")
    subject, rows = Subject(model, tokenizer, batch_tokens, progress), list(records)
    return Outcomes(
        suite.digest, tuple(_MEASURES[kpi.kind](subject, kpi, rows) for kpi in suite.kpis)
    )
