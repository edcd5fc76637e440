"""Walk a model's layers one at a time, with exactly the arguments the model itself passes them.

The model's own forward pass prepares masks, positions and embeddings, and ends with its own norm
and head. Replay lets it do so while every layer hands its input on unchanged, and writes down what
each layer would have been called with. Layers can then be stepped through, left out, or started
from a cached hidden state, in any architecture, without a second implementation of it.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from avss.batching import TokenBatch


class _StackDone(Exception):  # noqa: N818 - a signal between two of our own frames, not an error
    """Raised in place of the last layer, so that no norm and no head is computed for nothing."""


@dataclass(frozen=True)
class _Call:
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


class Walk:
    """One batch on its way through the layers of one model.

    `hidden` is the state that enters the first layer, (B, T, H), in the model's dtype and device.
    """

    def __init__(self, replay: "Replay", inputs: dict[str, Tensor]) -> None:
        self._replay = replay
        self._inputs = inputs
        self.hidden, self._calls = replay.record(inputs)

    def step(self, position: int, hidden: Tensor) -> Tensor:
        """The output (B, T, H) of the layer at `position` in the stack for the input `hidden`."""
        call = self._calls[position]
        layer = self._replay.layers[position]
        return _state(layer(hidden, *call.arguments, **call.keywords))

    def logits(self, hidden: Tensor) -> Tensor:
        """The logits (B, T, V) if `hidden` (B, T, H) leaves the last layer."""
        return self._replay.finish(self._inputs, hidden)


class Replay:
    """Steps through `layers`, the stack of `model`; the model is unchanged between calls.

    Holds for stacks whose layers depend on each other through the hidden state alone, which is
    what makes them removable in the first place.
    """

    def __init__(self, model: "PreTrainedModel", layers: Iterable[nn.Module]) -> None:
        self.layers = list(layers)
        self._model = model
        self._returns_tuple = self._observe_return_types()

    @torch.no_grad()
    def begin(self, batch: "TokenBatch") -> Walk:
        """Embed one batch and stand before the first layer."""
        device = self._model.get_input_embeddings().weight.device
        return Walk(
            self,
            {
                "input_ids": batch.input_ids.to(device),
                "attention_mask": batch.attention_mask.to(device),
            },
        )

    @torch.no_grad()
    def record(self, inputs: dict[str, Tensor]) -> tuple[Tensor, list[_Call]]:
        """The first layer's input, and the further arguments of every layer's call."""
        calls: list[_Call] = []
        first: list[Tensor] = []

        def note(position: int, *arguments: Any, **keywords: Any) -> Any:
            hidden, rest, named = _split(arguments, keywords)
            first.append(hidden)
            calls.append(_Call(rest, named))
            if position == len(self.layers) - 1:
                raise _StackDone
            return self._as_returned(position, hidden)

        with self._instead(note), suppress(_StackDone):
            self._model(**inputs, use_cache=False)
        return first[0], calls

    @torch.no_grad()
    def finish(self, inputs: dict[str, Tensor], hidden: Tensor) -> Tensor:
        """The logits when the last layer's output is `hidden`."""

        def hand_over(position: int, *arguments: Any, **keywords: Any) -> Any:
            state = _split(arguments, keywords)[0]
            last = position == len(self.layers) - 1
            return self._as_returned(position, hidden if last else state)

        with self._instead(hand_over):
            logits: Tensor = self._model(**inputs, use_cache=False).logits
        return logits

    def _as_returned(self, position: int, hidden: Tensor) -> Any:
        return (hidden,) if self._returns_tuple[position] else hidden

    @torch.no_grad()
    def _observe_return_types(self) -> list[bool]:
        seen: list[bool] = []
        handles = [
            layer.register_forward_hook(lambda _m, _i, out: seen.append(isinstance(out, tuple)))
            for layer in self.layers
        ]
        try:
            device = self._model.get_input_embeddings().weight.device
            self._model(input_ids=torch.zeros((1, 1), dtype=torch.int64, device=device))
        finally:
            for handle in handles:
                handle.remove()
        return seen

    @contextmanager
    def _instead(self, function: Any) -> Iterator[None]:
        """Have every layer call `function(position, ...)` in place of its own forward."""
        previous = [layer.__dict__.get("forward") for layer in self.layers]
        for position, layer in enumerate(self.layers):
            layer.forward = _bound(function, position)
        try:
            yield
        finally:
            for layer, forward in zip(self.layers, previous, strict=True):
                del layer.forward
                if forward is not None:
                    layer.forward = forward


def _bound(function: Any, position: int) -> Any:
    return lambda *arguments, **keywords: function(position, *arguments, **keywords)


def _split(
    arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[Tensor, tuple[Any, ...], dict[str, Any]]:
    if arguments:
        return arguments[0], arguments[1:], keywords
    rest = {name: value for name, value in keywords.items() if name != "hidden_states"}
    return keywords["hidden_states"], (), rest


def _state(output: Any) -> Tensor:
    state: Tensor = output[0] if isinstance(output, tuple) else output
    return state
