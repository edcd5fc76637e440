"""Tiny models to heal, and text that each would write itself, so that it is the best of it."""

import torch
from torch.nn import functional
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
