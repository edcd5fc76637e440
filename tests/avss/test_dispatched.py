"""A model that accelerate spread over devices is measured, cut and healed like any other.

This machine has one device, so the other is the disk: hooks fetch a part when its turn comes, and
move what it is given. What needs the weights themselves is tried with hooks that have none to
fetch, as on two accelerators, each of which holds its part.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import dispatch_model

from avss.cutting.pruning import remove_layers, write_model
from avss.errors import InputError
from avss.healing.best import Training, heal
from avss.healing.distillation import DistillationPlan
from avss.kpi_file.suite import load_kpis
from avss.kpis import measure
from avss.loading import load_model, load_tokenizer, placement_of
from avss.placement import entry_device
from avss.scoring.first_layer import first_layer_states
from avss.scoring.one_pass import observe
from avss.selection import probe

PARTS = ("model.embed_tokens", "model.norm", "model.rotary_emb", "lm_head")
KPIS = load_kpis(
    {
        "kpis": [
            {"name": "text", "kind": "perplexity", "text": "{text}"},
            {
                "name": "label",
                "kind": "classification",
                "prompt": "{text}",
                "labels": {"a": " w1 w2", "b": " w3"},
                "target": "label",
            },
            {"name": "same", "kind": "agreement", "prompt": "{text}", "max_new_tokens": 3},
        ]
    }
)


@pytest.fixture
def folder(llama: Any, words: Any, tmp_path: Path) -> Path:
    llama.save_pretrained(tmp_path / "model")
    words.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def spread(folder: Path) -> Any:
    """The embeddings and every other layer on disk."""
    places = dict.fromkeys(PARTS, "cpu") | {"model.embed_tokens": "disk"}
    layers = {f"model.layers.{at}": "disk" if at % 2 else "cpu" for at in range(6)}
    return load_model(folder, device_map=places | layers)


@pytest.fixture
def hooked(folder: Path) -> Any:
    """Hooks on every part, all of which is there."""
    parts = (*PARTS, *(f"model.layers.{at}" for at in range(6)))
    return dispatch_model(
        load_model(folder), device_map=dict.fromkeys(parts, "cpu"), force_hooks=True
    )


def found(model: Any, words: Any, texts: list[str]) -> list[np.ndarray]:
    sequences = words(texts)["input_ids"]
    records = [{"text": text, "label": "ab"[at % 2]} for at, text in enumerate(texts)]
    probed = probe(model, sequences, [1, 2])
    outcomes = measure(model, words, KPIS, records)
    return [
        observe(model, sequences).moments.m2.numpy(),
        first_layer_states(model, words, texts).numpy(),
        np.array([probed.base_loss, *probed.losses.values()]),
        *(outcomes.kpis[at].columns[name] for at, name in ((0, "loss"), (1, "log_likelihoods"))),
        outcomes.kpis[2].columns["top1"],
    ]


@pytest.mark.parametrize("how", ["spread", "hooked"])
def test_scores_probes_and_kpis_are_those_of_the_model_in_one_place(
    how: str, llama: Any, words: Any, texts: list[str], request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(how)
    assert entry_device(model) == torch.device("cpu")
    expected = found(llama, words, texts[:12])
    for one, other in zip(found(model, words, texts[:12]), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_it_is_cut_healed_and_saved(
    hooked: Any, llama: Any, words: Any, texts: list[str], tmp_path: Path
) -> None:
    sequences = words(texts)["input_ids"]
    training = Training(DistillationPlan(tokens=400, rank=2, evaluations=1), own_share=0)

    def healed(base: Any) -> Any:
        return heal(
            remove_layers(base, [2]),
            base,
            words,
            sequences[:30],
            sequences[30:],
            methods=["closed_form", "distilled"],
            training=training,
        )

    model, report = healed(hooked)
    assert report.loss_after == pytest.approx(healed(llama)[1].loss_after, rel=1e-4)
    write_model(model, words, tmp_path / "cut")
    ids = torch.tensor(sequences[:1])
    assert torch.equal(load_model(tmp_path / "cut")(ids).logits, model(ids).logits)


def test_what_is_on_disk_is_not_cut(spread: Any) -> None:
    with pytest.raises(InputError, match="offloaded"):
        remove_layers(spread, [1])


def test_a_device_is_named_or_all_are_taken(folder: Path) -> None:
    assert placement_of("auto") == "auto"
    assert placement_of("cpu") == {"": torch.device("cpu")}
    with pytest.raises(InputError, match="tpu9"):
        placement_of("tpu9")
    assert load_model(folder, device_map=placement_of("auto")).num_parameters() > 0
    assert load_tokenizer(folder)
