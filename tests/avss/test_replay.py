"""Walking a model's layers one at a time computes what the model computes."""

import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from avss.architecture import find_stack
from avss.batching import token_batches
from avss.replay import Replay

SMALL = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2}
MODELS = {
    "llama": lambda: LlamaForCausalLM(
        LlamaConfig(**SMALL, intermediate_size=24, num_key_value_heads=1)
    ),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=4, n_head=2)),
    "neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**SMALL, intermediate_size=24)),
    "gemma2": lambda: Gemma2ForCausalLM(
        Gemma2Config(
            **SMALL, intermediate_size=24, num_key_value_heads=1, head_dim=8, sliding_window=3
        )
    ),
}


@pytest.fixture(params=MODELS)
def model(request):
    torch.manual_seed(0)
    return MODELS[request.param]().eval()


@torch.no_grad()
def test_stepping_gives_the_models_own_logits_and_leaves_no_trace(model):
    (batch,) = token_batches([[3, 1, 4, 1, 5, 9], [2, 6], [7, 1, 8]], batch_tokens=100)
    expected = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    layers = find_stack(model).layers
    walk = Replay(model, layers).begin(batch)
    hidden = walk.hidden
    for position in range(len(layers)):
        hidden = walk.step(position, hidden)
    assert torch.equal(walk.logits(hidden), expected)
    assert all("forward" not in vars(layer) for layer in layers)
    again = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    assert torch.equal(again, expected)


def test_a_failing_model_is_left_as_it_was(model):
    layers = find_stack(model).layers
    replay = Replay(model, layers)
    (batch,) = token_batches([[49, 50_000]], batch_tokens=10)
    with pytest.raises(IndexError):
        replay.begin(batch)
    assert all("forward" not in vars(layer) for layer in layers)
