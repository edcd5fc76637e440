"""Where the parts of a model lie: on one device, on several, in main memory or on disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module, remove_hook_from_module
from accelerate.utils import set_module_tensor_to_device
from torch import nn


def entry_device(model: Any) -> torch.device:
    """The device on which a model takes its token ids.

    Embeddings that wait on disk or in main memory say where they will be when their turn comes.
    """
    embeddings = model.get_input_embeddings()
    device = getattr(getattr(embeddings, "_hf_hook", None), "execution_device", None)
    found: torch.device = embeddings.weight.device
    return found if device is None else torch.device(device)


@contextmanager
def resident(layer: nn.Module) -> Iterator[None]:
    """Inside the block, a layer whose weights wait elsewhere has them on the device it runs on.

    They are read once, not anew for every call as accelerate's hooks would.
    """
    hooked: list[tuple[nn.Module, Any]] = [
        (module, getattr(module, "_hf_hook", None)) for module in layer.modules()
    ]
    hooks = [(module, hook) for module, hook in hooked if isinstance(hook, AlignDevicesHook)]
    for module, hook in hooks:
        remove_hook_from_module(module)
        for name, _ in module.named_parameters(recurse=False) if hook.offload else ():
            value = hook.weights_map[name].clone()  # a copy, as a mapped file is read by the page
            set_module_tensor_to_device(module, name, hook.execution_device, value=value)
    try:
        yield
    finally:
        for module, hook in hooks:
            add_hook_to_module(module, hook)
