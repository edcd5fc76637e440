"""A user's own function as a KPI."""

import importlib
import math
from collections.abc import Sequence
from typing import Any

from avss.comparing.outcomes import KpiOutcomes
from avss.errors import InputError
from avss.kpi_file.kinds import CustomKpi
from avss.kpis.prompts import Record, digest_inputs, select
from avss.kpis.results import build
from avss.kpis.subject import Subject


def measure_custom(subject: Subject, kpi: CustomKpi, records: Sequence[Record]) -> KpiOutcomes:
    """Column: the metric's own name. The function sees (model, tokenizer, records)."""
    selection = select(kpi, records, fields=())
    where = f"KPI {kpi.name}, function {kpi.function}"
    function = _import(kpi.function, where)
    try:
        values = list(
            function(subject.model, subject.tokenizer, [one.record for one in selection.examples])
        )
    except Exception as error:  # noqa: BLE001 - whatever a user's code raises
        # Its message may quote a record, so only its class is told.
        raise InputError(f"{where}: it raised {type(error).__name__}; run it alone.") from None
    if len(values) != len(records):
        raise InputError(
            f"{where}: it gave {len(values)} values for {len(records)} records; expected one each."
        )
    numbers = [_number(value, where, row) for row, value in enumerate(values, start=1)]
    if subject.progress is not None:
        subject.progress(len(records), len(records))
    return build(
        selection,
        {kpi.metric: numbers},
        inputs=digest_inputs([kpi.function], list(records)),
        higher_is_better=kpi.higher_is_better,
    )


def _import(name: str, where: str) -> Any:
    module, _, attribute = name.partition(":")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"{where}: it could not be imported ({type(error).__name__}). "
            "Expected module:function, on the Python path of the job."
        ) from error
    if not callable(function):
        raise InputError(f"{where}: it is not a function.")
    return function


def _number(value: Any, where: str, record: int) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{where}, record {record}: expected a finite number.")
    return number
