"""A cut is the same model minus the layers, numbered as the original, saved only when proven."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from avss.architecture import find_stack
from avss.cutting import proof
from avss.cutting.proof import ProofCase, prove_all
from avss.cutting.pruning import parse_drop, prune_model, remove_layers, save_cut, write_model
from avss.digests import folder_digest
from avss.errors import InputError, ProofError, UnsupportedArchitectureError
from avss.manifest import read_manifest

IDS = torch.arange(2, 22).reshape(2, 10)


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model(IDS).logits
    return found


def test_the_cut_model_computes_what_the_kept_layers_compute(llama: Any) -> None:
    before = logits(llama)
    cut = remove_layers(llama, [0, 3])
    kept = [llama.model.layers[at] for at in (1, 2, 4, 5)]
    with torch.inference_mode():
        hidden = llama.model.embed_tokens(IDS)
        positions = torch.arange(10).unsqueeze(0)
        for layer in kept:
            hidden = layer(
                hidden,
                position_embeddings=llama.model.rotary_emb(hidden, positions),
                attention_mask=torch.full((10, 10), -torch.inf).triu(1)[None, None],
            )
        expected = llama.lm_head(llama.model.norm(hidden))
    torch.testing.assert_close(logits(cut), expected)
    assert torch.equal(logits(llama), before)


def test_a_cut_shares_its_weights_and_numbers_its_cache(llama: Any) -> None:
    cut = remove_layers(llama, [1])
    assert cut.model.layers[1].mlp.up_proj.weight is llama.model.layers[2].mlp.up_proj.weight
    assert [layer.self_attn.layer_idx for layer in cut.model.layers] == [0, 1, 2, 3, 4]


def test_layers_keep_their_original_numbers_for_life(llama: Any) -> None:
    once = remove_layers(llama, [1, 4])
    twice = remove_layers(once, [2])
    assert find_stack(once).kept == (0, 2, 3, 5)
    assert find_stack(twice).kept == (0, 3, 5)
    assert find_stack(twice).original_layers == 6
    assert torch.equal(logits(twice), logits(remove_layers(llama, [4, 2, 1])))


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        ([], "No layer"),
        ([6], "Layer 6 does not exist: the original model has layers 0 to 5"),
        ([-1], "Layer -1 does not exist"),
        ([2, 2], "Layer 2 is given more than once"),
        ([1], "Layer 1 is already removed"),
        ([0, 2, 3, 4, 5], "keep at least one"),
    ],
)
def test_layers_that_cannot_go_are_refused(llama: Any, drop: list[int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        remove_layers(remove_layers(llama, [1]), drop)


def test_a_model_with_one_layer_has_none_to_spare(llama: Any) -> None:
    with pytest.raises(InputError, match="All 1 layers"):
        remove_layers(remove_layers(llama, [0, 1, 2, 3, 4]), [5])


@pytest.mark.parametrize("text", ["", "3,", "3;17", "three"])
def test_drop_lists_are_numbers_with_commas(text: str) -> None:
    with pytest.raises(InputError, match="expected numbers with commas"):
        parse_drop(text)
    assert parse_drop("3, 17") == (3, 17)


def test_layers_tied_to_one_another_are_refused(llama: Any) -> None:
    for layer in llama.model.layers[1:]:
        layer.register_forward_pre_hook(
            lambda module, args: (args[0] * (1 + module.self_attn.layer_idx), *args[1:])
        )
    with pytest.raises(UnsupportedArchitectureError, match="computes something else"):
        remove_layers(llama, [2])


def test_a_model_without_a_stack_is_refused() -> None:
    from transformers import ResNetConfig, ResNetModel

    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1])
    with pytest.raises(UnsupportedArchitectureError, match="no list of layers"):
        find_stack(ResNetModel(config))


def test_prune_saves_a_proven_folder_that_loads_without_us(
    llama: Any, words: Any, tmp_path: Path
) -> None:
    llama.generation_config.update(temperature=0.7, do_sample=True)
    write_model(llama, words, tmp_path / "base")
    result = prune_model(tmp_path / "base", [1, 4], tmp_path / "cut")
    assert result.proof.largest_difference == 0
    assert result.proof.tokens == 32
    assert result.manifest.parent == folder_digest(tmp_path / "base").digest
    assert result.manifest == read_manifest(tmp_path / "cut")
    assert result.manifest.digest == folder_digest(tmp_path / "cut").digest
    assert read_manifest(tmp_path / "base") is None
    assert "bit for bit" in result.summary()
    json.dumps(result.to_json(), allow_nan=False)

    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "cut")
    assert torch.equal(logits(plain), logits(remove_layers(llama, [1, 4])))
    assert plain.generation_config.temperature == 0.7
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "cut")
    assert tokenizer.chat_template == words.chat_template
    assert find_stack(remove_layers(plain, [5])).kept == (0, 2, 3)
    with pytest.raises(InputError, match="already exists"):
        prune_model(tmp_path / "base", [1], tmp_path / "cut")


def test_what_is_not_the_same_model_fails_its_proof(llama: Any, words: Any, tmp_path: Path) -> None:
    """Each folder is changed after it was saved, in another way; none may pass."""
    cut = remove_layers(llama, [2])
    for name in ("whole", "weights", "numbers", "truncated", "tokenizer"):
        write_model(cut, words, tmp_path / name)
    healed = remove_layers(llama, [2])
    healed.model.layers[1].mlp.down_proj.weight = torch.nn.Parameter(
        healed.model.layers[1].mlp.down_proj.weight.detach() * 1.001
    )
    write_model(healed, words, tmp_path / "weights")
    change_json(tmp_path / "numbers" / "config.json", rms_norm_eps=1e-3)
    weights = tmp_path / "truncated" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-64])
    change_json(tmp_path / "tokenizer" / "tokenizer_config.json", chat_template="no")
    (tmp_path / "tokenizer" / "chat_template.jinja").unlink()

    names = ("whole", "weights", "numbers", "truncated", "tokenizer")
    results = prove_all([ProofCase(tmp_path / name, cut, words) for name in names])
    found = dict(zip(names, results, strict=True))
    assert not isinstance(found.pop("whole"), ProofError)
    assert "computes other logits" in str(found.pop("weights"))
    assert "config (field rms_norm_eps)" in str(found.pop("numbers"))
    assert "does not load" in str(found.pop("truncated"))
    assert "tokenizer (field chat_template)" in str(found.pop("tokenizer"))


def change_json(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_a_cut_that_fails_its_proof_is_not_saved(
    llama: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = remove_layers(llama, [2])
    save = type(cut).save_pretrained

    def spoil(model: Any, folder: Path) -> None:
        save(model, folder)
        change_json(folder / "config.json", rope_theta=10.0, rms_norm_eps=1.0)

    monkeypatch.setattr(type(cut), "save_pretrained", spoil)
    with pytest.raises(ProofError):
        save_cut(cut, None, tmp_path / "out", parent=None)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "avss_manifest.json").write_text("{")
    with pytest.raises(InputError, match=r"avss_manifest\.json is damaged"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(("own", "expected"), [(None, "passive"), ("active", "active")])
def test_the_process_of_a_proof_waits_without_spinning_unless_told(monkeypatch, own, expected):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if own:
        monkeypatch.setenv("OMP_WAIT_POLICY", own)
    monkeypatch.setattr("avss.cutting.proof.subprocess.Popen", lambda *_, env, **__: env)
    assert proof._worker(Path("job.json"))["OMP_WAIT_POLICY"] == expected
