"""What a change costs on paper, for models that are larger than what was run: the formulas.

    python benchmarks/sizing.py [--price 4.0] [--kpi-tokens 200000] [--peak 989] ...
    python benchmarks/sizing.py --check

The first prints the tables of docs/operations.md. Work is counted in floating-point operations of
the stages as they are written (see `stages`), with token budgets of the shipped standard policy;
time follows from one device's speed, since layers that are spread by a device map run in turn.
Price, speeds and shares of the peak are assumptions, printed with the tables. The second holds
parameters, operations and bytes of the formulas against a model that is run here.
"""

import argparse
import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from policies.policy import load_policy

GIB, GB = 2**30, 10**9
RIDGES_TRIED = 3
"""Strengths that a fit tries where the best is next to that of the layer before."""
BEFORE_UPLOAD = 2
"""A candidate's bytes: written, hashed."""
BESIDE_UPLOAD = 2
"""Read for the upload, and by the proof that reloads it meanwhile."""


@dataclass(frozen=True)
class Shape:
    """A decoder of the Llama kind. `heads_kv * head` is the width of keys and of values."""

    layers: int
    width: int
    inner: int
    heads_kv: int
    head: int
    vocabulary: int

    @property
    def layer(self) -> int:
        """Parameters of one layer."""
        attention = 2 * self.width * (self.width + self.heads_kv * self.head)
        return attention + 3 * self.width * self.inner + 2 * self.width

    @property
    def outside(self) -> int:
        """Parameters outside the layers: embeddings, head, last norm."""
        return 2 * self.vocabulary * self.width + self.width

    @property
    def parameters(self) -> int:
        return self.layers * self.layer + self.outside

    def forward(
        self, tokens: int, length: int, *, head: bool, layers: float | None = None
    ) -> float:
        """Operations of a pass over `tokens` in texts of `length`."""
        depth = self.layers if layers is None else layers
        matrices = 2 * tokens * (self.layer - 2 * self.width)
        attention = 4 * tokens * length * self.width
        last = 2 * tokens * self.vocabulary * self.width if head else 0
        return depth * (matrices + attention) + last


MODELS: Mapping[str, Shape] = {
    "8 B": Shape(32, 4096, 14336, 8, 128, 128256),
    "70 B": Shape(80, 8192, 28672, 8, 128, 128256),
    "405 B": Shape(126, 16384, 53248, 8, 128, 128256),
}
"""The published dimensions of Llama 3.1."""


@dataclass(frozen=True)
class Work:
    """Token budgets of a step, and how often it is tried."""

    calibration: int
    scored: int
    probe: int
    shortlist: int
    kpi: int
    length: int
    attempts: float


def stages(shape: Shape, work: Work) -> dict[str, tuple[float, float]]:
    """Operations of one step by stage: (in the model's matrices, in float64).

    score: a pass over the scored tokens for the ranking and one over the probing text for the
    published ranking, no head. probe: one whole pass, and for each of the short list (and the
    published choice) what comes after it, half the layers on average. heal, with a gap before
    the first layer: the base once, the candidate twice (the sums, then on), and two losses; for
    every layer the sums of a ridge regression of the down projection, and its solutions (the two
    further fits in a layer before a gap are left out). measure: the KPIs' tokens once.
    """
    tokens, tried = work.calibration, work.shortlist + 1
    score = shape.forward(work.scored + work.probe, work.length, head=False)
    probe = shape.forward(work.probe, work.length, head=True)
    probe += tried * shape.forward(work.probe, work.length, head=True, layers=shape.layers / 2)
    walks = 3 * shape.forward(tokens, work.length, head=False)
    heads = 2 * 2 * tokens / 5 * shape.vocabulary * shape.width
    sums = shape.layers * 2 * tokens * shape.inner * (shape.inner + 2 * shape.width)
    solve = shape.inner**3 / 3 + 4 * shape.inner**2 * shape.width
    heal = walks + heads + sums
    measure = shape.forward(work.kpi, work.length, head=True)
    return {
        "score": (score, 0.0),
        "probe": (probe, 0.0),
        "heal": (work.attempts * heal, work.attempts * shape.layers * RIDGES_TRIED * solve),
        "measure": (work.attempts * measure, 0.0),
    }


def memory(shape: Shape, work: Work, batch: int, bytes_each: int = 2) -> dict[str, float]:
    """Bytes: weights, what scoring layer by layer holds and spills, what a ridge fit holds."""
    layer, width = shape.layer * bytes_each, shape.width * bytes_each
    return {
        "weights": shape.parameters * bytes_each,
        # a layer with its widest matrix mapped beside it, all outside the layers, a batch's states
        "by_layer": layer
        + shape.outside * bytes_each
        + (shape.width * shape.inner * bytes_each)
        + batch * (3 * width + 2 * shape.inner * bytes_each),
        "spilled": work.scored * width,
        # a state of either model for every token; gram and cross in float64 over both texts, and
        # one of each more while a solution is found
        "heal": 2 * work.calibration * width
        + 8 * (3 * shape.inner**2 + 3 * shape.inner * shape.width),
    }


def rows(chosen: argparse.Namespace, work: Work) -> Iterator[list[str]]:
    """One row a model of the table of costs."""
    for name, shape in MODELS.items():
        plain, double = zip(*stages(shape, work).values(), strict=True)
        compute = sum(plain) / (chosen.peak * 1e12 * chosen.share)
        compute += sum(double) / (chosen.peak64 * 1e12 * chosen.share)
        bytes_ = memory(shape, work, chosen.batch)
        moving = (
            work.attempts
            * bytes_["weights"]
            * (
                BEFORE_UPLOAD / (chosen.disk * GB)
                + max(BESIDE_UPLOAD / (chosen.disk * GB), 1 / (chosen.network * GB))
            )
        )
        devices = [math.ceil(n * bytes_["weights"] / (chosen.device * GIB * 0.9)) for n in (1, 2)]
        steps = math.floor(shape.layers * chosen.removed)
        hours = steps * (compute + moving) / 3600
        fits = devices[1] <= chosen.node
        money = f"{hours * devices[1] * chosen.price:,.0f}" if fits else "larger than a node"
        yield [
            name,
            f"{bytes_['weights'] / GIB:,.0f}",
            f"{devices[0]} / {devices[1]}",
            f"{bytes_['by_layer'] / GIB:.1f}",
            f"{bytes_['spilled'] / GIB:.1f}",
            f"{bytes_['heal'] / GIB:.1f}",
            f"{sum(plain + double) / 1e15:,.0f}",
            f"{compute / 60:,.0f} + {moving / 60:,.0f}",
            str(steps),
            f"{hours:,.1f}",
            f"{steps * work.attempts * bytes_['weights'] / 1e12:,.1f}",
            money,
        ]


HEAD = (
    "model",
    "weights, GiB",
    "devices: one model / base and current",
    "by layer, GiB",
    "spilled, GiB",
    "healing, GiB",
    "PFLOP a step",
    "minutes a step: compute + bytes",
    "steps",
    "hours",
    "TB to S3",
    "money",
)


def table(head: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """As Markdown."""
    named = list(head)
    cells = [named, ["---"] * len(named), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def check() -> dict[str, tuple[float, float]]:
    """(by the formulas, of a model that is run) for parameters, operations and bytes on disk."""
    shape, tokens, length = Shape(3, 64, 160, 2, 16, 300), 48, 16
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=shape.vocabulary,
            hidden_size=shape.width,
            intermediate_size=shape.inner,
            num_hidden_layers=shape.layers,
            num_attention_heads=4,
            num_key_value_heads=shape.heads_kv,
            attn_implementation="eager",
        )
    )
    ids = torch.zeros((tokens // length, length), dtype=torch.int64)
    found: dict[str, tuple[float, float]] = {
        "parameters": (shape.parameters, sum(one.numel() for one in model.parameters()))
    }
    for name, part, head in (("body", model.model, False), ("whole", model, True)):
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            part(ids)
        counted = counter.get_total_flops()
        found[f"operations of the {name}"] = (shape.forward(tokens, length, head=head), counted)
    with tempfile.TemporaryDirectory() as folder:
        model.to(torch.bfloat16).save_pretrained(folder)
        saved = sum(path.stat().st_size for path in Path(folder).glob("*.safetensors"))
    found["bytes of weights"] = (2.0 * shape.parameters, saved)
    return found


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add: Any = parser.add_argument
    add("--price", type=float, default=4.0, help="money a device hour")
    add("--device", type=float, default=80.0, help="GiB of one device")
    add("--node", type=int, default=8, help="devices of one machine")
    add("--peak", type=float, default=989.0, help="TFLOP/s of one device, bfloat16")
    add("--peak64", type=float, default=67.0, help="TFLOP/s of one device, float64")
    add("--share", type=float, default=0.4, help="of the peak that is reached")
    add("--disk", type=float, default=2.0, help="GB/s of the local disk")
    add("--network", type=float, default=1.0, help="GB/s to S3")
    add("--removed", type=float, default=0.25, help="share of the layers that go")
    add("--attempts", type=float, default=1.5, help="candidates a step")
    add("--kpi-tokens", type=int, default=200_000, help="tokens of the KPIs' prompts and texts")
    add("--length", type=int, default=512, help="tokens of a text")
    add("--batch", type=int, default=8192, help="tokens of a batch")
    add("--check", action="store_true", help="hold the formulas against a model that is run")
    return parser.parse_args(arguments)


def report(chosen: argparse.Namespace) -> str:
    """Assumptions and tables, as they stand in docs/operations.md."""
    policy = load_policy("standard")
    work = Work(
        policy.calibration.max_tokens,
        policy.scored_tokens,
        policy.selection.probe_tokens,
        policy.selection.shortlist,
        chosen.kpi_tokens,
        chosen.length,
        chosen.attempts,
    )
    assumed = (
        f"{work.calibration:,} tokens of calibration, of which {work.scored:,} are scored and "
        f"{work.probe:,} probed on, short list of "
        f"{work.shortlist}, {work.kpi:,} tokens of KPIs, {work.attempts:g} candidates a step, "
        f"{chosen.removed:.0%} of the layers removed one by one. Assumed: devices of "
        f"{chosen.device:g} GiB, {chosen.peak:g} TFLOP/s in bfloat16 and {chosen.peak64:g} in "
        f"float64, of which {chosen.share:.0%} are reached; {chosen.disk:g} GB/s of disk and "
        f"{chosen.network:g} to S3; {chosen.price:g} a device hour."
    )
    parts = (
        [name, *(f"{sum(one) / 1e15:,.1f}" for one in stages(shape, work).values())]
        for name, shape in MODELS.items()
    )
    by_stage = table(("PFLOP of a step", "score", "probe", "heal", "measure"), parts)
    return f"{assumed}\n\n{table(HEAD, rows(chosen, work))}\n\n{by_stage}\n"


def main() -> None:
    """Print the tables, or the check."""
    chosen = options()
    if chosen.check:
        lines = ([name, f"{a:,.0f}", f"{b:,.0f}"] for name, (a, b) in check().items())
        print(table(("quantity", "formula", "counted"), lines))
    else:
        print(report(chosen), end="")


if __name__ == "__main__":
    main()
