"""Distillation brings a cut model closer to its teacher, stops in time and can go on later."""

import copy
import json
from dataclasses import replace

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from avss.cutting.pruning import remove_layers
from avss.errors import InputError
from avss.healing import adapters
from avss.healing.checkpoint import ForeignCheckpointError
from avss.healing.closed_form import share_weights
from avss.healing.distillation import DistillationPlan, distil
from avss.language_loss import mean_loss

BUILD = {
    "llama": lambda: LlamaForCausalLM(
        LlamaConfig(
            vocab_size=30,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=4,
            num_attention_heads=2,
            initializer_range=0.3,
        )
    ),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(
            vocab_size=30,
            n_embd=16,
            n_layer=4,
            n_head=2,
            initializer_range=0.3,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
        )
    ),
}
PLAN = DistillationPlan(
    tokens=6000, rank=4, learning_rate=5e-3, batch_tokens=200, evaluations=6, patience=6
)


def model_of(name):
    torch.manual_seed(0)
    return BUILD[name]().eval()


def written_by(model, rows, seed):
    torch.manual_seed(seed)
    start = torch.randint(0, 30, (rows, 1))
    return model.generate(
        start, do_sample=True, top_k=0, max_new_tokens=19, pad_token_id=0, eos_token_id=None
    ).tolist()


@pytest.fixture(scope="module")
def base():
    return model_of("llama")


@pytest.fixture(scope="module")
def text(base):
    return written_by(base, 40, seed=1)


@pytest.fixture(scope="module")
def judge(base):
    return written_by(base, 20, seed=2)


def loss_of(model, text):
    return mean_loss(model, text, batch_tokens=1000).mean


def weights_of(model):
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("name", "plan"), [("llama", PLAN), ("gpt2", PLAN), ("llama", replace(PLAN, rank=0))]
)
def test_part_of_what_the_cut_cost_comes_back_and_nothing_given_is_changed(name, plan):
    base = model_of(name)
    candidate = remove_layers(base, [2])
    before, before_candidate = weights_of(base), weights_of(candidate)
    fit, judge, fresh = (written_by(base, rows, seed) for rows, seed in ((40, 1), (20, 2), (20, 3)))
    healed, report = distil(candidate, base, fit, judge, plan=plan)
    assert report.method == "distilled"
    lost = loss_of(candidate, fresh) - loss_of(base, fresh)
    assert loss_of(healed, fresh) < loss_of(candidate, fresh) - 0.2 * lost
    assert report.loss_after == pytest.approx(loss_of(healed, judge), rel=1e-4)
    assert report.loss_before == pytest.approx(loss_of(candidate, judge), rel=1e-4)
    assert same(weights_of(base), before)
    assert same(weights_of(candidate), before_candidate)
    assert weights_of(healed).keys() == before_candidate.keys()
    assert type(healed) is type(candidate)


def test_a_small_model_is_trained_whole_in_float32_and_handed_back_in_its_dtype(base, text, judge):
    narrow = model_of("llama").bfloat16()
    candidate = remove_layers(narrow, [2])
    healed, report = distil(candidate, narrow, text, judge, plan=replace(PLAN, rank=None))
    assert (report.method, report.rank) == ("distilled", 0)
    assert {name: weight.dtype for name, weight in healed.named_parameters()} == {
        name: weight.dtype for name, weight in candidate.named_parameters()
    }
    assert same(
        {name: one for name, one in healed.named_parameters() if ".layers." not in name},
        {name: one for name, one in candidate.named_parameters() if ".layers." not in name},
    )
    assert report.loss_after == pytest.approx(loss_of(healed, judge), rel=1e-4)


def test_opened_layers_train_in_float32_and_nothing_else_does():
    narrow = model_of("llama").bfloat16()
    rotary = narrow.model.rotary_emb.inv_freq.dtype
    opened = adapters.open_layers(copy.deepcopy(narrow))
    assert {weight.dtype for weight in opened.parameters()} == {torch.float32}
    assert opened.model.rotary_emb.inv_freq.dtype == rotary
    assert all(one.requires_grad == (".layers." in name) for name, one in opened.named_parameters())
    closed = adapters.close_layers(opened, narrow)
    assert same(weights_of(closed), weights_of(narrow))
    assert {weight.dtype for weight in closed.parameters()} == {torch.bfloat16}


def test_a_large_model_is_given_adapters(base, text, judge, monkeypatch):
    monkeypatch.setattr(adapters, "_FEW", 100)
    plan = replace(PLAN, tokens=400, rank=None)
    assert distil(remove_layers(base, [2]), base, text, judge, plan=plan)[1].rank == 16


def test_the_same_seed_gives_the_same_model(base, text, judge):
    candidate, plan = remove_layers(base, [2]), replace(PLAN, tokens=1500)
    one, _ = distil(candidate, base, text, judge, plan=plan)
    two, _ = distil(candidate, base, text, judge, plan=plan)
    other, _ = distil(candidate, base, text, judge, plan=replace(plan, seed=1))
    assert same(weights_of(one), weights_of(two))
    assert not same(weights_of(one), weights_of(other))


def test_a_run_that_was_cut_off_ends_as_if_it_had_not_been(base, text, judge, tmp_path):
    candidate, path = remove_layers(base, [2]), tmp_path / "run" / "state.safetensors"
    whole, expected = distil(candidate, base, text, judge, plan=PLAN)

    def cut_off(at):
        if at.tokens > 3500:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distil(candidate, base, text, judge, plan=PLAN, checkpoint=path, progress=cut_off)
    seen = []
    resumed, report = distil(
        candidate, base, text, judge, plan=PLAN, checkpoint=path, progress=seen.append
    )
    assert seen[0].tokens >= 3000
    assert report == expected
    assert same(weights_of(resumed), weights_of(whole))


def test_a_checkpoint_of_another_run_is_refused(base, text, judge, tmp_path):
    candidate, path = remove_layers(base, [2]), tmp_path / "state.safetensors"
    plan = replace(PLAN, tokens=400, evaluations=1)
    distil(candidate, base, text, judge, plan=plan, checkpoint=path)
    other = share_weights(candidate)
    other.get_input_embeddings().weight = torch.nn.Parameter(
        other.get_input_embeddings().weight + 0.001
    )
    runs = [
        (candidate, base, text[1:], plan),
        (candidate, base, text, replace(plan, seed=1)),
        (other, base, text, plan),
        (candidate, other, text, plan),
    ]
    for one, teacher, learned, planned in runs:
        with pytest.raises(ForeignCheckpointError, match="another distillation"):
            distil(one, teacher, learned, judge, plan=planned, checkpoint=path)


def test_memory_that_ends_at_an_optimizers_step_is_said(base, text, judge, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(torch.optim.AdamW, "step", full)
    with pytest.raises(InputError, match=r"Out of memory on cpu .* what is trained [0-9.]+ GiB"):
        distil(remove_layers(base, [2]), base, text, judge, plan=replace(PLAN, tokens=400))


@pytest.mark.parametrize("learning_rate", [30.0, 1e30])
def test_training_that_diverges_is_discarded_and_said_so(base, text, judge, learning_rate):
    candidate = remove_layers(base, [2])
    plan = replace(PLAN, rank=0, learning_rate=learning_rate)
    kept, report = distil(candidate, base, text, judge, plan=plan)
    assert kept is candidate
    assert report.method == "none"
    assert report.loss_after == report.loss_before
    assert "diverged" in report.warnings[0]
    assert f"which was {learning_rate:g}" in report.warnings[0]
    assert report.tried[-1].reason == report.warnings[0]
    assert report.tokens < plan.tokens
    json.dumps(report.to_json(), allow_nan=False)  # as evidence is written


def test_it_stops_once_held_out_text_gets_no_better(base, text):
    candidate = remove_layers(base, [2])
    judge = written_by(candidate, 20, seed=2)
    plan = replace(PLAN, tokens=100_000, evaluations=100, patience=2, learning_rate=1e-3)
    _, report = distil(candidate, base, text, judge, plan=plan)
    assert report.tokens < 50_000
    losses = [loss for _, loss in report.curve]
    assert min(losses) == losses[-3] == report.loss_after


def test_progress_counts_to_the_budget(base, text, judge):
    seen = []
    plan = replace(PLAN, tokens=1000)
    distil(remove_layers(base, [2]), base, text, judge, plan=plan, progress=seen.append)
    assert [at.tokens for at in seen] == sorted({at.tokens for at in seen})
    assert seen[-1].tokens >= seen[-1].budget == 1000
    assert seen[-1].seconds_left == 0
    assert seen[0].seconds_left > 0


def test_text_that_predicts_nothing_is_refused(base, text):
    with pytest.raises(InputError, match="two tokens"):
        distil(remove_layers(base, [2]), base, [[1]], text)


@pytest.mark.parametrize(
    ("field", "value"), [("tokens", 0), ("learning_rate", 0), ("batch_tokens", 0), ("rank", -1)]
)
def test_a_plan_that_cannot_be_is_refused(field, value):
    with pytest.raises(InputError, match=field):
        replace(PLAN, **{field: value})
