"""Which field of the data plays which part, and which KPIs follow from that.

Guesses from a sample: by the fields' names first, then by what their values look like. A person
confirms them; nothing of a record's text is kept or shown.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from typing import Any

from tasks.data.formats import Record
from tasks.data.origins import origin_of
from tasks.data.pull import chosen, pull
from tasks.data.readers import iter_records
from tasks.data.source import DataSource, Fields
from tasks.errors import DataError
from tasks.home import cache

SAMPLE = 500
"""Records that are looked at."""
_MOST_CLASSES = 12
_MOST_SEGMENTS = 60
_NAMES = {
    "text": ("text", "review", "body", "content", "message", "comment", "question", "prompt"),
    "id": ("id", "uuid", "guid", "key", "record_id", "number"),
    "label": ("label", "sentiment", "class", "category", "target", "rating", "intent", "mood"),
    "timestamp": ("timestamp", "date", "time", "created_at", "created", "datetime"),
    "answer": ("answer", "response", "expected", "output", "completion", "reply"),
    "segment": ("segment", "condition", "product", "country", "region", "channel", "group"),
}


def sample_of(uri: str) -> list[Record]:
    """The first records of the newest object at a local path or `s3://` address.

    Raises:
        DataError: there is no data in a known format.
        StorageError: S3 cannot be reached or denies.
    """
    source = DataSource(uri=uri, fields=Fields(text="text"))
    origin = origin_of(source)
    newest = max(
        chosen(origin.list(), source, date.max), key=lambda item: (item.modified, item.key)
    )
    ((item, path),) = pull(origin, [newest], cache("data") / "objects")
    records = []
    for number, record in iter_records(path, name=origin.name(item.key)):
        records.append(record)
        if number >= SAMPLE:
            break
    if not records:
        raise DataError(f"{origin.name(item.key)} holds no records.")
    return records


def detect(records: Sequence[Record]) -> dict[str, str]:
    """Part of a record (`text`, `id`, `label`, ...) -> field, for those that can be told.

    Raises:
        DataError: no field holds text; it names the fields there are.
    """
    columns = {name: [record.get(name) for record in records] for name in _fields(records)}
    found: dict[str, str] = {}
    for part, fits in _FITS.items():
        free = [name for name in columns if name not in found.values() and fits(columns[name])]
        if (best := _best(part, free, columns)) is not None:
            found[part] = best
    if "text" not in found:
        raise DataError(f"No field holds text; there are {', '.join(sorted(columns))}.")
    return found


def propose_kpis(records: Sequence[Record], fields: Mapping[str, str]) -> dict[str, Any]:
    """A KPI file for these fields: loss on the text, and quality where there is a truth."""
    slices = {"slice_by": [fields["segment"]]} if "segment" in fields else {}
    kpis: list[dict[str, Any]] = [
        {"name": "text", "kind": "perplexity", "text": "{text}", "metrics": ["token_perplexity"]}
    ]
    if "label" in fields:
        kpis.insert(0, _classification(records, fields["label"]))
    elif "answer" in fields:
        kpis.insert(0, _generation(fields["answer"]))
    else:
        told = {"prompt": "{text}", "metrics": ["top1_agreement", "next_token_kl"]}
        kpis.insert(0, {"name": "agreement", "kind": "agreement"} | told)
    return {"kpis": [kpi | slices for kpi in kpis]}


def _classification(records: Sequence[Record], field: str) -> dict[str, Any]:
    values = sorted({str(record[field]) for record in records if record.get(field) is not None})
    return {
        "name": _name(field),
        "kind": "classification",
        "prompt": f"{{text}}\n{field.replace('_', ' ').capitalize()}:",
        "labels": {value: f" {value}" for value in values},
        "target": field,
        "metrics": ["accuracy", "auc"] if len(values) == 2 else ["accuracy", "macro_f1"],
    }


def _generation(field: str) -> dict[str, Any]:
    return {
        "name": _name(field),
        "kind": "generation",
        "prompt": "{text}",
        "target": field,
        "metrics": ["token_f1"],
    }


def _name(field: str) -> str:
    plain = "".join(it if it.isascii() and it.isalnum() else "-" for it in field.lower()).strip("-")
    return plain[:40] or "quality"


def _fields(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record))


def _best(part: str, free: list[str], columns: Mapping[str, list[Any]]) -> str | None:
    """The field of a known name; else for text the longest, for a label the fewest classes."""
    for wanted in _NAMES[part]:
        for name in free:
            if name.lower() == wanted or name.lower().endswith(f"_{wanted}"):
                return name
    if part == "text" and free:
        return max(free, key=lambda name: sum(len(str(v)) for v in columns[name] if v is not None))
    if part in ("label", "segment") and free:
        return min(free, key=lambda name: len(set(map(str, columns[name]))))
    return free[0] if free and part in ("id", "timestamp") else None


def _known(column: list[Any]) -> list[Any]:
    return [value for value in column if value is not None]


def _is_text(column: list[Any]) -> bool:
    words = [len(value.split()) for value in _known(column) if isinstance(value, str)]
    return len(words) > len(column) / 2 and sum(words) / len(words) >= 3


def _is_id(column: list[Any]) -> bool:
    plain = [value for value in column if isinstance(value, str | int)]
    short = all(len(str(value).split()) == 1 for value in plain)
    return len(plain) == len(column) == len(set(plain)) and short


def _is_class(most: int, column: list[Any]) -> bool:
    counts = Counter(str(v) for v in _known(column) if isinstance(v, str | int | bool))
    few = 2 <= len(counts) <= most and sum(counts.values()) > len(column) / 2
    return few and min(counts.values()) >= 2 and all(len(name) <= 60 for name in counts)


def _is_time(column: list[Any]) -> bool:
    known = _known(column)
    return bool(known) and all(isinstance(value, str) and _parses(value) for value in known)


def _parses(value: str) -> bool:
    with suppress(ValueError):
        datetime.fromisoformat(value)
        return True
    return False


_FITS = {
    "timestamp": _is_time,
    "id": _is_id,
    "text": _is_text,
    "label": lambda column: _is_class(_MOST_CLASSES, column),
    "answer": _is_text,
    "segment": lambda column: _is_class(_MOST_SEGMENTS, column),
}
"""In this order: a time is no id, an id no text, and what is a label is no segment."""
