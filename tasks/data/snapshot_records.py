"""From pulled objects to the records of a snapshot: mapped, de-duplicated, split, in Arrow."""

import hashlib
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.data.columns import ColumnTypes, to_batch
from tasks.data.formats import Record
from tasks.data.personal import Conduct, PersonalScan
from tasks.data.readers import iter_records
from tasks.data.record_fields import FieldMapper
from tasks.data.record_index import Place, RecordIndex
from tasks.data.snapshot_manifest import Dropped, PersonalData, SplitDigest
from tasks.data.source import DataSource, Split
from tasks.data.splits import SPLITS, split_at
from tasks.errors import DataError

_BATCH_BYTES = 1 << 18


@dataclass(frozen=True)
class Written:
    """What was read and kept; `per_object` counts the records read."""

    per_object: tuple[int, ...]
    dropped: Dropped
    splits: dict[Split, SplitDigest]
    personal_data: PersonalData | None


def write_records(
    source: DataSource,
    objects: list[tuple[str, Path]],
    folder: Path,
    progress: Callable[[str, int, int], None] | None,
    personal: Conduct = "ignore",
) -> Written:
    """Write `<split>.arrow` for every split into `folder`.

    Args:
        source: how to read the objects.
        objects: what messages call it, and its local file, of each.
        folder: an empty folder.
        progress: see `tasks.data.snapshot.Progress`.
        personal: whether to look for personal data, and to mask it.

    Raises:
        DataError: a file, field or record that is not as declared; names the object and record.
    """
    mapper, types = FieldMapper(source), ColumnTypes()
    scan = None
    if personal != "ignore":
        scan = PersonalScan(source.fields.mapped(), mask=personal == "mask")
    database = folder / "records.sqlite"
    with RecordIndex(database) as index:
        per_object, columns = [], set[str]()
        for number, item in enumerate(objects):
            count, found = _read_object(source, (number, *item), index, mapper, types, scan)
            per_object.append(count)
            columns |= found
            if progress:
                progress("read", number + 1, len(objects))
        if not index.added:
            raise DataError(f"{source.uri}: no record has text in {source.fields.text!r}.")
        mapper.check_columns(columns, source.uri, required=False)
        index.settle()
        if (pair := index.conflict()) is not None:
            first, second = (f"{objects[at.source][0]}, record {at.line}" for at in pair)
            raise DataError(
                f"{first} and {second} have one id but different texts. "
                "Make ids unique, or keep one of them."
            )
        splits = _write_splits(index, source, types.schema(), folder)
        kept = sum(split.records for split in splits.values())
        dropped = Dropped(
            empty_text=sum(per_object) - index.added,
            duplicates=index.added - kept,
            label_conflicts=index.label_conflicts(),
            unreadable_timestamps=mapper.unreadable_timestamps,
        )
    database.unlink()
    looked = scan and PersonalData(masked=personal == "mask", found=dict(scan.found))
    return Written(tuple(per_object), dropped, splits, looked)


def _read_object(
    source: DataSource,
    item: tuple[int, str, Path],
    index: RecordIndex,
    mapper: FieldMapper,
    types: ColumnTypes,
    scan: PersonalScan | None,
) -> tuple[int, set[str]]:
    """Put an object's records into the index; returns how many it holds, and their fields."""
    order, name, path = item
    columns: set[str] = set()
    number = 0
    for number, record in iter_records(path, source.format, name=name):
        place = f"{name}, record {number}"
        columns.update(record)
        mapped = mapper(scan(record) if scan else record, place)
        if mapped is None:
            continue
        types.learn(mapped, place)
        index.add(mapped, Place(order, number))
    if number:
        mapper.check_columns(columns, name, required=True)
    return number, columns


class _SplitWriter:
    """Writes one split's records to an Arrow file, a batch at a time, and hashes them."""

    def __init__(self, path: Path, schema: Any, stack: ExitStack) -> None:
        import pyarrow as pa

        sink = stack.enter_context(pa.OSFile(str(path), "wb"))
        self._stream = stack.enter_context(pa.ipc.new_stream(sink, schema))
        self._schema = schema
        self._waiting: list[Record] = []
        self._bytes = 0
        self._sha256 = hashlib.sha256()
        self._records = 0

    def add(self, line: bytes) -> None:
        self._sha256.update(line + b"\n")
        self._records += 1
        self._waiting.append(json.loads(line))
        self._bytes += len(line)
        if self._bytes >= _BATCH_BYTES:
            self._flush()

    def finish(self) -> SplitDigest:
        self._flush()
        return SplitDigest(records=self._records, sha256=self._sha256.hexdigest())

    def _flush(self) -> None:
        self._stream.write_batch(to_batch(self._waiting, self._schema))
        self._waiting, self._bytes = [], 0


def _write_splits(
    index: RecordIndex, source: DataSource, schema: Any, folder: Path
) -> dict[Split, SplitDigest]:
    with ExitStack() as stack:
        writers = {
            split: _SplitWriter(folder / f"{split}.arrow", schema, stack) for split in SPLITS
        }
        for place, line in index.kept():
            writers[split_at(place, source.splits)].add(line)
        return {split: writer.finish() for split, writer in writers.items()}
