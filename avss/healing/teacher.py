"""The base model as a teacher that is asked about every text once, however often it repeats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from avss.architecture import find_stack
from avss.batching import TokenBatch
from avss.placement import entry_device
from avss.replay import Replay


@dataclass(frozen=True)
class Lesson:
    """What the teacher makes of one batch: logits (B, T, V), and states (B, T, H) by index.

    State i is what enters the layer at position i.
    """

    logits: Tensor
    states: Mapping[int, Tensor]


class Teacher:
    """A frozen model; the states that a lesson needs are kept, its logits computed from them again.

    Costs (1 + number of `states`) hidden states a token of distinct text, on the CPU.
    """

    def __init__(self, model: Any, states: Sequence[int] = ()) -> None:
        self._model, self._layers = model, find_stack(model).layers
        self._wanted = tuple(dict.fromkeys(states))
        self._replay = Replay(model, self._layers)
        self._kept: dict[tuple[int, ...], tuple[Tensor, dict[int, Tensor]]] = {}

    @torch.no_grad()
    def lesson(self, batch: TokenBatch) -> Lesson:
        """The lesson on `batch`; a batch is known again by its rows."""
        if batch.rows not in self._kept:
            self._kept[batch.rows] = self._walk(batch)
        last, states = self._kept[batch.rows]
        device = entry_device(self._model)
        inputs = {
            "input_ids": batch.input_ids.to(device),
            "attention_mask": batch.attention_mask.to(device),
        }
        return Lesson(self._replay.finish(inputs, last.to(device)), states)

    def _walk(self, batch: TokenBatch) -> tuple[Tensor, dict[int, Tensor]]:
        walk = self._replay.begin(batch)
        hidden, states = walk.hidden, dict[int, Tensor]()
        for position in range(len(self._layers)):
            if position in self._wanted:
                states[position] = hidden.cpu()
            hidden = walk.step(position, hidden)
        return hidden.cpu(), states
