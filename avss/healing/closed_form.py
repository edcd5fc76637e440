"""Closed-form healing: fold ridge regressions into the weights that a cut left in place.

From the first gap on, every kept layer's last projection is fitted again so that the candidate's
hidden state comes as close as it can to the base model's before the next kept layer. The base is
always the target, so that losses do not creep in from step to step, and every layer is fitted to
what really enters it after the layers before it were healed. Before a gap, where most is missed,
attention's output projection is fitted as well. No parameter is added.
"""

import copy
import warnings
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from avss.architecture import find_stack
from avss.batching import TokenBatch, token_batches
from avss.errors import InputError
from avss.healing.projection import (
    ResidualProjection,
    find_earlier,
    find_projection,
    reading,
)
from avss.healing.report import HealingReport, LayerFit, SkippedLayer, Tried, finite, told
from avss.healing.ridge import Choice, RidgeStatistics, choose
from avss.language_loss import LossSum, mean_loss, require_causal
from avss.memory import within_memory
from avss.precision import fast_matrices
from avss.replay import Replay

if TYPE_CHECKING:
    from transformers import PreTrainedModel

RIDGES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Penalties tried at every layer, relative to the mean power of its inputs."""

_ENDS = 0.25
"""What the end of a prompt adds, as a multiple of what its tokens count together."""

_FEW = 16
"""Tokens that show which of a layer's maps writes into the hidden state."""


class FewTokensWarning(UserWarning):
    """There is less healing text than a fit has unknowns for each output."""


def heal_closed_form(
    candidate: "PreTrainedModel",
    base: "PreTrainedModel",
    sequences: Sequence[Sequence[int]],
    held_out: Sequence[Sequence[int]],
    *,
    prompts: Sequence[Sequence[int]] = (),
    batch_tokens: int = 1024,
    progress: Callable[[int, int], None] | None = None,
) -> tuple["PreTrainedModel", HealingReport]:
    """Heal `candidate`, which is `base` without some layers, towards `base`.

    Fits on `sequences`, and on `prompts` with more weight at their ends, where KPIs read; picks
    every layer's ridge strength on `held_out`, and compares the whole model's loss there with the
    candidate's: if it is not lower, the candidate is handed back as it was ("none"). Neither model
    given is changed; the healed one shares every weight it did not fit.
    Memory holds one hidden state of each model for every token, never all layers'.
    `progress` is called with (layers done, layers in all).

    Raises InputError if nothing was removed, or either text has no sequence of two tokens;
    UnsupportedArchitectureError for a model that does not predict the next token.
    """
    require_causal(base)
    texts, judge = _usable(sequences, "healing"), _usable(held_out, "held-out")
    fit = [*texts, *(tokens for tokens in prompts if len(tokens) > 1)]
    asks = range(len(texts), len(fit))

    def fitted(size: int) -> tuple["PreTrainedModel", _Healing, tuple[LossSum, LossSum]]:
        healed = share_weights(candidate)
        healing = _Healing(healed, base, fit, judge, asks, size)
        healing.run(progress)
        return healed, healing, healing.losses()

    healed, healing, (after, of_base) = within_memory(fitted, batch_tokens, base)
    before = mean_loss(candidate, judge, batch_tokens=batch_tokens)
    better = after.mean < before.mean
    report = HealingReport(
        method="closed_form" if better else "none",
        loss_before=before.mean,
        loss_after=after.mean if better else before.mean,
        loss_of_base=of_base.mean,
        tokens=sum(map(len, fit)),
        held_out_tokens=sum(map(len, judge)),
        tried=(
            Tried("none", before.mean),
            Tried("closed_form", finite(after.mean), told(healing.skipped, healing.warnings)),
        ),
        fits=tuple(healing.fits),
        skipped=tuple(healing.skipped),
        warnings=tuple(healing.warnings),
    )
    return (healed if better else candidate), report


def share_weights(model: "PreTrainedModel") -> "PreTrainedModel":
    """A second model over the same tensors: giving one new weights leaves the other alone."""
    tensors = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


def _usable(sequences: Sequence[Sequence[int]], what: str) -> list[Sequence[int]]:
    usable = [tokens for tokens in sequences if len(tokens) > 1]
    if not usable:
        raise InputError(f"The {what} text has no sequence of two tokens or more.")
    return usable


class _Healing:
    """One walk of both models, side by side, through the candidate's layers."""

    def __init__(
        self,
        healed: "PreTrainedModel",
        base: "PreTrainedModel",
        fit: Sequence[Sequence[int]],
        judge: Sequence[Sequence[int]],
        asks: Collection[int],
        batch_tokens: int,
    ) -> None:
        stack, whole = find_stack(healed), find_stack(base)
        self._layers, self._kept = stack.layers, stack.kept
        self._entry = whole.positions(stack.kept)
        self._exit = (*self._entry[1:], len(whole.kept))
        if len(stack.kept) == len(whole.kept):
            raise InputError("The candidate has all of the base's layers: there is no gap to heal.")
        self._twins = [whole.layers[at] for at in self._entry]
        self._healed, self._base = Replay(healed, stack.layers), Replay(base, whole.layers)
        self._batches = [
            (batch, judging)
            for judging, sequences in ((False, fit), (True, judge))
            for batch in token_batches(sequences, batch_tokens=batch_tokens)
        ]
        self._asks = asks
        first = self._batches[0][0]
        self._few = TokenBatch(
            first.input_ids[:1, :_FEW], first.attention_mask[:1, :_FEW], first.rows[:1]
        )
        self._ours = [self._healed.begin(batch).hidden for batch, _ in self._batches]
        self._theirs = [self._base.begin(batch).hidden for batch, _ in self._batches]
        self._tokens = sum(map(len, fit))
        self._ridge: float | None = None
        self.fits: list[LayerFit] = []
        self.skipped: list[SkippedLayer] = []
        self.warnings: list[str] = []

    def run(self, progress: Callable[[int, int], None] | None) -> None:
        """Fit every layer from the one before the first gap on, in order."""
        reached, gap_seen = 0, self._entry[0] > 0
        alike = all(map(torch.equal, self._ours, self._theirs))
        for position in range(len(self._kept)):
            self._advance_base(reached, self._exit[position])
            reached = self._exit[position]
            gap_seen = gap_seen or self._exit[position] != self._entry[position] + 1
            alike = alike and not gap_seen and self._is_twin(position)
            if gap_seen:
                self._fit(position)
            if alike:  # nothing was removed or healed yet: the base's walk is the candidate's
                self._ours = list(self._theirs)
            else:
                self._advance_ours(position)
            if progress is not None:
                progress(position + 1, len(self._kept))

    def losses(self) -> tuple[LossSum, LossSum]:
        """The healed model's loss and the base's on the judging text, from the states reached."""
        ours, theirs = LossSum(), LossSum()
        for (batch, judging), mine, wanted in zip(
            self._batches, self._ours, self._theirs, strict=True
        ):
            if judging:
                ours.add(self._healed.begin(batch).logits(mine), batch)
                theirs.add(self._base.begin(batch).logits(wanted), batch)
        return ours, theirs

    def _is_twin(self, position: int) -> bool:
        """Whether the layer is as it was in the base, and on the same device."""
        theirs = dict(self._twins[position].named_parameters())
        return all(
            weight.device == theirs[name].device and torch.equal(weight, theirs[name])
            for name, weight in self._layers[position].named_parameters()
        )

    @torch.no_grad()
    def _fit(self, position: int) -> None:
        projection = self._projection(position)
        if projection is None:
            reason = "no linear map of this layer writes straight into the hidden state"
            self._skip(self._kept[position], reason)
            return
        earlier = self._earlier(position, projection)
        self._reset(position, [projection] if earlier is None else [projection, earlier])
        prior, ridge = projection.matrix, self._ridge
        if self._tokens < len(prior):
            self._warn(self._tokens, len(prior))
        best = first = self._fitted(position, projection, prior)
        if earlier is not None:
            best = self._refitted(position, projection, earlier, prior, first)
        self._ridge = best.ridge or ridge
        after = best.missed / first.power if first.power > 0 else 0.0
        self.fits.append(
            LayerFit(self._kept[position], best.ridge, first.before, after, best is not first)
        )

    def _fitted(self, position: int, projection: ResidualProjection, prior: Tensor) -> Choice:
        """Fit one map of the layer, shrunk towards `prior`, to what the layer misses now."""
        fit, judge = self._statistics(position, projection)
        best = choose(fit, judge, prior, RIDGES, start=self._ridge)
        projection.replace(best.weights)
        return best

    def _refitted(
        self,
        position: int,
        projection: ResidualProjection,
        earlier: ResidualProjection,
        prior: Tensor,
        first: Choice,
    ) -> Choice:
        """Fit `earlier` to what is left, then `projection` again; undone if that misses more."""
        before = earlier.matrix
        self._fitted(position, earlier, before)
        second = self._fitted(position, projection, prior)
        if second.missed < first.missed:
            return second
        earlier.replace(before)
        projection.replace(first.weights)
        return first

    def _projection(self, position: int) -> ResidualProjection | None:
        return find_projection(self._layers[position], *self._trial(position))

    def _earlier(self, position: int, projection: ResidualProjection) -> ResidualProjection | None:
        if self._exit[position] == self._entry[position] + 1:
            return None
        return find_earlier(self._layers[position], *self._trial(position), projection)

    def _trial(self, position: int) -> tuple[Callable[[], Tensor], int]:
        """A few tokens' way through the layer, and how wide the hidden state is."""
        walk, entering = self._healed.begin(self._few), self._ours[0][:1, :_FEW]
        return lambda: walk.step(position, entering), entering.shape[-1]

    def _reset(self, position: int, projections: Sequence[ResidualProjection]) -> None:
        """Give the maps back what they are in the base, if only healing changed the layer.

        So healing again after a later removal gives what healing once would have given, and fits
        do not compound. A layer that was trained since keeps its own.
        """
        layer, twin = self._layers[position], self._twins[position]
        names = {module: name for name, module in layer.named_modules()}
        healed = [names[one.module] for one in projections]
        theirs = dict(twin.named_parameters())
        for key, weight in layer.named_parameters():
            mapped = key.rpartition(".")[0] in healed
            if not mapped and not torch.equal(weight, theirs[key].to(weight.device)):
                return
        for name, one in zip(healed, projections, strict=True):
            one.replace(ResidualProjection(twin.get_submodule(name), one.gain).matrix)

    def _statistics(
        self, position: int, projection: ResidualProjection
    ) -> tuple[RidgeStatistics, RidgeStatistics]:
        """Sums over the fitting text and over the judging text."""
        old = projection.matrix.float()
        fit, judge = (RidgeStatistics.empty(len(old), old.shape[1], old.device) for _ in range(2))
        for (batch, judging), entering, wanted in zip(
            self._batches, self._ours, self._theirs, strict=True
        ):
            with reading(projection.module) as read, _precision(judging, entering):
                leaving = self._healed.begin(batch).step(position, entering)
            real = batch.attention_mask.bool().to(leaving.device)
            inputs = projection.inputs(read[0][real])
            target = wanted.to(leaving.device)[real].float()
            missing = target - leaving[real].float()
            weight = _relative_weight(target)
            if not judging:
                weight *= _counted(batch, self._asks).to(weight.device)[real].sqrt()
            (judge if judging else fit).add(
                inputs, inputs @ old + missing / projection.gain, weight
            )
        return fit, judge

    @torch.no_grad()
    def _advance_base(self, start: int, stop: int) -> None:
        for index, (batch, judging) in enumerate(self._batches):
            entering, between = self._theirs[index], range(start, stop)
            with _precision(judging, entering):
                self._theirs[index] = _walk(self._base, batch, between, entering)

    @torch.no_grad()
    def _advance_ours(self, position: int) -> None:
        for index, (batch, judging) in enumerate(self._batches):
            entering, one = self._ours[index], range(position, position + 1)
            with _precision(judging, entering):
                self._ours[index] = _walk(self._healed, batch, one, entering)

    def _skip(self, layer: int, reason: str) -> None:
        self.skipped.append(SkippedLayer(layer, reason))

    def _warn(self, tokens: int, unknowns: int) -> None:
        message = (
            f"Healing fits {unknowns} weights for each output on {tokens} tokens: "
            "give more calibration text for a better fit."
        )
        if message not in self.warnings:
            self.warnings.append(message)
            warnings.warn(message, FewTokensWarning, stacklevel=4)


def _walk(replay: Replay, batch: TokenBatch, positions: range, hidden: Tensor) -> Tensor:
    walk = replay.begin(batch)
    for position in positions:
        hidden = walk.step(position, hidden)
    return hidden


def _precision(judging: bool, hidden: Tensor) -> AbstractContextManager[Any]:
    """Float32 may be rounded to bfloat16 where it is fitted on; what judges gives exact losses."""
    exact = judging or hidden.dtype != torch.float32
    return nullcontext() if exact else fast_matrices(hidden.device)


def _counted(batch: TokenBatch, asks: Collection[int]) -> Tensor:
    """How often each token of a batch (B, T) counts: once, and the ends of prompts more."""
    counted = batch.attention_mask.float()
    lengths = batch.attention_mask.sum(dim=1).tolist()
    for at, (row, length) in enumerate(zip(batch.rows, lengths, strict=True)):
        if row in asks:
            counted[at, length - 1] += _ENDS * length
    return counted


def _relative_weight(target: Tensor) -> Tensor:
    """1 / RMS of every row: errors count relative to the state's size, as the next norm sees them.

    Without it the few tokens with massive activations (arXiv 2402.17762) would decide everything.
    """
    size = target.square().mean(dim=1).sqrt()
    return size.clamp_min(torch.finfo(torch.float32).tiny).reciprocal()
