"""Greedy decoding in batches."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from avss.batching import token_batches
from avss.kpis.likelihood import left_padded
from avss.kpis.subject import Subject
from avss.placement import entry_device


def greedy_answers(
    subject: Subject,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    stop: Sequence[str] = (),
) -> list[list[int]]:
    """Token ids that the model writes after each prompt, up to its end token or a stop string."""
    end = _end_tokens(subject)
    config = GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,
        num_beams=1,
        eos_token_id=list(end) or None,
        pad_token_id=subject.pad_token,
    )
    room = [[*prompt, *([0] * max_new_tokens)] for prompt in prompts]
    written: list[list[int]] = [[] for _ in prompts]
    done = 0
    for batch in token_batches(room, batch_tokens=subject.batch_tokens):
        ids, mask = left_padded(
            [prompts[row] for row in batch.rows], entry_device(subject.model), subject.pad_token
        )
        stopping = _StopStrings(subject.tokenizer, stop, ids.shape[1])
        out = subject.model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=config,
            stopping_criteria=StoppingCriteriaList([stopping] if stop else []),
        )
        for row, tokens in zip(batch.rows, out[:, ids.shape[1] :].tolist(), strict=True):
            last = next((at for at, token in enumerate(tokens) if token in end), len(tokens))
            written[row] = tokens[:last]
        done += len(batch.rows)
        if subject.progress is not None:
            subject.progress(done, len(prompts))
    return written


def cut_at_stop(text: str, stop: Sequence[str]) -> str:
    """The text before the first stop string."""
    ends = [at for at in (text.find(string) for string in stop) if at >= 0]
    return text[: min(ends)] if ends else text


class _StopStrings(StoppingCriteria):  # type: ignore[misc]
    """Rows that have written a stop string are done."""

    def __init__(self, tokenizer: Any, stop: Sequence[str], start: int) -> None:
        self.tokenizer, self.stop, self.start = tokenizer, tuple(stop), start

    def __call__(self, input_ids: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        texts = self.tokenizer.batch_decode(input_ids[:, self.start :], skip_special_tokens=True)
        done = [any(string in text for string in self.stop) for text in texts]
        return torch.tensor(done, device=input_ids.device)


def _end_tokens(subject: Subject) -> frozenset[int]:
    named = subject.model.generation_config.eos_token_id
    listed = named if isinstance(named, list) else [named]
    return frozenset(
        int(token) for token in (*listed, subject.tokenizer.eos_token_id) if token is not None
    )
