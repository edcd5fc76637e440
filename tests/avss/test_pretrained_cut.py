"""The pretrained model once: from GGUF to scores to a proven cut."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from avss.architecture import find_stack
from avss.cutting.pruning import prune_model
from avss.loading import load_model, load_tokenizer
from avss.scoring.one_pass import score_layers
from deployments.seed import model_folder

TEXTS = [
    "I have taken this medicine for three weeks and the headaches are gone.",
    "It made me tired all day, so my doctor changed the dose after a month.",
    "No side effects at all, and my blood pressure is back to normal.",
    "The pain was worse than before; I would not recommend it to anybody.",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as a safetensors folder; set AVSS_CACHE to keep it between runs."""
    kept = os.environ.get("AVSS_CACHE")
    cache = Path(kept) if kept else tmp_path_factory.mktemp("cache")
    return model_folder(cache, report=lambda _: None)


@pytest.mark.pretrained
def test_the_default_score_spares_the_first_layer_and_the_published_one_does_not(
    folder: Path,
) -> None:
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    scores = {
        source: score_layers(model, tokenizer, TEXTS, source=source)
        for source in ("contribution", "output")
    }
    assert scores["contribution"].ranking()[-1] == 0
    assert scores["output"].ranking()[0] == 0
    assert not any(layer.floored for layer in scores["contribution"].layers)


@pytest.mark.pretrained
def test_a_cut_of_the_pretrained_model_is_proven_and_still_speaks(
    folder: Path, tmp_path: Path
) -> None:
    result = prune_model(folder, [14, 17], tmp_path / "cut")
    assert result.proof.largest_difference == 0
    assert result.proof.tokens == 32
    cut, tokenizer = load_model(tmp_path / "cut"), load_tokenizer(tmp_path / "cut")
    assert find_stack(cut).kept == tuple(at for at in range(30) if at not in (14, 17))
    assert loss(cut, tokenizer) < loss(load_model(folder), tokenizer) + 0.5


def loss(model: Any, tokenizer: Any) -> float:
    """Mean cross entropy on the first text, in nats a token."""
    ids = torch.tensor([tokenizer(TEXTS[0])["input_ids"]])
    with torch.inference_mode():
        return float(model(ids, labels=ids).loss)
