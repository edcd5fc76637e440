"""Config fields that say by rule, not by list, which layers are of which kind.

After a cut the rule must say of the kept layers what it said of them before. A threshold ("the
first k layers are dense") always can; a period ("every fourth layer") only if what is left still
follows one. All functions are pure; layers are numbered from 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PREFIX_FIELDS = (
    "first_k_dense_replace",
    "max_window_layers",
    "num_dense_layers",
    "num_hash_layers",
    "num_first_full_attention_layers",
    "moe_layer_start_index",
)
"""Fields k of the rule `layer < k`."""

SUFFIX_FIELDS = ("num_kv_shared_layers", "num_last_full_attention_layers")
"""Fields k of the rule `layer >= layers - k`."""

PERIOD_FIELDS = (
    "sliding_window_pattern",
    "_sliding_window_pattern",
    "full_attention_interval",
    "no_rope_layer_interval",
    "interleave_moe_layer_step",
    "moe_layer_freq",
)
"""Fields p of the rule `(layer + 1) % p == 0`."""

FIRST_OF_PERIOD_FIELDS = ("global_attn_every_n_layers",)
"""Fields p of the rule `layer % p == 0`."""

OFFSET_FIELDS = (
    ("attn_layer_period", "attn_layer_offset"),
    ("expert_layer_period", "expert_layer_offset"),
)
"""Pairs (p, o) of the rule `layer % p == o`."""


@dataclass(frozen=True)
class Period:
    """The layers `i` with `i % period == offset`."""

    period: int
    offset: int

    def flags(self, layers: Sequence[int]) -> list[bool]:
        """Whether each of the given layers belongs to the pattern."""
        return [layer % self.period == self.offset for layer in layers]


def fit_period(flags: Sequence[bool], shift: int | None = None) -> Period | None:
    """The shortest period that marks exactly the flagged layers 0 .. len(flags) - 1, or None.

    With `shift` only layers with `(layer + shift) % period == 0` can be marked, else the offset
    is free. No flag at all is a period longer than the stack.
    """
    layers = range(len(flags))
    for period in range(1, 2 * len(flags) + 2):
        offsets = range(period) if shift is None else [-shift % period]
        for offset in offsets:
            found = Period(period, offset)
            if found.flags(layers) == list(flags):
                return found
    return None


def recut_rules(fields: Mapping[str, object], kept: Sequence[int], layers: int) -> dict[str, int]:
    """New values of the rule fields once only `kept` of a stack of `layers` are left.

    Only fields that can be made exact are in the result; whether one that cannot matters is for
    the caller to see, by comparing the layers that the new config builds with the kept ones.
    """
    values = {name: value for name, value in fields.items() if type(value) is int}
    return (
        {
            name: sum(layer < values[name] for layer in kept)
            for name in PREFIX_FIELDS
            if name in values and values[name] < layers
        }
        | {
            name: sum(layer >= layers - values[name] for layer in kept)
            for name in SUFFIX_FIELDS
            if name in values
        }
        | _recut_periods(values, kept)
    )


def _recut_periods(values: Mapping[str, int], kept: Sequence[int]) -> dict[str, int]:
    new: dict[str, int] = {}
    for names, shift in ((PERIOD_FIELDS, 1), (FIRST_OF_PERIOD_FIELDS, 0)):
        for name in names:
            if values.get(name, 0) > 0:
                old = Period(values[name], -shift % values[name])
                fit = fit_period(old.flags(kept), shift)
                new |= {name: fit.period} if fit else {}
    for period_name, offset_name in OFFSET_FIELDS:
        if values.get(period_name, 0) > 0 and offset_name in values:
            fit = fit_period(Period(values[period_name], values[offset_name]).flags(kept))
            new |= {period_name: fit.period, offset_name: fit.offset} if fit else {}
    return new


def inexact_rules(
    fields: Mapping[str, object], kept: Sequence[int], layers: int
) -> tuple[str, ...]:
    """The fields whose rule cannot say of the kept layers what it said of them before."""
    periodic = (*PERIOD_FIELDS, *FIRST_OF_PERIOD_FIELDS, *(pair[0] for pair in OFFSET_FIELDS))
    exact = recut_rules(fields, kept, layers)
    return tuple(name for name in periodic if type(fields.get(name)) is int and name not in exact)


def explicit_dense_layers(
    sparse_step: int, dense: Sequence[int], kept: Sequence[int]
) -> dict[str, object]:
    """Mixture-of-experts layers of the Qwen family, made explicit.

    A layer is sparse where `(layer + 1) % sparse_step == 0` and it is not in `dense`: after a cut
    every layer is sparse by rule and the dense ones are listed.
    """
    listed = [
        new for new, old in enumerate(kept) if old in dense or (old + 1) % max(sparse_step, 1) != 0
    ]
    return {"decoder_sparse_step": 1, "mlp_only_layers": listed}
