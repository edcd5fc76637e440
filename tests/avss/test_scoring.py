"""Scores do not depend on how the text is cut up, and say what they are asked to say."""

import json
from functools import reduce
from typing import Any

import numpy as np
import pytest
import torch

from avss.batching import batch_rows
from avss.cutting.pruning import remove_layers
from avss.errors import InputError, UnsupportedArchitectureError
from avss.scoring.calibration import calibration_tokens
from avss.scoring.observations import Observations
from avss.scoring.one_pass import observe, score_layers
from avss.scoring.scores import LayerScores

SOURCES = ("contribution", "output", "mlp")
NUMBERS = ("variance", "sparsity", "avss", "share", "block_influence", "angular_distance")


def numbers(scores: LayerScores) -> np.ndarray:
    return np.array([[getattr(layer, name) for name in NUMBERS] for layer in scores.layers])


@pytest.fixture
def sequences(words: Any, texts: list[str]) -> list[list[int]]:
    ids: list[list[int]] = words(texts)["input_ids"]
    return ids


@pytest.mark.parametrize("source", SOURCES)
def test_batch_sizes_and_shards_agree(llama: Any, sequences: list[list[int]], source: Any) -> None:
    def scores(*parts: list[list[int]], batch: int) -> LayerScores:
        seen: list[Observations] = [
            observe(llama, part, source=source, batch_tokens=60 * batch) for part in parts
        ]
        return (seen[0].merged(seen[1]) if len(seen) == 2 else seen[0]).scores()

    alone = numbers(scores(sequences, batch=1))
    for other in (
        scores(sequences, batch=8),
        scores(sequences, batch=32),
        scores(sequences[:17], sequences[17:], batch=8),
    ):
        np.testing.assert_allclose(numbers(other), alone, rtol=1e-6)


def test_batches_observed_apart_give_the_whole_to_the_last_bit(
    llama: Any, sequences: list[list[int]]
) -> None:
    batches = list(batch_rows(sequences, batch_tokens=120))
    assert len(batches) > 3
    seen = [observe(llama, [sequences[row] for row in rows], batch_tokens=120) for rows in batches]
    joined = reduce(Observations.merged, seen).placed([row for rows in batches for row in rows])
    whole = observe(llama, sequences, batch_tokens=120)
    assert joined.scores(bootstrap=20) == whole.scores(bootstrap=20)


@pytest.mark.parametrize("source", ["output", "mlp"])
def test_other_sources_score_what_they_name(
    llama: Any, sequences: list[list[int]], source: Any
) -> None:
    seen: list[list[np.ndarray]] = [[] for _ in range(6)]
    for at, layer in enumerate(llama.model.layers):
        if source == "mlp":
            layer.mlp.down_proj.register_forward_pre_hook(
                lambda _, args, at=at: seen[at].append(args[0][0].double().numpy())
            )
        else:
            layer.register_forward_hook(
                lambda _, args, output, at=at: seen[at].append(output[0].double().numpy())
            )
    with torch.inference_mode():
        for ids in sequences:
            llama(torch.tensor([ids]))
    expected = [np.concatenate(values) for values in seen]
    scores = observe(llama, sequences, source=source, epsilon=0.02).scores()
    for layer, values in zip(scores.layers, expected, strict=True):
        assert layer.near_zero == (abs(values) < 0.02).sum()
        assert layer.variance == pytest.approx(values.var(), rel=1e-5)


def test_a_layer_without_near_zero_values_is_floored(
    llama: Any, sequences: list[list[int]]
) -> None:
    scores = observe(llama, sequences, epsilon=1e-12).scores()
    values = scores.tokens * 32
    for layer in scores.layers:
        assert layer.floored
        assert layer.avss == pytest.approx(layer.variance * values)


def test_a_layer_that_does_nothing_ranks_first(llama: Any, sequences: list[list[int]]) -> None:
    for projection in (llama.model.layers[4].mlp.down_proj, llama.model.layers[4].self_attn.o_proj):
        projection.weight.data.zero_()
    scores = observe(llama, sequences).scores()
    assert scores.ranking()[0] == 4
    assert scores.ranking("block_influence")[0] == 4
    assert scores.layers[4].avss == 0


def test_json_holds_the_contract_and_comes_back(llama: Any, words: Any, texts: list[str]) -> None:
    scores = score_layers(llama, words, texts, bootstrap=50)
    data = json.loads(json.dumps(scores.to_json(), allow_nan=False))
    assert LayerScores.from_json(data) == scores
    assert {"model", "source", "epsilon", "records", "tokens", "layers", "ranking"} <= data.keys()
    assert [one["index"] for one in data["ranking"]] == list(scores.ranking())
    cumulative = [one["cumulative_share"] for one in data["ranking"]]
    assert cumulative == sorted(cumulative)
    assert cumulative[-1] == pytest.approx(1)
    avss = [scores.layers[one["index"]].avss for one in data["ranking"]]
    assert avss == sorted(avss)


def test_fusion_adds_ranks(llama: Any, sequences: list[list[int]]) -> None:
    scores = observe(llama, sequences).scores()
    parts = [scores.ranking("avss"), scores.ranking("angular_distance")]
    sums = {index: sum(part.index(index) for part in parts) for index in range(6)}
    fused = scores.ranking("avss+angular_distance")
    assert [sums[index] for index in fused] == sorted(sums.values())
    with pytest.raises(InputError, match="no score 'luck'"):
        scores.ranking("avss+luck")


def test_a_cut_model_is_scored_by_original_numbers(llama: Any, sequences: list[list[int]]) -> None:
    cut = remove_layers(llama, [1, 4])
    scores = observe(cut, sequences).scores()
    assert [layer.index for layer in scores.layers] == [0, 2, 3, 5]
    assert sorted(scores.ranking()) == [0, 2, 3, 5]


def test_max_tokens_reads_the_first_tokens_only(llama: Any, words: Any, texts: list[str]) -> None:
    scores = score_layers(llama, words, texts, max_tokens=100)
    assert scores.tokens == 100
    assert scores.records < len(texts)


def test_more_than_max_tokens_are_read_only_for_the_least_number_of_texts(words: Any) -> None:
    texts = ["w1 w2 w3", "", "w4 w5 w6 w7", "w8 w9"]
    for most, least, lengths in ((5, 0, [3, 2]), (5, 1, [3, 2]), (5, 2, [3, 4]), (1, 9, [3, 4, 2])):
        found = calibration_tokens(words, texts, max_tokens=most, max_length=9, min_texts=least)
        assert [len(ids) for ids in found] == lengths


def test_progress_ends_at_the_total(llama: Any, words: Any, texts: list[str]) -> None:
    calls: list[tuple[int, int]] = []
    scores = score_layers(
        llama, words, texts, batch_tokens=128, progress=lambda *call: calls.append(call)
    )
    assert calls[-1] == (scores.tokens, scores.tokens)
    assert calls == sorted(calls)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "0 different tokens"),
        (["", "  "], "0 different tokens"),
        (["w1"], "1 different tokens"),
        (["w1 w1 w1", "w1"], "1 different tokens"),
        (["w1 w2", None], "Record 2 has no text but NoneType"),
        (["w1 \udcff"], "Record 1 is not valid Unicode"),
    ],
)
def test_text_that_ranks_nothing_is_refused(
    llama: Any, words: Any, records: list[Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        score_layers(llama, words, records)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": 0.0}, "epsilon is 0.0"),
        ({"epsilon": -1.0}, "epsilon is -1.0"),
        ({"epsilon": float("nan")}, "epsilon is nan"),
        ({"source": "luck"}, "no source 'luck'"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"batch_tokens": 0}, "batch_tokens is 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    llama: Any, words: Any, texts: list[str], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        score_layers(llama, words, texts, **options)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_first_layer_that_is_not_finite_is_named(
    llama: Any, words: Any, texts: list[str], value: float
) -> None:
    cut = remove_layers(llama, [1])
    cut.model.layers[2].mlp.down_proj.weight.data[3, 3] = value
    with pytest.raises(InputError, match="Layer 3 gives activations that are NaN or infinite"):
        score_layers(cut, words, texts)


def test_hooks_are_gone_after_a_failure(llama: Any, words: Any, texts: list[str]) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_layers(llama, words, texts, progress=stop)
    assert not any(layer._forward_hooks for layer in llama.model.layers)


def test_experts_have_no_down_projection() -> None:
    from transformers import MixtralConfig, MixtralForCausalLM

    config = MixtralConfig(
        vocab_size=96,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_local_experts=2,
    )
    with pytest.raises(UnsupportedArchitectureError, match="no single down projection"):
        observe(MixtralForCausalLM(config), [[1, 2, 3]], source="mlp")


def test_more_text_makes_a_steadier_ranking(llama: Any, sequences: list[list[int]]) -> None:
    seen = observe(llama, sequences)
    few = observe(llama, sequences[:4])
    steady = seen.scores(bootstrap=200, seed=1).stability
    shaky = few.scores(bootstrap=200, seed=1).stability
    assert steady is not None
    assert shaky is not None
    width = [sum(one.high - one.low for one in found.rank_intervals) for found in (steady, shaky)]
    assert width[0] <= width[1]
    assert steady.kendall_tau is not None
    assert -1 <= steady.kendall_tau <= 1
    assert seen.scores(bootstrap=200, seed=1).stability == steady
    ranking = seen.scores().ranking()
    for one in steady.rank_intervals:
        assert one.low <= ranking.index(one.index) + 1 <= one.high


def test_halves_of_three_records_have_no_tau(llama: Any, sequences: list[list[int]]) -> None:
    stability = observe(llama, sequences[:3]).scores(bootstrap=10).stability
    assert stability is not None
    assert stability.kendall_tau is None
