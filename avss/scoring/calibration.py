"""Calibration text to token sequences; text that could not rank anything is refused."""

from collections.abc import Sequence
from typing import Any

from avss.batching import tokenize
from avss.errors import InputError


def calibration_tokens(
    tokenizer: Any,
    texts: Sequence[str],
    *,
    max_tokens: int | None,
    max_length: int,
    min_texts: int = 0,
) -> list[list[int]]:
    """Token ids of each text that has any, in order, `max_tokens` in all at most.

    More only where the first `min_texts` hold more. Each text is cut at `max_length` tokens.
    Raises InputError, naming the record (from 1) where it is about one, for records that are no
    text or no valid Unicode, for options below 1, and where the text as a whole is empty, of one
    token, or of one token repeated.
    """
    for name, value in (("max_tokens", max_tokens), ("max_length", max_length)):
        if value is not None and value < 1:
            raise InputError(f"{name} is {value}: expected at least 1.")
    for number, text in enumerate(texts, start=1):
        _check_text(number, text)
    sequences = [ids for ids in tokenize(tokenizer, texts, max_length=max_length) if len(ids) > 0]
    if max_tokens is not None:
        sequences = _first_tokens(sequences, max(max_tokens, sum(map(len, sequences[:min_texts]))))
    special = set(getattr(tokenizer, "all_special_ids", ()))
    distinct = {token for ids in sequences for token in ids} - special
    if len(distinct) < 2:
        raise InputError(
            f"The calibration text ({len(texts)} records) holds {len(distinct)} different tokens: "
            "expected text as the model meets it in use, some thousand tokens of it."
        )
    return sequences


def longest_input(config: Any, tokenizer: Any) -> int:
    """The longest sequence that both a model's config and its tokenizer allow."""
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    limits = [positions, getattr(tokenizer, "model_max_length", None)]
    return min(int(limit) for limit in limits if limit and limit > 0) if any(limits) else 512


def _check_text(number: int, text: object) -> None:
    if not isinstance(text, str):
        raise InputError(
            f"Record {number} has no text but {type(text).__name__}: name the field that holds it."
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"Record {number} is not valid Unicode: save the file as UTF-8.") from None


def _first_tokens(sequences: list[list[int]], limit: int) -> list[list[int]]:
    kept = []
    for ids in sequences:
        if limit <= 0:
            break
        kept.append(ids[:limit])
        limit -= len(ids)
    return kept
