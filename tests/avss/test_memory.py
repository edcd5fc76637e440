"""Out of memory halves the batch, says so, and changes no result.

No device here runs out on command: a hook on the embeddings raises what torch raises when a batch
holds more than so many tokens.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from avss.cutting.pruning import remove_layers
from avss.errors import InputError
from avss.healing.closed_form import heal_closed_form
from avss.healing.distillation import DistillationPlan, distil
from avss.kpi_file.suite import load_kpis
from avss.kpis import measure
from avss.language_loss import mean_loss
from avss.memory import within_memory
from avss.scoring.first_layer import first_layer_states
from avss.scoring.one_pass import score_layers
from avss.selection import probe

KPIS = load_kpis({"kpis": [{"name": "text", "kind": "perplexity", "text": "{text}"}]})


@dataclass(frozen=True)
class Bench:
    """A model, what is measured with it, and a cut of it."""

    model: Any
    words: Any
    texts: list[str]
    sequences: list[list[int]]
    cut: Any


@contextmanager
def room_for(model: Any, tokens: int) -> Iterator[None]:
    """Inside the block the model's device has memory for batches of so many tokens."""

    def refuse(_: Any, args: tuple[torch.Tensor]) -> None:
        if args[0].numel() > tokens:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB.")

    handle = model.get_input_embeddings().register_forward_pre_hook(refuse)
    try:
        yield
    finally:
        handle.remove()


@pytest.fixture
def bench(llama: Any, words: Any, texts: list[str]) -> Bench:
    return Bench(llama, words, texts, words(texts)["input_ids"], remove_layers(llama, [2]))


def avss_of(on: Bench) -> list[float]:
    return [layer.avss for layer in score_layers(on.model, on.words, on.texts).layers]


def probed(on: Bench) -> list[float]:
    found = probe(on.model, on.sequences, [1, 4])
    return [found.base_loss, *found.losses.values()]


def measured(on: Bench) -> Any:
    records = [{"text": text} for text in on.texts]
    return measure(on.model, on.words, KPIS, records).kpis[0].columns["loss"]


def seen_first(on: Bench) -> Any:
    return first_layer_states(on.model, on.words, on.texts)


def lost(on: Bench) -> list[float]:
    return [mean_loss(on.model, on.sequences, batch_tokens=4096).mean]


def healed(on: Bench) -> list[float]:
    _, report = heal_closed_form(on.cut, on.model, on.sequences, on.sequences[:9])
    return [report.loss_after]


@pytest.mark.parametrize("work", [avss_of, probed, measured, seen_first, lost, healed])
def test_it_goes_on_with_less_says_so_and_finds_the_same(
    work: Any, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    expected = work(bench)
    assert not caplog.records
    with room_for(bench.model, 128):
        np.testing.assert_allclose(work(bench), expected, rtol=1e-5, atol=1e-8)
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert "Out of memory on cpu with batches of" in caplog.text
    with (
        room_for(bench.model, 10),
        pytest.raises(InputError, match=r"one text at a time \(the weights"),
    ):
        work(bench)


def test_distillation_learns_the_same_from_parts_of_a_batch(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    plan = DistillationPlan(
        tokens=1500, rank=4, batch_tokens=256, evaluations=2, learning_rate=3e-3
    )

    def curve() -> list[tuple[int, float]]:
        text = bench.sequences
        return list(distil(bench.cut, bench.model, text, text[:9], plan=plan)[1].curve)

    expected = curve()
    with room_for(bench.model, 64):
        np.testing.assert_allclose(curve(), expected, rtol=1e-3)
    assert "batches of 256 tokens: going on with 128" in caplog.text
    with room_for(bench.model, 10), pytest.raises(InputError, match=r"what is trained 0\.00 GiB"):
        curve()


def test_other_errors_are_none_of_its_business(llama: Any) -> None:
    def fail(size: int) -> None:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        within_memory(fail, 8, llama)


def test_main_memory_counts_too(llama: Any) -> None:
    def greedy(size: int) -> int:
        if size > 2:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 1 TB")
        return size

    assert within_memory(greedy, 9, llama) == 2
