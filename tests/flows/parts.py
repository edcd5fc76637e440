"""What a tiny world is made of: a random model, made-up reviews, keys."""

import json
import random
from pathlib import Path
from typing import Any

import torch
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

LAYERS = 6
RECORDS = 240
WORDS = [f"w{number}" for number in range(60)]


def tiny_model(folder: Path, *, layers: int = LAYERS, seed: int = 0) -> None:
    """A random model of six layers with its tokenizer."""
    vocabulary = {word: at for at, word in enumerate(["<pad>", "<unk>", "so", *WORDS])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", unk_token="<unk>"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def plain_run(line: str, work: str, ledger: str, **changes: Any) -> dict[str, Any]:
    """A run file's content where nothing of it is looked at but names."""
    return {
        "line": line,
        "requester": "Mia",
        "model": {"source": "model"},
        "data": {"uri": "s3://data/x", "fields": {"text": "said"}},
        "kpis": "kpis.yaml",
        "buckets": {"work": work, "ledger": ledger},
    } | changes


def reviews(numbers: range) -> bytes:
    """Records as a shop would keep them, a JSON object a line."""
    draw = random.Random(numbers.start)
    lines = [
        json.dumps(
            {
                "n": f"r{number}",
                "said": " ".join(draw.choices(WORDS, k=draw.randint(6, 30))),
                "mood": draw.choice(["good", "bad"]),
                "shop": draw.choice(["north", "south"]),
            }
        )
        for number in numbers
    ]
    return ("\n".join(lines) + "\n").encode()


def write_key(path: Path) -> Ed25519PrivateKey:
    """A new Ed25519 key in OpenSSH form, readable by its owner alone."""
    key = Ed25519PrivateKey.generate()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    _write(key, path, serialization.NoEncryption())
    return key


def encrypt_key(path: Path, passphrase: str) -> None:
    """The same key in the same file, under a passphrase."""
    key = serialization.load_ssh_private_key(path.read_bytes(), None)
    _write(key, path, serialization.BestAvailableEncryption(passphrase.encode()))


def _write(key: Any, path: Path, hidden: serialization.KeySerializationEncryption) -> None:
    openssh = serialization.PrivateFormat.OpenSSH
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, openssh, hidden))
