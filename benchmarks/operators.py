"""Where a model's work spends its time: PyTorch's operators under its own profiler.

    python -m benchmarks.operators [--tokens 2048]

The demo's model without a quarter of its layers is scored, healed in closed form, and distilled, on
random tokens and one thread. Printed are the operators that take most of the time themselves, as
shares of the work's whole: what is not a matrix product is what making it faster could win.
"""

import argparse
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from avss.cutting.pruning import remove_layers
from avss.healing.closed_form import FewTokensWarning, heal_closed_form
from avss.healing.distillation import DistillationPlan, distil
from avss.loading import load_model
from avss.scoring.one_pass import observe
from deployments.seed import model_folder
from deployments.wheels import seed_cache

_SHOWN = 6
_PRODUCTS = frozenset({"aten::addmm", "aten::bmm", "aten::mm", "aten::baddbmm"})
"""Besides them, what computes attention as one operator."""


def shares(work: Callable[[], Any]) -> dict[str, float]:
    """Operators by the share of the profiled time that they spend themselves, largest first."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        work()
    times = {one.key: one.self_cpu_time_total for one in seen.key_averages()}
    whole = sum(times.values())
    return dict(sorted(((name, at / whole) for name, at in times.items()), key=lambda it: -it[1]))


def products(found: Mapping[str, float]) -> float:
    """The share of matrix products, attention's own among them."""
    return sum(at for name, at in found.items() if name in _PRODUCTS or "attention" in name)


def main() -> None:
    """Print a line for each work."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=2048)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", FewTokensWarning)
    base = load_model(model_folder(seed_cache(), report=lambda _: None), dtype=torch.float32)
    draw = torch.Generator().manual_seed(0)
    shape = (max(2, chosen.tokens // 256), 256)
    text = torch.randint(base.config.vocab_size, shape, generator=draw).tolist()
    cut = remove_layers(base, range(2, base.config.num_hidden_layers, 4))
    plan = DistillationPlan(chosen.tokens, evaluations=1)
    works: dict[str, Callable[[], Any]] = {
        "scoring": lambda: observe(cut, text).scores(),
        "closed form": lambda: heal_closed_form(cut, base, text[1:], text[:1]),
        "distillation": lambda: distil(cut, base, text, text[:1], plan=plan),
    }
    print("| work | matrix products | operators, by their own time |")
    print("|---|---|---|")
    for name, work in works.items():
        found = shares(work)
        most = ", ".join(f"{key} {at:.1%}" for key, at in [*found.items()][:_SHOWN])
        print(f"| {name} | {products(found):.1%} | {most} |", flush=True)


if __name__ == "__main__":
    main()
