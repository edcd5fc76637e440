import pytest
import torch

from avss.scoring.first_layer import first_layer_states


@pytest.fixture
def model(llama, words):
    return llama, words


def test_it_is_the_mean_of_the_first_hidden_state(model):
    texts = ["w1 w2 w3", "w4", "w5 w6 w7 w8 w9", "w1 w2 w3"]
    states = first_layer_states(*model, texts, batch_tokens=8)
    for text, state in zip(texts, states, strict=True):
        ids = torch.tensor([model[1](text)["input_ids"]])
        hidden = model[0](ids, output_hidden_states=True).hidden_states[1][0]
        torch.testing.assert_close(state, hidden.mean(0), rtol=1e-5, atol=1e-6)


def test_later_layers_do_not_run(model, monkeypatch):
    def never(*_, **__):
        raise AssertionError("the second layer ran")

    monkeypatch.setattr(model[0].model.layers[1], "forward", never)
    assert first_layer_states(*model, ["w1 w2"]).shape == (1, 32)


def test_a_text_without_tokens_is_zeros_and_long_ones_are_cut(model):
    states = first_layer_states(*model, ["", "w1 w2", "w1 w2 w3 w4 w5"], max_length=2)
    assert not states[0].any()
    torch.testing.assert_close(states[1], states[2])
    assert first_layer_states(*model, ["", ""]).shape == (2, 0)
