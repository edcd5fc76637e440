"""What closed-form healing costs, with matrices multiplied in float32 and in bfloat16.

    python -m benchmarks.closed_form [--tokens 2560] [--repeats 3]

Of the demo's model every fourth layer of the second half is taken out, and the rest from the first
gap on is fitted to random tokens; a fifth of them judges and stays in float32. The ways take turns.
Printed is processor time on one thread: the median, and the median and range of the ratio to the
base's bare pass over the same tokens in float32, of the same turn. Whether healing rounds by
itself is the last line.
"""

from collections.abc import Callable
from typing import Any

import torch

from avss import precision
from avss.cutting.pruning import remove_layers
from avss.healing.best import split_text
from avss.healing.closed_form import heal_closed_form
from benchmarks.ways import Text, arguments, bare_pass, base_and_text, print_ways

_CPU = torch.device("cpu")


def main() -> None:
    """Print the table."""
    chosen = arguments(__doc__, tokens=2560)
    base, text = base_and_text(chosen.tokens)
    layers = base.config.num_hidden_layers
    cut = remove_layers(base, range(layers // 2, layers, 4))
    itself = precision.has_bfloat16(_CPU)
    ways: dict[str, Callable[[], Any]] = {
        "the base's pass": lambda: bare_pass(base, text),
        "products in float32": lambda: _heal(cut, base, text, fast=False),
        "products in bfloat16": lambda: _heal(cut, base, text, fast=True),
    }
    print_ways("way", ways, "the base's pass", chosen.repeats)
    print(f"\nhealing rounds to bfloat16 here: {itself}")


def _heal(cut: Any, base: Any, text: Text, *, fast: bool) -> None:
    precision.has_bfloat16 = lambda _: fast
    heal_closed_form(cut, base, *split_text(text))


if __name__ == "__main__":
    main()
