"""What a healing did, as plain data for evidence."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Method = Literal["none", "closed_form", "distilled"]


@dataclass(frozen=True)
class LayerFit:
    """The regression at one layer, numbered as in the original.

    Errors are the share of the target's weighted power that is missed on held-out text, before and
    after; `ridge` is None where no strength was better than leaving the weights alone. `attention`:
    attention's output projection was fitted too.
    """

    layer: int
    ridge: float | None
    error_before: float
    error_after: float
    attention: bool = False


@dataclass(frozen=True)
class SkippedLayer:
    """A layer that could not be healed, and why."""

    layer: int
    reason: str


@dataclass(frozen=True)
class Tried:
    """One way of healing and the loss it reached, in mean nats a token on the held-out text.

    `loss` is None where training diverged beyond numbers. `reason` says what stood in the way:
    layers that could not be healed, too little text, a training that diverged.
    """

    method: Method
    loss: float | None
    reason: str = ""


@dataclass(frozen=True)
class HealingReport:
    """A healing against none. Losses are mean nats a token on the held-out text.

    `method` is what was kept: "none" if nothing beat the model as it was cut. `tokens` were learned
    from, repeats included; `curve` holds (tokens, loss) along a distillation; `tried` is every way
    with its loss, whether it was kept or not; `prompts` counts the texts learned from that are what
    the KPIs ask; `rank` is that of the adapters that a distillation trained, 0 where that was every
    weight of the layers, and `learning_rate` how fast at most.
    """

    method: Method
    loss_before: float
    loss_after: float
    loss_of_base: float
    tokens: int
    held_out_tokens: int
    tried: tuple[Tried, ...] = ()
    fits: tuple[LayerFit, ...] = ()
    curve: tuple[tuple[int, float], ...] = ()
    skipped: tuple[SkippedLayer, ...] = ()
    warnings: tuple[str, ...] = ()
    prompts: int = 0
    rank: int | None = None
    learning_rate: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data, in the order of the fields; None for a loss that is no number."""
        found: dict[str, Any] = finite(asdict(self))
        return found


def told(skipped: Sequence[SkippedLayer], warnings: Sequence[str]) -> str:
    """Layers that were left out, by reason, and the warnings, as one text; "" for none."""
    layers: dict[str, list[str]] = {}
    for one in skipped:
        layers.setdefault(one.reason, []).append(str(one.layer))
    left_out = [
        f"{'Layer' if len(found) == 1 else 'Layers'} {', '.join(found)} not healed: {reason}."
        for reason, found in layers.items()
    ]
    return " ".join([*left_out, *warnings])


def finite(value: Any) -> Any:
    """Plain data as it is, but None for a number that is NaN or infinite."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
