"""Closed-form healing brings a cut model closer to the one it was cut from, or leaves it alone.

The text is what the base itself would write, so that the base is the best model of it.
"""

import warnings
from dataclasses import replace

import pytest
import torch
from torch.nn import functional
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from avss import precision
from avss.architecture import find_stack
from avss.cutting.pruning import remove_layers
from avss.errors import InputError
from avss.healing import closed_form
from avss.healing.closed_form import FewTokensWarning, heal_closed_form, share_weights

SMALL = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 6,
    "num_attention_heads": 2,
    "initializer_range": 0.25,
}
BUILD = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SMALL, num_key_value_heads=1)),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=40, n_embd=16, n_layer=6, n_head=2, initializer_range=0.25)
    ),
    "neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**SMALL)),
    "gemma2": lambda: Gemma2ForCausalLM(Gemma2Config(**SMALL, num_key_value_heads=1, head_dim=8)),
}


def model_of(name):
    torch.manual_seed(0)
    return BUILD[name]().eval()


def written_by(model, rows, seed, length=24):
    """Token sequences drawn from the model's own distribution."""
    torch.manual_seed(seed)
    start = torch.randint(0, 40, (rows, 1))
    drawn = model.generate(
        start, do_sample=True, top_k=0, max_new_tokens=length, pad_token_id=0, eos_token_id=None
    )
    return drawn.tolist()


@torch.no_grad()
def loss_of(model, text):
    ids = torch.tensor(text)
    logits = model(input_ids=ids).logits[:, :-1]
    return float(functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()))


def weights_of(model):
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def same_weights(model, weights):
    return all(torch.equal(weight, weights[name]) for name, weight in model.named_parameters())


@pytest.fixture(scope="module")
def base():
    return model_of("llama")


@pytest.fixture(scope="module")
def text(base):
    return written_by(base, 64, seed=1)


@pytest.fixture(scope="module")
def judge(base):
    return written_by(base, 40, seed=2)


@pytest.mark.parametrize("name", ["llama", "gpt2", "neox"])
def test_healing_wins_back_part_of_what_the_cut_cost(name):
    base = model_of(name)
    candidate = remove_layers(base, [2, 4])
    fit, held_out = written_by(base, 64, seed=1), written_by(base, 40, seed=2)
    fresh = written_by(base, 40, seed=3)
    healed, report = heal_closed_form(candidate, base, fit, held_out)
    assert report.method == "closed_form"
    lost = loss_of(candidate, fresh) - loss_of(base, fresh)
    assert loss_of(healed, fresh) < loss_of(candidate, fresh) - 0.2 * lost
    assert [fit.layer for fit in report.fits] == [1, 3, 5]
    assert all(fit.error_after <= fit.error_before for fit in report.fits)


def test_attention_before_a_gap_is_fitted_where_less_is_missed_then(base, text, judge, monkeypatch):
    candidate = remove_layers(base, [2, 4])
    healed, report = heal_closed_form(candidate, base, text, judge)
    monkeypatch.setattr(closed_form, "find_earlier", lambda *_: None)
    plain, without = heal_closed_form(candidate, base, text, judge)
    first, alone = report.fits[0], without.fits[0]
    assert (first.layer, first.attention, alone.attention) == (1, True, False)
    assert first.error_before == alone.error_before
    assert first.error_after < alone.error_after
    assert not report.fits[-1].attention  # no gap follows the last layer
    for model, found in ((healed, report), (plain, without)):
        touched = {
            kept
            for kept, layer in zip(find_stack(model).kept, find_stack(model).layers, strict=True)
            if not torch.equal(
                layer.self_attn.o_proj.weight, find_stack(base).layers[kept].self_attn.o_proj.weight
            )
        }
        assert touched == {fit.layer for fit in found.fits if fit.attention}


def test_a_fit_of_attention_that_does_not_help_is_undone(base, text, judge, monkeypatch):
    candidate, found = remove_layers(base, [2]), closed_form.choose

    def spoiling(fit, judged, prior, ridges, *, start):
        best = found(fit, judged, prior, ridges, start=start)
        attention = len(prior) == 16  # the down projection has 32 inputs
        return replace(best, weights=best.weights + 1.0) if attention else best

    monkeypatch.setattr(closed_form, "choose", spoiling)
    healed, report = heal_closed_form(candidate, base, text, judge)
    assert not any(fit.attention for fit in report.fits)
    monkeypatch.setattr(closed_form, "find_earlier", lambda *_: None)
    plain, _ = heal_closed_form(candidate, base, text, judge)
    assert same_weights(healed, weights_of(plain))


def test_the_report_tells_the_losses_on_the_held_out_text(base, text, judge):
    candidate = remove_layers(base, [3])
    healed, report = heal_closed_form(candidate, base, text, judge)
    assert report.loss_before == pytest.approx(loss_of(candidate, judge), rel=1e-4)
    assert report.loss_after == pytest.approx(loss_of(healed, judge), rel=1e-4)
    assert report.loss_of_base == pytest.approx(loss_of(base, judge), rel=1e-4)
    assert (report.tokens, report.held_out_tokens) == (64 * 25, 40 * 25)


def test_neither_model_given_is_changed(base, text, judge):
    candidate = remove_layers(base, [1])
    before, before_candidate = weights_of(base), weights_of(candidate)
    heal_closed_form(candidate, base, text[:40], judge)
    assert same_weights(base, before)
    assert same_weights(candidate, before_candidate)


def test_a_damaged_map_before_a_gap_that_did_nothing_is_restored(text, judge):
    base = model_of("llama")
    layers = find_stack(base).layers
    with torch.no_grad():
        layers[3].mlp.down_proj.weight.zero_()
        layers[3].self_attn.o_proj.weight.zero_()
    candidate = remove_layers(base, [3])
    mlp = find_stack(candidate).layers[2].mlp
    mlp.up_proj.weight = torch.nn.Parameter(mlp.up_proj.weight.detach() * 2)
    healed, report = heal_closed_form(candidate, base, text, judge)
    assert report.fits[0].error_after < 1e-4 < report.fits[0].error_before
    assert report.loss_after == pytest.approx(report.loss_of_base, abs=1e-3)
    assert loss_of(healed, judge) == pytest.approx(loss_of(base, judge), abs=1e-3)


def test_what_does_not_lower_held_out_loss_is_not_kept(base, text):
    candidate = remove_layers(base, [2, 3])
    judge = written_by(candidate, 40, seed=2)
    kept, report = heal_closed_form(candidate, base, text, judge)
    assert kept is candidate
    assert report.method == "none"
    assert report.loss_after == report.loss_before


def test_a_healed_layer_is_fitted_again_when_its_target_moves(base, text, judge):
    healed, _ = heal_closed_form(remove_layers(base, [2]), base, text, judge)
    further = remove_layers(healed, [3])
    again, report = heal_closed_form(further, base, text, judge)
    assert loss_of(again, judge) < loss_of(further, judge)
    at_once, _ = heal_closed_form(remove_layers(base, [2, 3]), base, text, judge)
    for mine, yours in zip(again.parameters(), at_once.parameters(), strict=True):
        assert torch.allclose(mine, yours, atol=1e-3)
    assert report.fits[0].layer == 1


def test_a_layer_that_was_trained_is_healed_from_where_it_stands(base, text, judge):
    trained = share_weights(remove_layers(base, [2]))
    layer = find_stack(trained).layers[1]
    layer.mlp.gate_proj.weight = torch.nn.Parameter(layer.mlp.gate_proj.weight * 1.01)
    layer.mlp.down_proj.weight = torch.nn.Parameter(layer.mlp.down_proj.weight * 1.5)
    healed, report = heal_closed_form(trained, base, text, judge)
    plain, expected = heal_closed_form(remove_layers(base, [2]), base, text, judge)
    assert report.fits[0].error_before > expected.fits[0].error_before
    assert loss_of(healed, judge) == pytest.approx(loss_of(plain, judge), abs=0.1)


def test_a_gap_before_the_first_layer_left_is_healed_from_there_on(base, text, judge):
    candidate = remove_layers(base, [0])
    healed, report = heal_closed_form(candidate, base, text, judge)
    assert [fit.layer for fit in report.fits] == [1, 2, 3, 4, 5]
    assert loss_of(healed, judge) < loss_of(candidate, judge)


def with_massive_activations(base, token, layer):
    """Have `layer` write a huge state, of a size and sign that the context decides, at `token`."""
    stack = find_stack(base).layers
    with torch.no_grad():
        embedding = base.get_input_embeddings().weight
        embedding[:, 0] = 0.0
        embedding[token, 0] = 2.0 * embedding.norm(dim=1).mean()
        for one in stack:  # nothing but the token itself shows in coordinate 0
            one.mlp.down_proj.weight[0] = 0.0
            one.self_attn.o_proj.weight[0] = 0.0
        mlp = stack[layer].mlp
        mlp.gate_proj.weight[0] = 0.0
        mlp.gate_proj.weight[0, 0] = 2.0
        mlp.down_proj.weight[1, 0] = 3000.0
    return base


def test_massive_activations_do_not_decide_the_fit():
    base = with_massive_activations(model_of("llama"), token=7, layer=3)
    candidate = remove_layers(base, [3])
    fit, judge = (
        [
            [7 if at % 6 == row % 6 else token for at, token in enumerate(tokens)]
            for row, tokens in enumerate(written_by(base, 64, seed))
        ]
        for seed in (1, 2)
    )
    ordinary = [tokens for tokens in written_by(base, 200, seed=3) if 7 not in tokens]
    healed, report = heal_closed_form(candidate, base, fit, judge)
    assert report.method == "closed_form"
    lost = loss_of(candidate, ordinary) - loss_of(base, ordinary)
    assert loss_of(healed, ordinary) < loss_of(candidate, ordinary) - 0.2 * lost


def test_layers_with_a_norm_after_the_mlp_are_skipped_and_said_so():
    base = model_of("gemma2")
    candidate = remove_layers(base, [3])
    text = written_by(base, 20, seed=1)
    kept, report = heal_closed_form(candidate, base, text[:15], text[15:])
    assert kept is candidate
    assert report.method == "none"
    assert [one.layer for one in report.skipped] == [2, 4, 5]
    assert all("hidden state" in one.reason for one in report.skipped)
    assert report.tried[1].reason.startswith("Layers 2, 4, 5 not healed: no linear map")


def test_little_text_stays_sound_and_warns(base, judge):
    candidate = remove_layers(base, [3])
    few = written_by(base, 1, seed=5, length=11)
    with pytest.warns(FewTokensWarning, match="12 tokens"):
        healed, report = heal_closed_form(candidate, base, few, judge)
    assert len(report.warnings) == 1
    assert report.loss_after <= report.loss_before
    assert all(torch.isfinite(weight).all() for weight in healed.parameters())


def test_padding_and_batching_do_not_matter(base, text, judge, monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    candidate = remove_layers(base, [3])
    uneven = [tokens[: 5 + row % 20] for row, tokens in enumerate(text)]
    one, _ = heal_closed_form(candidate, base, uneven, judge, batch_tokens=25)
    other, _ = heal_closed_form(candidate, base, uneven, judge, batch_tokens=4096)
    for mine, yours in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.allclose(mine, yours, atol=1e-3)


@pytest.mark.parametrize("name", BUILD)
def test_products_in_bfloat16_heal_as_well_and_losses_stay_exact(name, monkeypatch):
    base = model_of(name)
    text, judge = written_by(base, 64, seed=1), written_by(base, 40, seed=2)
    found = []
    for fast in (False, True):
        monkeypatch.setattr(precision, "has_bfloat16", lambda device, fast=fast: fast)
        healed, report = heal_closed_form(remove_layers(base, [3]), base, text, judge)
        assert report.loss_after == pytest.approx(loss_of(healed, judge), rel=1e-5)
        assert report.loss_of_base == pytest.approx(loss_of(base, judge), rel=1e-5)
        found.append(report)
    exact, rounded = found
    won = exact.loss_before - exact.loss_after
    assert rounded.loss_before - rounded.loss_after == pytest.approx(won, rel=0.1)
    assert rounded.loss_after != exact.loss_after or not exact.fits


def test_a_model_in_half_precision_is_rounded_no_further(text, judge, monkeypatch):
    base = model_of("llama").half()
    found = []
    for fast in (False, True):
        monkeypatch.setattr(precision, "has_bfloat16", lambda device, fast=fast: fast)
        found.append(heal_closed_form(remove_layers(base, [3]), base, text, judge))
    (exact, report), (other, _) = found
    assert report.method == "closed_form"
    assert same_weights(other, weights_of(exact))


def test_what_follows_a_prompt_is_fitted_closer(base, text, judge):
    cut, asked = remove_layers(base, [3]), written_by(base, 32, seed=7, length=11)
    plain, _ = heal_closed_form(cut, base, [*text, *asked], judge)
    heeded, report = heal_closed_form(cut, base, text, judge, prompts=[*asked, [4]])
    assert report.tokens == 64 * 25 + 32 * 12
    missed = [moved_after(asked, model, base) for model in (plain, heeded)]
    assert missed[1] < 0.97 * missed[0]


@torch.no_grad()
def moved_after(prompts, model, base):
    """KL divergence of what comes after prompts from what comes in the base."""
    ours, theirs = (
        one(input_ids=torch.tensor(prompts)).logits[:, -1].log_softmax(-1) for one in (model, base)
    )
    return float(functional.kl_div(ours, theirs, log_target=True, reduction="batchmean"))


def test_a_healed_model_reloads_without_code_of_ours(base, text, judge, tmp_path):
    healed, _ = heal_closed_form(remove_layers(base, [2, 3]), base, text, judge)
    healed.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    ids = torch.tensor(judge)
    with torch.no_grad():
        assert torch.equal(loaded(input_ids=ids).logits, healed(input_ids=ids).logits)
    assert sum(w.numel() for w in loaded.parameters()) < sum(w.numel() for w in base.parameters())


def test_progress_reaches_the_last_layer_and_nothing_warns(base, text, judge):
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        heal_closed_form(
            remove_layers(base, [3]), base, text, judge, progress=lambda *at: seen.append(at)
        )
    assert seen == [(done, 5) for done in range(1, 6)]


def test_a_model_without_a_gap_is_refused(base, text, judge):
    with pytest.raises(InputError, match="no gap"):
        heal_closed_form(base, base, text, judge)


def test_text_that_predicts_nothing_is_refused(base, text):
    with pytest.raises(InputError, match="held-out"):
        heal_closed_form(remove_layers(base, [3]), base, text, [[1], [2]])
