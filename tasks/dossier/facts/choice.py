"""Which layer goes, why that one, and how the cut was healed."""

from typing import Literal

from tasks.dossier.facts.base import Facts, Number


class LayerFact(Facts):
    """One layer of the original model. Scores are None for a layer that is no longer there."""

    index: int
    state: Literal["kept", "removed", "proposed"] = "kept"
    protected: bool = False
    avss: Number | None = None
    share: Number | None = None
    block_influence: Number | None = None
    rank: int | None = None
    rank_low: int | None = None
    rank_high: int | None = None


class CandidateFact(Facts):
    """A candidate of this step that was tried, and the rules that refused it if any did."""

    attempt: int
    layers: tuple[int, ...] = ()
    refused: bool = False
    healing: str = ""
    worst_retention_low: Number | None = None
    failed: tuple[str, ...] = ()


class ProbeFact(Facts):
    """Loss in nats a token measured with one short-listed layer taken out."""

    layer: int
    loss: Number
    chosen: bool = False


class SearchFact(Facts):
    """What it cost to choose, in forward passes of the model over the probing text.

    `scoring` is None in older records, which did not count it; `exhaustive` would have measured
    every layer that is left.
    """

    probing: Number
    scoring: Number | None = None
    exhaustive: Number


class HealingFact(Facts):
    """One way of repairing the candidate, by its loss in nats a token on held-out text."""

    method: str
    loss: Number | None = None
    chosen: bool = False
    reason: str = ""


class PlainChoiceFact(Facts):
    """The layer that plain AVSS alone would have removed, beside the one that was chosen."""

    plain_layer: int
    published: bool = False
    """By AVSS as published, on each layer's output; else by the score that proposed."""
    chosen_layer: int | None = None
    base_loss: Number | None = None
    plain_loss: Number | None = None
    chosen_loss: Number | None = None
