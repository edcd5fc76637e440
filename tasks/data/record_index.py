"""Records on disk while a snapshot is made: de-duplicated and put in order in bounded memory."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tasks.data.formats import Record
from tasks.data.splits import normalized, order_of, place_of

_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -8000;
CREATE TABLE records (
    number INTEGER PRIMARY KEY, source INTEGER, line INTEGER,
    id BLOB, text BLOB, label BLOB, place INTEGER, rank INTEGER, payload BLOB
);
"""
_KEEP = """
CREATE INDEX by_id ON records (id, text);
CREATE TABLE kept AS
    SELECT number, place, rank FROM (
        SELECT number, place, rank, ROW_NUMBER() OVER (
            PARTITION BY text ORDER BY place, id, number
        ) AS nth FROM records
    ) WHERE nth = 1;
CREATE INDEX by_rank ON kept (rank, number);
"""
_TWO_TEXTS = """
SELECT a.source, a.line, b.source, b.line FROM records a
JOIN records b ON a.id = b.id AND a.text < b.text LIMIT 1;
"""
_TWO_LABELS = """
SELECT COUNT(*) FROM (
    SELECT 1 FROM records GROUP BY text HAVING COUNT(DISTINCT label) > 1
);
"""


@dataclass(frozen=True)
class Place:
    """Where a record was read: the number of its object, and its own in the object."""

    source: int
    line: int


class RecordIndex:
    """A table of records in a file; memory stays at a few MiB whatever the number of records.

    Lifecycle: `add` every record, then `settle`, then read `conflict`, `label_conflicts`, `kept`.
    """

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._database = sqlite3.connect(path)
        self._database.executescript(_SCHEMA)
        self.added = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def add(self, record: Record, at: Place) -> None:
        """Take a record with its parts `id` and `text`; `label` and `group` where it has them."""
        self.added += 1
        label = record.get("label")
        self._database.execute(
            "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.added,
                at.source,
                at.line,
                _key(record["id"]),
                _key(normalized(record["text"])),
                None if label is None else _key(label),
                place_of(record.get("group") or record["id"]),
                order_of(record["id"]),
                canonical_line(record),
            ),
        )

    def settle(self) -> None:
        """Choose the records to keep: of each normalized text the one with the lowest place."""
        self._database.executescript(_KEEP)

    def conflict(self) -> tuple[Place, Place] | None:
        """Two records with one id and different texts, if there are any."""
        found = self._database.execute(_TWO_TEXTS).fetchone()
        return found and (Place(*found[:2]), Place(*found[2:]))

    def label_conflicts(self) -> int:
        """How many texts stand there with more than one label."""
        return int(self._database.execute(_TWO_LABELS).fetchone()[0])

    def kept(self) -> Iterator[tuple[int, bytes]]:
        """The place and canonical line of every kept record, in reading order."""
        yield from self._database.execute(
            "SELECT kept.place, payload FROM kept JOIN records USING (number) "
            "ORDER BY kept.rank, kept.number"
        )


def canonical_line(record: Record) -> bytes:
    """A record as one line of JSON with sorted keys; what the digest of a split is over."""
    line = json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return line.encode("utf-8")


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8"), digest_size=16).digest()
