"""A model without some of its layers, sharing the weights of the model it was cut from.

The cut model is built anew from its config, so every layer knows its new number and kind by
itself; the weights are then taken over. The layers so built must be the kept layers in everything
but their number, or the cut is refused.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from avss.architecture import LayerStack
from avss.cutting.cadence import inexact_rules
from avss.cutting.layer_config import cut_config
from avss.errors import InputError, UnsupportedArchitectureError

_PLAIN = (bool, int, float, str, type(None))


def cut_model(model: Any, stack: LayerStack, positions: Sequence[int]) -> Any:
    """`model` with only the layers at `positions` (ascending) of its stack.

    Raises UnsupportedArchitectureError, saying what would change, where the model that the cut
    config describes is not the same model minus layers.
    """
    if any(weight.is_meta for weight in model.parameters()):
        raise InputError(
            "Weights of the model are offloaded: load it where all of it fits (device_map=None "
            "puts it into main memory)."
        )
    paths = {f"{stack.path}.{new}": f"{stack.path}.{old}" for new, old in enumerate(positions)}
    cut = _built(model, cut_config(model.config, stack, positions)).train(model.training)
    lent = dict(_lent_by_first(model, cut, stack, paths))
    _check_layers(model, cut, paths, lent, _hint(stack, positions))
    _take_tensors(model, cut, paths, lent)
    cut.tie_weights()
    _check_ties(model, cut)
    if getattr(model, "generation_config", None) is not None:
        cut.generation_config = model.generation_config
    return _dispatched(model, cut, paths, stack)


def _built(model: Any, config: Any) -> Any:
    """A model of the same class without weights."""
    if any("mtp" in name.split(".") for name, _ in model.named_modules()):
        raise UnsupportedArchitectureError(
            f"{type(model).__name__} has multi-token prediction layers, which a cut would detune: "
            "remove them first."
        )
    try:
        with torch.device("meta"):
            return type(model)(config)
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise UnsupportedArchitectureError(
            f"{type(model).__name__} cannot be built without these layers: {error}. "
            "Choose other layers."
        ) from error


def _hint(stack: LayerStack, positions: Sequence[int]) -> str:
    inexact = inexact_rules(stack.config.to_dict(), positions, len(stack.layers))
    if not inexact:
        return ""
    return f"What is left follows no rule that the config's {' or '.join(inexact)} could state. "


def _lent_by_first(
    model: nn.Module, cut: nn.Module, stack: LayerStack, paths: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Modules that only a first layer has and that serve all layers (T5's position bias).

    Yields (path in the cut model, path in the model) where the new first layer has a module
    with weights that the layer in its place lacks, while the old first layer has it.
    """
    new, first = f"{stack.path}.0", f"{stack.path}.0"
    kept = model.get_submodule(paths[new])
    if paths[new] == first:
        return
    has = {name for name, _ in kept.named_modules()}
    old_first = {name for name, _ in model.get_submodule(first).named_modules()}
    for name, module in cut.get_submodule(new).named_modules():
        if name not in has and name in old_first and next(module.parameters(), None) is not None:
            yield f"{new}.{name}", f"{first}.{name}"


def _check_layers(
    model: nn.Module, cut: nn.Module, paths: dict[str, str], lent: dict[str, str], hint: str
) -> None:
    """Refuse unless every layer of `cut` is built as the layer that it stands for."""
    owners = {path.rpartition(".")[0] for path in lent}
    kept = [int(path.rpartition(".")[2]) for path in paths.values()]
    for number, (new_path, old_path) in enumerate(paths.items()):
        old = dict(model.get_submodule(old_path).named_modules())
        new = dict(cut.get_submodule(new_path).named_modules())
        names = set(new) - {path.removeprefix(f"{new_path}.") for path in lent}
        what = None
        if names != set(old):
            odd = min(names ^ set(old))
            what = f"has {'no' if odd in old else 'a'} module {odd!r}"
        for name in sorted(names) if what is None else ():
            if f"{new_path}.{name}" not in owners:
                what = what or _misfit(old[name], new[name], name, kept, number)
        if what:
            raise UnsupportedArchitectureError(
                f"The cut is not exact: the layer at position {kept[number]} would move to "
                f"{number}, where this architecture {what}. {hint}Choose other layers."
            )


def _misfit(
    old: nn.Module, new: nn.Module, name: str, kept: Sequence[int], number: int
) -> str | None:
    """How a module of a layer would differ after the move, beyond the layer's number."""
    where = name or "the layer itself"
    if type(old) is not type(new):
        return f"has {type(new).__name__} as {where!r}"
    before, after = _traits(old), _traits(new)
    for trait in sorted(before.keys() | after.keys()):
        was, would = before.get(trait), after.get(trait)
        if was != would and not _renumbered(was, would, kept, number):
            return f"has {trait} = {would} in {where!r} (it has {was})"
    return None


def _renumbered(was: Any, would: Any, kept: Sequence[int], number: int) -> bool:
    """Whether a trait differs only as numbers and lists of layers must after a cut."""
    if not isinstance(was, tuple) or not isinstance(would, tuple):
        return (was, would) == (kept[number], number)
    sliced = len(was) > kept[-1] and would == tuple(was[layer] for layer in kept)
    return sliced or would == tuple(kept.index(layer) for layer in was if layer in kept)


def _traits(module: nn.Module) -> dict[str, Any]:
    """What makes two modules of one class differ: plain attributes and the shapes of tensors."""
    plain = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and name != "training"
        and (isinstance(value, _PLAIN) or _is_plain_sequence(value))
    }
    shapes = {name: tuple(tensor.shape) for name, tensor in module.named_parameters(recurse=False)}
    return plain | shapes


def _is_plain_sequence(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, _PLAIN) for item in value)


def _take_tensors(
    model: nn.Module, cut: nn.Module, paths: dict[str, str], lent: dict[str, str]
) -> None:
    """Give every module of `cut` the tensors of the module it stands for."""
    renamed = {**paths, **lent}
    old_modules = dict(model.named_modules())
    for path, module in cut.named_modules():
        old = old_modules.get(_old_path(path, renamed))
        if old is None:
            raise UnsupportedArchitectureError(f"The cut model has a new module {path!r}.")
        for name, value in list(vars(module).items()):
            if isinstance(value, torch.Tensor) and value.is_meta:
                setattr(module, name, getattr(old, name))
        for kind in ("_parameters", "_buffers"):
            _take_kind(path, getattr(old, kind), getattr(module, kind))


def _take_kind(path: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    for name, tensor in new.items():
        if tensor is None:
            continue
        source = old.get(name)
        if source is None or source.shape != tensor.shape:
            shape = None if source is None else tuple(source.shape)
            raise UnsupportedArchitectureError(
                f"The cut is not exact: {path}.{name} would change its shape from {shape} to "
                f"{tuple(tensor.shape)}; the model ties it to the number of layers."
            )
        new[name] = source


def _old_path(path: str, renamed: dict[str, str]) -> str:
    prefix = path
    while prefix:
        if prefix in renamed:
            return renamed[prefix] + path.removeprefix(prefix)
        prefix = prefix.rpartition(".")[0]
    return path


def _check_ties(model: nn.Module, cut: nn.Module) -> None:
    known = {id(tensor) for tensor in model.parameters()}
    new = [name for name, tensor in cut.named_parameters() if id(tensor) not in known]
    if new:
        raise UnsupportedArchitectureError(
            f"The cut is not exact: {new[0]} would be tied to another weight."
        )


def _dispatched(model: Any, cut: Any, paths: dict[str, str], stack: LayerStack) -> Any:
    """Spread the cut model over the devices that the model lies on."""
    placement = getattr(model, "hf_device_map", None)
    if not placement or len(set(placement.values())) < 2:
        return cut
    from accelerate import dispatch_model

    new_paths = {old: new for new, old in paths.items()}
    moved: dict[str, Any] = {}
    for path, device in placement.items():
        in_stack = path.startswith(f"{stack.path}.")
        layer = ".".join(path.split(".")[: stack.path.count(".") + 2]) if in_stack else path
        if layer in new_paths:
            moved[new_paths[layer] + path.removeprefix(layer)] = device
        elif not in_stack:
            moved[path] = device
    return dispatch_model(cut, device_map=moved)
