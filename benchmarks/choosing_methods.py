"""The ways to choose that are compared: each gives the layers to remove, in order."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import torch
from choosing_data import Data

from avss.architecture import find_stack
from avss.batching import token_batches
from avss.cutting.pruning import remove_layers
from avss.healing.closed_form import heal_closed_form
from avss.replay import Replay
from avss.scoring.one_pass import score_layers
from avss.selection import probe, shortlist

Candidate = tuple[int, Any, float]
"""Layers removed, the model without them, and the forward passes over the probing text so far."""

SHORTLIST = 5
HEALED = "ours, closed form"
DISTILLED = "ours, distilled"
ADAPTED = "base, trained alike"


def one_shot(ranking: Callable[[Any, Any, Data], list[int]]) -> Callable[..., Iterator[Candidate]]:
    """Remove layers in the order that one look at the base gives."""

    def candidates(base: Any, tokenizer: Any, data: Data, most: int) -> Iterator[Candidate]:
        order = ranking(base, tokenizer, data)
        for count in range(1, most + 1):
            yield count, remove_layers(base, order[:count]), 1.0

    return candidates


def at_random(seed: int) -> Callable[[Any, Any, Data], list[int]]:
    """An order drawn with `seed`."""

    def ranking(base: Any, _tokenizer: Any, _data: Data) -> list[int]:
        layers = list(find_stack(base).kept)
        return random.Random(seed).sample(layers, len(layers))  # noqa: S311

    return ranking


def from_the_end(base: Any, _tokenizer: Any, _data: Data) -> list[int]:
    """The last layer first."""
    return list(reversed(find_stack(base).kept))


def avss_as_published(base: Any, tokenizer: Any, data: Data) -> list[int]:
    """AVSS of the layers' outputs (arXiv 2411.02117)."""
    return list(score_layers(base, tokenizer, data.scored, source="output").ranking())


def block_influence(base: Any, tokenizer: Any, data: Data) -> list[int]:
    """ShortGPT (arXiv 2403.03853)."""
    return list(score_layers(base, tokenizer, data.scored).ranking("block_influence"))


@torch.no_grad()
def contiguous(base: Any, _tokenizer: Any, data: Data, most: int) -> Iterator[Candidate]:
    """For every count the block over which the last token turns least (arXiv 2403.17887)."""
    stack = find_stack(base)
    replay, depth = Replay(base, stack.layers), len(stack.kept)
    turned = torch.zeros(depth + 1, depth + 1, dtype=torch.float64)
    for batch in token_batches(data.probe, batch_tokens=1024):
        walk = replay.begin(batch)
        states, last = [walk.hidden], batch.attention_mask.sum(dim=1) - 1
        for position in range(depth):
            states.append(walk.step(position, states[-1]))
        ends = torch.stack([state[torch.arange(len(last)), last].double() for state in states])
        ends = ends / ends.norm(dim=-1, keepdim=True)
        cosines = torch.einsum("irh,jrh->ijr", ends, ends).clamp(-1, 1)
        turned += cosines.arccos().sum(dim=-1)
    for count in range(1, most + 1):
        start = min(range(depth - count + 1), key=lambda at: float(turned[at, at + count]))
        block = stack.kept[start : start + count]
        yield count, remove_layers(base, block), 1.0


def sleb(base: Any, _tokenizer: Any, data: Data, most: int) -> Iterator[Candidate]:
    """Try every layer, drop the least harmful, again (arXiv 2402.09025). Cost as SLEB counts it."""
    model, passes = base, 0.0
    for count in range(1, most + 1):
        found = probe(model, data.probe, find_stack(model).kept)
        passes += found.sleb_forward_equivalents
        model = remove_layers(model, [found.order[0]])
        yield count, model, passes


def ours(*, heal: bool) -> Callable[..., Iterator[Candidate]]:
    """Re-score, short-list, probe; with `heal`, compensate in closed form after every step.

    A walk that was cut off goes on `after` what it came to.
    """

    def candidates(
        base: Any, tokenizer: Any, data: Data, most: int, after: Candidate | None = None
    ) -> Iterator[Candidate]:
        done, model, passes = after or (0, base, 0.0)
        for count in range(done + 1, most + 1):
            names = shortlist(score_layers(model, tokenizer, data.scored), size=SHORTLIST)
            found = probe(model, data.probe, names)
            passes += 1 + found.forward_equivalents
            model = remove_layers(model, [found.order[0]])
            if heal:
                model, _ = heal_closed_form(
                    model, base, data.fit, data.held_out, prompts=data.asked
                )
            yield count, model, passes

    return candidates


METHODS: dict[str, Callable[..., Iterator[Candidate]]] = {
    "random, seed 0": one_shot(at_random(0)),
    "random, seed 1": one_shot(at_random(1)),
    "random, seed 2": one_shot(at_random(2)),
    "last layers": one_shot(from_the_end),
    "AVSS as published": one_shot(avss_as_published),
    "Block Influence": one_shot(block_influence),
    "angular distance, one block": contiguous,
    "SLEB": sleb,
    "ours, no healing": ours(heal=False),
    HEALED: ours(heal=True),
}
