"""Pin the objects of a data source, and pull exactly what was pinned."""

import hashlib
import re
from calendar import monthrange
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, timedelta
from functools import partial
from pathlib import Path

from tasks.data.formats import Record
from tasks.data.origins import Origin, SourceObject, origin_of
from tasks.data.readers import check_text, format_of, iter_records, read_records
from tasks.data.source import DataSource, Fields, Format
from tasks.errors import DataError
from tasks.reporting import Report, summed, untold

Progress = Callable[[str, int, int], None]
"""Called with a stage ("pull", "read"), what is done and what there is; bytes, then objects."""

_PULLS_AT_ONCE = 8
_DATE = re.compile(r"(?<!\d)(\d{4})[-/](?:month=)?(\d{2})(?:[-/](?:day=)?(\d{2}))?(?!\d)")


Seen = frozenset[tuple[str, str]]
"""Objects that earlier changes read: key, and version id or (without versions) size."""


def mark(key: str, version_id: str | None, size: int) -> tuple[str, str]:
    """What an object is known by in `Seen`."""
    return key, version_id or str(size)


def chosen(
    items: list[SourceObject], source: DataSource, today: date, seen: Seen = frozenset()
) -> list[SourceObject]:
    """The objects that the source's format, glob and dates let through.

    Raises:
        DataError: none is left.
    """
    wanted = [it for it in items if not it.key.endswith("/") and it.size]
    if source.format == "auto":
        wanted = [it for it in wanted if format_of(it.key)]
    if not wanted:
        raise DataError(
            f"{source.uri} holds no data: {len(items)} objects, none with records in a known "
            "format (.jsonl, .csv, .tsv, .parquet). Check data.uri and data.format."
        )
    if source.match:
        pattern = re.compile(_glob(source.match))
        wanted = [it for it in wanted if pattern.fullmatch(it.key)]
    if source.since == "last_approved":
        wanted = [it for it in wanted if mark(it.key, it.version_id, it.size) not in seen]
    first = source.since if isinstance(source.since, date) else date.min
    if source.last_days:
        first = max(first, today - timedelta(days=source.last_days - 1))
    wanted = [it for it in wanted if _day(it) >= first]
    if not wanted:
        raise DataError(
            f"{source.uri}: no object is left after data.match, data.since and data.last_days. "
            "Widen them."
        )
    return wanted


def pull(
    origin: Origin, items: list[SourceObject], folder: Path, progress: Progress | None = None
) -> list[tuple[SourceObject, Path]]:
    """Fetch what is not in `folder` yet, several at once; the files, in the order of `items`.

    Raises:
        DataError: an object changed, or arrived broken.
        StorageError: S3 cannot be reached or denies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    told = progress or (lambda _what, _done, _total: None)
    moved = summed(sum(item.size for item in items), partial(told, "pull"))

    def one(item: SourceObject) -> tuple[SourceObject, Path]:
        state = item.version_id or item.etag or item.modified.isoformat()
        name = "\0".join((origin.uri, item.key, state, str(item.size)))
        path = folder / hashlib.sha256(name.encode()).hexdigest()
        if path.exists():
            moved(item.size)
        else:
            origin.fetch(item, path, moved)
        return item, path

    with ThreadPoolExecutor(_PULLS_AT_ONCE) as pool:
        futures = [pool.submit(one, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def read_source(
    uri: str,
    text_field: str | None = None,
    *,
    cache: Path,
    format: Format = "auto",
    report: Report = untold,
) -> list[Record]:
    """All records at a local path or `s3://` address, in memory; see `readers.read_records`.

    Raises:
        DataError: as `readers.read_records`.
        StorageError: S3 cannot be reached or denies.
    """
    if not uri.startswith("s3://"):
        return read_records(uri, text_field, format=format)
    source = DataSource(uri=uri, format=format, fields=Fields(text=text_field or "text"))
    origin = origin_of(source)
    records: list[Record] = []
    items = chosen(origin.list(), source, date.max)
    pulled = pull(origin, items, cache / "objects", lambda _what, *of: report(*of))
    for item, path in pulled:
        name = origin.name(item.key)
        for number, record in iter_records(path, format, name=name):
            if text_field is not None:
                check_text(record, text_field, f"{name}, record {number}")
            records.append(record)
    if not records:
        raise DataError(f"{uri} holds no records.")
    return records


def _day(item: SourceObject) -> date:
    """The last day that an object can be about: by its key (a day or a month), else its writing."""
    if found := _DATE.search(item.key):
        year, month, day = (int(part) if part else 0 for part in found.groups())
        with suppress(ValueError):
            return date(year, month, day or monthrange(year, month)[1])
    return item.modified.astimezone(UTC).date()


def _glob(pattern: str) -> str:
    """A glob as a regular expression: * and ? stay within one folder, ** does not."""
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(
        words.get(part) or re.escape(part) for part in re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    )
