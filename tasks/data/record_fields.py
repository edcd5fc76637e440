"""From a source's record to a snapshot's: the parts that the run file names, as columns."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

from tasks.data.formats import Record, kind_of
from tasks.data.source import DataSource
from tasks.data.splits import normalized
from tasks.errors import DataError

PARTS = ("id", "text", "label", "timestamp", "segment", "answer", "group")


class FieldMapper:
    """Maps records of one data source; counts what it could not read."""

    def __init__(self, source: DataSource) -> None:
        self._source = source
        self._parts = source.fields.mapped()
        self.unreadable_timestamps = 0

    def __call__(self, record: Record, place: str) -> Record | None:
        """The record with its parts added; None for a record without text.

        Raises:
            DataError: a field that is not text where text is needed, a record without id, or a
                column of the source that has a part's name but is not that part.
        """
        text = record.get(self._parts["text"])
        if text is None or (isinstance(text, str) and not text.strip()):
            return None
        if not isinstance(text, str):
            raise DataError(
                f"{place}: field {self._parts['text']!r} should be text, but is {kind_of(text)}."
            )
        mapped = {part: self._value(part, record, place) for part in self._parts}
        mapped["text"] = text
        if "id" not in mapped:
            mapped["id"] = hashlib.sha256(normalized(text).encode()).hexdigest()[:32]
        for part in mapped:
            if part in record and self._parts.get(part) != part:
                raise DataError(
                    f"{place}: the source has a field {part!r} of its own, but the run file "
                    f"{_meant(part, self._parts)}. Map data.fields.{part} to it or rename it."
                )
        return {**record, **mapped}

    def check_columns(self, columns: set[str], name: str, *, required: bool) -> None:
        """See that an object has the fields id and text, or (not `required`) every mapped one.

        Raises:
            DataError: it has not; names the nearest field.
        """
        for part, field in self._parts.items():
            if field in columns or (required and part not in ("id", "text")):
                continue
            near = get_close_matches(field, columns, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise DataError(
                f"{name}: no record has the field {field!r} that data.fields.{part} names; there "
                f"are {', '.join(sorted(columns))}.{hint}"
            )

    def _value(self, part: str, record: Record, place: str) -> str | None:
        field = self._parts[part]
        value = record.get(field)
        if part == "timestamp":
            return self._timestamp(value)
        if value is None or value == "":
            if part == "id":
                raise DataError(f"{place}: field {field!r}, the record's id, is empty.")
            return None
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, str | int | float):
            return str(value)
        raise DataError(f"{place}: field {field!r} should be text, but is {kind_of(value)}.")

    def _timestamp(self, value: Any) -> str | None:
        """ISO 8601 in UTC; None, and counted, where the value cannot be read."""
        if value is None:
            return None
        try:
            if isinstance(value, int | float):
                moment = datetime.fromtimestamp(value, UTC)
            elif self._source.timestamp_format:
                moment = datetime.strptime(value, self._source.timestamp_format)
            else:
                moment = datetime.fromisoformat(value)
            zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return zoned.astimezone(UTC).isoformat()
        except (ValueError, TypeError, OverflowError, OSError):
            self.unreadable_timestamps += 1
            return None


def _meant(part: str, parts: Mapping[str, str]) -> str:
    return f"maps {part} to {parts[part]!r}" if part in parts else f"names no {part}"
