"""Profiles of tiny models, and what they cost."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from avss.errors import InputError
from avss.profiling.costs import CostModel
from avss.profiling.energy import EnergyMeter
from avss.profiling.profile import profile_model

HIDDEN, KV_HEADS, HEAD = 32, 2, 8


def save_llama(folder: Path, layers: int) -> Path:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=HIDDEN,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=KV_HEADS,
        max_position_embeddings=64,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return save_llama(tmp_path / "cut", 1), save_llama(tmp_path / "base", 8)


def test_a_smaller_model_beside_its_base(folders: tuple[Path, Path]) -> None:
    told: list[tuple[int, int]] = []
    found = profile_model(
        *folders,
        prompt_tokens=8,
        decode_tokens=4,
        batch_size=2,
        repeats=7,
        cost_model=CostModel(2.0, "EUR", 1e9, 1e8),
        progress=lambda *at: told.append(at),
    )
    assert found.size.parameters < found.base_size.parameters
    assert found.size.kv_bytes_per_token == 1 * 2 * KV_HEADS * HEAD * 4
    assert found.base_size.kv_bytes_per_token == 8 * 2 * KV_HEADS * HEAD * 4
    assert found.size.bytes_on_disk == (folders[0] / "model.safetensors").stat().st_size
    speeds = {speed.name: speed for speed in found.speeds}
    decode = speeds["decode_tokens_per_second"]
    assert decode.ratio > 2  # an eighth of the layers
    assert decode.ratio_low <= decode.ratio <= decode.ratio_high
    assert speeds["time_to_first_token"].ratio < 0.5
    assert found.cost.savings_per_month > 0
    assert told[-1] == (7, 7)
    json.dumps(found.to_json(), allow_nan=False)


def test_alone_there_is_no_ratio(folders: tuple[Path, Path]) -> None:
    found = profile_model(folders[0], prompt_tokens=4, decode_tokens=2, repeats=1)
    assert found.base_size is None
    assert all(speed.ratio is None for speed in found.speeds)
    assert found.cost is None


def test_too_few_repeats_have_no_limits(folders: tuple[Path, Path]) -> None:
    found = profile_model(*folders, prompt_tokens=4, decode_tokens=2, repeats=2)
    assert all(speed.ratio_low is None and speed.ratio_high is None for speed in found.speeds)
    json.dumps(found.to_json(), allow_nan=False)


def test_what_cannot_be_profiled(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match="at least 1"):
        profile_model(folders[0], repeats=0)
    config = BertConfig(vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    BertForMaskedLM(config).save_pretrained(tmp_path / "bert")
    with pytest.raises(InputError, match="does not decode"):
        profile_model(tmp_path / "bert")


def test_a_model_with_a_state_in_place_of_keys_and_values(tmp_path: Path) -> None:
    config = MambaConfig(vocab_size=20, hidden_size=16, state_size=4, num_hidden_layers=1)
    MambaForCausalLM(config).save_pretrained(tmp_path / "mamba")
    found = profile_model(tmp_path / "mamba", prompt_tokens=4, decode_tokens=2, repeats=1)
    assert found.size.kv_bytes_per_token == 0
    assert all(speed.value > 0 for speed in found.speeds)


def test_a_sliding_window_fills_at_the_same_rate(tmp_path: Path) -> None:
    """16 tokens are run, of which a layer of this model keeps the last few."""
    config = MistralConfig(
        vocab_size=20,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        sliding_window=4,
    )
    MistralForCausalLM(config).save_pretrained(tmp_path / "mistral")
    found = profile_model(tmp_path / "mistral", prompt_tokens=4, decode_tokens=2, repeats=1)
    assert found.size.kv_bytes_per_token == 2 * 2 * 8 * 4


def test_cost_by_hand() -> None:
    speeds = {
        "prefill_tokens_per_second": SimpleNamespace(value=1000.0, ratio=1.25),
        "batched_decode_tokens_per_second": SimpleNamespace(value=100.0, ratio=2.0),
    }
    cost = CostModel(3.0, "JPY", 3.6e9, 3.6e7).of(speeds)
    assert cost.hours_per_month == pytest.approx(1000 + 100)
    assert cost.cost_per_month == pytest.approx(3300)
    assert cost.base_cost_per_month == pytest.approx(3 * (1250 + 200))
    assert cost.savings_per_month == pytest.approx(1050)
    assert any("JPY" in assumption for assumption in cost.assumptions)
    with pytest.raises(InputError, match="Cost model"):
        CostModel(-1.0, "JPY", 1, 1)


def test_energy_counters_that_wrap_around(tmp_path: Path) -> None:
    package = tmp_path / "intel-rapl:0"
    package.mkdir()
    (package / "max_energy_range_uj").write_text("10000000\n")
    (package / "energy_uj").write_text("9000000\n")
    meter = EnergyMeter(tmp_path)
    meter.start()
    (package / "energy_uj").write_text("500000\n")
    assert meter.stop() == pytest.approx(1.5)
    assert meter.reason is None


def test_a_machine_without_counters_says_so(tmp_path: Path) -> None:
    meter = EnergyMeter(tmp_path)
    meter.start()
    assert meter.stop() is None
    assert "no energy counters" in meter.reason
