"""Records from JSONL, CSV, TSV and Parquet files, plain or compressed, one at a time."""

from collections.abc import Iterator
from pathlib import Path

from tasks.data.formats import COMPRESSIONS, Record, delimited, jsonl, kind_of, parquet
from tasks.data.source import Format
from tasks.errors import DataError

_FORMATS: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}


def format_of(name: str) -> Format | None:
    """The format that a file's name tells, compressed or not; None for any other name."""
    path = Path(name)
    suffix = Path(path.stem).suffix if path.suffix.lower() in COMPRESSIONS else path.suffix
    return _FORMATS.get(suffix.lower())


def iter_records(
    path: Path, format: Format = "auto", *, name: str | None = None
) -> Iterator[tuple[int, Record]]:
    """Read a file record by record; memory stays at one record (Parquet: one row group).

    Args:
        path: the file.
        format: "auto" goes by the name.
        name: what errors call the file, and what tells format and compression; the path if None.

    Yields:
        The record's number, from 1, and the record. Values of CSV and TSV are text; an empty
        cell is None; a column without a name is called `column_1` by its place. Values of
        Parquet are plain Python ones: times become ISO 8601 text.

    Raises:
        DataError: a name that tells no format, or a file that is not what it says; the message
            names the file and the record.
    """
    name = name or str(path)
    kind = format_of(name) if format == "auto" else format
    if kind is None or kind == "auto":
        raise DataError(
            f"{name}: the name tells no format. Use .jsonl, .csv, .tsv or .parquet "
            "(with .gz or .zst where compressed), or say the format in the run file."
        )
    if not path.is_file():
        raise DataError(f"{name}: there is no such file.")
    if kind == "parquet":
        yield from parquet(path, name)
    elif kind == "jsonl":
        yield from jsonl(path, name)
    else:
        yield from delimited(path, name, "," if kind == "csv" else "\t")


def read_records(
    path: Path | str, text_field: str | None = None, *, format: Format = "auto"
) -> list[Record]:
    """All records of a local file, or of every data file below a folder, in memory.

    Args:
        path: the file or folder.
        text_field: checked to be non-empty text in every record, when given.
        format: of the files; "auto" goes by their names.

    Raises:
        DataError: no data file, no record, a broken file, a record without the text field; the
            message names the file and the record.
    """
    records: list[Record] = []
    for file in data_files(Path(path), format):
        for number, record in iter_records(file, format):
            if text_field is not None:
                check_text(record, text_field, f"{file}, record {number}")
            records.append(record)
    if not records:
        raise DataError(f"{path} holds no records.")
    return records


def data_files(path: Path, format: Format = "auto") -> list[Path]:
    """The file itself, or the data files below a folder by name; hidden files are left out.

    Raises:
        DataError: nothing there to read.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"{path}: there is no such file or folder.")
    files = sorted(
        file
        for file in path.rglob("*")
        if file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
        and (format != "auto" or format_of(file.name))
    )
    if not files:
        raise DataError(f"{path} holds no .jsonl, .csv, .tsv or .parquet file.")
    return files


def check_text(record: Record, field: str, place: str) -> str:
    """The text in `field`.

    Raises:
        DataError: no such field, or no text in it.
    """
    if field not in record:
        raise DataError(
            f"{place}: no field {field!r}; it has {', '.join(sorted(record)) or 'none'}. "
            "Correct the field's name."
        )
    value = record[field]
    if not isinstance(value, str) or not value.strip():
        found = "empty text" if isinstance(value, str) else kind_of(value)
        raise DataError(f"{place}: field {field!r} should be text, but is {found}.")
    return value
