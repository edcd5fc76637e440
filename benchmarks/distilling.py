"""What distillation costs a token: every weight or adapters, and its loss by size of block.

    python -m benchmarks.distilling [--tokens 4096] [--repeats 3]

The demo's model without a quarter of its layers learns from the whole one, on random tokens; the
ways take turns. Printed is processor time on one thread: the median, and the median and range of
the ratio to the teacher's bare forward pass of the same turn. The loss's forward and backward run
on logits of 1024 tokens, in blocks of so many bytes; the ratio is to blocks of 64 MiB.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from avss.batching import token_batches
from avss.cutting.pruning import remove_layers
from avss.healing import loss
from avss.healing.distillation import DistillationPlan, distil
from avss.loading import load_model
from avss.precision import fast_matrices
from deployments.seed import model_folder
from deployments.wheels import seed_cache

_MIB = 1 << 20
_BLOCKS = (64, 16, 4, 2, 1)
Text = list[list[int]]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    base = load_model(model_folder(seed_cache(), report=lambda _: None), dtype=torch.float32)
    words = base.config.vocab_size
    draw = torch.Generator().manual_seed(0)
    text = torch.randint(words, (chosen.tokens // 128, 128), generator=draw).tolist()
    cut = remove_layers(base, range(2, base.config.num_hidden_layers, 4))
    ways: dict[str, Callable[[], Any]] = {
        "teacher's pass": lambda: _pass(base, text),
        "every weight": lambda: _train(cut, base, text, rank=0),
        "adapters of rank 16": lambda: _train(cut, base, text, rank=16),
    }
    print_ways("way", ways, "teacher's pass", chosen.repeats)
    print()
    ours, theirs = (torch.randn(8, 128, words, generator=draw).bfloat16() for _ in range(2))
    came = torch.randint(words, (8, 127), generator=draw)
    blocks = {
        f"loss in blocks of {size} MiB": lambda size=size: _loss(ours, theirs, came, size)
        for size in _BLOCKS
    }
    print_ways("way", blocks, next(iter(blocks)), chosen.repeats)


@torch.no_grad()
def _pass(model: Any, text: Text) -> None:
    with fast_matrices(torch.device("cpu")):
        for batch in token_batches(text, batch_tokens=1024):
            model(input_ids=batch.input_ids, use_cache=False)


def _train(cut: Any, base: Any, text: Text, rank: int) -> None:
    tokens = sum(map(len, text))
    distil(cut, base, text, text[:1], plan=DistillationPlan(tokens, rank, evaluations=1))


def _loss(student: torch.Tensor, teacher: torch.Tensor, came: torch.Tensor, size: int) -> None:
    loss._BLOCK["cpu"] = size * _MIB
    logits = student.clone().requires_grad_()
    loss.soft_cross_entropy(logits, teacher, came, 0.7, 0.3).backward()


def print_ways(
    head: str, ways: Mapping[str, Callable[[], Any]], against: str, repeats: int
) -> None:
    """Run each way in turn, `repeats` times, and print a table of processor time."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, run in ways.items():
            began = time.process_time()
            run()
            if turn:  # the first warms up
                spent[name].append(time.process_time() - began)
    print(f"| {head} | processor seconds | ratio (range) |\n|---|---|---|")
    for name, found in spent.items():
        ratios = [mine / other for mine, other in zip(found, spent[against], strict=True)]
        told = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {name} | {statistics.median(found):.2f} | {told} |")


if __name__ == "__main__":
    main()
