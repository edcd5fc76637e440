"""Find a model's stack of layers and its numbering, by structure rather than by model name."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from avss.errors import InputError, UnsupportedArchitectureError

Side = Literal["auto", "decoder", "encoder"]

NUMBERING_FIELD = "avss_kept_layers"
"""Config field of a cut model: count field -> {"kept": [original numbers], "original": count}."""

_COUNT_FIELDS = {
    "decoder": ("num_decoder_layers", "decoder_layers"),
    "encoder": ("num_encoder_layers", "encoder_layers", "num_layers"),
    "only": ("num_hidden_layers", "num_layers", "n_layer", "n_layers"),
}


@dataclass(frozen=True)
class LayerStack:
    """The layers of one model, with their original numbers.

    `path` is the dotted name of the `nn.ModuleList`; `config` the part of the model's config that
    speaks of this stack; `count_field` the name there of the number of layers. `kept[i]` is the
    original number of the layer now at position `i`.
    """

    path: str
    layers: nn.ModuleList
    config: PreTrainedConfig
    count_field: str
    kept: tuple[int, ...]
    original_layers: int
    side: str

    def positions(self, originals: tuple[int, ...]) -> tuple[int, ...]:
        """Positions of layers given by their original numbers. Raises InputError for others."""
        for layer in originals:
            if not 0 <= layer < self.original_layers:
                raise InputError(
                    f"Layer {layer} does not exist: the original model has layers 0 to "
                    f"{self.original_layers - 1}."
                )
            if layer not in self.kept:
                raise InputError(
                    f"Layer {layer} is already removed: this model keeps {list(self.kept)}."
                )
        return tuple(self.kept.index(layer) for layer in originals)


def find_stack(model: PreTrainedModel, stack: Side = "auto") -> LayerStack:
    """The stack of layers that scores and cuts speak of.

    Of an encoder-decoder model, "auto" takes the decoder, where generation spends its time; a
    model with one stack has only that one. In a model of several modalities it is the text's.
    Raises UnsupportedArchitectureError where no list of modules is as long as the config says.
    """
    found = list(_stacks(model))
    if model.config.is_encoder_decoder:
        wanted = "decoder" if stack == "auto" else stack
        found = [one for one in found if one.side == wanted] or found
    else:
        text = model.config.get_text_config()
        found = [one for one in found if one.config is text] or found
    if not found:
        raise UnsupportedArchitectureError(
            f"{type(model).__name__}: no list of layers is as long as its config says. "
            "Expected a model whose layers lie in one torch.nn.ModuleList."
        )
    return max(found, key=lambda one: sum(weight.numel() for weight in one.layers.parameters()))


def _stacks(model: PreTrainedModel) -> Iterator[LayerStack]:
    modules = dict(model.named_modules())
    lists = [path for path, module in modules.items() if isinstance(module, nn.ModuleList)]
    for path in lists:
        if any(path.startswith(f"{other}.") for other in lists):
            continue
        layers = modules[path]
        assert isinstance(layers, nn.ModuleList)  # noqa: S101 - tells mypy what the filter knows
        config = _config_of(model, modules, path)
        side = _side(path) if model.config.is_encoder_decoder else "only"
        field = _count_field(config, side, len(layers))
        if field is not None:
            kept, original = _numbering(config, field, len(layers))
            yield LayerStack(path, layers, config, field, kept, original, side)


def _config_of(model: PreTrainedModel, modules: dict[str, nn.Module], path: str) -> Any:
    """The node of the model's own config tree that the stack's nearest model was built from."""
    tree = list(_config_tree(model.config))
    while path:
        path = path.rpartition(".")[0]
        config = getattr(modules[path], "config", None)
        if isinstance(config, PreTrainedConfig):
            same = [node for node in tree if node is config]
            alike = [node for node in tree if type(node) is type(config)]
            return (same or alike or tree)[0]
    return model.config


def _config_tree(config: PreTrainedConfig) -> Iterator[PreTrainedConfig]:
    yield config
    for name in config.sub_configs:
        child = getattr(config, name, None)
        if isinstance(child, PreTrainedConfig):
            yield from _config_tree(child)


def _side(path: str) -> str:
    return next((part for part in path.split(".") if part in ("encoder", "decoder")), "only")


def _count_field(config: Any, side: str, count: int) -> str | None:
    own = config.attribute_map.get("num_hidden_layers", "num_hidden_layers")
    shared = side != "only" and config.is_encoder_decoder
    names = _COUNT_FIELDS[side] if shared else (own, *_COUNT_FIELDS["only"])
    return next((name for name in names if getattr(config, name, None) == count), None)


def _numbering(config: Any, field: str, count: int) -> tuple[tuple[int, ...], int]:
    numbering = (getattr(config, NUMBERING_FIELD, None) or {}).get(field)
    if numbering is None:
        return tuple(range(count)), count
    kept = tuple(numbering["kept"])
    if len(kept) != count:
        raise InputError(
            f"The config's {NUMBERING_FIELD} lists {len(kept)} layers, the model has {count}: "
            "the folder was edited by hand; cut the original model again."
        )
    return kept, int(numbering["original"])
