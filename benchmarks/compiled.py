"""What `torch.compile` would save: a forward pass with compiled layers, beside the same without.

    python -m benchmarks.compiled [--repeats 7]

The layers of the demo's model are compiled for one shape (they share their code, so the compiler
works once), which is what the passes over a model could do where texts are of one length. The two
take turns on all cores; wall times. How many passes it takes until compiling has paid follows.
"""

import argparse
import copy
import statistics
import time
from typing import Any

import torch
from torch._dynamo.utils import counters

from avss.architecture import find_stack
from avss.loading import load_model
from deployments.seed import model_folder
from deployments.wheels import seed_cache


@torch.inference_mode()
def seconds(model: Any, ids: torch.Tensor) -> float:
    """Wall time of one pass."""
    began = time.perf_counter()
    model(input_ids=ids, use_cache=False)
    return time.perf_counter() - began


def main() -> None:
    """Print the ratio and what compiling took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=7)
    chosen = parser.parse_args()
    plain = load_model(model_folder(seed_cache(), report=lambda _: None), dtype=torch.float32)
    compiled = copy.deepcopy(plain)
    for layer in find_stack(compiled).layers:
        layer.compile(dynamic=False)
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(plain.config.vocab_size, (4, 256), generator=draw)
    seconds(plain, ids)
    first = seconds(compiled, ids)
    if (graphs := counters["stats"]["unique_graphs"]) != 1:
        raise SystemExit(f"the layers were compiled {graphs} times; once was expected")
    pairs = [(seconds(plain, ids), seconds(compiled, ids)) for _ in range(chosen.repeats)]
    ratios = [after / before for before, after in pairs]
    middle, usual = statistics.median(ratios), statistics.median(one for one, _ in pairs)
    print(f"compiled: {middle:.2f} ({min(ratios):.2f} to {max(ratios):.2f}) of the plain pass")
    print(f"the first compiled pass: {first / usual:.0f} plain passes")
    if middle < 1:
        print(f"paid for after {(first / usual) / (1 - middle):.0f} passes of this shape")


if __name__ == "__main__":
    main()
