"""Peak memory of scoring against the size of the model: in one pass, and layer by layer.

    python benchmarks/layer_by_layer.py [--depths 8 16 32] [--width 1024] [--tokens 4096]

Models of random weights and growing depth (Llama, bfloat16, a shard a layer) are written to a
temporary folder, and each is scored in a fresh process in either way. Memory is how far the
process' peak resident size rises above its size before the model was opened, pages of mapped files
included. Seconds are processor time of the scoring alone. Printed as a Markdown table.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

from avss.loading import load_model
from avss.offloading import layers_on_disk
from avss.scoring.layer_by_layer import layer_by_layer
from avss.scoring.one_pass import observe

VOCABULARY = 1024
WAYS = ("in one pass", "layer by layer")


def write(folder: Path, depth: int, width: int) -> int:
    """Save a model without ever holding more than a layer of it; returns its bytes."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=depth,
        num_attention_heads=width // 64,
        num_key_value_heads=width // 64,
        tie_word_embeddings=False,
        architectures=["LlamaForCausalLM"],
        dtype="bfloat16",
    )
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in LlamaForCausalLM(config).named_parameters()}
    shards: dict[str, list[str]] = {}
    for name in shapes:
        owner = name.partition(".layers.")[2].partition(".")[0] or "rest"
        shards.setdefault(f"model-{owner}.safetensors", []).append(name)
    draw, size = torch.Generator().manual_seed(depth), 0
    for file, names in shards.items():
        tensors = {name: _weight(shapes[name], draw) for name in names}
        size += sum(tensor.nbytes for tensor in tensors.values())
        save_file(tensors, folder / file, metadata={"format": "pt"})
    weight_map = {name: file for file, names in shards.items() for name in names}
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config.save_pretrained(folder)
    return size


def _weight(shape: torch.Size, draw: torch.Generator) -> torch.Tensor:
    if len(shape) == 1:
        return torch.ones(shape, dtype=torch.bfloat16)
    return (torch.randn(shape, generator=draw) * shape[-1] ** -0.5).to(torch.bfloat16)


def peak_mib() -> float:
    """This process' largest resident size so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def score(folder: str, way: str, tokens: int) -> dict[str, Any]:
    """Score one model in this process."""
    draw = torch.Generator().manual_seed(0)
    sequences = torch.randint(VOCABULARY, (max(1, tokens // 256), 256), generator=draw).tolist()
    floor, start = psutil.Process().memory_info().rss / 2**20, time.process_time()
    if way == WAYS[0]:
        found = observe(load_model(folder), sequences, batch_tokens=1024)
    else:
        with layers_on_disk(folder, device=torch.device("cpu")) as model:
            found = observe(model, sequences, batch_tokens=1024, run=layer_by_layer)
    return {
        "mib": peak_mib() - floor,
        "seconds": time.process_time() - start,
        "avss": [layer.avss for layer in found.scores().layers],
    }


def fresh(folder: Path, way: str, tokens: int) -> dict[str, Any]:
    """`score` in a process of its own."""
    command = [sys.executable, __file__, "--child", str(folder), way, "--tokens", str(tokens)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--depths", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--child", nargs=2, metavar=("FOLDER", "WAY"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        print(json.dumps(score(*chosen.child, chosen.tokens)))
        return
    print(f"Llama, width {chosen.width}, bfloat16, {chosen.tokens} tokens; MiB above the start\n")
    print(
        "| layers | model, MiB | one pass, MiB | by layer, MiB | one pass, s | by layer, s | same |"
    )
    print("|---|---|---|---|---|---|---|")
    for depth in chosen.depths:
        with tempfile.TemporaryDirectory(prefix="avss-bench-") as folder:
            size = write(Path(folder), depth, chosen.width) / 2**20
            one, other = (fresh(Path(folder), way, chosen.tokens) for way in WAYS)
        same = "yes" if one["avss"] == other["avss"] else "no"
        print(
            f"| {depth} | {size:.0f} | {one['mib']:.0f} | {other['mib']:.0f} "
            f"| {one['seconds']:.1f} | {other['seconds']:.1f} | {same} |"
        )


if __name__ == "__main__":
    main()
