import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.data.readers import format_of, iter_records, read_records
from tasks.errors import DataError

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=30)
FRESH_FILE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def zstd(data: bytes) -> bytes:
    return pa.compress(data, codec="zstd", asbytes=True)


@FRESH_FILE
@given(st.lists(st.dictionaries(TEXT, TEXT | st.integers() | st.none()), min_size=1))
@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_jsonl_gives_back_what_was_written(tmp_path: Path, suffix: str, records: list) -> None:
    data = "\n".join(json.dumps(record) for record in records).encode()
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes({"": bytes, ".gz": gzip.compress, ".zst": zstd}[suffix](data))
    assert read_records(path) == records


@FRESH_FILE
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1))
@pytest.mark.parametrize(("suffix", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_delimited_files_keep_quotes_and_delimiters(
    tmp_path: Path, suffix: str, delimiter: str, records: list
) -> None:
    def quoted(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"'

    lines = [delimiter.join(map(quoted, row)) for row in [("id", "text"), *records]]
    path = tmp_path / f"a.{suffix}"
    path.write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8", newline="")
    expected = [{"id": a or None, "text": b or None} for a, b in records]
    assert read_records(path) == expected


def test_a_column_without_a_name_is_called_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("\ttext\n7\thello\n")
    assert read_records(tmp_path / "a.tsv") == [{"column_1": "7", "text": "hello"}]


def test_parquet_times_and_decimals_become_text(tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": ["a", "b"],
            "at": pa.array([0, None], pa.timestamp("s", "UTC")),
            "price": pa.array(["1.50", None]).cast(pa.decimal128(5, 2)),
            "score": [float("nan"), 1.5],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    first, second = read_records(tmp_path / "a.parquet", "text")
    assert first == {"text": "a", "at": "1970-01-01T00:00:00+00:00", "price": "1.50", "score": None}
    assert second["score"] == 1.5


def test_a_folder_is_read_whole_and_in_order(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.csv").write_text("text\nlast\n")
    (tmp_path / "a.jsonl").write_text('{"text": "first"}\n\n{"text": "second"}\n')
    (tmp_path / "README.md").write_text("not data")
    (tmp_path / ".hidden.jsonl").write_text("not read")
    assert [it["text"] for it in read_records(tmp_path, "text")] == ["first", "second", "last"]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", b'{"text": "secret"}\n{broken secret', "line 2: not valid JSON"),
        ("a.jsonl", b'{"text": "x"}\n["secret"]', "line 2: expected a JSON object, found a list"),
        ("a.jsonl", b'{"text": "secret \\ud800"}', "record 1: broken Unicode"),
        ("a.jsonl", b'{"text": 5}', "record 1: field 'text' should be text, but is a number"),
        ("a.jsonl", b'{"text": "x"}\n{"text": " "}', "record 2.*empty text"),
        ("a.jsonl", b'{"body": "secret"}', "record 1: no field 'text'; it has body"),
        ("a.jsonl", b'{"text": "caf\xe9 secret"}', "not UTF-8 text after line 0"),
        ("a.jsonl", b"\n\n", "holds no records"),
        ("a.csv", b"text,id\nsecret\n", "record 1 .line 2.: 1 fields, but the header names 2"),
        ("a.csv", b"text,text\nx,y\n", "names text more than once"),
        ("a.csv", b'text\n"secret', "broken after row 1"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "x"}\n' * 50000)[:-60], "breaks off or is damaged"),
        ("a.jsonl.gz", b"secret, and no gzip", "breaks off or is damaged after line 0"),
        ("a.jsonl.zst", zstd(b'{"text": "x"}\n' * 5000)[:-9], "breaks off or is damaged"),
        ("a.parquet", b"PAR1secretPAR1", "not a readable Parquet file"),
        ("a.txt", b"secret", "the name tells no format"),
    ],
)
def test_a_broken_file_is_named_and_never_shown(
    tmp_path: Path, name: str, content: bytes, expected: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=expected) as caught:
        read_records(path, "text")
    assert str(path) in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.exit_code == 2


def test_a_missing_path_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        read_records(tmp_path / "nothing.jsonl")
    with pytest.raises(DataError, match=r"holds no \.jsonl"):
        read_records(tmp_path)


def test_records_come_one_by_one(tmp_path: Path) -> None:
    """A fault at the end does not keep the records before it."""
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n{broken')
    records = iter_records(tmp_path / "a.jsonl")
    assert next(records) == (1, {"text": "x"})
    with pytest.raises(DataError):
        next(records)


def test_formats_by_name() -> None:
    assert format_of("x/a.JSONL.gz") == "jsonl"
    assert format_of("a.tsv.zst") == "tsv"
    assert format_of("a.gz") is None
    assert format_of("_SUCCESS") is None
