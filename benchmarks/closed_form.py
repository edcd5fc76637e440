"""What closed-form healing costs, with matrices multiplied in float32 and in bfloat16.

    python -m benchmarks.closed_form [--tokens 2560] [--repeats 3]

Of the demo's model every fourth layer of the second half is taken out, and the rest from the first
gap on is fitted to random tokens; a fifth of them judges and stays in float32. The ways take turns.
Printed is processor time on one thread: the median, and the median and range of the ratio to the
base's bare pass over the same tokens in float32, of the same turn. Whether healing rounds by
itself is the last line.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch

from avss import precision
from avss.batching import token_batches
from avss.cutting.pruning import remove_layers
from avss.healing.closed_form import heal_closed_form
from avss.loading import load_model
from benchmarks.distilling import Text, print_ways
from deployments.seed import model_folder
from deployments.wheels import seed_cache

_JUDGES = 5
_CPU = torch.device("cpu")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=2560)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    base = load_model(model_folder(seed_cache(), report=lambda _: None), dtype=torch.float32)
    layers, draw = base.config.num_hidden_layers, torch.Generator().manual_seed(0)
    shape = (chosen.tokens // 128, 128)
    text = torch.randint(base.config.vocab_size, shape, generator=draw).tolist()
    cut = remove_layers(base, range(layers // 2, layers, 4))
    itself = precision.has_bfloat16(_CPU)
    ways: dict[str, Callable[[], Any]] = {
        "the base's pass": lambda: _pass(base, text),
        "products in float32": lambda: _heal(cut, base, text, fast=False),
        "products in bfloat16": lambda: _heal(cut, base, text, fast=True),
    }
    print_ways("way", ways, "the base's pass", chosen.repeats)
    print(f"\nhealing rounds to bfloat16 here: {itself}")


@torch.no_grad()
def _pass(model: Any, text: Text) -> None:
    for batch in token_batches(text, batch_tokens=1024):
        model(input_ids=batch.input_ids, use_cache=False)


def _heal(cut: Any, base: Any, text: Text, *, fast: bool) -> None:
    precision.has_bfloat16 = lambda _: fast
    heal_closed_form(
        cut, base, [row for at, row in enumerate(text) if at % _JUDGES], text[::_JUDGES]
    )


if __name__ == "__main__":
    main()
