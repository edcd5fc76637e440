"""What the benchmark of choosing and healing learns from, and what it is measured on."""

import json
import random
import time
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from avss.batching import tokenize
from avss.healing.own_text import own_text
from avss.kpi_file.suite import KpiSuite, load_kpis
from avss.kpis.prompts import fill
from avss.loading import load_model
from avss.precision import has_bfloat16
from deployments.reviews import read_reviews

_PROMPT = "Review: {text}\nThe sentiment of this review is"
_LONGEST = 512

REVIEW_KPIS = load_kpis(
    {
        "kpis": [
            {"name": "text", "kind": "perplexity", "text": "{text}"},
            {
                "name": "sentiment",
                "kind": "classification",
                "prompt": _PROMPT,
                "labels": {"positive": " positive", "negative": " negative"},
                "target": "label",
                "metrics": ["auc"],
            },
        ]
    }
)
QUESTION_KPIS = load_kpis(
    {
        "kpis": [
            {
                "name": "question",
                "kind": "multiple_choice",
                "prompt": "Question: {question}\nAnswer:",
                "choices_field": "choices",
                "target": "right",
                "metrics": ["accuracy_normalized"],
            },
            {"name": "answer", "kind": "perplexity", "text": "{answer}"},
        ]
    }
)

Record = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """Records with the suite that is measured on them."""

    name: str
    suite: KpiSuite
    records: list[Record]


@dataclass(frozen=True)
class Data:
    """Token sequences to fit, judge and probe on, texts to score, records to measure; all disjoint.

    `asked` are prompts that the closed form is fitted on as well.
    What is learned from is reviews, as they are and as the sentiment's prompt without its label,
    and text that the base wrote itself; the questions and answers are in neither, so what happens
    to them is forgetting.
    """

    fit: list[list[int]]
    asked: list[list[int]]
    held_out: list[list[int]]
    probe: list[list[int]]
    train: list[list[int]]
    scored: list[str]
    measured: tuple[Measured, ...]


def written_by(model: str, tokenizer: Any, tokens: int, folder: Path) -> list[list[int]]:
    """Text that the base wrote (seed 0), kept in a file since it takes minutes.

    In bfloat16 where the machine computes that itself, so another machine may write another text.
    """
    folder.mkdir(exist_ok=True)
    kept = folder / f"own-text-{tokens}.json"
    if not kept.exists():
        fast = has_bfloat16(torch.device("cpu"))
        base = load_model(model, dtype=torch.bfloat16 if fast else torch.float32)
        began = time.process_time()
        kept.write_text(json.dumps(own_text(base, tokenizer, tokens=tokens)))
        print(f"{tokens} tokens of own text: {time.process_time() - began:.0f} processor seconds")
    return [list(map(int, row)) for row in json.loads(kept.read_text())]


def load_data(
    reviews: Path,
    questions: Path,
    tokenizer: Any,
    own: list[list[int]],
    scratch: Path,
    *,
    limit: int | None,
) -> Data:
    """Shuffle the reviews (seed 0): 379 to measure, 40 held out, 20 to score, the rest to train on.

    Those that are scored probe, with 20 texts of about as many tokens that the base wrote;
    the first 70 of the rest fit the closed form, every other as the sentiment's prompt. Of the
    first 209 texts that the base wrote a tenth is held out, another tenth fits the closed form; all
    that is not held out or probed on trains.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    records = [asdict(review) for review in read_reviews(reviews, scratch)]
    random.Random(0).shuffle(records)  # noqa: S311 - an order, not a secret
    records = list({record["text"]: record for record in records}.values())
    texts = [record["text"] for record in records]
    tokens = tokenize(tokenizer, texts, max_length=_LONGEST)
    prompts = tokenize(tokenizer, [fill(_PROMPT, record) for record in records], max_length=None)
    held, scored, rest = 379, 419, 439
    first = own[:209]
    probed = range(2, 202, 10)
    return Data(
        fit=tokens[rest : rest + 70 : 2] + first[1::10],
        asked=_short(prompts[rest + 1 : rest + 70 : 2]),
        held_out=tokens[held:scored] + first[::10],
        probe=tokens[scored:rest] + [own[at] for at in probed],
        train=tokens[rest:]
        + _short(prompts[rest:])
        + [row for at, row in enumerate(own) if at not in probed and (at % 10 or at >= len(first))],
        scored=texts[scored:rest],
        measured=(
            Measured("reviews", REVIEW_KPIS, records[:held][:limit]),
            Measured("questions", QUESTION_KPIS, _questions(questions)[:limit]),
        ),
    )


def _short(prompts: list[list[int]]) -> list[list[int]]:
    """Without those that would have to be cut, for they ask at their end."""
    return [prompt for prompt in prompts if len(prompt) <= _LONGEST]


def _questions(wheel: Path) -> list[Record]:
    """Every question with its answer and three answers to others, in an order drawn (seed 0)."""
    with zipfile.ZipFile(wheel) as archive:
        lines = archive.read("zaragoza_construction_faq/data/faq-en.jsonl").decode().splitlines()
    rows = [json.loads(line) for line in lines]
    draw = random.Random(0)  # noqa: S311
    return [_with_choices(row, rows, draw) for row in rows]


def _with_choices(row: Record, rows: Sequence[Record], draw: random.Random) -> Record:
    others = [other["a"] for other in rows if other["a"] != row["a"]]
    choices = [row["a"], *draw.sample(others, 3)]
    draw.shuffle(choices)
    return {
        "question": row["q"],
        "answer": row["a"],
        "choices": [f" {choice}" for choice in choices],
        "right": choices.index(row["a"]),
    }
