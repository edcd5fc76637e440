"""A score proposes, measured loss decides."""

from functools import reduce

import pytest
import torch
from torch.nn import functional
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from avss.architecture import find_stack
from avss.batching import batch_rows
from avss.cutting.pruning import remove_layers
from avss.errors import InputError, UnsupportedArchitectureError
from avss.scoring.scores import LayerScore, LayerScores
from avss.selection import ProbeLosses, probe, probe_losses, shortlist


def scores(avss, influence):
    layers = tuple(
        LayerScore(index, value, 0.5, 1, False, value, 0.1, influence[index], 0.1)
        for index, value in avss.items()
    )
    return LayerScores("m", "contribution", 1e-3, 4, 40, layers)


SCORES = scores({0: 5.0, 2: 1.0, 3: 3.0, 7: 2.0}, {0: 0.1, 2: 0.3, 3: 0.2, 7: 0.4})


def test_the_short_list_holds_the_least_important_first():
    assert shortlist(SCORES, size=2) == (2, 7)
    assert shortlist(SCORES, size=2, by="block_influence") == (0, 3)


def test_protected_layers_are_never_on_it():
    assert shortlist(SCORES, size=3, protected={2, 9}) == (7, 3, 0)


@pytest.mark.parametrize("size", [0, -1, 4])
def test_a_size_that_cannot_be_is_refused(size):
    with pytest.raises(InputError, match=r"expected 1 to 3"):
        shortlist(SCORES, size=size, protected=[0])


def test_nothing_is_left_if_all_is_protected():
    with pytest.raises(InputError, match="protected"):
        shortlist(SCORES, size=1, protected=[0, 2, 3, 7])


def llama():
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=50,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=5,
            num_attention_heads=2,
            num_key_value_heads=1,
            initializer_range=0.3,
        )
    )


def gpt2():
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=50, n_embd=16, n_layer=5, n_head=2, initializer_range=0.3)
    )


@pytest.fixture(params=[llama, gpt2])
def model(request):
    torch.manual_seed(0)
    return request.param().eval()


@pytest.fixture
def text():
    draw = torch.Generator().manual_seed(1)
    return [torch.randint(0, 50, (n,), generator=draw).tolist() for n in (9, 2, 14, 5, 7)]


@torch.no_grad()
def loss_of(model, text):
    """Mean nats a predicted token, one text at a time."""
    nats = [
        functional.cross_entropy(
            model(input_ids=torch.tensor([tokens])).logits[0, :-1],
            torch.tensor(tokens[1:]),
            reduction="sum",
        )
        for tokens in text
    ]
    return float(sum(nats)) / sum(len(tokens) - 1 for tokens in text)


def test_probed_losses_are_those_of_the_models_without_the_layers(model, text):
    candidate = remove_layers(model, [1])
    found = probe(candidate, text, (4, 0, 3), batch_tokens=20)
    assert found.base_loss == pytest.approx(loss_of(candidate, text), rel=1e-4)
    for layer in (4, 0, 3):
        expected = loss_of(remove_layers(candidate, [layer]), text)
        assert found.losses[layer] == pytest.approx(expected, rel=1e-4)
    assert found.tokens == sum(len(tokens) - 1 for tokens in text)
    assert found.order == tuple(sorted(found.losses, key=found.losses.__getitem__))


def test_text_probed_apart_gives_the_whole_to_the_last_bit(model, text):
    batches = list(batch_rows(text, batch_tokens=12))
    seen = [
        probe_losses(model, [text[row] for row in rows], (4, 0), batch_tokens=12)
        for rows in reversed(batches)
    ]
    whole = probe(model, text, (4, 0), batch_tokens=12)
    assert len(seen) > 2
    assert reduce(ProbeLosses.merged, seen).result() == whole
    with pytest.raises(InputError, match="cannot be merged"):
        seen[0].merged(probe_losses(model, text, (4,)))


def test_probing_deep_layers_costs_little_and_is_counted(model, text):
    head = model.get_output_embeddings().weight.numel()
    layer = sum(weight.numel() for weight in find_stack(model).layers[0].parameters())
    whole = 5 * layer + head
    found = probe(model, text, (4, 2))
    assert found.forward_equivalents == pytest.approx(1 + (2 * layer + 2 * head) / whole)
    assert found.sleb_forward_equivalents == pytest.approx(5 * (4 * layer + head) / whole)


def test_progress_reaches_the_end(model, text):
    seen = []
    probe(
        model, text, (2,), batch_tokens=10, progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (37, 37)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_layer_that_is_gone_cannot_be_probed(model, text):
    with pytest.raises(InputError, match=r"\[1\]"):
        probe(remove_layers(model, [1]), text, (0, 1))


def test_an_empty_short_list_is_refused(model, text):
    with pytest.raises(InputError, match="empty short list"):
        probe(model, text, ())


def test_text_without_a_second_token_is_refused(model):
    with pytest.raises(InputError, match="two tokens"):
        probe(model, [[1], [2]], (0,))


def test_a_model_that_sees_later_tokens_is_refused(text):
    config = BertConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        initializer_range=0.3,
    )
    with pytest.raises(UnsupportedArchitectureError, match="next token"):
        probe(BertForMaskedLM(config).eval(), text, (0,))
