"""What bfloat16 costs on this processor, beside float32: forward pass of the demo's model.

    python -m benchmarks.precision

Processor time on one thread, median of the turns, as a ratio to float32 of the same turn.
"""

import statistics
import time
from contextlib import nullcontext

import torch

from avss.loading import load_model
from avss.precision import has_bfloat16
from deployments.seed import model_folder
from deployments.wheels import seed_cache

_TURNS = 5


def main() -> None:
    """Measure the three ways in turn and print their ratios."""
    torch.set_num_threads(1)
    folder = model_folder(seed_cache(), report=print)
    wide, narrow = (load_model(folder, dtype=one) for one in (torch.float32, torch.bfloat16))
    ids = torch.arange(1024).reshape(4, 256)
    ways = {
        "float32": (wide, nullcontext()),
        "bfloat16": (narrow, nullcontext()),
        "float32, products in bfloat16": (wide, torch.autocast("cpu", torch.bfloat16)),
    }
    ratios: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(_TURNS):
        spent = {name: _seconds(model, ids, context) for name, (model, context) in ways.items()}
        for name, seconds in spent.items():
            ratios[name].append(seconds / spent["float32"])
    for name, found in ratios.items():
        low, middle, high = min(found), statistics.median(found), max(found)
        print(f"{name}: {middle:.2f} ({low:.2f} to {high:.2f})")
    print(f"avss multiplies in bfloat16 here: {has_bfloat16(torch.device('cpu'))}")


@torch.inference_mode()
def _seconds(
    model: torch.nn.Module, ids: torch.Tensor, context: nullcontext | torch.autocast
) -> float:
    with context:
        began = time.process_time()
        model(input_ids=ids, use_cache=False)
        return time.process_time() - began


if __name__ == "__main__":
    main()
