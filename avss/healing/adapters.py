"""The weights that distillation trains: all those of the layers, or adapters that merge back."""

import warnings
from collections.abc import Iterable
from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from avss.architecture import find_stack

_FEW = 300_000_000


def add_adapters(model: Any, rank: int) -> Any:
    """`model`, wrapped so that every linear map of its layers has a LoRA (Hu et al. 2021) to train.

    The adapters start at zero: nothing is computed differently yet.
    """
    from peft import LoraConfig, get_peft_model  # seconds to import

    path = find_stack(model).path
    maps = {
        name: module
        for name, module in model.named_modules()
        if name.startswith(f"{path}.") and isinstance(module, nn.Linear | Conv1D)
    }
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules=list(maps),
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in maps.values()),
    )
    with warnings.catch_warnings():  # peft asks transformers by a name that is on its way out
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        return get_peft_model(model, config)


def merge_adapters(wrapped: Any) -> Any:
    """The model that was wrapped, with what its adapters learned folded into its weights."""
    merged = wrapped.merge_and_unload()
    return merged.requires_grad_(True)


def open_layers(model: Any) -> Any:
    """`model` in float32, with the weights of its layers to train and all others frozen."""
    for weight in model.parameters():  # buffers stay: some are float32 whatever the model is
        weight.data = weight.data.float()
    model.requires_grad_(False)
    find_stack(model).layers.requires_grad_(True)
    return model


def close_layers(model: Any, like: Any) -> Any:
    """`model`, opened and trained, with every weight in the dtype that it has in `like`."""
    dtypes = {name: weight.dtype for name, weight in like.named_parameters()}
    for name, weight in model.named_parameters():
        weight.data = weight.data.to(dtypes[name])
    return model.requires_grad_(True)


def are_few(layers: Iterable[nn.Module]) -> bool:
    """Whether all weights of `layers` can be trained at once, with their moments, without thought.

    They are at most 300 million (5 GB in training), none of which waits elsewhere for its turn.
    """
    weights = [weight for layer in layers for weight in layer.parameters()]
    return sum(weight.numel() for weight in weights) <= _FEW and not any(
        weight.is_meta for weight in weights
    )
