"""A model larger than memory is scored one layer at a time, and scores as it would in one pass."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from avss.cutting.pruning import write_model
from avss.errors import InputError, UnsupportedArchitectureError
from avss.loading import load_model
from avss.offloading import layers_on_disk
from avss.scoring.layer_by_layer import layer_by_layer
from avss.scoring.observations import Observations
from avss.scoring.one_pass import observe
from benchmarks.layer_by_layer import WAYS, fresh, write
from tests.avss.test_architectures import example

CPU = torch.device("cpu")


@pytest.fixture
def folder(llama: Any, words: Any, tmp_path: Path) -> Path:
    """The tiny model in a dozen shards."""
    llama.save_pretrained(tmp_path / "model", max_shard_size="20KB")
    words.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def sequences(words: Any, texts: list[str]) -> list[list[int]]:
    ids: list[list[int]] = words(texts)["input_ids"]
    return ids


def assert_same(found: Observations, expected: Observations) -> None:
    for name in ("count", "mean", "m2", "near_zero"):
        assert torch.equal(getattr(found.moments, name), getattr(expected.moments, name)), name
    assert torch.equal(found.influence, expected.influence)
    assert torch.equal(found.angle, expected.angle)


@pytest.mark.parametrize("source", ["contribution", "output", "mlp"])
def test_scores_are_those_of_one_pass_bit_for_bit(
    folder: Path, sequences: list[list[int]], source: Any
) -> None:
    assert len(list(folder.glob("*.safetensors"))) > 6
    same: dict[str, Any] = {"source": source, "batch_tokens": 256}
    expected = observe(load_model(folder), sequences, **same)
    done: list[tuple[int, int]] = []
    with layers_on_disk(folder, device=CPU) as model:
        for _ in range(2):  # the model is left as it was
            found = observe(
                model, sequences, **same, run=layer_by_layer, progress=lambda *at: done.append(at)
            )
            assert_same(found, expected)
    assert done[-1] == (6 * sum(map(len, sequences)),) * 2


def test_one_layer_is_in_memory_at_a_time_and_no_file_stays(
    folder: Path, sequences: list[list[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    whole: set[tuple[int, ...]] = set()
    spilled = 0

    def look(done: int, total: int) -> None:
        nonlocal spilled
        layers = model.model.layers
        whole.add(
            tuple(
                at
                for at, layer in enumerate(layers)
                if not any(weight.is_meta for weight in layer.parameters())
            )
        )
        spilled = max(spilled, len(list((tmp_path / "scratch").glob("*/*.hidden"))))

    with layers_on_disk(folder, device=CPU, dtype="bfloat16") as model:
        observe(model, sequences, batch_tokens=256, run=layer_by_layer, progress=look)
        assert all(weight.is_meta for weight in model.model.layers.parameters())
    assert whole == {(0,), (1,), (2,), (3,), (4,), (5,)}
    assert spilled > 2
    assert not list((tmp_path / "scratch").iterdir())


@pytest.mark.parametrize(
    "name", ["Qwen3-MoE", "GPT-OSS", "Gemma 3", "BLOOM", "BART, decoder", "Mamba", "ModernBERT"]
)
def test_other_architectures_score_alike(name: str, tmp_path: Path) -> None:
    one = example(name)
    write_model(one.model, None, tmp_path)
    draw = torch.Generator().manual_seed(1)
    sequences = [torch.randint(3, 150, (size,), generator=draw).tolist() for size in (9, 17, 5)]
    same: dict[str, Any] = {"stack": one.stack, "batch_tokens": 32}
    expected = observe(load_model(tmp_path), sequences, **same)
    with layers_on_disk(tmp_path, device=CPU, stack=one.stack) as model:
        assert_same(observe(model, sequences, **same, run=layer_by_layer), expected)


def test_layers_that_hand_on_more_than_the_hidden_state_are_refused(tmp_path: Path) -> None:
    one = example("T5, decoder")
    write_model(one.model, None, tmp_path)
    with (
        layers_on_disk(tmp_path, device=CPU) as model,
        pytest.raises(UnsupportedArchitectureError, match=r"Layer 1 cannot be run by itself"),
    ):
        observe(model, [[3, 4, 5]], run=layer_by_layer)


def test_what_can_only_be_read_as_a_whole_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").touch()
    with (
        pytest.raises(InputError, match="GGUF"),
        layers_on_disk(tmp_path / "model.gguf", device=CPU),
    ):
        pass
    path = folder / "config.json"
    fields = json.loads(path.read_text()) | {"quantization_config": {"quant_method": "fp8"}}
    path.write_text(json.dumps(fields))
    with pytest.raises(InputError, match="quantized"), layers_on_disk(folder, device=CPU):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="what an allocator keeps is its own business")
def test_memory_does_not_grow_with_the_layers(tmp_path: Path) -> None:
    size, peak = dict[int, float](), dict[int, float]()
    for depth in (8, 32):
        folder = tmp_path / str(depth)
        folder.mkdir()
        size[depth] = write(folder, depth, 768) / 2**20
        peak[depth] = fresh(folder, WAYS[1], 1024)["mib"]
    assert peak[32] - peak[8] < (size[32] - size[8]) / 4
