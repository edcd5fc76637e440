"""Which layer goes next: a score proposes a short list, measured loss decides among it."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from avss.architecture import find_stack
from avss.batching import token_batches
from avss.errors import InputError
from avss.language_loss import require_causal, row_nats
from avss.memory import within_memory
from avss.replay import Replay, Walk

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from avss.scoring.scores import LayerScores


@dataclass(frozen=True)
class ProbeResult:
    """What it would cost to leave out each short-listed layer, layers numbered as in the original.

    Losses are mean nats a predicted token over the same `tokens` tokens. A forward equivalent is
    one pass of the whole current model over them, by multiplied weights; SLEB (arXiv 2402.09025)
    would have made one pass for every layer that is left.
    """

    losses: Mapping[int, float]
    base_loss: float
    tokens: int
    forward_equivalents: float
    sleb_forward_equivalents: float

    @property
    def order(self) -> tuple[int, ...]:
        """The short-listed layers, least harmful first; ties go to the deeper layer."""
        return tuple(sorted(self.losses, key=lambda layer: (self.losses[layer], -layer)))

    def to_json(self) -> dict[str, Any]:
        """Plain data for evidence; layer numbers become strings, as JSON wants keys."""
        return {
            "base_loss": self.base_loss,
            "losses": {str(layer): loss for layer, loss in sorted(self.losses.items())},
            "order": list(self.order),
            "tokens": self.tokens,
            "forward_equivalents": self.forward_equivalents,
            "sleb_forward_equivalents": self.sleb_forward_equivalents,
        }


@dataclass(frozen=True)
class ProbeLosses:
    """What a probe saw of some texts: losses in nats summed over each text, text by text.

    `base` is the loss of the model as it is, `losses` that without each layer, `tokens` how many
    tokens were predicted; forward equivalents are those of `ProbeResult`, whatever the text.
    """

    base: tuple[float, ...]
    losses: Mapping[int, tuple[float, ...]]
    tokens: int
    forward_equivalents: float
    sleb_forward_equivalents: float

    def merged(self, other: "ProbeLosses") -> "ProbeLosses":
        """These texts and the other's. Raises InputError unless both probed alike."""
        if self.losses.keys() != other.losses.keys() or (
            self.forward_equivalents != other.forward_equivalents
        ):
            raise InputError("Probes of different layers or models cannot be merged.")
        losses = {layer: nats + other.losses[layer] for layer, nats in self.losses.items()}
        tokens = self.tokens + other.tokens
        return replace(self, base=self.base + other.base, losses=losses, tokens=tokens)

    def result(self) -> ProbeResult:
        """The probe over all texts; sums are exact, so the texts' order does not matter."""
        return ProbeResult(
            losses={layer: math.fsum(nats) / self.tokens for layer, nats in self.losses.items()},
            base_loss=math.fsum(self.base) / self.tokens,
            tokens=self.tokens,
            forward_equivalents=self.forward_equivalents,
            sleb_forward_equivalents=self.sleb_forward_equivalents,
        )


def shortlist(
    scores: "LayerScores", *, size: int, protected: Collection[int] = (), by: str = "avss"
) -> tuple[int, ...]:
    """The `size` least important layers that are not protected, least important first.

    `by` is a score or several joined by "+", as `LayerScores.ranking` takes it. Raises InputError
    for an unknown score, or a `size` below 1 or above the unprotected layers that are left.
    """
    free = [layer for layer in scores.ranking(by) if layer not in set(protected)]
    if not free:
        raise InputError(
            f"All {len(scores.layers)} layers that are left are protected: there is none to remove."
        )
    if not 1 <= size <= len(free):
        raise InputError(
            f"The short list's size is {size}: expected 1 to {len(free)}, "
            "the number of layers left that are not protected."
        )
    return tuple(free[:size])


def probe(
    model: "PreTrainedModel",
    sequences: Sequence[Sequence[int]],
    layers: Sequence[int],
    *,
    batch_tokens: int = 1024,
    progress: Callable[[int, int], None] | None = None,
) -> ProbeResult:
    """Measure the loss on `sequences` with each of `layers` (original numbers) left out alone.

    Parameters and errors as `probe_losses`.
    """
    return probe_losses(
        model, sequences, layers, batch_tokens=batch_tokens, progress=progress
    ).result()


def probe_losses(
    model: "PreTrainedModel",
    sequences: Sequence[Sequence[int]],
    layers: Sequence[int],
    *,
    batch_tokens: int = 1024,
    progress: Callable[[int, int], None] | None = None,
) -> ProbeLosses:
    """The losses behind a probe, text by text, so that shards of the text can be merged.

    Leaving out a layer starts from the cached hidden state that enters it, so only what comes
    after it is computed again. `progress` is called with (tokens done, tokens in all).
    Raises InputError for a layer that the model no longer has, or text too short to predict;
    UnsupportedArchitectureError for a model that does not predict the next token.
    """
    stack = find_stack(model)
    positions = _positions(stack.kept, layers)
    usable = predictable(sequences)
    require_causal(model)
    replay = Replay(model, stack.layers)
    base, losses = within_memory(
        lambda size: _losses(replay, usable, positions, size, progress), batch_tokens, model
    )
    cost = _Cost.of(model, stack.layers)
    return ProbeLosses(
        base=tuple(base),
        losses={layer: tuple(nats) for layer, nats in losses.items()},
        tokens=sum(map(len, usable)) - len(usable),
        forward_equivalents=1 + sum(cost.after(position) for position in positions.values()),
        sleb_forward_equivalents=sum(cost.without(p) for p in range(len(stack.kept))),
    )


def predictable(sequences: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """The sequences in which a token can be predicted. Raises InputError where there is none."""
    usable = [tokens for tokens in sequences if len(tokens) > 1]
    if not usable:
        raise InputError("No sequence has two tokens or more: probing needs text to predict.")
    return usable


def _losses(
    replay: Replay,
    sequences: Sequence[Sequence[int]],
    positions: Mapping[int, int],
    batch_tokens: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[list[float], dict[int, list[float]]]:
    """Each text's loss with the whole model, and without each of the layers at `positions`."""
    losses: dict[int, list[float]] = {layer: [] for layer in positions}
    base: list[float] = []
    done, total = 0, sum(map(len, sequences))
    depth = len(replay.layers)
    for batch in token_batches(sequences, batch_tokens=batch_tokens):
        walk = replay.begin(batch)
        entering, leaving = _walk_all(walk, range(depth), walk.hidden)
        base += row_nats(walk.logits(leaving), batch)
        for layer, position in positions.items():
            rest = range(position + 1, depth)
            _, leaving = _walk_all(walk, rest, entering[position])
            losses[layer] += row_nats(walk.logits(leaving), batch)
        done += int(batch.attention_mask.sum())
        if progress is not None:
            progress(done, total)
    return base, losses


def _positions(kept: Sequence[int], layers: Sequence[int]) -> dict[int, int]:
    position = {layer: place for place, layer in enumerate(kept)}
    missing = [layer for layer in layers if layer not in position]
    if missing or not layers:
        raise InputError(
            f"Cannot probe {missing or 'an empty short list'}: "
            f"expected some of the layers that the model still has, {list(kept)}."
        )
    return {layer: position[layer] for layer in layers}


@torch.no_grad()
def _walk_all(walk: Walk, positions: range, hidden: Tensor) -> tuple[dict[int, Tensor], Tensor]:
    entering = {}
    for position in positions:
        entering[position] = hidden
        hidden = walk.step(position, hidden)
    return entering, hidden


@dataclass(frozen=True)
class _Cost:
    """Multiplied weights of each layer and of the head, as shares of one whole pass."""

    layers: tuple[float, ...]
    head: float

    @classmethod
    def of(cls, model: "PreTrainedModel", layers: Iterable[nn.Module]) -> "_Cost":
        weights = [sum(p.numel() for p in layer.parameters()) for layer in layers]
        output = model.get_output_embeddings()
        head = output.weight.numel() if output is not None else 0
        whole = sum(weights) + head
        return cls(tuple(weight / whole for weight in weights), head / whole)

    def after(self, position: int) -> float:
        return sum(self.layers[position + 1 :]) + self.head

    def without(self, position: int) -> float:
        return 1 - self.layers[position]
