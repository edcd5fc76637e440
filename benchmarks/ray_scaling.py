"""Scoring and KPIs on one Ray worker and on two: how much sooner two are done.

    python benchmarks/ray_scaling.py --model FILE [--tokens 16384] [--records 256] [--repeats 3]

Each worker has one core and one thread. Starting workers and loading the model is reported apart
and is not part of the ratio: before the clock starts, every worker has answered a piece. One and
two workers take turns in the same run, and the median and the range of the ratio of their wall
times are printed as a Markdown table. The texts are made up; the cores must be idle.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.quiet import hush_libraries

hush_libraries()
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402 - the number of threads is read when it is imported
import torch  # noqa: E402

from avss.digests import folder_digest  # noqa: E402
from avss.kpi_file.suite import load_kpis  # noqa: E402
from avss.kpis.shards import SHARD_RECORDS  # noqa: E402
from avss.loading import load_config, load_tokenizer, materialize  # noqa: E402
from tasks.compute.engines import engine  # noqa: E402
from tasks.compute.operations import Compute  # noqa: E402
from tasks.run_file import Resources  # noqa: E402

KPIS = {
    "kpis": [
        {
            "name": "sentiment",
            "kind": "classification",
            "prompt": "Review: {text}\nThe sentiment of this review is",
            "labels": {"good": " positive", "bad": " negative"},
            "target": "label",
        },
    ]
}


class Asked:
    """A run that asks for so many workers of one core."""

    execution = "ray"

    def __init__(self, workers: int) -> None:
        self.resources = Resources(workers=workers, cpus=1)


class Folder:
    """The one model of the benchmark, as a shelf."""

    def __init__(self, folder: Path) -> None:
        self.place = folder
        self.digest = folder_digest(folder).digest

    def folder(self, _: str) -> Path:
        """Where it lies."""
        return self.place

    def uri(self, digest: str) -> str:
        """Never asked for: the workers are on this machine."""
        return f"s3://nowhere/models/{digest}"

    def reader(self, _: str) -> tuple[Any, Any]:
        """Config and tokenizer."""
        return load_config(self.place), load_tokenizer(self.place)


def made_up(tokenizer: Any, tokens: int, longest: int) -> list[str]:
    """Texts of some `tokens` tokens in all, each of a quarter of `longest` to `longest`."""
    draw = np.random.default_rng(0)
    words = [tokenizer.decode([at]).strip() for at in range(500, 3000)]
    plain = [word for word in words if word.isascii() and word.isalpha()]
    texts = []
    while tokens > 0:
        count = int(draw.integers(longest // 4, longest))
        texts.append(" ".join(draw.choice(plain, count)))
        tokens -= count
    return texts


def quiet(*_: Any) -> None:
    """No progress."""


def seconds(work: Callable[[], Any]) -> float:
    """Wall time."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def warm_up(on: Compute, workers: int, model: str) -> None:
    """Until every worker is there and has the model: those that are free get a piece each."""
    suite = load_kpis({"kpis": [{"name": "text", "kind": "perplexity"}]})
    records = [{"text": "one two three"}] * SHARD_RECORDS * workers
    while len(on.engine.workers) < workers:  # type: ignore[attr-defined]
        on.measure(model, suite, records, progress=quiet)
    on.measure(model, suite, records, progress=quiet)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="model folder or .gguf file")
    parser.add_argument("--tokens", type=int, default=16_384)
    parser.add_argument("--records", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="avss-scaling-") as scratch:
        run(options, Path(scratch))


def run(options: argparse.Namespace, scratch: Path) -> None:
    """Measure and print."""
    source = Path(options.model)
    shelf = Folder(source if source.is_dir() else materialize(source, scratch / "model"))
    _, tokenizer = shelf.reader("")
    texts = made_up(tokenizer, options.tokens, 256)
    short = made_up(tokenizer, options.records * 40, 40)[: options.records]
    records = [{"text": text, "label": ("good", "bad")[at % 2]} for at, text in enumerate(short)]
    suite = load_kpis(KPIS)
    work: dict[str, Callable[[Compute], Any]] = {
        "scores": lambda on: on.score(
            shelf.digest, texts, max_tokens=options.tokens, max_length=512, progress=quiet
        ),
        "KPIs": lambda on: on.measure(shelf.digest, suite, records, progress=quiet),
    }
    starts: dict[int, list[float]] = {1: [], 2: []}
    times: dict[str, dict[int, list[float]]] = {name: {1: [], 2: []} for name in work}
    for _ in range(options.repeats):
        for workers in (1, 2):
            on = Compute(engine(Asked(workers), shelf), shelf)  # type: ignore[arg-type]
            starts[workers].append(seconds(lambda on=on, w=workers: warm_up(on, w, shelf.digest)))
            for name, task in work.items():
                times[name][workers].append(seconds(lambda on=on, task=task: task(on)))
            on.close()
    told = f"{options.tokens} tokens to score, {len(records)} records with one KPI"
    print(f"{torch.__version__}, {os.cpu_count()} cores, one thread a worker; {told}.\n")
    print("| | 1 worker, s | 2 workers, s | ratio (range) |")
    print("|---|---|---|---|")
    for name, found in times.items():
        ratios = [one / two for one, two in zip(found[1], found[2], strict=True)]
        print(
            f"| {name} | {statistics.median(found[1]):.2f} | {statistics.median(found[2]):.2f} | "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |"
        )
    print(
        f"| start, load, first pieces (no part of the ratio) | {statistics.median(starts[1]):.2f} "
        f"| {statistics.median(starts[2]):.2f} | |"
    )


if __name__ == "__main__":
    main()
