"""Tensors of batches that wait in files until their turn comes."""

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from avss.replay import Call

_HIDDEN = "hidden"


class Spill:
    """For each batch, by number, its hidden state and what the layers are called with besides.

    Tensors that several layers are called with are written once. Of the rest (flags, None) the
    structure is kept in memory.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        self._folder, self._device = folder, device
        self._structures: list[list[tuple[list[Any], TreeSpec]]] = []

    def add(self, hidden: Tensor, calls: list[Call]) -> None:
        """Write down the next batch."""
        names: dict[int, str] = {}
        tensors: dict[str, Tensor] = {}
        structures = []
        for call in calls:
            leaves, spec = tree_flatten((call.arguments, call.keywords))
            for at, leaf in enumerate(leaves):
                if isinstance(leaf, Tensor):
                    name = names.setdefault(id(leaf), str(len(names)))
                    tensors[name] = leaf
                    leaves[at] = _Name(name)
            structures.append((leaves, spec))
        number = len(self._structures)
        self._structures.append(structures)
        _write(tensors, self._folder / f"{number}.calls")
        self.replace(number, hidden)

    def hidden(self, number: int) -> Tensor:
        """The hidden state of a batch."""
        return self._read(self._folder / f"{number}.{_HIDDEN}", [_HIDDEN])[_HIDDEN]

    def replace(self, number: int, hidden: Tensor) -> None:
        """Put the hidden state of a batch in the place of the one before."""
        _write({_HIDDEN: hidden}, self._folder / f"{number}.{_HIDDEN}")

    def call(self, number: int, position: int) -> Call:
        """What the layer at `position` is called with for a batch."""
        leaves, spec = self._structures[number][position]
        wanted = [leaf for leaf in leaves if isinstance(leaf, _Name)]
        read = self._read(self._folder / f"{number}.calls", wanted)
        filled = [read[leaf] if isinstance(leaf, _Name) else leaf for leaf in leaves]
        return Call(*tree_unflatten(filled, spec))

    def _read(self, path: Path, names: list[Any]) -> dict[str, Tensor]:
        """Copies on the device: views into a mapped file lie at odd addresses."""
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name).to(self._device, copy=True) for name in names}


class _Name(str):
    """Stands where a tensor of this name was."""

    __slots__ = ()


def _write(tensors: dict[str, Tensor], path: Path) -> None:
    """Whole or not at all, and never into a file that is still mapped."""
    draft = path.with_suffix(".draft")
    own = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    save_file(own, draft)
    draft.replace(path)
