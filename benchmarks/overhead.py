"""What the pipeline costs beside the model's own work: the demo, with its stages timed.

    python -m benchmarks.overhead --out DIR

Runs the demo in DIR (as `make demo` does; the stack's start and stop are left out) and prints
where the time of its flow runs went: wall seconds, and processor seconds of this process and of
those it waited for. The model's work is what computes with a model: scoring, probing, cutting and
its check, healing, KPIs, profiling, and the proof of a saved candidate. All else is pipeline:
Prefect, S3, MLflow, data checks, drift, dossiers, loading. Its share is to be 10 % at most. Large
files' way to S3 and back, which is as fast as this machine's disk and S3 server (see
`benchmarks.s3_transfer`), is shown apart.
"""

import argparse
import functools
import os
import resource
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from deployments.stack import Stack

MODEL_WORK: Mapping[str, tuple[str, str]] = {
    "score": ("tasks.compute.pieces", "observe"),
    "probe": ("tasks.compute.pieces", "probe_losses"),
    "cut": ("tasks.stages.candidates", "remove_layers"),
    "heal": ("tasks.stages.candidates", "heal"),
    "save": ("tasks.stages.candidates", "write_cut"),
    "prove": ("tasks.stages.candidates", "prove"),
    "KPIs": ("avss.kpis.shards:KpiShard", "measured"),
    "profile": ("tasks.measuring.candidate", "profile_model"),
}
"""Where the flow's tasks call a model's work."""
TRANSFERS: Mapping[str, tuple[str, str]] = {
    "S3: push": ("tasks.s3.storage:ObjectStore", "upload_file"),
    "S3: pull": ("tasks.s3.storage:ObjectStore", "download_folder"),
    "S3: copy": ("tasks.s3.storage:ObjectStore", "copy_file"),
}
"""Where the pipeline moves large files."""
FLOW = ("flows.optimize", "run_change")


def processor_seconds() -> float:
    """Of this process, and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@dataclass
class Clock:
    """Wall and processor seconds by name, and how often it ran.

    Wall seconds are the main thread's: an upload beside a proof takes none of its own, and where it
    takes longer than the proof, the wait is in the rest. Its processor seconds are in the proof's.
    """

    wall: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    processor: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    calls: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time kept under this name."""

        @functools.wraps(function)
        def call(*arguments: Any, **keywords: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                return function(*arguments, **keywords)
            wall, processor = time.monotonic(), processor_seconds()
            try:
                return function(*arguments, **keywords)
            finally:
                self.wall[name] += time.monotonic() - wall
                self.processor[name] += processor_seconds() - processor
                self.calls[name] += 1

        return call

    def share(self, *, of: Iterable[str]) -> float:
        """Of the flow's wall time, what is none `of` these."""
        return (self.wall["flow"] - sum(self.wall[name] for name in of)) / self.wall["flow"]


@contextmanager
def timing() -> Iterator[Clock]:
    """Inside the block the flow's runs, the model's work and the transfers are timed."""
    clock, places = Clock(), {"flow": FLOW, **MODEL_WORK, **TRANSFERS}
    before = {}
    for name, (place, attribute) in places.items():
        owner = resolve_name(place)
        before[name] = getattr(owner, attribute)
        setattr(owner, attribute, clock.timed(name, before[name]))
    try:
        yield clock
    finally:
        for name, (place, attribute) in places.items():
            setattr(resolve_name(place), attribute, before[name])


def table(clock: Clock) -> str:
    """As Markdown."""
    lines = ["| part | calls | wall, s | processor, s |", "|---|---|---|---|"]
    parts = (*MODEL_WORK, *TRANSFERS)
    for name in ("flow", *parts):
        seconds = f"{clock.wall[name]:.1f} | {clock.processor[name]:.1f}"
        lines.append(f"| {name} | {clock.calls[name]} | {seconds} |")
    left = [
        kind["flow"] - sum(kind[name] for name in parts) for kind in (clock.wall, clock.processor)
    ]
    lines.append(f"| the rest | | {left[0]:.1f} | {left[1]:.1f} |")
    return "\n".join(lines) + (
        f"\n\nThe pipeline's share of the flow's time: {clock.share(of=MODEL_WORK):.1%}; "
        f"without transfers: {clock.share(of=parts):.1%}\n"
    )


def main() -> None:
    """Run the demo and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the demo's folder")
    chosen = parser.parse_args()
    from flows.quiet import hush_libraries

    hush_libraries()
    from flows.demo import run_demo

    folder = chosen.out.resolve()
    stack = Stack(folder / "stack")
    with redirect_stdout(sys.stderr):  # only the table is the result
        stack.up()
        # Timing imports Prefect, which then keeps the server of its environment or, without one,
        # starts one of its own for every flow run.
        os.environ.update(stack.environment())
        with timing() as clock:
            run_demo(folder)
    print(table(clock))


if __name__ == "__main__":
    main()
