"""Log-likelihoods of answers to prompts, with every prompt computed once.

Prompts are padded on the left, so that each row's next token is the last position and the answers
follow on from the key/value cache. What all prompts begin with is computed once for all of them.
In float32 results differ by less than 1e-4 nats between batch sizes, from the order of sums alone.
"""

import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from avss.batching import token_batches
from avss.comparing.metrics import Floats
from avss.placement import entry_device

Tokens = tuple[int, ...]
Progress = Callable[[int, int], None]
"""Called with (done, all) examples after every batch."""

SHARED_TOKENS = 32
"""A common beginning shorter than this costs more to copy than to compute again."""


@dataclass(frozen=True)
class Question:
    """A prompt and its possible answers, as token ids; none of them empty."""

    prompt: Tokens
    answers: tuple[Tokens, ...]


@dataclass(frozen=True)
class PromptBatch:
    """Prompts that were run: `rows` in the order given, `logits` (B, V) of the next token.

    `cache` and `mask` (B, T) are what a continuation needs; `cache` is None where none is kept.
    """

    rows: tuple[int, ...]
    logits: torch.Tensor
    mask: torch.Tensor
    cache: DynamicCache | None


def answer_log_likelihoods(
    model: Any,
    questions: Sequence[Question],
    *,
    batch_tokens: int,
    progress: Progress | None = None,
) -> list[Floats]:
    """Natural log-likelihood of each answer given its prompt: for each question an array (k,).

    Answers of one token are all read from one forward pass of the prompt. Longer ones continue
    from its cache; where the model's cache cannot be cropped, they are computed with the prompt.
    """
    longer = any(len(answer) > 1 for question in questions for answer in question.answers)
    if longer and not _can_crop(model):
        return _whole_answers(model, questions, batch_tokens, progress)
    prompts = [question.prompt for question in questions]
    found = [np.empty(len(question.answers)) for question in questions]
    done = 0
    for batch in prompt_batches(model, prompts, batch_tokens=batch_tokens, keep_cache=longer):
        first = torch.log_softmax(at_least_float32(batch.logits), dim=-1)
        for place in range(max(len(questions[row].answers) for row in batch.rows)):
            answers = [_at(questions[row].answers, place) for row in batch.rows]
            sums = _first_and_rest(model, batch, first, answers)
            for row, total in zip(batch.rows, sums.tolist(), strict=True):
                if place < len(found[row]):
                    found[row][place] = total
        done += len(batch.rows)
        if progress is not None:
            progress(done, len(questions))
    return found


@torch.inference_mode()
def prompt_batches(
    model: Any, prompts: Sequence[Sequence[int]], *, batch_tokens: int, keep_cache: bool
) -> Iterator[PromptBatch]:
    """Run prompts in batches of like length, longest first, computing their common start once."""
    shared = _shared_start(prompts) if _can_crop(model) else 0
    start = _run_start(model, prompts[0][:shared]) if shared else None
    own = [prompt[shared:] for prompt in prompts]
    for padded in token_batches(own, batch_tokens=batch_tokens):
        ids, mask = left_padded([own[row] for row in padded.rows], entry_device(model))
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0) + shared
        cache = None
        if start is not None:
            cache = copy.deepcopy(start)
            cache.batch_repeat_interleave(len(ids))
            mask = torch.cat([mask.new_ones(len(ids), shared), mask], dim=1)
        out = model(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=keep_cache or cache is not None,
            logits_to_keep=1,
            **_positions(model, positions),
        )
        kept = out.past_key_values if keep_cache else None
        yield PromptBatch(padded.rows, out.logits[:, -1], mask, kept)


@torch.inference_mode()
def _first_and_rest(
    model: Any, batch: PromptBatch, first: torch.Tensor, answers: Sequence[Tokens]
) -> torch.Tensor:
    starts = torch.tensor([answer[0] for answer in answers], device=first.device)
    total = first.gather(1, starts[:, None])[:, 0].double()
    width = max(len(answer) for answer in answers) - 1
    if width == 0 or batch.cache is None:
        return total
    ids, mask = _pad_right([answer[:-1] for answer in answers], width, first.device)
    after, _ = _pad_right([answer[1:] for answer in answers], width, first.device)
    steps = torch.arange(width, device=first.device)
    out = model(
        input_ids=ids,
        attention_mask=torch.cat([batch.mask, mask], dim=1),
        past_key_values=batch.cache,
        use_cache=True,
        **_positions(model, batch.mask.sum(dim=1, keepdim=True) + steps),
    )
    batch.cache.crop(-width)
    rest = torch.log_softmax(at_least_float32(out.logits), dim=-1).gather(2, after[:, :, None])[
        :, :, 0
    ]
    return total + (rest.double() * mask).sum(dim=1)


@torch.inference_mode()
def _whole_answers(
    model: Any, questions: Sequence[Question], batch_tokens: int, progress: Progress | None
) -> list[Floats]:
    """Every answer with its prompt in front, for models whose state cannot be cropped."""
    pairs = [(q, place) for q, one in enumerate(questions) for place in range(len(one.answers))]
    whole = [questions[q].prompt + questions[q].answers[place][:-1] for q, place in pairs]
    found = [np.empty(len(question.answers)) for question in questions]
    done = 0
    for batch in token_batches(whole, batch_tokens=batch_tokens):
        answers = [questions[q].answers[place] for q, place in (pairs[row] for row in batch.rows)]
        ids, mask = left_padded([whole[row] for row in batch.rows], entry_device(model))
        logits = model(
            input_ids=ids,
            attention_mask=mask,
            use_cache=False,
            logits_to_keep=max(map(len, answers)),
            **_positions(model, (mask.cumsum(dim=1) - 1).clamp(min=0)),
        ).logits
        for row, answer, scores in zip(batch.rows, answers, logits, strict=True):
            chosen = torch.tensor(answer, device=entry_device(model))[:, None]
            likely = torch.log_softmax(at_least_float32(scores[-len(answer) :]), dim=-1).gather(
                1, chosen
            )
            q, place = pairs[row]
            found[q][place] = likely.double().sum().item()
        done += len(batch.rows)
        if progress is not None:
            progress(done, len(pairs))
    return found


def _run_start(model: Any, start: Sequence[int]) -> DynamicCache:
    ids = torch.tensor([list(start)], device=entry_device(model))
    cache: DynamicCache = model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
    return cache


def _shared_start(prompts: Sequence[Sequence[int]]) -> int:
    """Tokens that all prompts begin with, one left over for each to run; 0 where too few."""
    if len(prompts) < 2:
        return 0
    low, high = min(map(tuple, prompts)), max(map(tuple, prompts))
    limit = min(len(prompt) for prompt in prompts) - 1
    shared = next((i for i in range(limit) if low[i] != high[i]), limit)
    return shared if shared >= SHARED_TOKENS else 0


def _can_crop(model: Any) -> bool:
    layers = DynamicCache(config=model.config).layers
    return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)


def _positions(model: Any, positions: torch.Tensor) -> dict[str, torch.Tensor]:
    """Models that place tokens by the mask alone (ALiBi) take no position ids."""
    takes = "position_ids" in inspect.signature(model.forward).parameters
    return {"position_ids": positions} if takes else {}


def at_least_float32(logits: torch.Tensor) -> torch.Tensor:
    """Half precision is too coarse for log-likelihoods; float64 stays what it is."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def left_padded(
    sequences: Sequence[Sequence[int]], device: torch.device, pad_id: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, both (B, T) int64, every row ending at the last position."""
    width = max(len(tokens) for tokens in sequences)
    ids = [[pad_id] * (width - len(tokens)) + list(tokens) for tokens in sequences]
    mask = [[0] * (width - len(tokens)) + [1] * len(tokens) for tokens in sequences]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _pad_right(
    rows: Sequence[Tokens], width: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    ids = [[*row, *([0] * (width - len(row)))] for row in rows]
    mask = [[1] * len(row) + [0] * (width - len(row)) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _at(answers: Sequence[Tokens], place: int) -> Tokens:
    """The answer at a place; for shorter lists their last one, computed and not used."""
    return answers[min(place, len(answers) - 1)]
