"""Walk a model's layers one at a time, with exactly the arguments the model itself passes them.

The model's own forward pass prepares masks, positions and embeddings, and ends with its own norm
and head. Replay lets it do so while every layer hands its input on unchanged, and writes down what
each layer would have been called with. Layers can then be stepped through, left out, or started
from a cached hidden state, in any architecture, without a second implementation of it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from avss.placement import entry_device

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from avss.batching import TokenBatch


class _StackDone(Exception):  # noqa: N818 - a signal between two of our own frames, not an error
    """Raised in place of the last layer, so that no norm and no head is computed for nothing."""


@dataclass(frozen=True)
class Call:
    """What a layer is called with besides the hidden state."""

    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


def record_calls(
    layers: Sequence[nn.Module], parts: Sequence[int], run: Callable[[], Any]
) -> tuple[Tensor, list[Call]]:
    """The first layer's input, and the further arguments of every layer's call, during `run`.

    No layer is computed. `parts[i]` is how many things the layer at i returns (see `parts_of`).
    """
    calls: list[Call] = []
    first: list[Tensor] = []

    def note(position: int, *arguments: Any, **keywords: Any) -> Any:
        hidden, rest, named = _split(arguments, keywords)
        first.append(hidden)
        calls.append(Call(rest, named))
        if position == len(layers) - 1:
            raise _StackDone
        return _as_returned(hidden, parts[position])

    with _instead(layers, note), suppress(_StackDone):
        run()
    return first[0], calls


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
        return state_of(layer(hidden, *call.arguments, **call.keywords))

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
        self._parts = self._observe_parts()

    @torch.no_grad()
    def begin(self, batch: "TokenBatch") -> Walk:
        """Embed one batch and stand before the first layer."""
        device = entry_device(self._model)
        return Walk(
            self,
            {
                "input_ids": batch.input_ids.to(device),
                "attention_mask": batch.attention_mask.to(device),
            },
        )

    @torch.no_grad()
    def record(self, inputs: dict[str, Tensor]) -> tuple[Tensor, list[Call]]:
        """The first layer's input, and the further arguments of every layer's call."""
        return record_calls(
            self.layers, self._parts, lambda: self._model(**inputs, use_cache=False)
        )

    @torch.no_grad()
    def finish(self, inputs: dict[str, Tensor], hidden: Tensor) -> Tensor:
        """The logits when the last layer's output is `hidden`."""

        def hand_over(position: int, *arguments: Any, **keywords: Any) -> Any:
            last = position == len(self.layers) - 1
            state = hidden if last else _split(arguments, keywords)[0]
            return _as_returned(state, self._parts[position])

        with _instead(self.layers, hand_over):
            logits: Tensor = self._model(**inputs, use_cache=False).logits
        return logits

    @torch.no_grad()
    def _observe_parts(self) -> list[int]:
        seen: list[int] = []
        handles = [
            layer.register_forward_hook(lambda _m, _i, out: seen.append(parts_of(out)))
            for layer in self.layers
        ]
        try:
            device = entry_device(self._model)
            self._model(input_ids=torch.zeros((1, 1), dtype=torch.int64, device=device))
        finally:
            for handle in handles:
                handle.remove()
        return seen


@contextmanager
def _instead(layers: Sequence[nn.Module], function: Any) -> Iterator[None]:
    """Have every layer call `function(position, ...)` in place of its own forward."""
    previous = [layer.__dict__.get("forward") for layer in layers]
    for position, layer in enumerate(layers):
        layer.forward = _bound(function, position)
    try:
        yield
    finally:
        for layer, forward in zip(layers, previous, strict=True):
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


def parts_of(output: Any) -> int:
    """How many things a layer returns: 0 for a bare tensor, else the length of its tuple."""
    return len(output) if isinstance(output, tuple) else 0


def _as_returned(hidden: Tensor, parts: int) -> Any:
    return (hidden, *[None] * (parts - 1)) if parts else hidden


def state_of(output: Any) -> Tensor:
    """The hidden state in what a layer returns."""
    state: Tensor = output[0] if isinstance(output, tuple) else output
    return state
