"""Perplexity of text a token, a word and a byte; of encoders, pseudo-perplexity."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from avss.comparing.metrics import Floats
from avss.comparing.outcomes import KpiOutcomes
from avss.errors import InputError
from avss.kpi_file.kinds import PerplexityKpi
from avss.kpi_file.parts import template_fields
from avss.kpis.prompts import Record, digest_inputs, fill, select
from avss.kpis.results import build
from avss.kpis.subject import Subject
from avss.kpis.text_loss import causal_losses, masked_losses

DEFAULT_WINDOW = 2048


def measure_perplexity(
    subject: Subject, kpi: PerplexityKpi, records: Sequence[Record]
) -> KpiOutcomes:
    """Columns: loss (nats, summed over the text), tokens, words, bytes (UTF-8)."""

    def refuse(record: Record) -> str | None:
        (tokens,) = subject.encode([fill(kpi.text, record)], special=False)
        return None if tokens else "the text has no tokens"

    selection = select(
        kpi,
        records,
        fields=template_fields(kpi.text),
        first=subject.first_record,
        refuse=refuse,
    )
    texts = [fill(kpi.text, example.record) for example in selection.examples]
    tokens = subject.encode(texts, special=False)
    losses = (_masked if subject.is_masked else _causal)(subject, kpi, tokens)
    columns = {
        "loss": losses,
        "tokens": np.array([len(ids) for ids in tokens]),
        "words": np.array([len(re.split(r"\s+", text)) for text in texts]),
        "bytes": np.array([len(text.encode()) for text in texts]),
    }
    return build(selection, columns, inputs=digest_inputs(tokens))


def _causal(subject: Subject, kpi: PerplexityKpi, tokens: Sequence[Sequence[int]]) -> Floats:
    subject.require_decoder(kpi.name)
    window = min(kpi.max_tokens or DEFAULT_WINDOW, subject.context or DEFAULT_WINDOW)
    return causal_losses(
        subject.model,
        tokens,
        start=subject.start_token,
        window=window,
        stride=min(kpi.stride or window, window),
        batch_tokens=subject.forward_tokens,
        progress=subject.progress,
    )


def _masked(subject: Subject, kpi: PerplexityKpi, tokens: Sequence[Sequence[int]]) -> Floats:
    """Text longer than the window is cut into pieces, each predicted on its own."""
    tokenizer = subject.tokenizer
    if tokenizer.mask_token_id is None:
        raise InputError(f"KPI {kpi.name}: the tokenizer has no mask token to hide a word with.")
    context = subject.context or DEFAULT_WINDOW
    before, after = _frame(tokenizer)
    config = subject.model.config
    # RoBERTa counts positions from pad_token_id + 1, inside max_position_embeddings.
    offset = (config.pad_token_id or 0) + 1 if "roberta" in config.model_type else 0
    window = max(1, min(kpi.max_tokens or context, context - offset - len(before) - len(after)))
    pieces = [
        (text, ids[at : at + window])
        for text, ids in enumerate(tokens)
        for at in range(0, len(ids), window)
    ]
    found = masked_losses(
        subject.model,
        [[*before, *ids, *after] for _, ids in pieces],
        predictable=[range(len(before), len(before) + len(ids)) for _, ids in pieces],
        mask_id=tokenizer.mask_token_id,
        batch_tokens=subject.forward_tokens,
        progress=subject.progress,
    )
    losses = np.zeros(len(tokens))
    np.add.at(losses, [text for text, _ in pieces], found)
    return losses


def _frame(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens that the tokenizer puts before and after a text."""
    encoded = tokenizer("a", return_special_tokens_mask=True)
    ids, special = encoded["input_ids"], encoded["special_tokens_mask"]
    first = special.index(0)
    last = len(special) - special[::-1].index(0)
    return ids[:first], ids[last:]
