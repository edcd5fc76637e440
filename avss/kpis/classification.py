"""Classification: by the likelihood of each label's continuation, or by the model's own head."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from avss.batching import token_batches
from avss.comparing.metrics import Floats
from avss.comparing.outcomes import KpiOutcomes
from avss.errors import InputError
from avss.kpi_file.kinds import ClassificationKpi
from avss.kpi_file.parts import template_fields
from avss.kpi_file.values import label_text
from avss.kpis.likelihood import Question, answer_log_likelihoods
from avss.kpis.prompts import Prompter, Record, Selection, digest_inputs, select
from avss.kpis.results import build
from avss.kpis.subject import Subject
from avss.placement import entry_device


def measure_classification(
    subject: Subject, kpi: ClassificationKpi, records: Sequence[Record]
) -> KpiOutcomes:
    """Columns: truth, predicted, correct; probabilities and log_likelihoods, both (n, labels)."""
    names = list(kpi.labels)

    def refuse(record: Record) -> str | None:
        return None if label_text(record[kpi.target]) in kpi.labels else "its label is not listed"

    selection = select(
        kpi,
        records,
        fields=(*template_fields(kpi.prompt), kpi.target),
        first=subject.first_record,
        refuse=refuse,
    )
    by = _by_head if subject.is_classifier else _by_likelihood
    scores, cut, asked = by(subject, kpi, selection)
    truth = np.array(
        [names.index(label_text(example.record[kpi.target])) for example in selection.examples]
    )
    unseen = [name for at, name in enumerate(names) if at not in truth]
    return build(
        selection,
        {"truth": truth, **label_columns(scores), "correct": scores.argmax(axis=1) == truth},
        inputs=digest_inputs(asked, truth.tolist()),
        truncated=cut,
        notes=[f"no example has the label '{name}'" for name in unseen],
    )


def label_columns(scores: Floats) -> dict[str, Floats]:
    """What label scores (n, labels), log-likelihoods, say; probabilities are among the labels."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return {
        "log_likelihoods": scores,
        "probabilities": shifted / shifted.sum(axis=1, keepdims=True),
        "predicted": scores.argmax(axis=1).astype(np.float64),
    }


def check_labels(selection: Selection, questions: Sequence[Question], names: Sequence[str]) -> None:
    """Refuse labels whose tokens are, or begin, another's: the longer one could never win."""
    seen: set[tuple[tuple[int, ...], ...]] = set()
    for row, question in enumerate(questions):
        if question.answers in seen:
            continue
        seen.add(question.answers)
        for one, tokens in zip(names, question.answers, strict=True):
            for other, others in zip(names, question.answers, strict=True):
                if one != other and others[: len(tokens)] == tokens:
                    raise InputError(
                        f"{selection.where(row)}, labels: the tokens of '{one}' begin those of "
                        f"'{other}', which could never be more likely. Choose other continuations."
                    )


def _by_likelihood(
    subject: Subject, kpi: ClassificationKpi, selection: Selection
) -> tuple[Floats, int, list[Any]]:
    subject.require_decoder(kpi.name)
    answers = [list(kpi.labels.values())] * len(selection.examples)
    questions, cut = Prompter(kpi, subject).questions(selection, answers)
    check_labels(selection, questions, list(kpi.labels))
    found = answer_log_likelihoods(
        subject.model,
        questions,
        batch_tokens=subject.forward_tokens,
        progress=subject.progress,
    )
    scores = np.stack(found)
    if kpi.length_normalized:
        scores /= np.array([[len(answer) for answer in one.answers] for one in questions])
    return scores, cut, [[one.prompt, one.answers] for one in questions]


@torch.inference_mode()
def _by_head(
    subject: Subject, kpi: ClassificationKpi, selection: Selection
) -> tuple[Floats, int, list[Any]]:
    model = subject.model
    places = {str(name): int(place) for name, place in model.config.label2id.items()}
    heads = [head.strip() for head in kpi.labels.values()]  # the space is for causal models
    unknown = [head for head in heads if head not in places]
    if unknown:
        raise InputError(
            f"KPI {kpi.name}, labels: the model's head has no label '{unknown[0]}'; "
            f"it has {', '.join(places)}."
        )
    prompts, cut = Prompter(kpi, subject).prompts(selection, room=0)
    columns = [places[head] for head in heads]
    scores, done = np.empty((len(prompts), len(columns))), 0
    for batch in token_batches(
        prompts, batch_tokens=subject.forward_tokens, pad_id=subject.pad_token
    ):
        logits = model(
            input_ids=batch.input_ids.to(entry_device(model)),
            attention_mask=batch.attention_mask.to(entry_device(model)),
        ).logits
        chosen = torch.log_softmax(logits.double(), dim=-1)[:, columns]
        scores[list(batch.rows)] = chosen.cpu().numpy()
        done += len(batch.rows)
        if subject.progress is not None:
            subject.progress(done, len(prompts))
    return scores, cut, prompts
