import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.data.snapshot import (
    Snapshot,
    load_manifest,
    pin_snapshot,
    read_split,
    restore_snapshot,
)
from tasks.data.source import DataSource, Fields
from tasks.data.splits import SPLITS, normalized
from tasks.errors import DataError

FIELDS = Fields(id="id", text="text")
Write = Callable[..., DataSource]


def jsonl(records: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def numbered(count: int) -> list[dict[str, Any]]:
    return [{"id": str(i), "text": f"text number {i}", "stars": i % 5} for i in range(count)]


def texts(snapshot: Snapshot) -> dict[str, str]:
    """Text -> split."""
    return {it["text"]: split for split in SPLITS for it in read_split(snapshot, split)}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files into a fresh folder and name it as a source."""

    def written(files: dict[str, str], **options: Any) -> DataSource:
        folder = tmp_path / "data"
        shutil.rmtree(folder, ignore_errors=True)
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        return DataSource(**{"uri": str(folder), "fields": FIELDS} | options)

    return written


def test_a_snapshot_is_mapped_split_and_counted(write: Write, tmp_path: Path) -> None:
    rows = [
        {"nr": i, "body": f"text number {i}", "sort": i % 2 == 0, "at": "2024-03-01T12:00:00+09:00"}
        for i in range(50)
    ]
    rows += [{"nr": 50, "body": " "}, {"nr": 51, "body": "TEXT  number 0", "at": "someday"}]
    fields = Fields(id="nr", text="body", label="sort", timestamp="at")
    source = write({"a.jsonl": jsonl(rows)}, fields=fields)
    snapshot = pin_snapshot(source, cache=tmp_path / "cache")
    manifest = snapshot.manifest
    assert (manifest.read, manifest.records) == (52, 50)
    assert manifest.dropped.model_dump() == {
        "empty_text": 1,
        "duplicates": 1,
        "label_conflicts": 0,
        "unreadable_timestamps": 1,
    }
    assert sum(split.records for split in manifest.splits.values()) == 50
    first = read_split(snapshot, "validation")[0]
    assert first["text"] == first["body"]
    assert first["id"] == str(first["nr"])
    assert first["label"] in ("true", "false")
    assert first["timestamp"] == "2024-03-01T03:00:00+00:00"


def test_no_text_leaves_the_cache(write: Write, tmp_path: Path) -> None:
    snapshot = pin_snapshot(write({"a.jsonl": jsonl(numbered(30))}), cache=tmp_path / "cache")
    assert b"text number" not in snapshot.manifest.to_bytes()
    assert load_manifest(snapshot.manifest.to_bytes()) == snapshot.manifest


def test_the_same_data_is_the_same_snapshot(write: Write, tmp_path: Path) -> None:
    files = {"a.jsonl": jsonl(numbered(20)), "b.jsonl": jsonl(numbered(40)[20:])}
    first = pin_snapshot(write(files), cache=tmp_path / "one")
    second = pin_snapshot(write(files), cache=tmp_path / "two")
    assert first.digest == second.digest
    other = pin_snapshot(write({"a.jsonl": jsonl(numbered(41))}), cache=tmp_path / "one")
    assert other.digest != first.digest


@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    old=st.dictionaries(st.integers(0, 60), st.integers(0, 25), min_size=1),
    new=st.dictionaries(st.integers(61, 120), st.integers(0, 25)),
)
def test_growing_data_never_moves_what_calibration_read(
    write: Write, tmp_path: Path, old: dict[int, int], new: dict[int, int]
) -> None:
    """Ids and texts of any overlap: splits never share a text, and texts only move downwards."""

    def records(numbers: dict[int, int]) -> str:
        return jsonl([{"id": f"id {i}", "text": f"Text {t}"} for i, t in numbers.items()])

    before = texts(pin_snapshot(write({"a.jsonl": records(old)}), cache=tmp_path / "cache"))
    grown = {"a.jsonl": records(old), "0.jsonl": records(new)}
    snapshot = pin_snapshot(write(grown), cache=tmp_path / "cache")
    after = texts(snapshot)
    assert snapshot.manifest.records == len({normalized(text) for text in after})
    for text, split in before.items():
        assert SPLITS.index(after[text]) <= SPLITS.index(split)


def test_a_group_stays_together(write: Write, tmp_path: Path) -> None:
    rows = [{"id": str(i), "text": f"text {i}", "customer": f"c{i % 12}"} for i in range(120)]
    fields = Fields(id="id", text="text", group="customer")
    snapshot = pin_snapshot(write({"a.jsonl": jsonl(rows)}, fields=fields), cache=tmp_path / "c")
    homes = [{it["customer"] for it in read_split(snapshot, split)} for split in SPLITS]
    assert sum(map(len, homes)) == 12
    assert set.union(*homes) == {f"c{i}" for i in range(12)}


def test_without_an_id_the_text_names_the_record(write: Write, tmp_path: Path) -> None:
    rows = [{"text": f"text {i % 30}"} for i in range(40)]
    source = write({"a.jsonl": jsonl(rows)}, fields=Fields(text="text"))
    snapshot = pin_snapshot(source, cache=tmp_path / "cache")
    assert snapshot.manifest.dropped.duplicates == 10


def test_objects_of_several_formats_share_columns(write: Write, tmp_path: Path) -> None:
    source = write({"a.jsonl": jsonl([{"id": "1", "text": "one", "n": 1, "tags": ["x"]}])})
    table = pa.table({"id": ["2"], "text": ["two"], "n": [2.5], "extra": ["y"]})
    pq.write_table(table, Path(source.uri) / "b.parquet")
    (Path(source.uri) / "c.csv").write_text("id,text\n3,three\n")
    snapshot = pin_snapshot(source, cache=tmp_path / "cache")
    rows = {it["id"]: it for split in SPLITS for it in read_split(snapshot, split)}
    assert rows["1"] == {"id": "1", "text": "one", "extra": None, "n": 1.0, "tags": ["x"]}
    assert rows["2"]["n"] == 2.5
    assert rows["3"]["tags"] is None


def test_a_lost_cache_is_made_again(write: Write, tmp_path: Path) -> None:
    source = write({"a.jsonl": jsonl(numbered(30))})
    snapshot = pin_snapshot(source, cache=tmp_path / "one")
    again = restore_snapshot(snapshot.manifest, tmp_path / "two")
    assert texts(again) == texts(snapshot)
    (Path(source.uri) / "a.jsonl").write_text(jsonl(numbered(31)))
    with pytest.raises(DataError, match=r"a\.jsonl is no longer what was pinned"):
        restore_snapshot(snapshot.manifest, tmp_path / "three")
    assert restore_snapshot(snapshot.manifest, tmp_path / "two").digest == snapshot.digest


def test_globs_and_dates_choose_objects(write: Write, tmp_path: Path) -> None:
    files = {
        f"{kind}/year=2026/month={month:02d}/p.jsonl": jsonl(
            [{"id": f"{kind}{month}", "text": f"{kind} {month}"}]
        )
        for kind in ("good", "bad")
        for month in (1, 2, 3)
    }
    source = write(files, match="good/**/*.jsonl", last_days=40)
    snapshot = pin_snapshot(source, cache=tmp_path / "c", today=date(2026, 3, 15))
    assert set(texts(snapshot)) == {"good 2", "good 3"}
    with pytest.raises(DataError, match=r"no object is left after data\.match"):
        pin_snapshot(write(files, match="*.jsonl"), cache=tmp_path / "c")
    since = write(files, since=date(2026, 3, 1))
    assert set(texts(pin_snapshot(since, cache=tmp_path / "c"))) == {"good 3", "bad 3"}


@pytest.mark.parametrize(
    ("files", "options", "expected"),
    [
        ({"README.md": "x"}, {}, "holds no .jsonl"),
        ({"a.jsonl": ""}, {}, "holds no data"),
        ({"a.jsonl": '{"id": "1", "text": "  "}'}, {}, "no record has text in 'text'"),
        (
            {"a.jsonl": '{"id": "1", "text": "x"}', "b.jsonl": '{"id": "2", "texts": "secret"}'},
            {},
            "b.jsonl: no record has the field 'text'.*Did you mean 'texts'",
        ),
        (
            {"a.jsonl": '{"id": "1", "text": "x"}'},
            {"fields": Fields(id="id", text="text", label="rating")},
            "'rating' that data.fields.label names",
        ),
        (
            {"a.jsonl": '{"id": "1", "text": "secret"}\n{"id": "1", "text": "secret too"}'},
            {},
            "a.jsonl, record 1 and .*a.jsonl, record 2 have one id but different texts",
        ),
        (
            {"a.jsonl": '{"id": "1", "text": "x", "n": 1}', "b.csv": "id,text,n\n2,y,secret\n"},
            {},
            "b.csv, record 1: field 'n' is text, but a number at .*a.jsonl, record 1",
        ),
        ({"a.jsonl": '{"id": "1", "text": 5}'}, {}, "record 1: field 'text' should be text"),
        ({"a.jsonl": '{"id": null, "text": "x"}'}, {}, "record 1: field 'id'.*is empty"),
        ({"a.jsonl": '{"id": "1", "text": "\\ud800"}'}, {}, "record 1: broken Unicode"),
        (
            {"a.jsonl": '{"id": "1", "text": "x", "label": "y", "l": "z"}'},
            {"fields": Fields(id="id", text="text", label="l")},
            "a field 'label' of its own",
        ),
        ({"a.jsonl": '{"id": "1", "text": "x", "n": 99999999999999999999}'}, {}, "'n' holds"),
    ],
)
def test_bad_data_is_said_and_leaves_nothing(
    write: Write, tmp_path: Path, files: dict[str, str], options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(DataError, match=expected) as caught:
        pin_snapshot(write(files, **options), cache=tmp_path / "cache")
    assert "secret" not in str(caught.value)
    assert not list(tmp_path.glob("cache/snapshots/*"))
    assert not list(tmp_path.glob("cache/objects/*"))


def test_a_manifest_that_is_none_is_refused() -> None:
    with pytest.raises(DataError, match="no snapshot manifest"):
        load_manifest(b'{"format": 1}')
