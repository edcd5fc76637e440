"""Find the linear map with which a layer's MLP goes back to the model's width."""

from torch import nn
from transformers.pytorch_utils import Conv1D

from avss.architecture import LayerStack
from avss.errors import UnsupportedArchitectureError


def down_projections(stack: LayerStack) -> tuple[nn.Module, ...]:
    """The down projection of each layer, in order.

    By structure: of the layer's linear maps onto the model's width, the one with the widest input,
    and the last of those. Raises UnsupportedArchitectureError for a layer that has none, or that
    spreads its MLP over experts.
    """
    return tuple(
        _down_projection(layer, stack.kept[position], stack.config.hidden_size)
        for position, layer in enumerate(stack.layers)
    )


def _down_projection(layer: nn.Module, original: int, hidden: int) -> nn.Module:
    if any(weight.dim() == 3 and "expert" in name for name, weight in layer.named_parameters()):
        raise UnsupportedArchitectureError(
            f"Layer {original} spreads its MLP over experts, which have no single down projection: "
            "use the source contribution or output."
        )
    found = [
        (width[0], place, module)
        for place, module in enumerate(layer.modules())
        if (width := _widths(module)) and width[1] == hidden
    ]
    if not found:
        raise UnsupportedArchitectureError(
            f"Layer {original} has no linear map onto the model's width of {hidden}: "
            "use the source contribution or output."
        )
    return max(found, key=lambda one: one[:2])[2]


def _widths(module: nn.Module) -> tuple[int, int] | None:
    """Input and output width of a linear map, in either of the two layouts."""
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    if isinstance(module, Conv1D):
        return module.weight.shape[0], module.weight.shape[1]
    return None
