"""Tiny random models with a tokenizer trained here: real classes, no download."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from avss.comparing.outcomes import KpiOutcomes
from avss.kpi_file.suite import load_kpis
from avss.kpis import measure

WORDS = [
    "the tablet helped with my pain and I slept well",
    "it made me dizzy and I stopped after a week",
    "Review: The sentiment of this review is positive negative good bad awful",
]


@dataclass(frozen=True)
class Tiny:
    """A model, its tokenizer, and how to measure one KPI on it."""

    model: Any
    tokenizer: Any

    def measure(
        self, kpi: Mapping[str, Any], records: Sequence[Mapping[str, Any]], **options: Any
    ) -> KpiOutcomes:
        suite = load_kpis({"kpis": [{"name": "k", **kpi}]})
        return measure(self.model, self.tokenizer, suite, records, **options).kpis[0]


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<pad>", "<s>", "</s>", "<mask>", "[CLS]", "[SEP]"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bare.train_from_iterator(WORDS * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bare,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        mask_token="<mask>",
    )


@pytest.fixture(scope="session")
def tiny(tokenizer: Any) -> Tiny:
    return Tiny(llama(len(tokenizer)), tokenizer)


@pytest.fixture(scope="session")
def other(tokenizer: Any) -> Tiny:
    """Another model for the same tokenizer."""
    return Tiny(llama(len(tokenizer), seed=1), tokenizer)


@pytest.fixture(scope="session")
def make_llama(tokenizer: Any) -> Any:
    return lambda **config: Tiny(llama(len(tokenizer), **config), tokenizer)


def llama(vocabulary: int, seed: int = 0, **config: Any) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    small = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "initializer_range": 0.3,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    return LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary, **(small | config))).eval()


@pytest.fixture
def reviews() -> list[dict[str, Any]]:
    texts = [*WORDS[:2], "awful", "I slept well " * 8, "good and bad", "pain " * 30]
    return [
        {"text": text, "label": ["positive", "negative"][at % 2], "part": f"p{at % 3}", "id": at}
        for at, text in enumerate(texts)
    ]
