"""Slices by value and by rule."""

from typing import Any

import pytest

from avss.errors import InputError
from avss.kpi_file.parts import SliceRule
from avss.kpi_file.slices import empty_slices, slice_labels


@pytest.mark.parametrize(
    ("rule", "value", "label"),
    [
        ({}, "Acne", "f=Acne"),
        ({}, True, "f=True"),
        ({}, None, None),
        ({}, float("nan"), None),
        ({"by": "characters", "edges": [3, 6]}, "ab", "characters(f)=<3"),
        ({"by": "characters", "edges": [3, 6]}, "abc", "characters(f)=3-6"),
        ({"by": "characters", "edges": [3, 6]}, "abcdef", "characters(f)=>=6"),
        ({"by": "number", "edges": [0.5]}, "0.25", "number(f)=<0.5"),
        ({"by": "month"}, "2012-03-09", "month(f)=2012-03"),
        ({"by": "year"}, "2012-03-09T10:00:00Z", "year(f)=2012"),
        ({"by": "script"}, "Das ist gut", "script(f)=Latin"),
        ({"by": "script"}, "薬が効いた", "script(f)=Japanese"),
        ({"by": "script"}, "помогло", "script(f)=Cyrillic"),
        ({"by": "script"}, "42!", "script(f)=none"),
    ],
)
def test_the_label_of_a_record(rule: dict[str, Any], value: Any, label: str | None) -> None:
    rules = [SliceRule(field="f", **rule)]
    assert slice_labels("k", rules, [{"f": value}], [1]) == ((label,),)


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ({}, "private words " * 10),
        ({"by": "number", "edges": [1]}, "private"),
        ({"by": "month"}, "December 24, 2012"),
        ({"by": "year"}, "private"),
    ],
)
def test_what_a_rule_cannot_read_names_its_place_alone(rule: dict[str, Any], value: str) -> None:
    with pytest.raises(InputError, match="KPI k, record 7, field f: slice_by expected") as caught:
        slice_labels("k", [SliceRule(field="f", **rule)], [{"f": value}], [7])
    assert "private" not in str(caught.value)


def test_an_empty_slice_is_told() -> None:
    rules = ["part", SliceRule(field="text", by="characters", edges=(3, 6, 9))]
    records = [{"part": None, "text": "ab"}, {"part": float("nan"), "text": "abcdefg"}]
    notes = empty_slices(rules, slice_labels("k", rules, records, [1, 2]))
    assert notes == [
        "slice_by part: no example has a value in field 'part'",
        "slice characters(text)=3-6: no example is in it",
        "slice characters(text)=>=9: no example is in it",
    ]
    assert empty_slices(["part"], slice_labels("k", ["part"], [{"part": "a"}], [1])) == []
