"""Every way of healing that is asked for is tried, reported, and only the best one kept."""

import json
from dataclasses import replace

import pytest
import torch

from avss.architecture import find_stack
from avss.cutting.pruning import remove_layers
from avss.errors import InputError
from avss.healing.best import Training, heal
from avss.healing.distillation import DistillationPlan
from avss.healing.own_text import own_text
from avss.language_loss import mean_loss

PLAN = DistillationPlan(tokens=4000, rank=4, learning_rate=5e-3, batch_tokens=256, evaluations=4)
ALL = ("none", "closed_form", "distilled")


@pytest.fixture
def sharp(llama):
    """The tiny model with larger weights, so that its own text is not mere noise."""
    with torch.no_grad():
        for weight in llama.parameters():
            weight.mul_(12 if weight.ndim > 1 else 1)
    return llama


@pytest.fixture
def text(sharp, words):
    return own_text(sharp, words, tokens=3000, length=30, seed=1)


def test_all_ways_are_reported_and_the_best_is_handed_back(sharp, words, text):
    cut = remove_layers(sharp, [3])
    told = []
    healed, report = heal(
        cut,
        sharp,
        words,
        text[:80],
        text[80:],
        methods=ALL,
        training=Training(PLAN),
        progress=lambda done, total: told.append((done, total)),
    )
    losses = {way.method: way.loss for way in report.tried}
    assert list(losses) == list(ALL)
    assert report.method == min(losses, key=losses.get)
    assert losses["none"] == report.loss_before == loss_of(cut, text[80:])
    assert losses[report.method] == report.loss_after == loss_of(healed, text[80:])
    assert report.loss_of_base < report.loss_after < report.loss_before
    assert report.fits
    assert len(report.curve) > 1
    layers, own, trained = dict.fromkeys(total for _, total in told)
    assert layers == len(find_stack(cut).kept)
    half = PLAN.tokens // 2
    assert half <= own < half + max(map(len, text))
    assert trained == PLAN.tokens


def test_what_the_base_wrote_is_kept_for_the_next_healing(sharp, words, text, tmp_path):
    path, written = tmp_path / "kept" / "own.json", []
    plan = replace(PLAN, tokens=500, evaluations=1)

    def heals(*, share: float, removed: int) -> None:
        training = Training(plan, share, own_text=path)
        cut, methods = remove_layers(sharp, [removed]), ("distilled",)
        heal(cut, sharp, words, text[:80], text[80:], methods=methods, training=training)
        written.append(path.read_bytes())

    heals(share=0.2, removed=3)
    stamp = path.stat().st_mtime_ns
    heals(share=0.2, removed=2)
    assert path.stat().st_mtime_ns == stamp
    heals(share=0.5, removed=2)
    first, second, third = (json.loads(one) for one in written)
    assert first == second
    longest = max(map(len, text))  # of both kinds together the budget is read, and no more
    assert 100 <= first["tokens"] <= 100 + longest / 4
    assert 250 <= third["tokens"] <= 250 + longest
    assert third["tokens"] <= sum(map(len, third["rows"]))


def test_the_base_writes_less_at_a_time_where_memory_ends(sharp, words, text, monkeypatch):
    asked, generate, cut = [], type(sharp).generate, remove_layers(sharp, [3])

    def within(model, *, input_ids, **more):
        asked.append(len(input_ids))
        if len(input_ids) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return generate(model, input_ids=input_ids, **more)

    monkeypatch.setattr(type(sharp), "generate", within)
    training = Training(replace(PLAN, evaluations=1))
    _, report = heal(
        cut, sharp, words, text[:80], text[80:], methods=("distilled",), training=training
    )
    assert report.tokens >= PLAN.tokens
    assert asked[:5] == [16, 16, 16, 8, 4]
    assert set(asked[5:]) == {2}


@pytest.mark.parametrize(
    ("methods", "tried"),
    [(("none",), ["none"]), (("none", "distilled"), ["none", "distilled"])],
)
def test_only_what_is_asked_for_is_tried(sharp, words, text, methods, tried):
    cut = remove_layers(sharp, [3])
    plan = replace(PLAN, tokens=500)
    healed, report = heal(
        cut, sharp, words, text[:80], text[80:], methods=methods, training=Training(plan)
    )
    assert [way.method for way in report.tried] == tried
    assert (healed is cut) == (report.method == "none")


def test_a_method_that_makes_it_worse_is_reported_and_not_kept(sharp, words, text):
    cut = remove_layers(sharp, [3])
    plan = replace(PLAN, learning_rate=1e3, tokens=1000)
    healed, report = heal(
        cut, sharp, words, text[:80], text[80:], methods=ALL, training=Training(plan)
    )
    assert report.method == "closed_form"
    losses = {way.method: way.loss for way in report.tried}
    assert losses["distilled"] is None or losses["distilled"] > losses["closed_form"]
    assert loss_of(healed, text[80:]) == report.loss_after == losses["closed_form"]


@pytest.mark.parametrize(("method", "share"), [("closed_form", 0.98), ("distilled", 0.9)])
def test_what_the_model_will_be_asked_is_kept_better_when_it_is_taught(
    sharp, words, text, method, share
):
    cut = remove_layers(sharp, [3])
    prompts = [tokens[:12] for tokens in text[80:]]

    def missed(prompts_taught):
        healed, report = heal(
            cut,
            sharp,
            words,
            text[:80],
            text[80:],
            methods=(method,),
            prompts=prompts_taught,
            training=Training(replace(PLAN, tokens=8000, ends=0.4), 0.25),
        )
        ids = torch.tensor(prompts)
        assert report.prompts == (
            len(prompts_taught) if method == "distilled" else len(prompts_taught) // 2
        )
        with torch.no_grad():
            ours, theirs = (
                model(input_ids=ids).logits[:, -1].log_softmax(-1) for model in (healed, sharp)
            )
        return (theirs.exp() * (theirs - ours)).sum(-1).mean().item()

    assert missed(prompts) < share * missed(())


def test_few_prompts_take_the_place_of_few_texts(sharp, words, text):
    cut, prompts = remove_layers(sharp, [3]), [tokens[:12] for tokens in text[80:84]]
    _, report = heal(
        cut, sharp, words, text[:80], text[80:], methods=("closed_form",), prompts=prompts
    )
    taught = [text[0], text[2], *text[4:80], prompts[1], prompts[3]]
    assert (report.prompts, report.tokens) == (2, sum(map(len, taught)))


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_that_cannot_be_is_refused(share):
    with pytest.raises(InputError, match="own_share"):
        Training(own_share=share)


def loss_of(model, text):
    return mean_loss(model, text, batch_tokens=1024).mean
