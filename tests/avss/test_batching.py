"""Batches hold every sequence once, within the budget, padded on the right."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avss.batching import token_batches, tokenize
from avss.errors import InputError

SEQUENCES = st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=12), max_size=20)


@given(SEQUENCES, st.integers(1, 40))
def test_every_sequence_is_in_one_batch_as_it_was(
    sequences: list[list[int]], batch_tokens: int
) -> None:
    seen = {}
    for batch in token_batches(sequences, batch_tokens=batch_tokens, pad_id=0):
        rows, width = batch.input_ids.shape
        assert rows == len(batch.rows) == 1 or rows * width <= batch_tokens
        for row, ids, mask in zip(batch.rows, batch.input_ids, batch.attention_mask, strict=True):
            length = int(mask.sum())
            assert mask[:length].all()
            assert not ids[length:].any()
            assert row not in seen
            seen[row] = ids[:length].tolist()
    assert seen == dict(enumerate(sequences))


@given(SEQUENCES)
def test_longest_come_first(sequences: list[list[int]]) -> None:
    widths = [batch.input_ids.shape[1] for batch in token_batches(sequences, batch_tokens=24)]
    assert widths == sorted(widths, reverse=True)


def test_an_empty_sequence_is_refused_by_number() -> None:
    with pytest.raises(InputError, match="Sequence 1 has no tokens"):
        list(token_batches([[1], []], batch_tokens=8))


def test_a_budget_below_one_is_refused() -> None:
    with pytest.raises(InputError, match="batch_tokens is 0"):
        list(token_batches([[1]], batch_tokens=0))


def test_tokenize_cuts_at_the_length_asked_for(words) -> None:
    assert tokenize(words, ["w0 w1 w2", "", "w3"], max_length=2) == [[2, 3], [], [5]]
    assert tokenize(words, ["w0 w1 w2"], max_length=None) == [[2, 3, 4]]
    assert tokenize(words, [], max_length=None) == []
