"""The distillation loss is what its formula says, in value and in gradient; lessons are exact."""

import pytest
import torch
from torch.nn import functional

from avss.batching import token_batches
from avss.cutting.pruning import remove_layers
from avss.healing import loss
from avss.healing.loss import DistillationLoss, aligned_states, soft_cross_entropy
from avss.healing.teacher import Teacher


@pytest.mark.parametrize("weights", [(0.7, 0.3), (1.0, 0.0), (0.0, 1.0)])
@pytest.mark.parametrize("shape", [(1, 2), (3, 5), (4, 601)])
def test_value_and_gradient_follow_from_autograd(weights, shape, monkeypatch):
    monkeypatch.setattr(loss, "_BLOCK", {"cpu": 4096})  # many blocks, the last one smaller
    draw = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(*shape, 50, generator=draw) * 3 for _ in range(2))
    wanted = torch.randint(0, 50, (shape[0], shape[1] - 1), generator=draw)
    if shape[0] > 1:
        wanted[-1, 1:] = -100
    ours, plain = (student.clone().requires_grad_() for _ in range(2))
    found = soft_cross_entropy(ours, teacher, wanted, *weights)
    logits, text = weights
    known = wanted != -100
    expected = logits * functional.kl_div(
        plain[:, :-1][known].log_softmax(-1),
        teacher[:, :-1][known].log_softmax(-1),
        reduction="batchmean",
        log_target=True,
    ) + text * functional.cross_entropy(plain[:, :-1][known], wanted[known])
    (3 * found).backward()
    (3 * expected).backward()
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(ours.grad, plain.grad, rtol=1e-4, atol=1e-7)


def test_the_states_that_should_agree_are_those_behind_each_gap(llama):
    assert aligned_states(remove_layers(llama, [2]), llama) == ((2, 3),)
    last = len(llama.model.layers) - 1
    assert aligned_states(remove_layers(llama, [0, last]), llama) == ()


def test_states_behind_a_gap_weigh_by_their_error_as_a_share_of_the_teachers(llama):
    text = [[5, 7, 11, 13, 2], [3, 9], [8, 8, 8]]
    (batch,) = token_batches(text, batch_tokens=64)
    student, pairs = remove_layers(llama, [2]), ((2, 3),)
    lesson = Teacher(llama, [3]).lesson(batch)
    without, with_states = (
        DistillationLoss(0.7, 0.3, 0.0, hidden, pairs)(student, lesson, batch).item()
        for hidden in (0.0, 0.5)
    )
    errors = []
    for tokens in text:  # one by one, so without padding
        states = (
            model(input_ids=torch.tensor([tokens]), output_hidden_states=True).hidden_states[at][0]
            for model, at in ((student, 2), (llama, 3))
        )
        ours, theirs = states
        errors += ((ours - theirs).square().mean(-1) / theirs.square().mean(-1)).tolist()
    expected = 0.5 * sum(errors) / len(errors)
    assert expected > 0
    assert with_states - without == pytest.approx(expected, rel=1e-3)


def test_what_is_said_after_a_text_weighs_as_a_share_of_its_tokens(llama):
    text = [[5, 7, 11, 13, 2], [3, 9], [8, 8, 8]]
    (batch,) = token_batches(text, batch_tokens=64)
    lesson, student = Teacher(llama).lesson(batch), remove_layers(llama, [2])
    without, with_ends = (
        DistillationLoss(0.7, 0.3, ends, 0.0, ())(student, lesson, batch).item()
        for ends in (0.0, 4.0)
    )
    missed = [
        functional.kl_div(
            student(input_ids=ids).logits[0, -1].log_softmax(-1),
            llama(input_ids=ids).logits[0, -1].log_softmax(-1),
            reduction="sum",
            log_target=True,
        ).item()
        for ids in (torch.tensor([tokens]) for tokens in text)
    ]
    expected = 4 * (4 * missed[0] + missed[1] + 2 * missed[2]) / 7
    assert expected > 0
    assert with_ends - without == pytest.approx(expected, rel=1e-3)


def test_a_lesson_is_what_the_model_computes_however_often_it_is_asked(llama):
    draw = torch.Generator().manual_seed(0)
    text = [torch.randint(0, 96, (size,), generator=draw).tolist() for size in (9, 7, 5, 3)]
    teacher = Teacher(llama, [2, 4, 2])
    calls = []
    llama.model.layers[0].register_forward_hook(lambda *_: calls.append(1))
    for batch in (*token_batches(text, batch_tokens=18), *token_batches(text, batch_tokens=18)):
        lesson = teacher.lesson(batch)
        with torch.no_grad():
            whole = llama(
                input_ids=batch.input_ids,
                attention_mask=batch.attention_mask,
                output_hidden_states=True,
            )
        real = batch.attention_mask.bool()
        torch.testing.assert_close(lesson.logits[real], whole.logits[real])
        assert set(lesson.states) == {2, 4}
        for at, state in lesson.states.items():
            torch.testing.assert_close(state[real], whole.hidden_states[at][real])
