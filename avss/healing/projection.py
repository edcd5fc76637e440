"""The linear maps by which a layer writes into the residual stream, found by experiment."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

_RELATIVE_TOLERANCE = 1e-2
"""Rounding that passing through the rest of the layer may add, in bfloat16 at worst."""


@dataclass(frozen=True)
class ResidualProjection:
    """`module` adds `gain` times its output to the hidden state, and feeds nothing else.

    `matrix` is its weight as (P, H), inputs by outputs, with the bias as a last row where the
    module has one; `inputs` extends what the module reads to match it.
    """

    module: nn.Module
    gain: float

    @property
    def matrix(self) -> Tensor:
        """The weight, and the bias if there is one, as float64 (P, H)."""
        weight = _weight(self.module).detach().double()
        bias = _bias(self.module)
        if bias is None:
            return weight
        return torch.cat([weight, bias.detach().double()[None]])

    def inputs(self, read: Tensor) -> Tensor:
        """What the module read, (N, P without bias), as float32 rows (N, P)."""
        rows = read.float()
        if _bias(self.module) is None:
            return rows
        return torch.cat([rows, rows.new_ones((len(rows), 1))], dim=1)

    def replace(self, matrix: Tensor) -> None:
        """Give the module a weight (and bias) of its own; whoever shared the old keeps it."""
        bias = _bias(self.module)
        if bias is not None:
            self.module.bias = _like(bias, matrix[-1])
            matrix = matrix[:-1]
        weight = self.module.weight
        assert isinstance(weight, nn.Parameter)  # noqa: S101 - narrows the type
        self.module.weight = _like(weight, matrix if _is_conv(self.module) else matrix.T)


def find_projection(
    layer: nn.Module, run: Callable[[], Tensor], hidden_size: int
) -> ResidualProjection | None:
    """The last linear map of `layer` whose output reaches the layer's output unchanged but scaled.

    `run` passes fixed input through the layer and gives its output (..., H). A map qualifies if a
    disturbance of its output appears in the layer's output and nothing else changes. A norm after
    the MLP (Gemma 2), a mixture of experts or a quantised map have none: then None.
    """
    order = _linear_maps_in_call_order(layer, run, hidden_size)
    clean = run().double()
    for module in reversed(order):
        gain = _gain(module, run, clean)
        if gain is not None:
            return ResidualProjection(module, gain)
    return None


def find_earlier(
    layer: nn.Module, run: Callable[[], Tensor], hidden_size: int, last: ResidualProjection
) -> ResidualProjection | None:
    """The linear map as wide as the hidden state that is called before `last`, if there is one.

    In a layer of attention and MLP it is attention's output projection, taken to be added with the
    same gain. The MLP reads what it writes too, so a fit of it is right to first order only: who
    uses it measures what it brings.
    """
    order = _linear_maps_in_call_order(layer, run, hidden_size)
    before = order[: order.index(last.module)]
    return ResidualProjection(before[-1], last.gain) if before else None


@contextmanager
def reading(module: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what `module` reads while the context is open."""
    read: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _m, arguments: read.append(arguments[0]))
    try:
        yield read
    finally:
        handle.remove()


def _linear_maps_in_call_order(
    layer: nn.Module, run: Callable[[], Tensor], hidden_size: int
) -> list[nn.Module]:
    called: list[nn.Module] = []
    handles = [
        module.register_forward_hook(lambda m, _i, _o: called.append(m))
        for module in layer.modules()
        if _writes(module, hidden_size)
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return [module for module in called if called.count(module) == 1]


def _gain(module: nn.Module, run: Callable[[], Tensor], clean: Tensor) -> float | None:
    noise: list[Tensor] = []

    def disturb(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randn(output.shape, generator=generator).to(output) * clean.std().to(output)
        noise.append(drawn)
        return output + drawn

    handle = module.register_forward_hook(disturb)
    try:
        change = (run().double() - clean).flatten()
    finally:
        handle.remove()
    added = noise[0].double().flatten()
    power = float(added @ added)
    if power == 0.0 or change.shape != added.shape:
        return None
    gain = float(added @ change) / power
    left = float((change - gain * added).norm()) / power**0.5
    return gain if abs(gain) > _RELATIVE_TOLERANCE and left < _RELATIVE_TOLERANCE else None


def _writes(module: nn.Module, hidden_size: int) -> bool:
    if not isinstance(module, nn.Linear | Conv1D):
        return False
    weight = module.weight
    return weight.is_floating_point() and _weight(module).shape[1] == hidden_size


def _is_conv(module: nn.Module) -> bool:
    return isinstance(module, Conv1D)


def _weight(module: nn.Module) -> Tensor:
    weight: Tensor = module.weight  # type: ignore[assignment]
    return weight if _is_conv(module) else weight.T


def _bias(module: nn.Module) -> Tensor | None:
    bias: Tensor | None = module.bias  # type: ignore[assignment]
    return bias


def _like(parameter: Tensor, values: Tensor) -> nn.Parameter:
    values = values.to(dtype=parameter.dtype, device=parameter.device).contiguous()
    return nn.Parameter(values, requires_grad=parameter.requires_grad)
