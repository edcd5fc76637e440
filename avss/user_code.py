"""Functions of the user's own, named `module:function` in a file, and the numbers they give."""

import importlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from avss.comparing.metrics import Floats
from avss.errors import InputError


def user_function(name: str, where: str) -> Any:
    """Import `module:function`. Raises InputError, beginning with `where`."""
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


def user_numbers(
    function: Any, arguments: Sequence[Any], count: int, where: str, *, rows: bool = False
) -> Floats:
    """What the function gives for `count` records: (count,), or with `rows` also (count, k).

    Raises InputError, beginning with `where`, where it raises, gives another number of values, or
    one that is not a finite number; the record is named, counted from 1.
    """
    try:
        values = list(function(*arguments))
    except Exception as error:  # noqa: BLE001 - whatever a user's code raises
        # Its message may quote a record, so only its class is told.
        raise InputError(f"{where}: it raised {type(error).__name__}; run it alone.") from None
    if len(values) != count:
        raise InputError(
            f"{where}: it gave {len(values)} values for {count} records; expected one each."
        )
    found = [_numbers(value, f"{where}, record {at}", rows) for at, value in enumerate(values, 1)]
    widths = {len(row) for row in found}
    if len(widths) != 1:
        raise InputError(f"{where}: it gave rows of different lengths; expected all alike.")
    columns = np.array(found, dtype=np.float64)
    return columns if rows and columns.shape[1] > 1 else columns[:, 0]


def _numbers(value: Any, where: str, rows: bool) -> list[float]:
    try:
        numbers = np.atleast_1d(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError):
        numbers = np.array([math.nan])
    if not np.isfinite(numbers).all() or numbers.ndim > 1 or not len(numbers):
        raise InputError(f"{where}: expected a finite number{' or a row of them' if rows else ''}.")
    if len(numbers) > 1 and not rows:
        raise InputError(f"{where}: expected one number, found {len(numbers)}.")
    told: list[float] = numbers.tolist()
    return told
