"""What happens in a simulated year: its weeks, and the data that comes in each of them."""

import json
import random
from dataclasses import dataclass

WORDS = [f"w{number}" for number in range(60)]
RECORDS = 240
WEEKS = 52
QUARTER = 13


@dataclass(frozen=True)
class Week:
    """What happens in one week."""

    fresh: bool = True
    """Whether there is new data; otherwise last week's lies there again."""
    sudden: bool = False
    """Whether the data is suddenly about something else."""
    people: str = "approve"
    """approve, reject, or silent: the request expires."""
    dies_at: int | None = None
    """The entry of the week's run before which the process dies; the next run goes on."""
    limit: int = 1
    """Layers that the policy lets go in all."""
    base: int = 0
    """Which base model the run file names."""
    rollback: bool = False


def reviews(week: int, seed: int, *, sudden: bool = False) -> bytes:
    """A week's records: the words wander slowly through the vocabulary, or jump."""
    draw = random.Random(f"{seed} {week}")  # noqa: S311 - a story, not a secret
    start = 40 if sudden else week // 8
    words = WORDS[start : start + 20] if sudden else WORDS[start : start + 50]
    rows = [
        {
            "n": f"{week}-{number}",
            "said": " ".join(draw.choices(words, k=draw.randint(6, 30))),
            "mood": draw.choice(["good", "bad"]),
            "shop": draw.choice(["north", "south"]),
        }
        for number in range(RECORDS)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def whole_year(seed: int) -> list[Week]:
    """52 weeks: a quarter has one base; the policy lets another layer go every four weeks."""
    draw = random.Random(seed)  # noqa: S311 - a story, not a secret
    weeks = []
    for number in range(WEEKS):
        in_quarter = number % QUARTER
        weeks.append(
            Week(
                fresh=number == 0 or draw.random() > 0.15,
                sudden=number == 21,
                people=draw.choices(["approve", "reject", "silent"], [6, 2, 1])[0],
                dies_at=draw.randint(2, 14) if draw.random() < 0.2 else None,
                limit=1 + in_quarter // 4,
                base=number // QUARTER,
                rollback=number == 34,
            )
        )
    return weeks
