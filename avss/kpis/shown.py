"""A few answers as text, for people to read: what was asked, and what the model says to it.

The only place of this package that hands on text. Who calls it must be allowed to show it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from avss.kpi_file.kinds import CustomKpi, LmEvalKpi, PerplexityKpi
from avss.kpi_file.suite import Kpi
from avss.kpis.classification import measure_classification
from avss.kpis.greedy import cut_at_stop, greedy_answers
from avss.kpis.multiple_choice import choices_of, measure_multiple_choice
from avss.kpis.prompts import Prompter, Record, fill, select
from avss.kpis.subject import Subject

ANSWERING = ("classification", "multiple_choice", "generation", "agreement")
"""Kinds of KPI that have an answer to show."""


@dataclass(frozen=True)
class ShownAnswer:
    """One record, the KPI's prompt filled in with it, and the model's answer: label, choice or
    written text."""

    record: int
    """Its number, counted from 1."""
    asked: str
    answer: str


def show_answers(
    model: Any,
    tokenizer: Any,
    kpi: Kpi,
    records: Sequence[Record],
    numbers: Sequence[int],
    *,
    batch_tokens: int = 2048,
) -> tuple[ShownAnswer, ...]:
    """What a model answers to some records; nothing for kinds that have no answer.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        kpi: how it is asked.
        records: the data.
        numbers: the records to show, counted from 1; each can be used by the KPI.
        batch_tokens: positions a batch.

    Raises:
        InputError: as `avss.kpis.measure`.
    """
    if isinstance(kpi, PerplexityKpi | CustomKpi | LmEvalKpi) or not numbers:
        return ()
    chosen = [records[number - 1] for number in numbers]
    texts = _ANSWERS[kpi.kind](Subject(model, tokenizer, batch_tokens), kpi, chosen)
    asked = [fill(kpi.prompt, record) for record in chosen]
    return tuple(map(ShownAnswer, numbers, asked, texts))


def _labels(subject: Subject, kpi: Any, records: Sequence[Record]) -> list[str]:
    found = measure_classification(subject, kpi, records)
    names = list(kpi.labels)
    return [names[int(place)] for place in found.columns["predicted"]]


def _choices(subject: Subject, kpi: Any, records: Sequence[Record]) -> list[str]:
    found = measure_multiple_choice(subject, kpi, records)
    listed = choices_of(kpi, records)
    places = found.columns["predicted"]
    return [own[int(place)].strip() for own, place in zip(listed, places, strict=True)]


def _written(subject: Subject, kpi: Any, records: Sequence[Record]) -> list[str]:
    subject.require_decoder(kpi.name)
    selection = select(kpi, records, fields=())
    prompts, _ = Prompter(kpi, subject).prompts(selection, room=kpi.max_new_tokens)
    stop = getattr(kpi, "stop", ())
    written = greedy_answers(subject, prompts, max_new_tokens=kpi.max_new_tokens, stop=stop)
    texts = subject.tokenizer.batch_decode(written, skip_special_tokens=True)
    return [cut_at_stop(text, stop).strip() for text in texts]


_ANSWERS: Mapping[str, Callable[[Subject, Any, Sequence[Record]], list[str]]] = {
    "classification": _labels,
    "multiple_choice": _choices,
    "generation": _written,
    "agreement": _written,
}
