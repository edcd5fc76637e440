"""From columns to outcomes: slices, rare cases, and numbers rounded as they are stored."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from avss.comparing.metrics import Floats
from avss.comparing.outcomes import KpiOutcomes, RareSet
from avss.errors import InputError
from avss.kpi_file.slices import empty_slices, slice_labels
from avss.kpi_file.values import label_text
from avss.kpis.prompts import Selection


def build(
    selection: Selection,
    columns: Mapping[str, Any],
    *,
    inputs: str,
    truncated: int = 0,
    notes: Sequence[str] = (),
    higher_is_better: bool | None = None,
    pairing: str | None = None,
) -> KpiOutcomes:
    """The outcomes of one KPI; every column has a number, or a row of numbers, an example."""
    kpi = selection.kpi
    numbers = tuple(example.number for example in selection.examples)
    records = [example.record for example in selection.examples]
    slices = slice_labels(kpi.name, kpi.slice_by, records, numbers)
    return KpiOutcomes(
        name=kpi.name,
        kind=kpi.kind,
        metrics=tuple(kpi.metrics),
        records=numbers,
        columns={name: _rounded(column) for name, column in columns.items()},
        inputs=inputs,
        slices=slices,
        min_support=kpi.min_support,
        left_out=selection.left_out,
        truncated=truncated,
        notes=(*notes, *empty_slices(kpi.slice_by, slices)),
        rare=_rare(selection),
        higher_is_better=higher_is_better,
        pairing=pairing,
    )


def _rare(selection: Selection) -> RareSet | None:
    rare, name = selection.kpi.rare_cases, selection.kpi.name
    if rare is None:
        return None
    wanted = {label_text(value) for value in rare.values}
    numbers = []
    for example in selection.examples:
        if rare.field not in example.record:
            raise InputError(
                f"KPI {name}, record {example.number}: there is no field '{rare.field}', which "
                "rare_cases reads; name a field that every record has."
            )
        if label_text(example.record[rare.field]) in wanted:
            numbers.append(example.number)
    return RareSet(tuple(numbers), rare.budget)


def _rounded(column: Any) -> Floats:
    """Eight significant digits: as stored, so that stored and fresh outcomes are equal."""
    values = np.asarray(column, dtype=np.float64)
    flat = [float(f"{value:.8g}") for value in values.ravel()]
    return np.array(flat, dtype=np.float64).reshape(values.shape)
