"""Mean next-token loss of a causal language model over token sequences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from avss.batching import TokenBatch, token_batches
from avss.errors import UnsupportedArchitectureError
from avss.memory import within_memory
from avss.placement import entry_device

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass
class LossSum:
    """Negative log likelihoods in nats, summed over `tokens` predicted tokens."""

    nats: float = 0.0
    tokens: int = 0

    def add(self, logits: Tensor, batch: TokenBatch) -> None:
        """Add every real token of `batch` but each row's first; `logits` is (B, T, V)."""
        for nats in row_nats(logits, batch):
            self.nats += nats
        self.tokens += int(batch.attention_mask[:, 1:].sum())

    @property
    def mean(self) -> float:
        """Nats a token; NaN over no tokens."""
        return self.nats / self.tokens if self.tokens else float("nan")


def row_nats(logits: Tensor, batch: TokenBatch) -> Iterator[float]:
    """Each row's summed loss over its real tokens but the first; `logits` is (B, T, V)."""
    wanted = batch.input_ids[:, 1:].masked_fill(batch.attention_mask[:, 1:] == 0, -100)
    for row, tokens in zip(logits, wanted.to(logits.device), strict=True):  # logits are large
        yield functional.cross_entropy(row[:-1].float(), tokens, reduction="sum").item()


def mean_loss(
    model: "PreTrainedModel", sequences: Sequence[Sequence[int]], *, batch_tokens: int
) -> LossSum:
    """The model's loss on `sequences`, right padded; no token beyond them is predicted."""
    return within_memory(lambda size: _loss(model, sequences, size), batch_tokens, model)


@torch.no_grad()
def _loss(
    model: "PreTrainedModel", sequences: Sequence[Sequence[int]], batch_tokens: int
) -> LossSum:
    total, device = LossSum(), entry_device(model)
    for batch in token_batches(sequences, batch_tokens=batch_tokens):
        output = model(
            input_ids=batch.input_ids.to(device),
            attention_mask=batch.attention_mask.to(device),
            use_cache=False,
        )
        total.add(output.logits, batch)
    return total


@torch.no_grad()
def require_causal(model: "PreTrainedModel") -> None:
    """Raise UnsupportedArchitectureError unless earlier logits ignore later tokens."""
    causal = not model.config.is_encoder_decoder
    if causal:
        device = entry_device(model)
        ids = torch.tensor([[0, 1, 2], [0, 1, 3]], device=device)
        logits = getattr(model(input_ids=ids), "logits", None)
        causal = logits is not None and logits.ndim == 3 and _alike(*logits[:, :2].float())
    if not causal:
        raise UnsupportedArchitectureError(
            f"{type(model).__name__} does not predict the next token from those before it: "
            "probing and healing are for causal language models."
        )


def _alike(one: Tensor, other: Tensor) -> bool:
    """Equal but for rounding, in bfloat16 at worst."""
    return bool((one - other).abs().max() <= 0.02 * one.std())
