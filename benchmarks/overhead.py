"""What the pipeline costs beside the model's own work: the demo, with its stages timed.

    python -m benchmarks.overhead --out DIR

Runs the demo in DIR (as `make demo` does; the stack's start and stop are left out) and prints
where the time of its flow runs went: wall seconds, and processor seconds of this process and of
those it waited for. The model's work is what computes with a model: scoring, probing, cutting and
its check, healing, KPIs, profiling, and the proof of a saved candidate. All else is pipeline:
Prefect, S3, MLflow, data checks, drift, dossiers, loading. Its share is to be 10 % at most.
"""

import argparse
import functools
import importlib
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MODEL_WORK: Mapping[str, tuple[str, str]] = {
    "score": ("tasks.stages.candidates", "score_layers"),
    "probe": ("tasks.stages.candidates", "probe"),
    "cut": ("tasks.stages.candidates", "remove_layers"),
    "heal": ("tasks.stages.candidates", "heal"),
    "save and prove": ("tasks.stages.candidates", "save_cut"),
    "KPIs": ("tasks.measuring.candidate", "measure"),
    "profile": ("tasks.measuring.candidate", "profile_model"),
}
"""Where the flow's tasks call a model's work."""
FLOW = ("flows.optimize", "run_change")


def processor_seconds() -> float:
    """Of this process, and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@dataclass
class Clock:
    """Wall and processor seconds by name, and how often it ran."""

    wall: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    processor: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    calls: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time kept under this name."""

        @functools.wraps(function)
        def call(*arguments: Any, **keywords: Any) -> Any:
            wall, processor = time.monotonic(), processor_seconds()
            try:
                return function(*arguments, **keywords)
            finally:
                self.wall[name] += time.monotonic() - wall
                self.processor[name] += processor_seconds() - processor
                self.calls[name] += 1

        return call

    @property
    def share(self) -> float:
        """Of the flow's wall time, what is not the model's work."""
        work = sum(self.wall[name] for name in MODEL_WORK)
        return (self.wall["flow"] - work) / self.wall["flow"]


@contextmanager
def timing(others: Mapping[str, tuple[str, str]] = {}) -> Iterator[Clock]:
    """Inside the block the flow's runs and the model's work (and `others`) are timed."""
    clock, places = Clock(), {"flow": FLOW, **MODEL_WORK, **others}
    before = {}
    for name, (module, attribute) in places.items():
        owner = importlib.import_module(module)
        before[name] = getattr(owner, attribute)
        setattr(owner, attribute, clock.timed(name, before[name]))
    try:
        yield clock
    finally:
        for name, (module, attribute) in places.items():
            setattr(importlib.import_module(module), attribute, before[name])


def table(clock: Clock) -> str:
    """As Markdown."""
    lines = ["| part | calls | wall, s | processor, s |", "|---|---|---|---|"]
    for name in ("flow", *MODEL_WORK):
        seconds = f"{clock.wall[name]:.1f} | {clock.processor[name]:.1f}"
        lines.append(f"| {name} | {clock.calls[name]} | {seconds} |")
    left = [
        kind["flow"] - sum(kind[name] for name in MODEL_WORK)
        for kind in (clock.wall, clock.processor)
    ]
    lines.append(f"| pipeline: the rest | | {left[0]:.1f} | {left[1]:.1f} |")
    return "\n".join(lines) + f"\n\nThe pipeline's share of the flow's time: {clock.share:.1%}\n"


def main() -> None:
    """Run the demo and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the demo's folder")
    chosen = parser.parse_args()
    from flows.quiet import hush_libraries

    hush_libraries()
    from flows.demo import run_demo

    with timing() as clock:
        run_demo(chosen.out.resolve())
    print(table(clock))


if __name__ == "__main__":
    main()
