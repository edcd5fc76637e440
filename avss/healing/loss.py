"""How far a student is from its teacher on one batch, in logits, text and hidden states."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from avss.architecture import find_stack
from avss.batching import TokenBatch


@dataclass(frozen=True)
class DistillationLoss:
    """`logits` * KL(teacher || student) + `text` * cross entropy + `hidden` * state error.

    All are means over the predicted tokens, in nats; the state error is the squared distance of
    hidden states as a share of the teacher's, averaged over `pairs` of (student's, teacher's)
    indices into the states. (Hinton et al. 2015; Sanh et al. 2019; Muralidharan et al. 2024.)
    """

    logits: float
    text: float
    hidden: float
    pairs: tuple[tuple[int, int], ...]

    def __call__(self, student: Any, teacher: Any, batch: TokenBatch) -> Tensor:
        """The loss as a scalar, for backward."""
        ours = _outputs(student, batch, states=self.hidden > 0)
        with torch.no_grad():
            theirs = _outputs(teacher, batch, states=self.hidden > 0)
        device = ours.logits.device
        predicts = batch.attention_mask[:, 1:].bool().to(device)
        wanted = batch.input_ids[:, 1:].to(device)[predicts]
        log_ours = functional.log_softmax(ours.logits[:, :-1][predicts].float(), dim=-1)
        reference = theirs.logits.to(device)[:, :-1][predicts].float()
        divergence = functional.kl_div(
            log_ours, reference.log_softmax(dim=-1), reduction="batchmean", log_target=True
        )
        loss = self.logits * divergence + self.text * functional.nll_loss(log_ours, wanted)
        if self.hidden > 0 and self.pairs:
            real = batch.attention_mask.bool()
            loss = loss + self.hidden * _state_error(
                ours.hidden_states, theirs.hidden_states, self.pairs, real
            )
        return loss


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


def _outputs(model: Any, batch: TokenBatch, *, states: bool) -> Any:
    device = model.get_input_embeddings().weight.device
    return model(
        input_ids=batch.input_ids.to(device),
        attention_mask=batch.attention_mask.to(device),
        output_hidden_states=states,
        use_cache=False,
    )


def _state_error(
    ours: Sequence[Tensor],
    theirs: Sequence[Tensor],
    pairs: tuple[tuple[int, int], ...],
    real: Tensor,
) -> Tensor:
    errors = []
    for mine, yours in pairs:
        state = ours[mine].float()
        target = theirs[yours].to(state.device).float()
        missed = (state - target).square().mean(dim=-1) / target.square().mean(dim=-1)
        errors.append(missed[real.to(state.device)].mean())
    return torch.stack(errors).mean()
