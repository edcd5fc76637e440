"""How scoring grows: with tokens and with layers. Plots.

    python -m benchmarks.growth --out growth.svg

Models of random weights of the Llama kind are scored; seconds are processor time of this process,
the least of three turns. A straight line is fitted to each of both, and the largest distance from
it printed as a share. How a change grows with the ledger: `benchmarks/year.py`.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from avss.scoring.one_pass import observe

Points = list[tuple[float, float]]


def seconds(layers: int, tokens: int, width: int) -> float:
    """Processor time of scoring so many tokens with so many layers."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=256,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=8,
    )
    model = LlamaForCausalLM(config).eval()
    sequences = torch.randint(256, (tokens // 128, 128)).tolist()
    observe(model, sequences[:8])
    taken = []
    for _ in range(3):
        began = time.process_time()
        observe(model, sequences, batch_tokens=2048).scores()
        taken.append(time.process_time() - began)
    return min(taken)


def off_the_line(points: Points) -> float:
    """The largest distance from the straight line that fits best, as a share of the value."""
    x, y = np.array(points).T
    fitted = np.polyval(np.polyfit(x, y, 1), x)
    return float(np.abs(y / fitted - 1).max())


def plot(curves: Mapping[str, Points], target: Path) -> None:
    """One panel a curve."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "avss"
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(curves), figsize=(4.5 * len(curves), 3.5))
    for panel, (name, points) in zip(np.atleast_1d(panels), curves.items(), strict=True):
        panel.plot(*zip(*points, strict=True), marker="o", ms=4, lw=1)
        panel.set(xlabel=name, ylabel="seconds", xlim=(0, None), ylim=(0, None))
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})


def measured(sizes: Sequence[int], width: int) -> dict[str, Points]:
    """Scoring by tokens with 8 layers, by layers with 4 096 tokens."""
    return {
        "tokens": [(1024.0 * size, seconds(8, 1024 * size, width)) for size in sizes],
        "layers": [(4.0 * size, seconds(4 * size, 4096, width)) for size in sizes],
    }


def main() -> None:
    """Measure, print how straight the lines are, plot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="an SVG file")
    parser.add_argument("--sizes", type=int, nargs="+", default=[2, 4, 6, 8, 12, 16])
    parser.add_argument("--width", type=int, default=256)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    curves = measured(chosen.sizes, chosen.width)
    print("| by | seconds | off the line |\n|---|---|---|")
    for name, points in curves.items():
        told = ", ".join(f"{x:,.0f}: {y:.2f}" for x, y in points)
        print(f"| {name} | {told} | {off_the_line(points):.1%} |")
    plot(curves, chosen.out)


if __name__ == "__main__":
    main()
