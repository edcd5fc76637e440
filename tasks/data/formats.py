"""Parsers of the file formats: one generator each, from a file to numbered records."""

import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from tasks.errors import DataError

Record = dict[str, Any]

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_PARQUET_BATCH = 256


def jsonl(path: Path, name: str) -> Iterator[tuple[int, Record]]:
    """One JSON object a line; empty lines are passed over."""
    number = 0
    with _text(path, name) as stream:
        for line_number, line in _guarded(stream, name, "line"):
            if not line.strip():
                continue
            number += 1
            try:
                record = json.loads(line, parse_constant=_no_number)
            except (ValueError, RecursionError):
                raise DataError(
                    f"{name}, line {line_number}: not valid JSON; expected one object a line."
                ) from None
            if not isinstance(record, dict):
                raise DataError(
                    f"{name}, line {line_number}: expected a JSON object, found {kind_of(record)}."
                )
            if "\\u" in line and not _is_unicode(record):
                raise DataError(
                    f"{name}, record {number}: broken Unicode (half of a surrogate pair)."
                )
            yield number, record


def _is_unicode(record: Record) -> bool:
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def delimited(path: Path, name: str, delimiter: str) -> Iterator[tuple[int, Record]]:
    """A header row, then a record a row; quotes as in RFC 4180."""
    csv.field_size_limit(sys.maxsize)
    with _text(path, name, newline="") as stream:
        rows = csv.reader(stream, delimiter=delimiter, strict=True)
        header: list[str] | None = None
        number = 0
        for _, row in _guarded(rows, name, "row"):
            if not row:
                continue
            if header is None:
                header = _header(row, name)
                continue
            number += 1
            if len(row) != len(header):
                raise DataError(
                    f"{name}, record {number} (line {rows.line_num}): {len(row)} fields, but the "
                    f"header names {len(header)}. Check its quotes and delimiters."
                )
            yield number, {key: value or None for key, value in zip(header, row, strict=True)}


def _header(row: list[str], name: str) -> list[str]:
    header = [cell.strip() or f"column_{place}" for place, cell in enumerate(row, 1)]
    twice = sorted({cell for cell in header if header.count(cell) > 1})
    if twice:
        raise DataError(f"{name}: the header names {', '.join(twice)} more than once.")
    return header


def parquet(path: Path, name: str) -> Iterator[tuple[int, Record]]:
    """A record a row, read a row group at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_PARQUET_BATCH):
                for record in batch.to_pylist():
                    number += 1
                    yield number, {key: plain(value) for key, value in record.items()}
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{name}: not a readable Parquet file after record {number} ({type(error).__name__}). "
            "Was it written to its end?"
        ) from None


def plain(value: Any) -> Any:
    """A value as JSON has it: times and exact decimals as text, NaN as None."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


@contextmanager
def _text(path: Path, name: str, newline: str | None = None) -> Iterator[TextIO]:
    """The file as UTF-8 text, decompressed as its name says, with or without a byte order mark."""
    with (
        _bytes(path, name) as raw,
        io.TextIOWrapper(raw, encoding="utf-8-sig", newline=newline) as stream,
    ):
        yield stream


def _bytes(path: Path, name: str) -> Any:
    compression = COMPRESSIONS.get(Path(name).suffix.lower())
    if compression == "gzip":
        return gzip.open(path, "rb")
    if compression == "zstd":
        import pyarrow as pa

        return io.BufferedReader(pa.input_stream(str(path), compression="zstd"))
    return path.open("rb")


def _guarded(items: Iterable[Any], name: str, unit: str) -> Iterator[tuple[int, Any]]:
    """Number the items of a stream, and turn what breaks while reading into DataError."""
    number = 0
    try:
        for number, item in enumerate(items, 1):
            yield number, item
    except UnicodeDecodeError:
        raise DataError(
            f"{name}: not UTF-8 text after {unit} {number}. Convert the file to UTF-8."
        ) from None
    except csv.Error as error:
        raise DataError(f"{name}: broken after {unit} {number}: {error}.") from None
    except (EOFError, zlib.error, OSError) as error:
        raise DataError(
            f"{name}: the file breaks off or is damaged after {unit} {number} "
            f"({type(error).__name__}). Write it again."
        ) from None


def _no_number(constant: str) -> None:
    """JSON has no NaN and no infinity; Python writes them, and a missing number is meant."""


def kind_of(value: Any) -> str:
    """The kind of a value in words for a message, which never shows the value itself."""
    names = {bool: "true or false", int: "a number", float: "a number", str: "text"}
    names |= {list: "a list", dict: "an object", type(None): "null"}
    return names.get(type(value), type(value).__name__)
