"""From records to token ids: which records a KPI can use, prompts filled in, long ones cut."""

import hashlib
import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from avss.errors import InputError, NoRecordError
from avss.kpi_file.parts import PromptedKpi, template_fields
from avss.kpi_file.values import is_null
from avss.kpis.likelihood import Question
from avss.kpis.subject import Subject

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Example:
    """A record that a KPI can use, with its number counted from 1."""

    number: int
    record: Record


@dataclass(frozen=True)
class Selection:
    """The examples of a KPI, and how many records were left out, by reason."""

    kpi: Any
    examples: tuple[Example, ...]
    left_out: Mapping[str, int]

    def where(self, row: int) -> str:
        """How messages name an example."""
        return f"KPI {self.kpi.name}, record {self.examples[row].number}"


def select(
    kpi: Any,
    records: Sequence[Record],
    *,
    fields: Iterable[str],
    first: int = 1,
    refuse: Callable[[Record], str | None] | None = None,
) -> Selection:
    """Keep the records that have a value in all `fields` and that `refuse` gives no reason against.

    `first` is the first record's number. Raises InputError where a record lacks a field
    altogether, NoRecordError where no record is left.
    """
    examples, left_out = [], Counter[str]()
    wanted = tuple(dict.fromkeys(fields))
    for number, record in enumerate(records, start=first):
        for field in wanted:
            if field not in record:
                raise InputError(
                    f"KPI {kpi.name}, record {number}: there is no field '{field}'; "
                    "name a field that every record has."
                )
        empty = next((field for field in wanted if is_empty(record[field])), None)
        reason = f"field '{empty}' is empty" if empty else refuse and refuse(record)
        if reason:
            left_out[reason] += 1
        else:
            examples.append(Example(number, record))
    if not examples:
        raise NoRecordError(kpi.name, left_out)
    return Selection(kpi, tuple(examples), dict(left_out))


def fill(template: str, record: Record) -> str:
    """The template with the record's values in place of its fields."""
    return template.format_map({name: str(record[name]) for name in template_fields(template)})


def digest_inputs(*parts: Sequence[Any]) -> str:
    """SHA-256 (hex) of what a KPI asked, so that two models are compared on the same questions."""
    whole = json.dumps(parts, ensure_ascii=False, default=str)
    return hashlib.sha256(whole.encode()).hexdigest()


class Prompter:
    """Fills, encodes and cuts the prompts of one KPI for one model."""

    def __init__(self, kpi: PromptedKpi, subject: Subject) -> None:
        limits = [limit for limit in (kpi.max_tokens, subject.context) if limit is not None]
        self.kpi = kpi
        self.subject = subject
        self.limit = min(limits) if limits else None
        self.chat = kpi.chat and subject.tokenizer.chat_template is not None

    def text(self, record: Record) -> str:
        """The prompt of one record, as a user's turn where the KPI wants a chat."""
        prompt = fill(self.kpi.prompt, record)
        if not self.chat:
            return prompt
        turn = [{"role": "user", "content": prompt}]
        templated: str = self.subject.tokenizer.apply_chat_template(
            turn, tokenize=False, add_generation_prompt=True
        )
        return templated

    def head(self, text: str) -> str:
        """A prompt up to where the likelihood of its answers is read."""
        return text if self.chat else text.rstrip()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids; a chat template brings its own special tokens."""
        return self.subject.encode(list(texts), special=not self.chat)

    def prompts(self, selection: Selection, *, room: int) -> tuple[list[list[int]], int]:
        """Token ids of each prompt with `room` left for the answer, and how many were cut."""
        encoded = self.encode([self.text(example.record) for example in selection.examples])
        cut = 0
        for row, tokens in enumerate(encoded):
            if self.limit is not None and len(tokens) + room > self.limit:
                fitting = self._cut(
                    selection,
                    row,
                    lambda text: len(self.encode([text])[0]) + room,
                    len(tokens) + room,
                )
                encoded[row], cut = self.encode([self.text(fitting)])[0], cut + 1
        return encoded, cut

    def questions(
        self, selection: Selection, answers: Sequence[Sequence[str]]
    ) -> tuple[list[Question], int]:
        """A question for each example, `answers` being the continuations, and how many were cut."""
        texts = [self.text(example.record) for example in selection.examples]
        questions, cut = self._split_all(texts, answers), 0
        for row, question in enumerate(questions):
            length = _length(question)
            if self.limit is not None and length > self.limit:
                own = answers[row]
                fitting = self._cut(selection, row, partial(self._question_length, own), length)
                questions[row] = self._split_all([self.text(fitting)], [own])[0]
                cut += 1
        return questions, cut

    def _split_all(self, texts: Sequence[str], answers: Sequence[Sequence[str]]) -> list[Question]:
        """Encode prompt and answer as one text, so that tokens fall as they would in real text."""
        heads = [self.head(text) for text in texts]
        whole = [
            head + text[len(head) :] + answer
            for head, text, own in zip(heads, texts, answers, strict=True)
            for answer in own
        ]
        prompts, joined = self.encode(heads), iter(self.encode(whole))
        return [
            _split(prompt, [next(joined) for _ in own], self.subject.start_token)
            for prompt, own in zip(prompts, answers, strict=True)
        ]

    def _question_length(self, answers: Sequence[str], text: str) -> int:
        return _length(self._split_all([text], [answers])[0])

    def _cut(
        self, selection: Selection, row: int, length_of: Callable[[str], int], length: int
    ) -> Record:
        """The record with its longest prompt field (or the KPI's choice) cut until it fits."""
        kpi, record, limit = self.kpi, selection.examples[row].record, self.limit or length
        names = (kpi.truncate_field,) if kpi.truncate_field else template_fields(kpi.prompt)
        where = f"{selection.where(row)}: the example has {length} tokens, {limit} fit"
        if kpi.truncate == "refuse" or not names:
            raise InputError(f"{where}. Set truncate to start or end, or shorten the prompt.")
        field = max(names, key=lambda name: len(str(record[name])))
        text = str(record[field])

        def cut(keep: int) -> Record:
            return {**record, field: text[:keep] if kpi.truncate == "end" else text[-keep:]}

        keeps = range(1, len(text))
        fitting = bisect_right(keeps, limit, key=lambda keep: length_of(self.text(cut(keep))))
        if fitting == 0:
            raise InputError(f"{where}, even without field '{field}'. Shorten the prompt.")
        return cut(keeps[fitting - 1])


def _split(prompt: Sequence[int], whole: Sequence[Sequence[int]], start: int) -> Question:
    """Part prompt and answers where the prompt's tokens end, or where two answers first differ."""
    shared = min(len(prompt), *(len(tokens) - 1 for tokens in whole))
    same = next(
        (i for i in range(shared) if any(tokens[i] != prompt[i] for tokens in whole)), shared
    )
    return Question(
        tuple(prompt[:same]) or (start,), tuple(tuple(tokens[same:]) for tokens in whole)
    )


def _length(question: Question) -> int:
    return len(question.prompt) + max(len(answer) for answer in question.answers)


def is_empty(value: Any) -> bool:
    """Whether a field says nothing: null, NaN, or blanks."""
    return is_null(value) or (isinstance(value, str) and not value.strip())
