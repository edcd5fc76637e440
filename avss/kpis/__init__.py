"""Measure business KPIs on a model: one outcome per example, shared by all metrics of a KPI."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from avss.comparing.outcomes import KpiOutcomes, Outcomes
from avss.errors import InputError
from avss.kpi_file.suite import Kpi, KpiSuite
from avss.kpis.agreement import measure_agreement
from avss.kpis.classification import measure_classification
from avss.kpis.custom import measure_custom
from avss.kpis.generation import measure_generation
from avss.kpis.likelihood import Progress
from avss.kpis.lm_eval import measure_lm_eval
from avss.kpis.multiple_choice import measure_multiple_choice
from avss.kpis.perplexity import measure_perplexity
from avss.kpis.subject import Subject
from avss.memory import within_memory

_MEASURES: Mapping[str, Callable[..., KpiOutcomes]] = {
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
    first_record: int = 1,
    progress: Progress | None = None,
) -> Outcomes:
    """Measure every KPI of a suite on records.

    The result depends on `batch_tokens` (positions a batch, memory) only by rounding: in float32
    log-likelihoods differ by less than 1e-4 nats. It is halved where memory does not suffice.
    `progress(done, all)` is called after batches, for each KPI anew. Records are counted from
    `first_record`, where they are part of more; they are never kept, and no message holds their
    text.

    Raises InputError that names the KPI, the record and the field.
    """
    if batch_tokens < 1:
        raise InputError(f"batch_tokens is {batch_tokens}: expected at least 1.")
    rows = list(records)

    def measured(kpi: Kpi, size: int) -> KpiOutcomes:
        subject = Subject(model, tokenizer, size, progress, first_record)
        return _MEASURES[kpi.kind](subject, kpi, rows)

    return Outcomes(
        suite.digest,
        tuple(within_memory(partial(measured, kpi), batch_tokens, model) for kpi in suite.kpis),
    )
