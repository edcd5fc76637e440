import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tasks.data.snapshot import Snapshot, pin_snapshot
from tasks.data.source import DataSource, Fields
from tasks.data.suites import ExpectationSpec, ExpectationSuite, shipped_suites
from tasks.data.validation import validate
from tasks.errors import DataError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LABELS = ("positive", "neutral", "negative")


def review(number: int, **changes: Any) -> dict[str, Any]:
    record = {
        "id": f"r{number}",
        "text": f"This is what customer number {number} told us about it",
        "label": LABELS[number % 3],
        "segment": f"s{number % 4}",
        "timestamp": f"2025-{number % 12 + 1:02d}-01",
    }
    return record | changes


def snapshot_of(tmp_path: Path, records: list[dict[str, Any]]) -> Snapshot:
    folder = tmp_path / "data"
    folder.mkdir(exist_ok=True)
    (folder / "a.jsonl").write_text("\n".join(json.dumps(it) for it in records))
    parts = {part: part for part in Fields.model_fields if any(part in it for it in records)}
    source = DataSource(uri=str(folder), fields=Fields(**parts))
    return pin_snapshot(source, cache=tmp_path / "cache")


def outcome_of(tmp_path: Path, spec: ExpectationSpec) -> Any:
    suite = ExpectationSuite(name="own", records=(spec,))
    return validate(snapshot_of(tmp_path, [review(i) for i in range(60)]), suite, now=NOW)


@pytest.mark.parametrize("suite", ["text", "reviews"])
def test_good_data_meets_the_shipped_suites(tmp_path: Path, suite: str) -> None:
    snapshot = snapshot_of(tmp_path, [review(i) for i in range(120)])
    report = validate(snapshot, suite, now=NOW, min_records=100)
    assert report.passed
    assert report.failures == report.warnings == ()
    assert not any(it.raised for it in report.outcomes)


def broken(**changes: Any) -> list[dict[str, Any]]:
    """Every tenth review is changed."""
    return [review(i, **(changes if i % 10 == 0 else {})) for i in range(120)]


@pytest.mark.parametrize(
    ("records", "failure"),
    [
        (broken(label="great"), "outside the agreed set"),
        (broken(label=None), "gated on labelled records"),
        (broken(timestamp="2031-01-01"), "from the future"),
        ([review(i) for i in range(90)], "The policy asks for at least this many"),
        ([review(i, label="positive") for i in range(120)], "With one class"),
        ([review(i, text=f"donâ€™t {i} mind") for i in range(120)], "decoded wrongly"),
        ([review(i, text=f"{i}") for i in range(120)], "something to read"),
        ([review(i // 3) | {"id": str(i)} for i in range(360)], "repeats itself"),
    ],
)
def test_what_breaks_the_contract_ends_the_change(
    tmp_path: Path, records: list[dict[str, Any]], failure: str
) -> None:
    report = validate(snapshot_of(tmp_path, records), "reviews", now=NOW, min_records=100)
    assert not report.passed
    assert any(failure in it for it in report.failures), report.failures


def test_what_is_odd_is_put_before_the_approver(tmp_path: Path) -> None:
    previous = snapshot_of(tmp_path, [review(i) for i in range(500)]).manifest
    records = [review(i, segment=None if i % 4 else "s1") for i in range(120)]
    records += [{"id": f"empty {i}", "text": ""} for i in range(20)]
    snapshot = snapshot_of(tmp_path, records)
    report = validate(snapshot, "reviews", now=NOW, previous=previous, changed_during_pull=2)
    assert report.passed
    odd = ("without a segment", "came without text", "far from the last approved", "replaced while")
    for reason in odd:
        assert any(reason in it for it in report.warnings), report.warnings


def test_an_expectation_that_raised_has_failed(tmp_path: Path) -> None:
    spec = ExpectationSpec(
        type="expect_column_values_to_not_be_null",
        severity="critical",
        because="Somebody wants it.",
        kwargs={"column": "absent"},
    )
    report = outcome_of(tmp_path, spec)
    assert not report.passed
    assert report.outcomes[0].raised
    assert "could not be evaluated" in report.failures[0]


def test_the_report_holds_no_record_and_is_the_same_again(tmp_path: Path) -> None:
    spec = ExpectationSpec(
        type="expect_column_values_to_match_regex",
        severity="warning",
        because="Texts are shouted.",
        kwargs={"column": "text", "regex": "^[A-Z ]+$"},
    )
    first, second = outcome_of(tmp_path, spec), outcome_of(tmp_path, spec)
    assert first.outcomes[0].observed == {"records": 60, "missing": 0, "unexpected": 60}
    written = json.dumps(first.to_json(), allow_nan=False)
    assert "customer" not in written
    assert written == json.dumps(second.to_json())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("name: x\nrecords: [{type: expect_no_such_thing, severity: info, because: b}]", "no exp"),
        (
            "name: x\nrecords: [{type: expect_column_values_to_be_unique, severity: info, "
            "because: b, kwargs: {colum: id}}]",
            "argument col",
        ),
        ("name: x\nrecords: [{type: expect_x, severity: fatal, because: b}]", "severity"),
        ("name: x\nrows: []", "rows"),
        ("- : {", "not a YAML file"),
    ],
)
def test_a_wrong_suite_is_named(tmp_path: Path, content: str, expected: str) -> None:
    (tmp_path / "own.yaml").write_text(content)
    snapshot = snapshot_of(tmp_path, [review(i) for i in range(30)])
    with pytest.raises(DataError, match=expected):
        validate(snapshot, tmp_path / "own.yaml", now=NOW)


def test_an_unknown_suite_names_those_that_ship() -> None:
    assert shipped_suites() == ["reviews", "text"]
    with pytest.raises(DataError, match="one of reviews, text"):
        ExpectationSuite.load("novels")
