"""Only whole safetensors models are loaded; everything else is refused with what to do."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from avss.cutting.pruning import write_model
from avss.digests import folder_digest, source_digest
from avss.errors import InputError
from avss.loading import load_model, load_tokenizer, materialize


@pytest.fixture
def folder(llama: Any, words: Any, tmp_path: Path) -> Path:
    write_model(llama, words, tmp_path / "model")
    return tmp_path / "model"


def change_config(folder: Path, **fields: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_a_folder_comes_back_as_it_was_saved(folder: Path, llama: Any, words: Any) -> None:
    model = load_model(folder)
    assert type(model) is type(llama)
    assert not model.training
    assert model.dtype == torch.float32
    assert load_tokenizer(folder)("w1 w2")["input_ids"] == words("w1 w2")["input_ids"]
    assert load_model(folder, dtype="bfloat16").dtype == torch.bfloat16


def test_a_pickle_is_refused_with_the_way_to_convert_it(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pickled.*save_pretrained"):
        load_model(folder)


def test_a_truncated_file_is_refused(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InputError, match="truncated"):
        load_model(folder)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_hidden_layers": 7}, "asks for weights that are not there: model.layers.6"),
        ({"num_hidden_layers": 5}, "no layer for: model.layers.5"),
        (
            {"intermediate_size": 40},
            "Config and weights do not belong together|could not be loaded",
        ),
        ({"model_type": "nonsense"}, "config could not be read"),
    ],
)
def test_a_config_that_disagrees_with_its_weights_is_refused(
    folder: Path, fields: dict[str, Any], message: str
) -> None:
    change_config(folder, **fields)
    with pytest.raises(InputError, match=message):
        load_model(folder)


def test_places_without_a_model_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no config\.json"):
        load_model(tmp_path / "empty")
    with pytest.raises(InputError, match="expected a model folder"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no such GGUF file"):
        load_model(tmp_path / "model.gguf")
    with pytest.raises(InputError, match="is not a folder"):
        folder_digest(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no files"):
        folder_digest(tmp_path / "empty")


def test_a_folder_without_a_tokenizer_says_so(llama: Any, tmp_path: Path) -> None:
    write_model(llama, None, tmp_path / "bare")
    with pytest.raises(InputError, match="no tokenizer could be read"):
        load_tokenizer(tmp_path / "bare")


def test_materialize_copies_what_the_digest_covers(folder: Path, tmp_path: Path) -> None:
    (folder / ".cache").mkdir()
    (folder / ".cache" / "junk").write_text("x")
    copy = materialize(folder, tmp_path / "copy")
    assert folder_digest(copy) == folder_digest(folder)
    assert not (copy / ".cache").exists()
    with pytest.raises(InputError, match="already exists"):
        materialize(folder, tmp_path / "copy")


def test_a_digest_changes_with_content_and_name_but_not_with_the_manifest(folder: Path) -> None:
    before = folder_digest(folder).digest
    (folder / "avss_manifest.json").write_text("{}")
    assert folder_digest(folder).digest == before
    (folder / "config.json").rename(folder / "config2.json")
    renamed = folder_digest(folder).digest
    assert renamed != before
    (folder / "config2.json").write_text("{}")
    assert folder_digest(folder).digest not in (before, renamed)


def test_a_hub_id_has_no_digest_of_its_own(folder: Path) -> None:
    assert source_digest("owner/name") is None
    alone = source_digest(folder / "config.json")
    assert alone is not None
    assert list(alone.files) == ["config.json"]
