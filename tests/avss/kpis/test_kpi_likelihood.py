"""Log-likelihoods against the plain computation: one sequence at a time, all logits."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertConfig, BertForMaskedLM, Gemma2Config, Gemma2ForCausalLM

from avss.kpis.likelihood import Question, answer_log_likelihoods, prompt_batches
from avss.kpis.text_loss import causal_losses, masked_losses, windows


def plainly(model: Any, prompt: tuple[int, ...], answer: tuple[int, ...]) -> float:
    ids = torch.tensor([[*prompt, *answer]])
    with torch.no_grad():
        scores = model(ids).logits[0].log_softmax(dim=-1)
    places = range(len(prompt) - 1, len(prompt) + len(answer) - 1)
    return sum(float(scores[at, token]) for at, token in zip(places, answer, strict=True))


def questions(*, shared: int, longest: int) -> list[Question]:
    draw = np.random.default_rng(3)
    start = tuple(draw.integers(6, 200, shared).tolist())
    return [
        Question(
            start + tuple(draw.integers(6, 200, draw.integers(1, 20)).tolist()),
            tuple(
                tuple(draw.integers(6, 200, draw.integers(1, longest + 1)).tolist())
                for _ in range(draw.integers(2, 4))
            ),
        )
        for _ in range(6)
    ]


@pytest.mark.parametrize("shared", [0, 40])
@pytest.mark.parametrize("longest", [1, 4])
@pytest.mark.parametrize("batch_tokens", [1, 4096])
def test_answers_as_computed_plainly(
    tiny: Any, shared: int, longest: int, batch_tokens: int
) -> None:
    asked = questions(shared=shared, longest=longest)
    found = answer_log_likelihoods(tiny.model, asked, batch_tokens=batch_tokens)
    for question, scores in zip(asked, found, strict=True):
        wanted = [plainly(tiny.model, question.prompt, answer) for answer in question.answers]
        assert scores == pytest.approx(wanted, abs=1e-4)


def gemma() -> Any:
    """Sliding windows, whose cache cannot be cropped, and capped logits."""
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=220,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        sliding_window=8,
        final_logit_softcapping=2.0,
        initializer_range=0.3,
        attn_implementation="eager",
    )
    return Gemma2ForCausalLM(config).eval()


def test_answers_of_a_model_with_sliding_windows() -> None:
    model, asked = gemma(), questions(shared=0, longest=3)
    found = answer_log_likelihoods(model, asked, batch_tokens=128)
    for question, scores in zip(asked, found, strict=True):
        wanted = [plainly(model, question.prompt, answer) for answer in question.answers]
        assert scores == pytest.approx(wanted, abs=1e-4)


def test_one_token_answers_need_one_forward_pass(tiny: Any) -> None:
    asked = [Question((7, 8, 9), ((10,), (11,), (12,))) for _ in range(5)]
    passes = []
    hook = tiny.model.register_forward_hook(lambda *_: passes.append(1))
    try:
        answer_log_likelihoods(tiny.model, asked, batch_tokens=4096)
    finally:
        hook.remove()
    assert len(passes) == 1


def test_only_the_last_position_meets_the_head(tiny: Any) -> None:
    widths = []
    hook = tiny.model.lm_head.register_forward_hook(lambda _, __, out: widths.append(out.shape[1]))
    try:
        list(prompt_batches(tiny.model, [(7, 8, 9)] * 3, batch_tokens=64, keep_cache=False))
    finally:
        hook.remove()
    assert widths == [1]


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    window=st.integers(1, 16),
    share=st.floats(0.1, 1.0),
)
def test_windows_predict_every_token_once(lengths: list[int], window: int, share: float) -> None:
    stride = max(1, int(window * share))
    texts = [list(range(100, 100 + length)) for length in lengths]
    predicted: list[list[int]] = [[] for _ in texts]
    for part in windows(texts, start=1, window=window, stride=stride):
        assert 1 <= part.targets <= len(part.tokens) - 1 <= window
        predicted[part.text] += part.tokens[-part.targets :]
    assert predicted == texts


@settings(max_examples=5)
@given(window=st.integers(4, 30), batch_tokens=st.sampled_from([1, 50, 4096]))
def test_text_loss_as_computed_plainly(tiny: Any, window: int, batch_tokens: int) -> None:
    draw = np.random.default_rng(5)
    texts = [draw.integers(6, 200, size).tolist() for size in (1, 7, 20)]
    found = causal_losses(
        tiny.model, texts, start=1, window=window, stride=window, batch_tokens=batch_tokens
    )
    wanted = np.zeros(len(texts))
    for part in windows(texts, start=1, window=window, stride=window):
        prompt, answer = part.tokens[: -part.targets], part.tokens[-part.targets :]
        wanted[part.text] -= plainly(tiny.model, prompt, answer)
    assert found == pytest.approx(wanted, abs=1e-4)


def test_text_loss_of_a_model_that_caps_its_logits() -> None:
    model, text = gemma(), [9, 17, 40, 3, 99, 100]
    found = causal_losses(model, [text], start=1, window=64, stride=64, batch_tokens=64)
    assert found[0] == pytest.approx(-plainly(model, (1,), tuple(text)), abs=1e-4)


def test_masked_loss_hides_one_token_at_a_time() -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=60,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        initializer_range=0.3,
    )
    model = BertForMaskedLM(config).eval()
    texts = [[2, 10, 11, 12, 3], [2, 20, 3]]
    found = masked_losses(
        model, texts, predictable=[range(1, 4), range(1, 2)], mask_id=4, batch_tokens=8
    )
    wanted = 0.0
    for at in (1, 2, 3):
        hidden = torch.tensor([[4 if i == at else token for i, token in enumerate(texts[0])]])
        with torch.no_grad():
            wanted -= float(model(hidden).logits[0, at].log_softmax(dim=-1)[texts[0][at]])
    assert found[0] == pytest.approx(wanted, abs=1e-4)
    assert found[1] > 0
    assert math.isfinite(found[1])
