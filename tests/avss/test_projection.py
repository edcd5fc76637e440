"""Finding, by experiment, the map by which a layer writes into the hidden state."""

import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
)

from avss.architecture import find_stack
from avss.batching import token_batches
from avss.healing.projection import find_projection
from avss.replay import Replay

SMALL = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
GROUPED = {**SMALL, "num_key_value_heads": 1}


def found_in(model, dtype=torch.float32):
    torch.manual_seed(0)
    model = model.eval().to(dtype)
    layers = find_stack(model).layers
    (batch,) = token_batches([[3, 1, 4, 1, 5, 9], [2, 6, 5]], batch_tokens=100)
    walk = Replay(model, layers).begin(batch)
    with torch.no_grad():
        projection = find_projection(layers[0], lambda: walk.step(0, walk.hidden), 16)
    name = next(
        (
            n
            for n, module in layers[0].named_modules()
            if projection and module is projection.module
        ),
        None,
    )
    return name, projection


@pytest.mark.parametrize(
    ("build", "name", "inputs"),
    [
        (lambda: LlamaForCausalLM(LlamaConfig(**GROUPED)), "mlp.down_proj", 24),
        (
            lambda: GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2)),
            "mlp.c_proj",
            65,
        ),
        (lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**SMALL)), "mlp.dense_4h_to_h", 25),
    ],
)
def test_the_last_map_into_the_residual_is_found_with_its_bias(build, name, inputs):
    found, projection = found_in(build())
    assert found == name
    assert projection.gain == pytest.approx(1.0, abs=1e-4)
    assert projection.matrix.shape == (inputs, 16)


def test_rounding_in_bfloat16_does_not_hide_the_map():
    assert found_in(LlamaForCausalLM(LlamaConfig(**GROUPED)), torch.bfloat16)[0] == "mlp.down_proj"


def test_a_residual_multiplier_is_measured():
    config = GraniteConfig(**GROUPED, residual_multiplier=0.22)
    name, projection = found_in(GraniteForCausalLM(config))
    assert name == "mlp.down_proj"
    assert projection.gain == pytest.approx(0.22, abs=1e-4)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Gemma2ForCausalLM(Gemma2Config(**GROUPED, head_dim=8)),
        lambda: MixtralForCausalLM(MixtralConfig(**GROUPED, num_local_experts=2)),
    ],
)
def test_a_norm_after_the_mlp_or_experts_leave_nothing_to_fold_into(build):
    assert found_in(build())[1] is None


def test_replacing_leaves_whoever_shared_the_weights_alone():
    _, projection = found_in(
        GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2))
    )
    weight, bias = projection.module.weight, projection.module.bias
    before = weight.detach().clone()
    wanted = torch.randn(65, 16, dtype=torch.float64)
    projection.replace(wanted)
    assert torch.allclose(projection.matrix, wanted, atol=1e-6)
    assert torch.equal(weight, before)
    assert projection.module.weight is not weight
    assert projection.module.bias is not bias
    read = torch.randn(3, 64)
    expected = projection.module(read)
    assert torch.allclose(projection.inputs(read) @ projection.matrix.float(), expected, atol=1e-4)
