"""The config of a model after a cut: every field that speaks of single layers, made to fit."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from transformers import PreTrainedConfig

from avss.architecture import NUMBERING_FIELD, LayerStack
from avss.cutting.cadence import explicit_dense_layers, recut_rules
from avss.errors import UnsupportedArchitectureError

_NOT_PER_LAYER = ("token", "limit", "multiplier", "architectures", "labels", "section", "factor")
"""Parts of the names of lists that have nothing to do with layers, whatever their length."""

_INDEX_LIST = ("_ids", "_idx", "_idxs", "_indices", "_only_layers", "moe_layers", "source_layers")
"""Ends of the names of lists that hold layer numbers; others hold one item a layer."""

_EXTRA_HEADS = ("num_nextn_predict_layers", "num_mtp_layers", "mtp_num_hidden_layers")
"""Counts of multi-token prediction layers, whose weights transformers leaves unread."""


def cut_config(root: PreTrainedConfig, stack: LayerStack, positions: Sequence[int]) -> Any:
    """A copy of the config tree `root` for the stack's layers at `positions` only.

    Lists with one item a layer are sliced, lists of layer numbers and mappings by layer number
    renumbered, rules recomputed where exact (see `cadence`), and the original numbers written to
    `avss_kept_layers`. Whether the result builds the same layers is not judged here.
    """
    fields = stack.config.to_dict()
    layers = len(stack.layers)
    changes = _recut_fields(fields, positions, layers)
    changes |= recut_rules(fields, positions, layers)
    if {"decoder_sparse_step", "mlp_only_layers"} <= fields.keys():
        changes |= explicit_dense_layers(
            fields["decoder_sparse_step"], fields["mlp_only_layers"] or [], positions
        )
    changes |= {name: 0 for name in _EXTRA_HEADS if fields.get(name)}
    if "num_decoder_layers" in fields:
        # without this field transformers sizes T5's cache by the depth of the encoder
        decoder = stack.side == "decoder"
        changes["decoder_layers"] = len(positions) if decoder else fields["num_decoder_layers"]
    numbering = dict(fields.get(NUMBERING_FIELD) or {})
    numbering[stack.count_field] = {
        "kept": [stack.kept[position] for position in positions],
        "original": stack.original_layers,
    }
    changes |= {NUMBERING_FIELD: numbering, stack.count_field: len(positions)}
    return _rebuilt(root, stack.config, changes)


def per_layer_fields(config: PreTrainedConfig, layers: int) -> Iterator[tuple[str, Sequence[Any]]]:
    """The config's lists that have one item for each of `layers` layers."""
    for name, value in config.to_dict().items():
        if _is_per_layer(name, value, layers):
            yield name, value


def _recut_fields(
    fields: Mapping[str, Any], positions: Sequence[int], layers: int
) -> dict[str, Any]:
    new_number = {old: new for new, old in enumerate(positions)}
    changes: dict[str, Any] = {}
    for name, value in fields.items():
        if name == NUMBERING_FIELD:
            continue
        if _is_index_list(name, value, layers):
            changes[name] = [new_number[layer] for layer in value if layer in new_number]
        elif _is_per_layer(name, value, layers):
            changes[name] = type(value)(value[position] for position in positions)
        elif _is_by_layer(name, value, layers):
            changes[name] = {
                new_number[int(key)]: item for key, item in value.items() if int(key) in new_number
            }
    return changes


def _is_index_list(name: str, value: object, layers: int) -> bool:
    return (
        isinstance(value, list | tuple)
        and name.endswith(_INDEX_LIST)
        and not any(part in name for part in _NOT_PER_LAYER)
        and all(type(item) is int and 0 <= item < layers for item in value)
    )


def _is_per_layer(name: str, value: object, layers: int) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == layers
        and not name.endswith(_INDEX_LIST)
        and not any(part in name for part in _NOT_PER_LAYER)
    )


def _is_by_layer(name: str, value: object, layers: int) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and "layer" in name
        and all(str(key).isdigit() and int(key) < layers for key in value)
    )


def _rebuilt(root: PreTrainedConfig, node: PreTrainedConfig, changes: Mapping[str, Any]) -> Any:
    """The tree with `changes` made at one node, as if it had been saved and loaded again."""
    fields = root.to_dict()
    _node_fields(root, node, fields).update(changes)
    attention = root._attn_implementation
    try:
        rebuilt = type(root).from_dict(copy.deepcopy(fields))
    except (ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise UnsupportedArchitectureError(
            f"{type(root).__name__} does not allow the cut: {reason}"
        ) from error
    rebuilt._attn_implementation = attention
    rebuilt._name_or_path = root._name_or_path
    return rebuilt


def _node_fields(root: PreTrainedConfig, node: PreTrainedConfig, fields: dict[str, Any]) -> Any:
    if node is root:
        return fields
    for name in root.sub_configs:
        child = getattr(root, name, None)
        if isinstance(child, PreTrainedConfig) and isinstance(fields.get(name), dict):
            found = _node_fields(child, node, fields[name])
            if found is not None:
                return found
    return None
