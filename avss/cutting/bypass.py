"""The meaning of a cut: the model in which what goes into a removed layer also comes out of it."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from avss.architecture import LayerStack
from avss.cutting.behaviour import generated, largest_difference, last_place, logits_of
from avss.errors import UnsupportedArchitectureError

_LAST_PLACES = 4


@contextmanager
def bypassed(stack: LayerStack, positions: Collection[int]) -> Iterator[None]:
    """Inside the block the layers at `positions` hand their input on; whatever else they return
    (attention weights, a position bias that later layers share) stays."""
    handles = [
        stack.layers[position].register_forward_hook(_hand_on, with_kwargs=True)
        for position in positions
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hand_on(
    _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
) -> torch.Tensor | tuple[Any, ...]:
    hidden: torch.Tensor = args[0] if args else kwargs["hidden_states"]
    return (hidden, *output[1:]) if isinstance(output, tuple) else hidden


def check_bypass(model: Any, stack: LayerStack, positions: Collection[int], cut: Any) -> None:
    """Compare a cut model with `model` passing over the same layers.

    Raises UnsupportedArchitectureError where they differ by more than rounding, for then the
    layers' computation depends on their number or on each other; and where the cut model does not
    run, or not with its KV cache.
    """
    with bypassed(stack, positions):
        expected = logits_of(model)
    try:
        found = logits_of(cut)
        if model.can_generate():
            generated(cut, tokens=2, use_cache=True)
    except (ValueError, RuntimeError, IndexError, KeyError, TypeError) as error:
        raise UnsupportedArchitectureError(
            f"{type(model).__name__} does not run without these layers: its code, or that of its "
            f"cache, wants them ({error}). Choose other layers."
        ) from error
    gap = largest_difference(expected, found)
    if gap > _LAST_PLACES * last_place(expected):
        raise UnsupportedArchitectureError(
            f"The cut is not exact: without the layers, {type(model).__name__} computes something "
            f"else than when it passes over them (largest difference {gap:.3g}). Its layers depend "
            "on their number or on one another. Choose other layers."
        )
