"""Multiple choice: the continuation of the prompt that is most likely."""

from collections.abc import Sequence

import numpy as np

from avss.comparing.outcomes import KpiOutcomes
from avss.errors import InputError
from avss.kpi_file.kinds import MultipleChoiceKpi
from avss.kpi_file.parts import template_fields
from avss.kpi_file.values import label_text
from avss.kpis.likelihood import answer_log_likelihoods
from avss.kpis.prompts import (
    Example,
    Prompter,
    Record,
    Selection,
    digest_inputs,
    fill,
    select,
)
from avss.kpis.results import build
from avss.kpis.subject import Subject


def measure_multiple_choice(
    subject: Subject, kpi: MultipleChoiceKpi, records: Sequence[Record]
) -> KpiOutcomes:
    """Columns: predicted, correct, correct_normalized, margin (nats, right over best other)."""
    subject.require_decoder(kpi.name)
    inner = [name for choice in kpi.choices for name in template_fields(choice)]
    extra = [kpi.choices_field] if kpi.choices_field else inner
    fields = (*template_fields(kpi.prompt), *extra, kpi.target)
    selection = select(kpi, records, fields=fields, first=subject.first_record)
    choices = _listed(kpi, selection)
    truth = [
        _right(kpi, example, own) for example, own in zip(selection.examples, choices, strict=True)
    ]
    questions, cut = Prompter(kpi, subject).questions(selection, choices)
    found = answer_log_likelihoods(
        subject.model,
        questions,
        batch_tokens=subject.forward_tokens,
        progress=subject.progress,
    )
    by_length = [
        scores / np.array([len(text.strip()) for text in own])
        for scores, own in zip(found, choices, strict=True)
    ]
    columns = {
        "predicted": [scores.argmax() for scores in found],
        "correct": [scores.argmax() == right for scores, right in zip(found, truth, strict=True)],
        "correct_normalized": [
            scores.argmax() == right for scores, right in zip(by_length, truth, strict=True)
        ],
        "margin": [
            scores[right] - np.delete(scores, right).max()
            for scores, right in zip(found, truth, strict=True)
        ],
    }
    asked = [[question.prompt, question.answers] for question in questions]
    return build(selection, columns, inputs=digest_inputs(asked, truth), truncated=cut)


def choices_of(kpi: MultipleChoiceKpi, records: Sequence[Record]) -> list[list[str]]:
    """The continuations that each record offers."""
    return _listed(kpi, select(kpi, records, fields=()))


def _listed(kpi: MultipleChoiceKpi, selection: Selection) -> list[list[str]]:
    return [_choices(kpi, selection, row) for row in range(len(selection.examples))]


def _choices(kpi: MultipleChoiceKpi, selection: Selection, row: int) -> list[str]:
    record = selection.examples[row].record
    if kpi.choices_field is None:
        return [fill(choice, record) for choice in kpi.choices]
    listed = record[kpi.choices_field]
    if isinstance(listed, str) or not isinstance(listed, Sequence) or len(listed) < 2:
        raise InputError(
            f"{selection.where(row)}, field {kpi.choices_field}: expected a list of two or more."
        )
    return [f" {choice}" for choice in listed]


def _right(kpi: MultipleChoiceKpi, example: Example, choices: Sequence[str]) -> int:
    value = label_text(example.record[kpi.target])
    if kpi.target_is == "text":
        names = [label_text(choice) for choice in choices]
    elif kpi.target_is == "letter":
        names = [chr(ord("A") + place) for place in range(len(choices))]
        value = value.upper()
    else:
        names = [str(place) for place in range(len(choices))]
    if names.count(value) != 1:
        raise InputError(
            f"KPI {kpi.name}, record {example.number}, field {kpi.target}: expected the "
            f"{kpi.target_is} of exactly one of its {len(choices)} choices."
        )
    return names.index(value)
