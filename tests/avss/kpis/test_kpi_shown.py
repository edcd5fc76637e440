"""Answers as text are the answers that were measured, and how many differ is counted."""

from typing import Any

import pytest

from avss.comparing.outcomes import Outcomes
from avss.comparing.output_drift import compare_outputs
from avss.kpi_file.suite import load_kpis
from avss.kpis import measure
from avss.kpis.shown import show_answers

SUITE = load_kpis(
    {
        "kpis": [
            {
                "name": "label",
                "kind": "classification",
                "prompt": "Review: {text}\nIt is",
                "labels": {"positive": " positive", "negative": " negative"},
                "target": "label",
            },
            {
                "name": "choice",
                "kind": "multiple_choice",
                "prompt": "{text} is",
                "choices": [" good", " bad and awful"],
                "target": "right",
            },
            {
                "name": "write",
                "kind": "generation",
                "prompt": "{text}",
                "max_new_tokens": 6,
                "metrics": ["empty_rate"],
            },
            {"name": "same", "kind": "agreement", "prompt": "{text}", "max_new_tokens": 5},
            {"name": "text", "kind": "perplexity"},
        ]
    }
)
RECORDS = [
    {"text": text, "label": label, "right": at % 2}
    for at, (text, label) in enumerate(
        [
            ("the tablet helped with my pain", "positive"),
            ("it made me dizzy", "negative"),
            ("I slept well", "positive"),
            ("I stopped after a week", "negative"),
            ("awful", "negative"),
            ("good", "positive"),
        ]
    )
]


def outcomes(tiny: Any) -> Outcomes:
    return measure(tiny.model, tiny.tokenizer, SUITE, RECORDS)


def test_what_is_shown_is_what_was_measured(tiny: Any) -> None:
    measured = {kpi.name: kpi for kpi in outcomes(tiny).kpis}
    numbers = (5, 2, 3)
    shown = {
        kpi.name: show_answers(tiny.model, tiny.tokenizer, kpi, RECORDS, numbers)
        for kpi in SUITE.kpis
    }
    assert shown["text"] == ()
    assert [one.record for one in shown["label"]] == list(numbers)
    assert shown["label"][0].asked == "Review: awful\nIt is"
    labels = ("positive", "negative")
    for name, names in (("label", labels), ("choice", ("good", "bad and awful"))):
        predicted = measured[name].columns["predicted"]
        assert [one.answer for one in shown[name]] == [
            names[int(predicted[number - 1])] for number in numbers
        ]
    for name in ("write", "same"):
        assert all(one.answer == one.answer.strip() for one in shown[name])
        assert any(one.answer for one in shown[name])


def test_how_many_answers_differ_is_counted(tiny: Any, other: Any) -> None:
    base, candidate = outcomes(tiny), outcomes(other)
    drift = {kpi.kpi: kpi for kpi in compare_outputs(candidate, base).kpis}
    everything = range(1, len(RECORDS) + 1)
    for kpi in SUITE.kpis[:3]:
        one, two = (
            show_answers(it.model, it.tokenizer, kpi, RECORDS, everything) for it in (tiny, other)
        )
        apart = sum(a.answer != b.answer for a, b in zip(one, two, strict=True))
        assert drift[kpi.name].differ == apart, kpi.name
    assert drift["write"].label_flip_rate is None
    assert drift["write"].differ > 0
    assert "text" not in drift
    assert {kpi.differ for kpi in compare_outputs(base, base).kpis} == {0}


def test_outcomes_of_before_have_no_count_for_written_answers(tiny: Any) -> None:
    base = outcomes(tiny)
    for kpi in base.kpis:
        kpi.columns.pop("answer", None)
    assert "write" not in {kpi.kpi for kpi in compare_outputs(outcomes(tiny), base).kpis}


@pytest.mark.parametrize("kpi", SUITE.kpis, ids=lambda kpi: kpi.name)
def test_no_record_asks_for_no_answer(tiny: Any, kpi: Any) -> None:
    assert show_answers(tiny.model, tiny.tokenizer, kpi, RECORDS, ()) == ()
