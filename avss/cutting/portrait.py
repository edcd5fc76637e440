"""What must travel along with a model's weights: its config, generation config and tokenizer."""

from typing import Any

from avss.architecture import find_stack
from avss.cutting.layer_config import per_layer_fields

_PROBE_TEXT = "Layers 3 and 17: naïve café, 東京, 1 234.5 €"
_VOLATILE = {"transformers_version", "_name_or_path", "_from_model_config", "dtype", "torch_dtype"}


def portrait(model: Any, tokenizer: Any | None) -> dict[str, Any]:
    """Plain data that a model and its reload must agree on.

    `layers` is the length of the stack and `count` what the config says; `lists` maps each list
    in the config with an item a layer to its length.
    """
    stack = find_stack(model)
    return {
        "layers": len(stack.layers),
        "count": getattr(stack.config, stack.count_field),
        "kept": list(stack.kept),
        "lists": {
            name: len(value) for name, value in per_layer_fields(stack.config, len(stack.layers))
        },
        "class": type(model).__name__,
        "config": _stable(model.config.to_dict()),
        "generation": _generation(model),
        "tokenizer": None if tokenizer is None else _tokenizer(tokenizer),
    }


def _stable(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _stable(value) if isinstance(value, dict) else value
        for name, value in fields.items()
        if name not in _VOLATILE and name != "architectures"
    }


def _generation(model: Any) -> dict[str, Any] | None:
    config = getattr(model, "generation_config", None)
    return None if config is None or not model.can_generate() else _stable(config.to_dict())


def _tokenizer(tokenizer: Any) -> dict[str, Any]:
    return {
        "ids": tokenizer(_PROBE_TEXT)["input_ids"],
        "size": len(tokenizer),
        "chat_template": tokenizer.chat_template,
    }
