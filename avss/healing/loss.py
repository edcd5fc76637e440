"""How far a student is from its teacher on one batch, in logits, text and hidden states."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from avss.architecture import find_stack
from avss.batching import TokenBatch
from avss.healing.teacher import Lesson
from avss.placement import entry_device

_UNKNOWN = -100
"""Stands for a next token that nobody knows."""

_BLOCK, _BLOCK_ELSEWHERE = {"cpu": 2 << 20}, 64 << 20
"""Bytes of float32 logits that are worked on at a time: on a CPU, what its cache holds."""


@dataclass(frozen=True)
class DistillationLoss:
    """`logits` * KL(teacher || student) + `text` * cross entropy + `hidden` * state error.

    All are means over the predicted tokens, in nats; the state error is the squared distance of
    hidden states as a share of the teacher's, averaged over `pairs` of (student's, teacher's)
    indices into the states. What would be said next after a sequence, where a prompt ends and a
    KPI reads, adds its KL: it weighs `ends` times as much as the sequence's tokens together.
    (Hinton et al. 2015; Sanh et al. 2019; Muralidharan et al. 2024.)
    """

    logits: float
    text: float
    ends: float
    hidden: float
    pairs: tuple[tuple[int, int], ...]

    def __call__(self, student: Any, lesson: Lesson, batch: TokenBatch) -> Tensor:
        """The loss as a scalar, for backward."""
        device = entry_device(student)
        ours = student(
            input_ids=batch.input_ids.to(device),
            attention_mask=batch.attention_mask.to(device),
            output_hidden_states=self.hidden > 0,
            use_cache=False,
        )
        loss = soft_cross_entropy(
            ours.logits,
            lesson.logits.to(ours.logits.device),
            batch.input_ids[:, 1:].masked_fill(batch.attention_mask[:, 1:] == 0, _UNKNOWN),
            self.logits,
            self.text,
        )
        if self.ends > 0:
            loss = loss + self.ends * _error_after(ours.logits, lesson.logits, batch)
        if self.hidden > 0 and self.pairs:
            errors = _state_errors(ours.hidden_states, lesson, self.pairs, batch)
            loss = loss + self.hidden * errors.to(loss.device)
        return loss


def soft_cross_entropy(
    student: Tensor, teacher: Tensor, wanted: Tensor, logits: float, text: float
) -> Tensor:
    """`logits` * KL(teacher || student) + `text` * cross entropy, means over tokens, in nats.

    `student` and `teacher` are logits (B, T, V), `wanted` (B, T - 1) the tokens that came next,
    -100 where none did. The gradient is computed with the value, a few tokens at a time:
    (logits + text) p_student - logits p_teacher - text * one_hot(wanted).
    """
    value: Tensor = _SoftCrossEntropy.apply(student, teacher, wanted, logits, text)  # type: ignore[no-untyped-call]
    return value


class _SoftCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, student: Tensor, teacher: Tensor, wanted: Tensor, logits: float, text: float
    ) -> Tensor:
        device, words = student.device, student.shape[-1]
        came = functional.pad(wanted, (0, 1), value=_UNKNOWN).flatten().to(device)
        known = (came != _UNKNOWN).nonzero().flatten()
        total = torch.zeros((), dtype=torch.float64, device=device)
        gradient = torch.zeros_like(student, memory_format=torch.contiguous_format)
        block = max(1, _BLOCK.get(device.type, _BLOCK_ELSEWHERE) // (4 * words))
        for rows in torch.split(known, block):
            ours = functional.log_softmax(student.view(-1, words)[rows].float(), dim=-1)
            theirs = functional.log_softmax(teacher.view(-1, words)[rows].float(), dim=-1)
            likely, next_one = theirs.exp(), came[rows, None]
            total += logits * (likely * theirs.sub_(ours)).sum(dtype=torch.float64)
            total -= text * ours.gather(1, next_one).sum(dtype=torch.float64)
            slope = ours.exp_().mul_(logits + text).sub_(likely, alpha=logits)
            slope.scatter_add_(1, next_one, slope.new_full(next_one.shape, -text))
            gradient.view(-1, words)[rows] = slope.div_(len(known)).to(gradient.dtype)
        ctx.save_for_backward(gradient)
        return (total / len(known)).float()

    @staticmethod
    def backward(ctx: Any, *outer: Any) -> Any:
        (gradient,) = ctx.saved_tensors
        return gradient.mul_(outer[0].to(gradient.dtype)), None, None, None, None


def _error_after(student: Tensor, teacher: Tensor, batch: TokenBatch) -> Tensor:
    """KL(teacher || student) after the last token of each row: a mean weighted by their tokens."""
    lengths = batch.attention_mask.sum(dim=1).to(student.device)
    rows = torch.arange(len(lengths), device=student.device)
    ours, theirs = (
        logits.to(student.device)[rows, lengths - 1].float().log_softmax(-1)
        for logits in (student, teacher)
    )
    missed = functional.kl_div(ours, theirs, reduction="none", log_target=True).sum(-1)
    predicted = (lengths - 1).to(missed.dtype)
    return (missed * predicted).sum() / predicted.sum()


def aligned_states(candidate: Any, base: Any) -> tuple[tuple[int, int], ...]:
    """Indices of the states that should agree: what enters the first kept layer after each gap.

    State i of either model is what enters its layer at position i.
    """
    kept, whole = find_stack(candidate).kept, find_stack(base)
    entry = whole.positions(kept)
    return tuple(
        (position, entry[position])
        for position in range(1, len(kept))
        if entry[position] != entry[position - 1] + 1
    )


def _state_errors(
    ours: Sequence[Tensor], lesson: Lesson, pairs: tuple[tuple[int, int], ...], batch: TokenBatch
) -> Tensor:
    errors = []
    for mine, yours in pairs:
        state = ours[mine].float()
        target = lesson.states[yours].to(state.device).float()
        missed = (state - target).square().mean(dim=-1) / target.square().mean(dim=-1)
        errors.append(
            missed[batch.attention_mask.bool().to(state.device)].mean().to(ours[0].device)
        )
    return torch.stack(errors).mean()
