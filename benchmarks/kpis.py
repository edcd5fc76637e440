"""Our KPIs against lm-evaluation-harness: same numbers on the same items, and how much faster.

    pip install lm-eval        # for this benchmark alone
    python benchmarks/kpis.py --model MODEL --data reviews.jsonl --records 50

MODEL is a folder or a .gguf file; the data are JSON lines with `text` and `label` (positive or
negative). Both sides run in turn in one process, on one thread; seconds are of processor time,
so that what else the machine does matters less. lm-eval runs at each batch size that is asked for.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from avss.kpi_file.suite import load_kpis
from avss.kpis import measure
from avss.loading import load_model, load_tokenizer

PROMPT = "Review: {text}\nThe sentiment of this review is"
INSTRUCTION = (
    "You read what patients write about a drug and say how they feel about it. A patient who "
    "would take it again is positive; one who stopped, or regrets it, is negative. Mind that "
    "side effects alone are no verdict: what counts is how the patient sums up.\n\n"
    "Review: It took a week, but I sleep through the night now.\nThe sentiment of this review is "
    "positive\n\nReview: My head hurt so much that I threw the box away.\nThe sentiment of this "
    "review is negative\n\n"
)
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Task:
    """One kind of KPI, with what lm-eval calls it and what it asks for."""

    name: str
    kpi: dict[str, Any]
    column: str
    sign: int
    request: str


TASKS = (
    Task(
        "classification, labels of one token",
        {"labels": {"positive": " positive", "negative": " negative"}},
        "log_likelihoods",
        1,
        "loglikelihood",
    ),
    Task(
        "classification after an instruction",
        {
            "labels": {"positive": " positive", "negative": " negative"},
            "prompt": INSTRUCTION + PROMPT,
        },
        "log_likelihoods",
        1,
        "loglikelihood",
    ),
    Task(
        "classification, labels of several tokens",
        {"labels": {"positive": " very good indeed", "negative": " really bad"}},
        "log_likelihoods",
        1,
        "loglikelihood",
    ),
    Task("perplexity", {"kind": "perplexity"}, "loss", -1, "loglikelihood_rolling"),
)


def main() -> None:
    """Print one line a task and lm-eval batch size; fail where numbers differ."""
    options = _options()
    torch.set_num_threads(1)
    model, tokenizer = load_model(options.model), load_tokenizer(options.model)
    lines = options.data.read_text(encoding="utf-8").splitlines()
    records = [
        record for record in map(json.loads, lines) if record["label"] in ("positive", "negative")
    ][: options.records]
    print("task | lm-eval batch | items/s ours | items/s lm-eval | ratio | largest difference")
    for task in TASKS:
        suite = _suite(task)
        mine, seconds = _timed(lambda suite=suite: measure(model, tokenizer, suite, records))
        numbers = task.sign * mine.kpis[0].columns[task.column]
        for batch in options.batch:
            harness = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch)
            theirs, its_seconds = _timed(
                lambda task=task, harness=harness: _ask(harness, task, records)
            )
            worst = float(np.max(np.abs(numbers - theirs.reshape(numbers.shape))))
            scale = max(1.0, float(np.max(np.abs(theirs))))
            print(
                f"{task.name} | {batch} | {len(records) / seconds:.2f} | "
                f"{len(records) / its_seconds:.2f} | {its_seconds / seconds:.2f} | {worst:.1e}"
            )
            assert worst <= TOLERANCE * scale, "the numbers differ"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--records", type=int, default=50)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    return parser.parse_args()


def _suite(task: Task) -> Any:
    if task.request == "loglikelihood_rolling":
        return load_kpis({"kpis": [{"name": "k", **task.kpi}]})
    common = {"name": "k", "kind": "classification", "prompt": PROMPT, "target": "label"}
    return load_kpis({"kpis": [common | task.kpi]})


def _ask(harness: HFLM, task: Task, records: Sequence[dict[str, Any]]) -> np.ndarray:
    if task.request == "loglikelihood":
        asked = [
            (task.kpi.get("prompt", PROMPT).format(text=record["text"]), label)
            for record in records
            for label in task.kpi["labels"].values()
        ]
    else:
        asked = [(record["text"],) for record in records]
    requests = [
        Instance(request_type=task.request, doc={}, arguments=arguments, idx=0)
        for arguments in asked
    ]
    found = getattr(harness, task.request)(requests, disable_tqdm=True)
    return np.array([one[0] if isinstance(one, tuple) else one for one in found])


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    return work(), time.process_time() - start


if __name__ == "__main__":
    main()
