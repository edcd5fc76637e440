"""The loss of text under a language model: windows, and never all logits at once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from avss.batching import token_batches
from avss.comparing.metrics import Floats
from avss.kpis.likelihood import Progress, Tokens, at_least_float32
from avss.placement import entry_device

CHUNK_FLOATS = 1 << 23
"""Logits held at once (32 MB in float32)."""

PROBE_TOKENS = 8


@dataclass(frozen=True)
class Window:
    """Token ids of part of a text; the last `targets` are predicted, each from those before."""

    text: int
    tokens: Tokens
    targets: int


def windows(
    texts: Sequence[Sequence[int]], *, start: int, window: int, stride: int
) -> list[Window]:
    """Cut texts into windows of at most `window` inputs that predict `stride` tokens each.

    Every token of every text is predicted exactly once. The first is predicted from the `start`
    token. With `stride` equal to `window` these are the rolling windows of lm-evaluation-harness.
    """
    cut = []
    for text, tokens in enumerate(texts):
        whole = (start, *tokens)
        first = min(window, len(tokens))
        ends = [first, *range(first + stride, len(tokens), stride)]
        if ends[-1] < len(tokens):
            ends.append(len(tokens))
        done = 0
        for end in ends:
            cut.append(Window(text, whole[max(0, end - window) : end + 1], end - done))
            done = end
    return cut


@torch.inference_mode()
def causal_losses(
    model: Any,
    texts: Sequence[Sequence[int]],
    *,
    start: int,
    window: int,
    stride: int,
    batch_tokens: int,
    progress: Progress | None = None,
) -> Floats:
    """Summed loss (nats) of each text under a causal model, (n,) float64. No text is empty."""
    parts = windows(texts, start=start, window=window, stride=stride)
    losses, done = np.zeros(len(texts)), 0
    states = _states(model)
    for batch in token_batches([part.tokens[:-1] for part in parts], batch_tokens=batch_tokens):
        hidden, head = states(batch.input_ids, batch.attention_mask)
        wanted, after = _targets([parts[row] for row in batch.rows], hidden.shape[1])
        found = torch.zeros(after.shape, dtype=torch.float64)
        found[wanted] = _chunked_losses(head, hidden[wanted.to(hidden.device)], after[wanted])
        for row, loss in zip(batch.rows, found.sum(dim=1).tolist(), strict=True):
            losses[parts[row].text] += loss
        done += len(batch.rows)
        if progress is not None:
            progress(done, len(parts))
    return losses


@torch.inference_mode()
def masked_losses(
    model: Any,
    texts: Sequence[Sequence[int]],
    *,
    predictable: Sequence[Sequence[int]],
    mask_id: int,
    batch_tokens: int,
    progress: Progress | None = None,
) -> Floats:
    """Pseudo-log-loss (nats) of each text under a masked model, (n,) float64 (Salazar et al. 2020).

    `texts` hold the special tokens; `predictable[i]` are the positions of text i that are masked,
    one at a time, and predicted from all the others.
    """
    places = [(text, at) for text, positions in enumerate(predictable) for at in positions]
    rows = [
        [mask_id if i == at else token for i, token in enumerate(texts[text])]
        for text, at in places
    ]
    losses, done = np.zeros(len(texts)), 0
    for batch in token_batches(rows, batch_tokens=batch_tokens):
        at = torch.tensor([places[row][1] for row in batch.rows])
        truth = torch.tensor([texts[places[row][0]][places[row][1]] for row in batch.rows])
        with _head_sees(model, at):
            logits = model(
                input_ids=batch.input_ids.to(entry_device(model)),
                attention_mask=batch.attention_mask.to(entry_device(model)),
            ).logits[:, 0]
        found = functional.cross_entropy(at_least_float32(logits).cpu(), truth, reduction="none")
        for row, loss in zip(batch.rows, found.tolist(), strict=True):
            losses[places[row][0]] += loss
        done += len(batch.rows)
        if progress is not None:
            progress(done, len(rows))
    return losses


def _states(model: Any) -> Any:
    """A function (ids, mask) -> (hidden states (B, T, H), head).

    Some models scale or cap what their head gives. A few tokens tell: for such a model the states
    are its own logits, and the head does nothing.
    """
    head = model.get_output_embeddings()
    body, device = model.base_model, entry_device(model)

    def hidden(ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, Any]:
        out = body(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False)
        return out.last_hidden_state, head

    def logits(ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, Any]:
        out = model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False)
        return out.logits, torch.nn.Identity()

    if head is None or body is model:
        return logits
    probe = torch.arange(PROBE_TOKENS)[None], torch.ones((1, PROBE_TOKENS), dtype=torch.int64)
    seen: list[torch.Tensor] = []
    hook = body.register_forward_hook(lambda _, __, out: seen.append(out.last_hidden_state))
    try:
        told = logits(*probe)[0]
    finally:
        hook.remove()
    same = seen and torch.allclose(head(seen[0]).float(), told.float(), rtol=1e-4, atol=1e-5)
    return hidden if same else logits


def _targets(parts: Sequence[Window], width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Which positions are predicted, (B, T) bool, and the token that follows each, (B, T)."""
    wanted = torch.zeros((len(parts), width), dtype=torch.bool)
    after = torch.zeros((len(parts), width), dtype=torch.int64)
    for row, part in enumerate(parts):
        inputs = len(part.tokens) - 1
        wanted[row, inputs - part.targets : inputs] = True
        after[row, :inputs] = torch.tensor(part.tokens[1:])
    return wanted, after


def _chunked_losses(head: Any, hidden: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Loss (nats) of each of N tokens, (N,) float64, from states (N, H)."""
    vocabulary = getattr(head, "out_features", hidden.shape[1])
    size = max(1, CHUNK_FLOATS // vocabulary)
    losses = []
    for states, tokens in zip(torch.split(hidden, size), torch.split(after, size), strict=True):
        logits = at_least_float32(head(states))
        found = functional.cross_entropy(logits, tokens.to(logits.device), reduction="none")
        losses.append(found.double().cpu())
    return torch.cat(losses)


@contextmanager
def _head_sees(model: Any, at: torch.Tensor) -> Iterator[None]:
    """Inside, the head is given one position a row, `at` (B,), in place of all T."""

    def narrow(_: Any, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        (hidden,) = inputs
        rows = torch.arange(len(hidden), device=hidden.device)
        return (hidden[rows, at.to(hidden.device)][:, None],)

    hook = model.get_output_embeddings().register_forward_pre_hook(narrow)
    try:
        yield
    finally:
        hook.remove()
