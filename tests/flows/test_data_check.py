"""`avss data check`: what is wrong with data is said before any change is opened."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli import app

LABELS = ("positive", "neutral", "negative")


def review(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"r{number}",
        "text": f"This is what customer number {number} told us about the thing",
        "label": LABELS[number % 3],
        "timestamp": f"2025-{number % 12 + 1:02d}-01",
    } | changes


def lines(records: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(one) + "\n" for one in records).encode()


GOOD = lines([review(i, segment=f"s{i % 4}") for i in range(120)])


def avss(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["data", "check", *arguments])


def test_kept_contract(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(GOOD)
    told = avss("--data", str(tmp_path), "--suite", "reviews", "--format", "json")
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert found["passed"]
    assert found["records"] == 120
    assert "customer" not in told.stdout
    assert all(set(one) >= {"type", "severity", "passed"} for one in found["expectations"])
    assert "The contract is kept" in avss("--data", str(tmp_path), "--suite", "reviews").stdout


def test_fields_of_other_names_and_data_in_s3(s3: Any) -> None:
    renamed = [{"body": one["text"], "stars": one["label"]} for one in map(review, range(90))]
    s3.data().put("2026/a.jsonl.gz", gzip.compress(lines(renamed)))
    data = ("--data", s3.data().uri(), "--text-field", "body", "--format", "json")
    told = avss(*data, "--suite", "text")
    assert told.exit_code == 0, told.output
    told = avss(*data, "--suite", "reviews", "--field", "label=stars")
    assert told.exit_code == 3, "no timestamp is mapped, so its expectations cannot be evaluated"
    assert any("age_days" in it for it in json.loads(told.stdout)["failures"])


@pytest.mark.parametrize(
    ("records", "options", "said"),
    [
        ([review(i, label="great") for i in range(90)], (), "outside the agreed set"),
        ([review(i, timestamp="2099-01-01") for i in range(90)], (), "from the future"),
        ([review(i) for i in range(90)], ("--min-records", "500"), "at least this many"),
    ],
)
def test_broken_contract(
    tmp_path: Path, records: list[dict[str, Any]], options: tuple[str, ...], said: str
) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(records))
    told = avss("--data", str(tmp_path), "--suite", "reviews", "--format", "json", *options)
    assert told.exit_code == 3, told.output
    assert any(said in failure for failure in json.loads(told.stdout)["failures"])


@pytest.mark.parametrize(
    ("name", "content", "options", "said"),
    [
        ("a.jsonl", GOOD, ("--suite", "novels"), "one of reviews, text"),
        ("a.jsonl", GOOD, ("--field", "label=rating"), "maps label to 'rating'"),
        ("a.jsonl", GOOD, ("--field", "answer=reply"), "'reply' that data.fields.answer names"),
        ("a.jsonl", GOOD, ("--field", "labels=label"), "no part 'labels' of a record"),
        ("a.jsonl", GOOD, ("--field", "label"), "expected PART=NAME"),
        ("a.jsonl", GOOD, ("--text-field", "txt"), "Did you mean 'text'?"),
        ("a.jsonl", GOOD + lines([review(1, text="other secret")]), (), "one id but different"),
        ("a.jsonl.gz", gzip.compress(GOOD)[:-40], (), "breaks off or is damaged"),
        ("b.csv", b"id,text\n1,a secret\n2\n", (), "record 2 (line 3): 1 fields"),
        ("a.txt", b"secret", (), "none with records in a known format"),
        ("a.jsonl", b"", (), "holds no data"),
    ],
)
def test_bad_input(
    tmp_path: Path, name: str, content: bytes, options: tuple[str, ...], said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    told = avss("--data", str(tmp_path / name), *("--suite", "text"), *options)
    assert told.exit_code == 2, told.output
    assert said in " ".join(told.stderr.split())
    assert "secret" not in told.output.replace(str(tmp_path), "")
