"""Closed-form healing brings a cut model closer to the one it was cut from, or leaves it alone.

The text is what the base itself would write, so that the base is the best model of it.
"""

import warnings
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM

from avss import precision
from avss.architecture import find_stack
from avss.cutting.pruning import remove_layers
from avss.errors import InputError
from avss.healing import closed_form
from avss.healing.closed_form import FewTokensWarning, heal_closed_form, share_weights
from tests.avss.closed_form_models import (
    loss_of,
    model_of,
    same_weights,
    weights_of,
    written_by,
)


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
