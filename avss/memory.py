"""Out of memory: the batch is halved, and that is said, in this one place.

What is computed does not depend on how it is batched, but for rounding, so a run goes on with
what fits. Batches come longest first: where memory runs out, it does so at the start.
"""

import ctypes
import logging
import os
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from avss.errors import InputError
from avss.placement import entry_device

Result = TypeVar("Result")

_LOG = logging.getLogger(__name__)
_GIB = 2**30


def within_memory(
    run: Callable[[int], Result], size: int, model: Any, *, beside: int = 0
) -> Result:
    """`run(size)`, or `run` with half of that, a quarter, ... of it until memory suffices.

    `size` counts the tokens of a batch, of which one text is the least. `run` starts from the
    beginning each time, and must leave nothing behind when it fails. Every halving is logged as a
    warning.

    Raises InputError where not even 1 fits: it says what `model`'s weights take, and bytes that
    are kept `beside` them, of the device's memory.
    """
    while True:
        try:
            return run(size)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        # Not inside the handler: while the error is handled, its frames keep their tensors.
        clear_device_cache(garbage_collection=entry_device(model).type != "cpu")
        if size <= 1:
            raise InputError(_too_small(model, beside))
        _LOG.warning(
            "Out of memory on %s with batches of %d tokens: going on with %d.",
            entry_device(model),
            size,
            size // 2,
        )
        size //= 2


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device's, or the main memory, did not suffice."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, Exception) and should_reduce_batch_size(error)
    )


def give_back() -> None:
    """Hand main memory that was freed back to the system, where the allocator (glibc) keeps it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


def weight_bytes(model: Any) -> int:
    """Bytes of a model's parameters and buffers, those that wait on disk left out."""
    tensors = {id(one): one for one in (*model.parameters(), *model.buffers())}
    return sum(one.nbytes for one in tensors.values() if not one.is_meta)


def _too_small(model: Any, beside: int) -> str:
    device, weights = entry_device(model), weight_bytes(model)
    taken = f"the weights take {weights / _GIB:.2f} GiB"
    if beside:
        taken += f", what is trained {beside / _GIB:.2f} GiB"
    if device.type != "cpu":
        free, total = torch.accelerator.get_memory_info(device)
        taken += f", and {free / _GIB:.2f} of {total / _GIB:.2f} GiB are free"
    return (
        f"Out of memory on {device} with one text at a time ({taken}). Cut the texts shorter, "
        "choose a narrower dtype, a larger device, or spread the model with device auto."
    )
