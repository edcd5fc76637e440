"""What a model makes of a text in its first layer: a cheap picture of how it sees the text."""

from collections.abc import Sequence
from typing import Any

import torch

from avss.architecture import LayerStack, find_stack
from avss.batching import token_batches, tokenize
from avss.memory import within_memory
from avss.scoring.one_pass import run_layers


class _EnoughError(Exception):
    """The first layer has spoken; the others need not."""


def first_layer_states(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str],
    *,
    max_length: int = 512,
    batch_tokens: int = 8192,
) -> torch.Tensor:
    """The hidden state after the first layer, averaged over a text's tokens: (texts, features).

    float32 on the CPU; zeros for a text without any token. Of each text at most `max_length`
    tokens are read. The layers after the first are not run.

    Raises UnsupportedArchitectureError where the layers cannot be found.
    """
    stack = find_stack(model)
    limit = min(max_length, getattr(stack.config, "max_position_embeddings", None) or max_length)
    tokens = tokenize(tokenizer, texts, max_length=limit)
    return within_memory(lambda size: _means(model, stack, tokens, size), batch_tokens, model)


def _means(
    model: Any, stack: LayerStack, tokens: Sequence[Sequence[int]], batch_tokens: int
) -> torch.Tensor:
    seen: list[torch.Tensor] = []

    def keep(_: Any, __: Any, output: Any) -> None:
        seen.append(output[0] if isinstance(output, tuple | list) else output)
        raise _EnoughError

    filled = [row for row, ids in enumerate(tokens) if ids]
    result: torch.Tensor | None = None
    handle = stack.layers[0].register_forward_hook(keep)
    try:
        with torch.inference_mode():
            for batch in token_batches([tokens[row] for row in filled], batch_tokens=batch_tokens):
                try:
                    run_layers(model, stack, batch)
                except _EnoughError:
                    hidden = seen.pop().float().cpu()
                weights = batch.attention_mask.float().unsqueeze(-1)
                means = (hidden * weights).sum(1) / weights.sum(1)
                if result is None:
                    result = torch.zeros(len(tokens), means.shape[-1])
                result[[filled[row] for row in batch.rows]] = means
    finally:
        handle.remove()
    return torch.zeros(len(tokens), 0) if result is None else result
