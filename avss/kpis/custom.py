"""A user's own function as a KPI, on each model alone or on the pair of them."""

from collections.abc import Sequence

from avss.comparing.outcomes import KpiOutcomes
from avss.kpi_file.kinds import CustomKpi
from avss.kpis.prompts import Record, digest_inputs, select
from avss.kpis.results import build
from avss.kpis.subject import Subject
from avss.user_code import user_function, user_numbers


def measure_custom(subject: Subject, kpi: CustomKpi, records: Sequence[Record]) -> KpiOutcomes:
    """Column: the metric's own name. The function sees (model, tokenizer, records).

    Where the KPI compares, what the function gave for each record is kept in its place, and
    `compare` is called when candidate and base are held against each other.
    """
    selection = select(kpi, records, fields=())
    where = f"KPI {kpi.name}, function {kpi.function}"
    seen = [one.record for one in selection.examples]
    numbers = user_numbers(
        user_function(kpi.function, where),
        (subject.model, subject.tokenizer, seen),
        len(records),
        where,
        rows=kpi.compare is not None,
    )
    if kpi.compare is not None:
        user_function(kpi.compare, f"KPI {kpi.name}, compare {kpi.compare}")
    if subject.progress is not None:
        subject.progress(len(records), len(records))
    return build(
        selection,
        {kpi.metric: numbers},
        inputs=digest_inputs([kpi.function], list(records)),
        higher_is_better=kpi.higher_is_better,
        pairing=kpi.compare,
    )
