"""What distillation costs a token: every weight or adapters, and its loss by size of block.

    python -m benchmarks.distilling [--tokens 4096] [--repeats 3]

The demo's model without a quarter of its layers learns from the whole one, on random tokens; the
ways take turns. Printed is processor time on one thread: the median, and the median and range of
the ratio to the teacher's bare forward pass of the same turn. The loss's forward and backward run
on logits of 1024 tokens, in blocks of so many bytes; the ratio is to blocks of 64 MiB.
"""

from collections.abc import Callable
from typing import Any

import torch

from avss.cutting.pruning import remove_layers
from avss.healing import loss
from avss.healing.distillation import DistillationPlan, distil
from avss.precision import fast_matrices
from benchmarks.ways import Text, arguments, bare_pass, base_and_text, print_ways

_MIB = 1 << 20
_BLOCKS = (64, 16, 4, 2, 1)


def main() -> None:
    """Print both tables."""
    chosen = arguments(__doc__, tokens=4096)
    base, text = base_and_text(chosen.tokens)
    cut = remove_layers(base, range(2, base.config.num_hidden_layers, 4))
    ways: dict[str, Callable[[], Any]] = {
        "teacher's pass": lambda: _pass(base, text),
        "every weight": lambda: _train(cut, base, text, rank=0),
        "adapters of rank 16": lambda: _train(cut, base, text, rank=16),
    }
    print_ways("way", ways, "teacher's pass", chosen.repeats)
    print()
    words, draw = base.config.vocab_size, torch.Generator().manual_seed(0)
    ours, theirs = (torch.randn(8, 128, words, generator=draw).bfloat16() for _ in range(2))
    came = torch.randint(words, (8, 127), generator=draw)
    blocks = {
        f"loss in blocks of {size} MiB": lambda size=size: _loss(ours, theirs, came, size)
        for size in _BLOCKS
    }
    print_ways("way", blocks, next(iter(blocks)), chosen.repeats)


def _pass(model: Any, text: Text) -> None:
    with fast_matrices(torch.device("cpu")):
        bare_pass(model, text)


def _train(cut: Any, base: Any, text: Text, rank: int) -> None:
    tokens = sum(map(len, text))
    distil(cut, base, text, text[:1], plan=DistillationPlan(tokens, rank, evaluations=1))


def _loss(student: torch.Tensor, teacher: torch.Tensor, came: torch.Tensor, size: int) -> None:
    loss._BLOCK["cpu"] = size * _MIB
    logits = student.clone().requires_grad_()
    loss.soft_cross_entropy(logits, teacher, came, 0.7, 0.3).backward()


if __name__ == "__main__":
    main()
