"""Agreement with the base: what a model would say next, in a form that can be kept and compared.

Each model is measured alone and the two are compared later, so the base is measured once. Kept are
the most likely token, next-token probabilities summed into buckets, and a fingerprint of what was
written up to each token.
"""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from avss.comparing.metrics import Floats
from avss.comparing.outcomes import KpiOutcomes
from avss.kpi_file.kinds import AgreementKpi
from avss.kpi_file.parts import template_fields
from avss.kpis.classification import check_labels, label_columns
from avss.kpis.greedy import greedy_answers
from avss.kpis.likelihood import answer_log_likelihoods, prompt_batches
from avss.kpis.prompts import Prompter, Record, Selection, digest_inputs, select
from avss.kpis.results import build
from avss.kpis.subject import Subject

BUCKETS = 128
"""Token t falls into bucket t mod BUCKETS."""


def measure_agreement(
    subject: Subject, kpi: AgreementKpi, records: Sequence[Record]
) -> KpiOutcomes:
    """Columns, as far as the metrics need them.

    top1 (token id), next_token (n, 128) probabilities of buckets, label_log_likelihoods (n,
    labels), written (n, max_new_tokens) fingerprints, NaN after the end.
    """
    subject.require_decoder(kpi.name)
    selection = select(kpi, records, fields=template_fields(kpi.prompt), first=subject.first_record)
    prompter = Prompter(kpi, subject)
    writes = "generation_agreement" in kpi.metrics
    prompts, cut = prompter.prompts(selection, room=kpi.max_new_tokens if writes else 1)
    columns: dict[str, Any] = {}
    if {"top1_agreement", "next_token_kl"} & set(kpi.metrics):
        columns |= _next_token(subject, prompts)
    if kpi.labels:
        columns |= _labels(subject, kpi, prompter, selection)
    if writes:
        columns["written"] = _fingerprints(
            greedy_answers(subject, prompts, max_new_tokens=kpi.max_new_tokens),
            kpi.max_new_tokens,
        )
    return build(selection, columns, inputs=digest_inputs(prompts), truncated=cut)


def _next_token(subject: Subject, prompts: Sequence[Sequence[int]]) -> dict[str, Floats]:
    top, buckets = np.empty(len(prompts)), np.zeros((len(prompts), BUCKETS))
    for batch in prompt_batches(
        subject.model, prompts, batch_tokens=subject.forward_tokens, keep_cache=False
    ):
        rows = list(batch.rows)
        likely = torch.softmax(batch.logits.double(), dim=-1)
        bucket = torch.arange(likely.shape[1], device=likely.device) % BUCKETS
        sums = likely.new_zeros((len(rows), BUCKETS)).index_add_(1, bucket, likely)
        top[rows] = likely.argmax(dim=1).cpu().numpy()
        buckets[rows] = sums.cpu().numpy()
    return {"top1": top, "next_token": buckets}


def _labels(
    subject: Subject, kpi: AgreementKpi, prompter: Prompter, selection: Selection
) -> dict[str, Floats]:
    answers = [list(kpi.labels.values())] * len(selection.examples)
    questions, _ = prompter.questions(selection, answers)
    check_labels(selection, questions, list(kpi.labels))
    found = answer_log_likelihoods(
        subject.model,
        questions,
        batch_tokens=subject.forward_tokens,
        progress=subject.progress,
    )
    return {"predicted": label_columns(np.stack(found))["predicted"]}


def _fingerprints(written: Sequence[Sequence[int]], width: int) -> Floats:
    """Checksum of all tokens up to each place: equal as long as two texts have not parted."""
    prints = np.full((len(written), width), np.nan)
    for row, tokens in enumerate(written):
        running = 0
        for at, token in enumerate(tokens):
            running = zlib.crc32(token.to_bytes(4, "big"), running)
            prints[row, at] = running & 0xFFFFFF  # what eight digits hold
    return prints
