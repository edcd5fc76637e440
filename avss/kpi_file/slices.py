"""Which slices a record belongs to, by the value of a field or by a rule."""

import bisect
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from avss.errors import InputError
from avss.kpi_file.parts import SliceRule
from avss.kpi_file.values import is_null

MAX_LABEL = 120


def slice_labels(
    kpi: str,
    slice_by: Sequence[str | SliceRule],
    records: Sequence[Mapping[str, Any]],
    numbers: Sequence[int],
) -> tuple[tuple[str | None, ...], ...]:
    """One tuple of labels for each rule, a label a record such as `condition=Acne`.

    A record whose field is null has no label there. Raises InputError, naming KPI, record number
    and field, for a missing field, a value that the rule cannot read, and free text as a slice.
    """
    groups = []
    for rule in map(_rule, slice_by):
        name = _name(rule)
        labels = []
        for record, number in zip(records, numbers, strict=True):
            try:
                label = _label(rule, record)
            except (KeyError, ValueError) as error:
                raise InputError(
                    f"KPI {kpi}, record {number}, field {rule.field}: {_advice(rule, error)}"
                ) from None
            labels.append(None if label is None else f"{name}={label}")
        groups.append(tuple(labels))
    return tuple(groups)


def empty_slices(
    slice_by: Sequence[str | SliceRule], slices: Sequence[Sequence[str | None]]
) -> list[str]:
    """A note for each rule that finds no value, and each of its ranges that no example is in."""
    notes = []
    for rule, labels in zip(map(_rule, slice_by), slices, strict=True):
        seen = set(labels) - {None}
        if not seen:
            notes.append(f"slice_by {_name(rule)}: no example has a value in field '{rule.field}'")
            continue
        edges = rule.edges
        values = (edges[0] - 1, *edges) if edges else ()
        ranges = [f"{_name(rule)}={_range(value, edges)}" for value in values]
        notes += [f"slice {name}: no example is in it" for name in ranges if name not in seen]
    return notes


def _rule(spec: str | SliceRule) -> SliceRule:
    return SliceRule(field=spec) if isinstance(spec, str) else spec


def _name(rule: SliceRule) -> str:
    return rule.field if rule.by == "value" else f"{rule.by}({rule.field})"


def _label(rule: SliceRule, record: Mapping[str, Any]) -> str | None:
    value = record[rule.field]
    if is_null(value):
        return None
    text = str(value)
    if rule.by == "value":
        if len(text) > MAX_LABEL:
            raise ValueError
        return text
    if rule.by == "script":
        return _script(text)
    if rule.by in ("month", "year"):
        match = re.match(r"\d{4}-(0[1-9]|1[0-2])", text)
        if match is None:
            raise ValueError
        return match[0] if rule.by == "month" else match[0][:4]
    return _range(len(text) if rule.by == "characters" else float(text), rule.edges)


def _range(value: float, edges: Sequence[float]) -> str:
    place = bisect.bisect_right(edges, value)
    if place == 0:
        return f"<{edges[0]:g}"
    if place == len(edges):
        return f">={edges[-1]:g}"
    return f"{edges[place - 1]:g}-{edges[place]:g}"


def _script(text: str) -> str:
    scripts = Counter(
        unicodedata.name(letter, "other").split()[0].title() for letter in text if letter.isalpha()
    )
    if scripts["Hiragana"] + scripts["Katakana"]:
        return "Japanese"
    return scripts.most_common(1)[0][0] if scripts else "none"


def _advice(rule: SliceRule, error: Exception) -> str:
    if isinstance(error, KeyError):
        return "slice_by asks for this field, and the record lacks it."
    expected = {
        "value": f"a value of at most {MAX_LABEL} characters; slice text by characters or script",
        "month": "an ISO 8601 date such as 2024-03-31",
        "year": "an ISO 8601 date such as 2024-03-31",
        "number": "a number",
    }
    return f"slice_by expected {expected[rule.by]}."
