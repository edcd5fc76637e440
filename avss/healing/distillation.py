"""Distillation healing: the base model teaches the cut one, on text that is not the gate's."""

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from avss.architecture import find_stack
from avss.batching import TokenBatch, token_batches
from avss.errors import InputError
from avss.healing.adapters import (
    add_adapters,
    are_few,
    close_layers,
    merge_adapters,
    open_layers,
)
from avss.healing.checkpoint import TrainingState, fingerprint, load_state, save_state
from avss.healing.loss import DistillationLoss, aligned_states
from avss.healing.report import HealingReport, Tried, finite, told
from avss.healing.teacher import Teacher
from avss.language_loss import mean_loss, require_causal
from avss.memory import give_back, within_memory
from avss.placement import entry_device
from avss.precision import fast_matrices

_RANK = 16
_ADAM = 3
"""Of every trained weight there are its gradient and two moments besides."""

_DIVERGED = 1.5
"""A held-out loss this many times the one before training will not come back.

Nor will one that is above it and above that of guessing every token alike.
"""


@dataclass(frozen=True)
class DistillationPlan:
    """How to train.

    `tokens` is the budget, repeats included. `rank` is that of the adapters (LoRA), 0 to train
    every weight of the layers; None trains every weight where they are few (`are_few`) and adapters
    of rank 16 elsewhere. `learning_rate` is 3e-4 for every weight and 5e-4 for adapters where it is
    None, at its highest. `logits`, `text`, `ends` and `hidden` weigh the loss (DistillationLoss).

    A batch that does not fit into memory is learned from in parts, to the same step but for
    rounding. The held-out text is measured `evaluations` times; after `patience` of them in a row
    without a new low, training stops early. The same plan, text and seed give the same model on
    one machine.
    """

    tokens: int = 250_000
    rank: int | None = None
    learning_rate: float | None = None
    logits: float = 0.9
    text: float = 0.1
    ends: float = 0.1
    hidden: float = 0.1
    batch_tokens: int = 1024
    evaluations: int = 10
    patience: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rank is not None and self.rank < 0:
            raise InputError(f"rank is {self.rank}: expected 0 or more.")
        for name in ("tokens", "batch_tokens", "evaluations", "patience", "learning_rate"):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise InputError(f"{name} is {getattr(self, name)}: expected more than 0.")


@dataclass(frozen=True)
class TrainingProgress:
    """Where training stands; `seconds_left` counts from the speed so far."""

    tokens: int
    budget: int
    held_out_loss: float
    seconds_left: float


def distil(
    candidate: Any,
    base: Any,
    sequences: Sequence[Sequence[int]],
    held_out: Sequence[Sequence[int]],
    *,
    plan: DistillationPlan = DistillationPlan(),
    checkpoint: Path | None = None,
    progress: Callable[[TrainingProgress], None] | None = None,
) -> tuple[Any, HealingReport]:
    """Train a copy of `candidate` towards `base` on `sequences`; neither model given is changed.

    The weights with the lowest loss on `held_out` are kept; if that is not below the candidate's,
    or training diverges, the candidate is handed back ("none", with a warning in the report).
    With a `checkpoint` file, a run that was cut off goes on where it last measured.

    Raises InputError for text without two tokens in a row, or memory that does not suffice;
    ForeignCheckpointError, one of those, for a checkpoint of another run;
    UnsupportedArchitectureError for a model that is not causal.
    """
    require_causal(base)
    fit = [tokens for tokens in sequences if len(tokens) > 1]
    judge = [tokens for tokens in held_out if len(tokens) > 1]
    if not fit or not judge:
        raise InputError("Distillation needs training and held-out text of two tokens or more.")
    run = _Run(candidate, base, fit, judge, plan)
    found = run.result(candidate, base, run.train(checkpoint, progress))
    del run
    give_back()
    return found


class _Run:
    """One training: the student, what is trained of it, and the walk through the text."""

    def __init__(
        self,
        candidate: Any,
        base: Any,
        fit: Sequence[Sequence[int]],
        judge: Sequence[Sequence[int]],
        plan: DistillationPlan,
    ) -> None:
        self._plan, self._fit, self._judge = plan, fit, judge
        self._taught_by = (candidate, base)
        self._fits = plan.batch_tokens
        torch.manual_seed(plan.seed)
        pairs = aligned_states(candidate, base) if plan.hidden > 0 else ()
        self._loss = DistillationLoss(plan.logits, plan.text, plan.ends, plan.hidden, pairs)
        self._teacher = Teacher(base, [theirs for _, theirs in pairs])
        self._rank = plan.rank
        if plan.rank is None:
            self._rank = 0 if are_few(find_stack(candidate).layers) else _RANK
        self._student = within_memory(lambda _: self._copy(candidate), 1, base)
        self._trained = {
            name: weight
            for name, weight in self._student.named_parameters()
            if weight.requires_grad
        }
        self._rate = plan.learning_rate or (5e-4 if self._rank else 3e-4)
        self._optimizer = torch.optim.AdamW(
            self._trained.values(), lr=self._rate, weight_decay=0.0, fused=True
        )
        self.warnings: list[str] = []

    def train(
        self, checkpoint: Path | None, progress: Callable[[TrainingProgress], None] | None
    ) -> TrainingState:
        """Train to the budget, or to where it no longer helps."""
        mark = ""
        if checkpoint is not None:
            mark = fingerprint(asdict(self._plan), self._taught_by, self._fit, self._judge)
        if checkpoint is not None and checkpoint.exists():
            state = load_state(checkpoint, mark, self._trained, self._optimizer)
        else:
            state = TrainingState(mark)
            self._evaluate(state)
        start, began = state.tokens, time.monotonic()
        due = self._next_evaluation(state.tokens)
        for batch in self._batches(state.batches):
            if state.tokens >= self._plan.tokens or self._hopeless(state):
                break
            self._step(batch, state)
            if state.tokens >= due:
                self._evaluate(state)
                due = self._next_evaluation(state.tokens)
                if checkpoint is not None:
                    save_state(checkpoint, state, self._trained, self._optimizer)
            if progress is not None:
                pace = (time.monotonic() - began) / (state.tokens - start)
                left = max(0, self._plan.tokens - state.tokens)
                progress(
                    TrainingProgress(
                        state.tokens, self._plan.tokens, state.curve[-1][1], pace * left
                    )
                )
        return state

    def result(self, candidate: Any, base: Any, state: TrainingState) -> tuple[Any, HealingReport]:
        """The best model seen, and the report; judged as merged and rounded."""
        before, trained = state.curve[0][1], self._best(candidate, state)
        after = self._loss_of(trained) if state.lowest < before else state.curve[-1][1]
        better = after < before
        report = HealingReport(
            method="distilled" if better else "none",
            loss_before=before,
            loss_after=after if better else before,
            loss_of_base=self._loss_of(base),
            tokens=state.tokens,
            held_out_tokens=sum(map(len, self._judge)),
            tried=(
                Tried("none", before),
                Tried("distilled", finite(after), told((), self.warnings)),
            ),
            curve=tuple(state.curve),
            warnings=tuple(self.warnings),
            rank=self._rank,
            learning_rate=self._rate,
        )
        return (trained if better else candidate), report

    def _loss_of(self, model: Any) -> float:
        return mean_loss(model, self._judge, batch_tokens=self._plan.batch_tokens).mean

    def _step(self, batch: TokenBatch, state: TrainingState) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * _warm_then_cool(state.tokens / self._plan.tokens)
        within_memory(
            partial(self._gradients, batch),
            self._fits,
            self._student,
            beside=self._beside,
        )
        torch.nn.utils.clip_grad_norm_(self._trained.values(), 1.0)
        # The first step asks for the moments; what no batch can make smaller is told.
        within_memory(lambda _: self._optimizer.step(), 1, self._student, beside=self._beside)
        state.tokens += int(batch.attention_mask.sum())
        state.batches += 1

    @property
    def _beside(self) -> int:
        weights: int = sum(weight.nbytes for weight in self._trained.values())
        return _ADAM * weights

    def _copy(self, candidate: Any) -> Any:
        """The student: the candidate's weights once more, open to training."""
        own = copy.deepcopy(candidate)
        return add_adapters(own, self._rank) if self._rank else open_layers(own)

    def _gradients(self, batch: TokenBatch, fits: int) -> None:
        """The gradients of a batch, summed over parts of it that hold `fits` tokens each."""
        self._fits = fits
        self._optimizer.zero_grad(set_to_none=True)
        tokens = int(batch.attention_mask[:, 1:].sum())
        for part in _parts(batch, fits):
            with fast_matrices(entry_device(self._student)):
                loss = self._loss(self._student, self._teacher.lesson(part), part)
            share = int(part.attention_mask[:, 1:].sum()) / tokens
            (loss * share).backward()  # type: ignore[no-untyped-call]

    def _evaluate(self, state: TrainingState) -> None:
        loss = self._loss_of(self._student)
        lowest = state.lowest if state.curve else math.inf
        state.curve.append((state.tokens, loss))
        if loss < lowest:
            state.best = {n: weight.detach().clone() for n, weight in self._trained.items()}

    def _hopeless(self, state: TrainingState) -> bool:
        first, last = state.curve[0][1], state.curve[-1][1]
        ignorant = math.log(self._student.config.get_text_config().vocab_size)
        if not math.isfinite(last) or last > min(_DIVERGED * first, max(first, ignorant)):
            self.warnings.append(
                f"Training diverged: a held-out loss of {last:.3g} nats a token after "
                f"{state.curve[-1][0]} tokens, {first:.3g} before. Lower the learning rate, "
                f"which was {self._rate:g}."
            )
            return True
        return state.stale >= self._plan.patience

    def _next_evaluation(self, tokens: int) -> int:
        every = max(1, self._plan.tokens // self._plan.evaluations)
        return min(self._plan.tokens, (tokens // every + 1) * every)

    def _batches(self, skip: int) -> Iterator[TokenBatch]:
        """Endless, in an order that only seed and epoch decide, from batch number `skip` on."""
        batches = list(token_batches(self._fit, batch_tokens=self._plan.batch_tokens))
        epoch, start = divmod(skip, len(batches))
        while True:
            draw = torch.Generator().manual_seed(self._plan.seed + epoch)
            order = torch.randperm(len(batches), generator=draw).tolist()
            yield from (batches[at] for at in order[start:])
            epoch, start = epoch + 1, 0

    @torch.no_grad()
    def _best(self, candidate: Any, state: TrainingState) -> Any:
        for name, weight in self._trained.items():
            weight.copy_(state.best[name])
        if self._rank:
            return merge_adapters(self._student)
        return close_layers(self._student, candidate)


def _parts(batch: TokenBatch, tokens: int) -> Iterator[TokenBatch]:
    rows = max(1, tokens // batch.input_ids.shape[1])
    for start in range(0, len(batch.rows), rows):
        part = slice(start, start + rows)
        yield TokenBatch(batch.input_ids[part], batch.attention_mask[part], batch.rows[part])


def _warm_then_cool(done: float) -> float:
    """A learning rate's share: up in the first twentieth, then down to a tenth by a cosine."""
    warm = min(1.0, 0.1 + done * 18)
    return warm * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))
