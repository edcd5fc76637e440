"""Watch a model's layers during its forward pass, keeping a few numbers a record and layer."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn

from avss.architecture import LayerStack
from avss.batching import TokenBatch
from avss.errors import UnsupportedArchitectureError
from avss.scoring.mlp_inputs import down_projections
from avss.scoring.moments import row_statistics

Source = Literal["contribution", "output", "mlp"]

MEAN, M2, NEAR_ZERO, INFLUENCE, ANGLE = range(5)
"""Rows of the state: the first three of the scored values, then of the layer's input and output."""

_CHUNK_ELEMENTS = 1 << 19
"""Values handled at once: two float32 buffers of this size stay in a CPU core's cache."""


class Observer:
    """Forward hooks on every layer, filling `state[layer]`: (5, records) float64.

    No activation is kept and nothing leaves a layer's device until `collected`: each token is
    reduced over its features in float32, each record over its tokens in float64. Padding never
    counts. Every record must be seen once.
    """

    def __init__(self, stack: LayerStack, records: int, source: Source, epsilon: float) -> None:
        self.stack = stack
        self.source = source
        self.epsilon = epsilon
        self.width = 0
        self.records = records
        self._state: dict[int, torch.Tensor] = {}
        self._rows = self._mask = torch.empty(0)
        self._batch: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}
        self._scratch: dict[tuple[torch.device, int], torch.Tensor] = {}
        self._norm: tuple[torch.Tensor, torch.Tensor] | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hooks are in place inside the block only."""
        handles = []
        for position, layer in enumerate(self.stack.layers):
            handles.append(
                layer.register_forward_hook(self._layer_hook(position), with_kwargs=True)
            )
        if self.source == "mlp":
            for position, projection in enumerate(down_projections(self.stack)):
                handles.append(projection.register_forward_pre_hook(self._mlp_hook(position)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def begin(self, batch: TokenBatch) -> None:
        """Say which records the next forward pass is about, before it starts."""
        self._norm = None
        self._rows = torch.tensor(batch.rows)
        self._mask = batch.attention_mask.bool()
        self._batch = {}

    def collected(self) -> torch.Tensor:
        """Everything seen: (layers, 5, records) float64 on the CPU; NaN where nothing was seen."""
        unseen = torch.full((5, self.records), torch.nan, dtype=torch.float64)
        layers = range(len(self.stack.layers))
        return torch.stack([self._state.get(layer, unseen).to("cpu") for layer in layers])

    def _layer_hook(self, position: int) -> Any:
        def hook(
            layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
        ) -> None:
            after = output[0] if isinstance(output, (tuple, list)) else output
            before = args[0] if args else kwargs["hidden_states"]
            rows, mask = self._batch_on(after.device)
            if after.dim() != 3 or after.shape[:2] != mask.shape or before.shape != after.shape:
                raise UnsupportedArchitectureError(
                    f"Layer {self.stack.kept[position]} ({type(layer).__name__}) maps "
                    f"{tuple(before.shape)} to {tuple(after.shape)}: expected (batch, tokens, "
                    "features) in and out."
                )
            self._observe_layer(position, before.to(after.device), after, rows, mask)

        return hook

    def _mlp_hook(self, position: int) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...]) -> None:
            rows, mask = self._batch_on(args[0].device)
            values = args[0].reshape(*mask.shape, -1)
            self.width = values.shape[-1]
            self._store_moments(position, *self._token_moments(values), rows, mask)

        return hook

    def _observe_layer(
        self,
        position: int,
        before: torch.Tensor,
        after: torch.Tensor,
        rows: torch.Tensor,
        mask: torch.Tensor,
    ) -> None:
        features = after.shape[-1]
        norm_before = self._norm_of(before)
        norm_after = self._norm_of(after)
        self._norm = (after, norm_after)
        rms = norm_before / math.sqrt(features)
        mean, m2, near_zero = self._token_moments(after, before, rms)
        step, start, end = (value.double() for value in (m2, norm_before, norm_after))
        step = step + features * mean.double().square()
        one_minus_cos = (step - (end - start).square()) / (2 * start * end)
        self._store_angles(position, one_minus_cos, rows, mask)
        if self.source == "contribution":
            self.width = features
            scale = rms.double()
            self._store_moments(position, mean / scale, m2 / scale.square(), near_zero, rows, mask)
        elif self.source == "output":
            self.width = features
            self._store_moments(position, *self._token_moments(after), rows, mask)

    def _token_moments(
        self,
        values: torch.Tensor,
        minus: torch.Tensor | None = None,
        scale: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Statistics of each token over its features, three (B, T) float32 tensors."""
        width = values.shape[-1]
        flat = values.reshape(-1, width)
        other = None if minus is None else minus.reshape(-1, width)
        limits = None if scale is None else scale.reshape(-1, 1) * self.epsilon
        result = torch.empty((3, flat.shape[0]), dtype=torch.float32, device=flat.device)
        size = max(1, _CHUNK_ELEMENTS // width)
        scratch = self._scratch_of(flat.device, size * width)
        for start in range(0, flat.shape[0], size):
            part = slice(start, min(start + size, flat.shape[0]))
            count = part.stop - part.start
            work, spare = (buffer[: count * width].view(count, width) for buffer in scratch)
            if other is None:
                work.copy_(flat[part])
            else:
                torch.sub(flat[part].float(), other[part].float(), out=work)
            limit = self.epsilon if limits is None else limits[part]
            for row, value in enumerate(row_statistics(work, limit, spare)):
                result[row, part] = value
        mean, m2, near_zero = result.reshape(3, *values.shape[:2])
        return mean, m2, near_zero

    def _store_moments(
        self,
        position: int,
        mean: torch.Tensor,
        m2: torch.Tensor,
        near_zero: torch.Tensor,
        rows: torch.Tensor,
        mask: torch.Tensor,
    ) -> None:
        length = mask.sum(1).double()
        mean = mean.double()
        record_mean = torch.where(mask, mean, 0).sum(1) / length
        between = self.width * (mean - record_mean.unsqueeze(1)).square()
        state = self._state_of(position, mask.device)
        state[MEAN, rows] = record_mean
        state[M2, rows] = torch.where(mask, m2.double() + between, 0).sum(1)
        state[NEAR_ZERO, rows] = torch.where(mask, near_zero.double(), 0).sum(1)

    def _store_angles(
        self, position: int, one_minus_cos: torch.Tensor, rows: torch.Tensor, mask: torch.Tensor
    ) -> None:
        """Block Influence summed over tokens; the angle (in units of pi) at the last token."""
        last = one_minus_cos.gather(1, mask.sum(1, keepdim=True) - 1).squeeze(1)
        state = self._state_of(position, mask.device)
        state[INFLUENCE, rows] = torch.where(mask, one_minus_cos, 0).sum(1)
        state[ANGLE, rows] = 2 / math.pi * torch.asin((last / 2).clamp(0, 1).sqrt())

    def _batch_on(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Record numbers (B,) and mask (B, T) on a device, copied there once a batch."""
        if device not in self._batch:
            self._batch[device] = self._rows.to(device), self._mask.to(device)
        return self._batch[device]

    def _state_of(self, position: int, device: torch.device) -> torch.Tensor:
        if position not in self._state:
            self._state[position] = torch.full(
                (5, self.records), torch.nan, dtype=torch.float64, device=device
            )
        return self._state[position]

    def _norm_of(self, hidden: torch.Tensor) -> torch.Tensor:
        if self._norm is not None and self._norm[0] is hidden:
            return self._norm[1]
        norm: torch.Tensor = torch.linalg.vector_norm(hidden, dim=-1, dtype=torch.float32)
        return norm

    def _scratch_of(self, device: torch.device, elements: int) -> torch.Tensor:
        key = (device, elements)
        if key not in self._scratch:
            self._scratch[key] = torch.empty((2, elements), dtype=torch.float32, device=device)
        return self._scratch[key]
