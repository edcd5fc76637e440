"""On a GPU the pass must not wait for the host; on this machine that shows in its operations."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from avss.architecture import find_stack
from avss.batching import token_batches
from avss.cutting.pruning import remove_layers
from avss.healing.distillation import DistillationPlan, distil
from avss.healing.own_text import own_text
from avss.language_loss import mean_loss
from avss.scoring.one_pass import observe, run_layers
from avss.selection import probe

SOURCES = ("contribution", "output", "mlp")
WAITS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal")
"""Operations whose result the host must read before it can go on."""

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")


def waits(run: Callable[[], Any]) -> int:
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        run()
    return sum(one.count for one in seen.key_averages() if one.key in WAITS)


@pytest.fixture
def sequences() -> list[list[int]]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randint(90, (size,), generator=draw).tolist() for size in range(3, 23)]


def bare(model: Any, sequences: list[list[int]]) -> None:
    with torch.inference_mode():
        for batch in token_batches(sequences, batch_tokens=60):
            run_layers(model, find_stack(model), batch)


def test_waiting_is_counted() -> None:
    values, mask = torch.arange(4.0), torch.tensor([True, False, True, False])
    assert waits(lambda: values.sum()) == 0
    assert waits(lambda: values.sum().item()) == 1
    assert waits(lambda: values[mask]) == 1
    with torch.inference_mode():
        assert waits(lambda: values.sum().item()) == 1


@pytest.mark.parametrize("source", SOURCES)
def test_watching_a_layer_never_waits_for_the_device(
    llama: Any, sequences: list[list[int]], source: Any
) -> None:
    """What is read back is read once at the end, however many layers and batches there are."""

    def extra(model: Any, text: list[list[int]]) -> int:
        watched = waits(lambda: observe(model, text, source=source, batch_tokens=60))
        return watched - waits(lambda: bare(model, text))

    shallow = remove_layers(llama, [1, 3, 4])
    per_batch = len(list(token_batches(sequences, batch_tokens=60))) - len(
        list(token_batches(sequences[:5], batch_tokens=60))
    )
    assert per_batch > 1
    whole = extra(llama, sequences)
    assert whole == extra(shallow, sequences)
    grown = whole - extra(llama, sequences[:5])
    assert grown == 2 * per_batch  # a batch's tokens are counted on the host, where its mask is


@on_gpu
@pytest.mark.parametrize("source", SOURCES)
def test_scores_on_a_gpu_are_those_of_the_processor(
    llama: Any, sequences: list[list[int]], source: Any
) -> None:
    here = observe(llama, sequences, source=source, batch_tokens=60).scores()
    there = observe(llama.to("cuda"), sequences, source=source, batch_tokens=60).scores()
    for name in ("variance", "sparsity", "avss", "block_influence", "angular_distance"):
        ours, theirs = (
            np.array([getattr(layer, name) for layer in found.layers]) for found in (here, there)
        )
        np.testing.assert_allclose(theirs, ours, rtol=2e-3, err_msg=name)


@on_gpu
def test_a_layer_is_watched_on_a_gpu_without_a_stop(llama: Any, sequences: list[list[int]]) -> None:
    """CUDA itself reports every wait; only the model's own, before its layers, are let pass."""
    model = llama.to("cuda")
    before = torch.cuda.get_sync_debug_mode()

    def strictly(_: Any, __: Any) -> None:
        torch.cuda.set_sync_debug_mode("error")

    def loosely(_: Any, __: Any, ___: Any) -> None:
        torch.cuda.set_sync_debug_mode(before)

    layers = find_stack(model).layers
    observe(model, sequences, batch_tokens=60)  # what is made once is made
    layers[1].register_forward_pre_hook(strictly)
    layers[-1].register_forward_hook(loosely)
    try:
        observe(model, sequences, batch_tokens=60)
    finally:
        torch.cuda.set_sync_debug_mode(before)


@on_gpu
def test_bfloat16_on_a_gpu_uses_fused_attention(llama: Any, sequences: list[list[int]]) -> None:
    assert llama.config._attn_implementation == "sdpa"
    wide = mean_loss(llama.to("cuda"), sequences, batch_tokens=60).mean
    narrow = mean_loss(llama.to(torch.bfloat16), sequences, batch_tokens=60).mean
    assert narrow != wide
    assert narrow == pytest.approx(wide, rel=2e-2)


@on_gpu
def test_probing_and_distilling_on_a_gpu(llama: Any, words: Any) -> None:
    with torch.no_grad():
        for weight in llama.parameters():
            weight.mul_(12 if weight.ndim > 1 else 1)  # else its text is noise, and teaches nothing
    base = llama.to("cuda")
    text = own_text(base, words, tokens=3000, length=30, seed=1)
    probed = probe(base, text[80:], find_stack(base).kept)
    cut = remove_layers(base, [probed.order[-1]])
    plan = DistillationPlan(
        tokens=4000, rank=4, learning_rate=5e-3, batch_tokens=256, evaluations=4
    )
    healed, report = distil(cut, base, text[:80], text[80:], plan=plan)
    assert report.method == "distilled"
    assert report.loss_after < report.loss_before
    assert next(healed.parameters()).device.type == "cuda"
