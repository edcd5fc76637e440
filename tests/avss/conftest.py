"""A tiny language model that knows a few words, with random weights."""

from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

WORDS = [f"w{number}" for number in range(90)]


@pytest.fixture(scope="session")
def words() -> PreTrainedTokenizerFast:
    """A tokenizer of 90 words, w0 to w89, with a chat template."""
    vocabulary = {word: number for number, word in enumerate(["<pad>", "<unk>", *WORDS])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", unk_token="<unk>"
    )
    tokenizer.chat_template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    return tokenizer


@pytest.fixture
def llama() -> Any:
    """Six layers, float32, tied to nothing else; new for every test."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=96,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Forty records of 3 to 60 words."""
    draw = torch.Generator().manual_seed(3)
    sizes = torch.randint(3, 60, (40,), generator=draw).tolist()
    return [
        " ".join(WORDS[at] for at in torch.randint(90, (size,), generator=draw).tolist())
        for size in sizes
    ]
