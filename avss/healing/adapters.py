"""The weights that distillation trains: low-rank adapters that merge back, or all of them."""

import warnings
from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from avss.architecture import find_stack


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
    """`model`, with the weights of its layers to train and all others frozen."""
    model.requires_grad_(False)
    find_stack(model).layers.requires_grad_(True)
    return model
