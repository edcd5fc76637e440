"""Load a model with its layers left on disk, for a machine whose memory cannot hold them all."""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from avss.architecture import LayerStack, Side, find_stack
from avss.errors import InputError
from avss.loading import Source, load_model, outline


@contextmanager
def layers_on_disk(
    source: Source,
    *,
    device: torch.device,
    revision: str | None = None,
    dtype: str | torch.dtype = "auto",
    stack: Side = "auto",
) -> Iterator[Any]:
    """Inside the block, the model at `source` with its layers on disk and all else on `device`.

    A layer's weights are read when it is called, or once for all calls inside
    `placement.resident`. They are read where they lie; only those of models that transformers
    builds from other tensors than the stored ones (mixtures of experts, say) are first written
    anew, to a folder under TMPDIR that goes with the block.

    Raises InputError for a GGUF file or quantized weights, which can only be read as a whole,
    and as `load_model` does; UnsupportedArchitectureError where there is no stack of layers.
    """
    if Path(source).suffix.lower() == ".gguf":
        raise InputError(
            f"{source}: a GGUF file is dequantized as a whole, not layer by layer. Give a folder "
            "of safetensors weights."
        )
    plan = outline(source, revision=revision)
    if getattr(plan.config, "quantization_config", None) is not None:
        raise InputError(
            f"{source}: the weights are quantized, and cannot be read layer by layer. Give the "
            "model in bfloat16, float16 or float32."
        )
    logging.getLogger("accelerate.big_modeling").setLevel(logging.ERROR)  # says what was asked for
    places = _places(plan, find_stack(plan, stack), str(device))
    with tempfile.TemporaryDirectory(prefix="avss-layers-") as scratch:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The following device_map keys")  # buffers have one
            model = load_model(
                source,
                revision=revision,
                dtype=dtype,
                device_map=places,
                offload_folder=Path(scratch),
            )
        yield model


def _places(model: Any, stack: LayerStack, device: str) -> dict[str, str]:
    """A device map: the stack's layers on disk, every other part by name on `device`."""
    places: dict[str, str] = {}
    parent = ""
    for part in stack.path.split("."):
        owner = model.get_submodule(parent)
        beside = [name for name, _ in owner.named_children() if name != part]
        own = [name for name, _ in owner.named_parameters(recurse=False)]
        own += [name for name, _ in owner.named_buffers(recurse=False)]
        places |= {_joined(parent, name): device for name in (*beside, *own)}
        parent = _joined(parent, part)
    return places | {_joined(parent, str(at)): "disk" for at in range(len(stack.layers))}


def _joined(parent: str, name: str) -> str:
    return f"{parent}.{name}" if parent else name
