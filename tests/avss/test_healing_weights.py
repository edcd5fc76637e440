"""What counts in a closed-form fit, and how it is rounded."""

import pytest
import torch
from torch.nn import functional

from avss import precision
from avss.architecture import find_stack
from avss.cutting.pruning import remove_layers
from avss.healing.closed_form import heal_closed_form
from tests.avss.closed_form_models import (
    BUILD,
    loss_of,
    model_of,
    same_weights,
    weights_of,
    written_by,
)


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


def test_a_model_in_half_precision_is_rounded_no_further(monkeypatch):
    base = model_of("llama")
    text, judge = written_by(base, 64, seed=1), written_by(base, 40, seed=2)
    base = base.half()
    found = []
    for fast in (False, True):
        monkeypatch.setattr(precision, "has_bfloat16", lambda device, fast=fast: fast)
        found.append(heal_closed_form(remove_layers(base, [3]), base, text, judge))
    (exact, report), (other, _) = found
    assert report.method == "closed_form"
    assert same_weights(other, weights_of(exact))


def test_what_follows_a_prompt_is_fitted_closer():
    base = model_of("llama")
    text, judge = written_by(base, 64, seed=1), written_by(base, 40, seed=2)
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
