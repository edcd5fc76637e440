"""Score a model that is larger than memory: every layer is read once, and only one is there.

    with layers_on_disk(folder, device=device) as model:
        scores = score_layers(model, tokenizer, texts, run=layer_by_layer)

All batches go through the first layer, then all through the second. Their hidden states wait in
files meanwhile: tokens times width times bytes a number, in a folder under TMPDIR.
"""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avss.batching import TokenBatch
from avss.errors import UnsupportedArchitectureError
from avss.memory import give_back
from avss.placement import entry_device, resident
from avss.replay import parts_of, record_calls, state_of
from avss.scoring.observer import Observer
from avss.scoring.one_pass import Progress, run_layers
from avss.scoring.spill import Spill

_WITNESS_TOKENS = 8
_LAST_PLACES = 16


def layer_by_layer(
    model: Any, observer: Observer, batches: Sequence[TokenBatch], progress: Progress
) -> None:
    """A `Pass` of `score_layers` with one layer's weights in memory at a time.

    A few tokens go through the model's own forward pass first. They then lead every layer's
    batches, and must come out as they did there, so that what is scored is the model.

    Raises UnsupportedArchitectureError where layers hand each other more than the hidden state.
    """
    stack, device = observer.stack, entry_device(model)
    first = _first_tokens(batches[0])
    expected, parts = _witness(model, observer, first)
    tokens = [int(batch.attention_mask.sum()) for batch in batches]
    done, total = 0, sum(tokens) * len(stack.layers)
    with tempfile.TemporaryDirectory(prefix="avss-states-") as folder:
        spill = Spill(Path(folder), device)
        led = [first, *batches]
        for batch in led:
            run = partial(run_layers, model, stack, batch)
            spill.add(*record_calls(list(stack.layers), parts, run))
        with observer.watching():
            for position, layer in enumerate(stack.layers):
                with resident(layer):
                    for number, batch in enumerate(led):
                        observer.begin(batch)
                        leaving = _called(layer, spill, number, position, stack.kept[position])
                        if number == 0:
                            _check(leaving, expected[position], stack.kept[position])
                        else:
                            done += tokens[number - 1]
                            progress(done, total)
                        spill.replace(number, leaving)
                give_back()


def _first_tokens(batch: TokenBatch) -> TokenBatch:
    """The beginning of a batch's first record; what it scores, that record's own batch corrects."""
    width = int(batch.attention_mask[0, :_WITNESS_TOKENS].sum())
    return TokenBatch(batch.input_ids[:1, :width], batch.attention_mask[:1, :width], batch.rows[:1])


def _witness(model: Any, observer: Observer, batch: TokenBatch) -> tuple[list[Tensor], list[int]]:
    """The state after each layer in the model's own pass, and how many things it returned."""
    outputs: list[Any] = []
    handles = [
        layer.register_forward_hook(lambda _layer, _args, output: outputs.append(output))
        for layer in observer.stack.layers
    ]
    try:
        run_layers(model, observer.stack, batch)
    finally:
        for handle in handles:
            handle.remove()
    return [state_of(output) for output in outputs], [parts_of(output) for output in outputs]


def _called(layer: Any, spill: Spill, number: int, position: int, original: int) -> Tensor:
    call = spill.call(number, position)
    try:
        return state_of(layer(spill.hidden(number), *call.arguments, **call.keywords))
    except (KeyError, AttributeError, TypeError, IndexError, ValueError) as error:
        raise _entangled(original, f"{type(error).__name__}: {error}") from error


def _check(leaving: Tensor, expected: Tensor, original: int) -> None:
    """Equal token by token, but for rounding."""
    gap = torch.linalg.vector_norm((leaving - expected).float(), dim=-1)
    size = torch.linalg.vector_norm(expected.float(), dim=-1)
    if not bool((gap <= _LAST_PLACES * torch.finfo(expected.dtype).eps * size).all()):
        raise _entangled(original, "called alone it computes something else")


def _entangled(layer: int, reason: str) -> UnsupportedArchitectureError:
    return UnsupportedArchitectureError(
        f"Layer {layer} cannot be run by itself ({reason}): this architecture's layers hand each "
        "other more than the hidden state. Score it in one pass, on a machine or on several "
        "devices that hold it (--device auto)."
    )
