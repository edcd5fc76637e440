"""What scoring costs: the bare forward pass, the pass with all scores, and the published way.

    python benchmarks/scoring.py --model DIR [--batch-tokens 2048] [--records 24] [--repeats 5]

The three run in turn on the same batches of random tokens. Time is processor time of this process
on a CPU (so other load hardly matters) and wall time elsewhere; the median and the range of the
ratio to the bare pass of the same turn are printed as a Markdown table. Memory is how far the
peak of the process rises above that of the bare pass, measured in the first turn.
"""

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from avss.architecture import LayerStack, find_stack
from avss.batching import token_batches
from avss.loading import load_model
from avss.scoring.one_pass import EPSILON, observe, run_layers

Sequences = list[list[int]]


def bare(model: Any, sequences: Sequences, batch_tokens: int) -> None:
    """The forward pass alone: no head, no cache, no hook."""
    stack = find_stack(model)
    with torch.inference_mode():
        for batch in token_batches(sequences, batch_tokens=batch_tokens):
            run_layers(model, stack, batch)


def ours(model: Any, sequences: Sequences, batch_tokens: int) -> None:
    """AVSS, Block Influence and angular distance, with all that the bootstrap needs."""
    observe(model, sequences, batch_tokens=batch_tokens).scores()


def published(model: Any, sequences: Sequences, batch_tokens: int) -> None:
    """The approach of the published code: every layer's output to the host, NumPy afterwards.

    A plain re-implementation of the approach, with its mistakes mended (see docs/method.md): it
    reads the whole batch and guards the division. It gives AVSS only.
    """
    stack = find_stack(model)
    kept: list[list[np.ndarray]] = [[] for _ in stack.layers]
    handles = [
        layer.register_forward_hook(_keeping(kept[at])) for at, layer in enumerate(stack.layers)
    ]
    try:
        bare(model, sequences, batch_tokens)
    finally:
        for handle in handles:
            handle.remove()
    for outputs in kept:
        values = np.concatenate([output.ravel() for output in outputs])
        np.var(values) / max(np.mean(np.abs(values) < EPSILON["output"]), 1 / values.size)


def _keeping(outputs: list[np.ndarray]) -> Callable[..., None]:
    def hook(_: Any, __: Any, output: Any) -> None:
        hidden = output[0] if isinstance(output, tuple) else output
        outputs.append(hidden.detach().float().cpu().numpy().copy())

    return hook


def seconds(run: Callable[[], None], device: torch.device) -> float:
    """Processor time on a CPU, wall time with the device drained elsewhere."""
    if device.type == "cpu":
        start = time.process_time()
        run()
        return time.process_time() - start
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    run()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start


def peak_mib(device: torch.device) -> float:
    """The highest memory use so far, in MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def measure(
    model: Any, sequences: Sequences, batch_tokens: int, repeats: int
) -> dict[str, tuple[list[float], float]]:
    """Per way: seconds of each turn, and MiB above the bare pass' peak."""
    device = next(model.parameters()).device
    ways = {"bare pass": bare, "with all scores": ours, "published approach": published}
    times: dict[str, list[float]] = {name: [] for name in ways}
    memory: dict[str, float] = {}
    for _ in range(2):  # also warms up
        bare(model, sequences, batch_tokens)
    floor = peak_mib(device)
    for turn in range(repeats):
        for name, way in ways.items():
            times[name].append(seconds(lambda way=way: way(model, sequences, batch_tokens), device))
            if turn == 0:
                memory[name] = peak_mib(device) - floor
    return {name: (times[name], memory[name]) for name in ways}


def one_activation_mib(model: Any, stack: LayerStack, batch_tokens: int) -> float:
    """The size of one layer's output for a full batch, in MiB."""
    return batch_tokens * stack.config.hidden_size * model.dtype.itemsize / 2**20


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="model folder, .gguf file or hub id")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--records", type=int, default=24)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()

    model = load_model(options.model, dtype=options.dtype).to(options.device)
    draw = torch.Generator().manual_seed(0)
    shape = (options.records, options.length)
    vocabulary = model.config.get_text_config().vocab_size
    sequences = torch.randint(vocabulary, shape, generator=draw).tolist()
    found = measure(model, sequences, options.batch_tokens, options.repeats)

    tokens = options.records * options.length
    stack = find_stack(model)
    size = one_activation_mib(model, stack, options.batch_tokens)
    print(
        f"{type(model).__name__}, {len(stack.layers)} layers, {model.dtype}, {options.device}, "
        f"{torch.get_num_threads()} threads; {tokens} tokens in batches of "
        f"{options.batch_tokens}; one layer's output is {size:.1f} MiB.\n"
    )
    print("| pass | seconds | ratio to bare (range) | extra memory, MiB |")
    print("|---|---|---|---|")
    base = found["bare pass"][0]
    for name, (times, extra) in found.items():
        ratios = [one / other for one, other in zip(times, base, strict=True)]
        print(
            f"| {name} | {statistics.median(times):.2f} | {statistics.median(ratios):.3f} "
            f"({min(ratios):.3f} to {max(ratios):.3f}) | {extra:.1f} |"
        )


if __name__ == "__main__":
    main()
