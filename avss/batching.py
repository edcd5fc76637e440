"""Token sequences of unequal length, packed into padded batches under a token budget."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from avss.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class TokenBatch:
    """One right-padded batch.

    `input_ids` and `attention_mask` are (B, T) int64 on the CPU; the mask is 1 on tokens and 0 on
    padding. `rows[b]` is the index of row `b` in the sequences that were given.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    rows: tuple[int, ...]


def token_batches(
    sequences: Sequence[Sequence[int]], *, batch_tokens: int, pad_id: int = 0
) -> Iterator[TokenBatch]:
    """Batch sequences of like length together, longest first, so that little is padding.

    Rows and errors as `batch_rows` has them.
    """
    for rows in batch_rows(sequences, batch_tokens=batch_tokens):
        yield _padded([sequences[row] for row in rows], rows, pad_id)


def batch_rows(
    sequences: Sequence[Sequence[int]], *, batch_tokens: int
) -> Iterator[tuple[int, ...]]:
    """Which sequences go into each batch; the sequences of one batch alone are that batch again.

    A batch holds at most `batch_tokens` positions (B * T), but always at least one row. Every
    sequence appears exactly once. Raises InputError for an empty sequence or a budget below 1.
    """
    if batch_tokens < 1:
        raise InputError(f"batch_tokens is {batch_tokens}: expected at least 1.")
    empty = [row for row, tokens in enumerate(sequences) if len(tokens) == 0]
    if empty:
        raise InputError(
            f"Sequence {empty[0]} has no tokens ({len(empty)} such of {len(sequences)}): "
            "leave empty text out."
        )
    order = sorted(range(len(sequences)), key=lambda row: -len(sequences[row]))
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // len(sequences[order[start]]))
        yield tuple(order[start : start + size])
        start += size


def _padded(sequences: Sequence[Sequence[int]], rows: tuple[int, ...], pad_id: int) -> TokenBatch:
    width = max(len(tokens) for tokens in sequences)
    input_ids = torch.full((len(sequences), width), pad_id, dtype=torch.int64)
    mask = torch.zeros((len(sequences), width), dtype=torch.int64)
    for row, tokens in enumerate(sequences):
        input_ids[row, : len(tokens)] = torch.as_tensor(tokens, dtype=torch.int64)
        mask[row, : len(tokens)] = 1
    return TokenBatch(input_ids, mask, rows)


def tokenize(
    tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], *, max_length: int | None
) -> list[list[int]]:
    """Token ids of each text, with the special tokens that the tokenizer adds by itself.

    `max_length` cuts longer texts (in tokens, special ones included); None keeps them whole.
    Text without any token gives an empty list.
    """
    if not texts:
        return []
    encoded = tokenizer(
        list(texts),
        truncation=max_length is not None,
        max_length=max_length,
        return_attention_mask=False,
        verbose=False,
    )
    ids: list[list[int]] = encoded["input_ids"]
    return ids
